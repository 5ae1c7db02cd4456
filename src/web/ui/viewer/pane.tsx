import { useLayoutEffect, useRef } from 'preact/hooks';
import { followPointer } from './follow-pointer.js';
import { edgesOf, type Slot } from './slots.js';
import type { PaneKind, Stage, View } from './stage.js';

export interface PaneProps {
  kind: PaneKind;
  label: string;
  stage: Stage | undefined;
  slot: Slot | undefined;
  view: View;
  count: number;
  /** Only what is right of this share of the width is shown. */
  clip?: number | undefined;
  onPointerDown(event: PointerEvent, pane: HTMLElement): void;
}

function number(value: number): string {
  return Math.abs(value) >= 100 ? value.toFixed(0) : value.toPrecision(3);
}

/** One viewport, with what a reader expects to stand in its corners. */
export function Pane({ kind, label, stage, slot, view, count, clip, onPointerDown }: PaneProps) {
  const element = useRef<HTMLDivElement>(null);
  useLayoutEffect(() => {
    if (!stage || !element.current) return;
    stage.show(kind, element.current);
    return () => stage.hide(kind);
  }, [stage, kind]);
  const there = slot?.ids[kind] !== undefined;
  const edges = slot && edgesOf(slot.image);
  const first = kind === 'first';
  const clipped = clip === undefined ? undefined : `inset(0 0 0 ${100 * clip}%)`;
  return (
    <figure
      class={`pane ${kind}`}
      style={clipped && { clipPath: clipped }}
      onPointerDown={(event) => onPointerDown(event, event.currentTarget)}
    >
      <div ref={element} class="canvas" aria-hidden="true" />
      <figcaption class="corner title">
        {label}
        {kind === 'second' && slot?.quality?.residualEnergy === 0 && (
          <span class="unchanged">as the original</span>
        )}
      </figcaption>
      {slot && (first || clip === undefined) && (
        <span class="corner place">
          {view.index + 1} / {count}
          {slot.position !== undefined && <> · {slot.position.toFixed(1)} mm</>}
        </span>
      )}
      {kind !== 'residual' && first && view.window && (
        <span class="corner window">
          W {number(view.window.width)} · L {number(view.window.center)}
        </span>
      )}
      {first && <span class="corner zoom">{Math.round(view.zoom * 100)} %</span>}
      {kind === 'residual' && view.window && (
        <span class="corner legend">
          <span>−{number(view.residualShare * view.window.width)}</span>
          <span class="ramp" />
          <span>+{number(view.residualShare * view.window.width)}</span>
        </span>
      )}
      {edges && clip === undefined && (
        <>
          <span class="edge left">{edges.left}</span>
          <span class="edge right">{edges.right}</span>
          <span class="edge top">{edges.top}</span>
          <span class="edge bottom">{edges.bottom}</span>
        </>
      )}
      {there && (
        <span class="missing failure" role="alert">
          This picture could not be loaded. It is tried again when you come back to it.
        </span>
      )}
      {slot && !there && (
        <span class="missing">
          {slot.slice.reason ? `Not corrected: ${slot.slice.reason}` : 'Not corrected yet'}
        </span>
      )}
    </figure>
  );
}

/** The line between original (left) and corrected (right); drag it, or move it with the arrow keys. */
export function SwipeDivider({ share, onMove }: { share: number; onMove(share: number): void }) {
  const STEP = 0.02;
  const clamp = (value: number) => Math.max(0, Math.min(1, value));
  return (
    <div
      class="divider"
      style={{ left: `${100 * share}%` }}
      role="slider"
      tabIndex={0}
      aria-label="Divider between original and corrected"
      aria-valuemin={0}
      aria-valuemax={100}
      aria-valuenow={Math.round(100 * share)}
      aria-valuetext={`original left of ${Math.round(100 * share)} percent`}
      onKeyDown={(event) => {
        const to = {
          ArrowLeft: share - STEP,
          ArrowDown: share - STEP,
          ArrowRight: share + STEP,
          ArrowUp: share + STEP,
          Home: 0,
          End: 1,
        }[event.key];
        if (to === undefined) return;
        event.preventDefault();
        event.stopPropagation();
        onMove(clamp(to));
      }}
      onPointerDown={(event) => {
        event.preventDefault();
        event.stopPropagation();
        event.currentTarget.focus();
        const box = event.currentTarget.parentElement!.getBoundingClientRect();
        followPointer((moved) => onMove(clamp((moved.clientX - box.left) / box.width)));
      }}
    >
      <span class="grip" aria-hidden="true">
        ↔
      </span>
    </div>
  );
}
