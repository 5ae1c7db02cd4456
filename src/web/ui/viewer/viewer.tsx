/** Original, corrected and the difference between them, looked at together. */
import { useEffect, useRef } from 'preact/hooks';
import { followPointer } from './follow-pointer.js';
import { Pane, SwipeDivider } from './pane.js';
import type { Slot } from './slots.js';
import type { PaneKind, Stage, View } from './stage.js';

export type Layout = 'side' | 'swipe';
export type Tool = 'window' | 'pan' | 'zoom';

export interface ViewerProps {
  slots: readonly Slot[];
  stage: Stage | undefined;
  view: View;
  layout: Layout;
  residual: boolean;
  tool: Tool;
  /** Where the divider of the swipe layout is, 0 to 1. */
  divider: number;
  labels?: { first: string; second: string };
  /** The server does not answer: what could not be loaded is tried again when it does. */
  lost?: boolean;
  onScroll(slices: number): void;
  onChange(change: (view: View) => View): void;
  onDivider(share: number): void;
  onReset(): void;
}

const ZOOM_LIMITS = { min: 0.25, max: 20 };
/** Wheel movement of one notch, pixels. */
const NOTCH = 40;

export function zoomed(view: View, factor: number): View {
  return { ...view, zoom: Math.max(ZOOM_LIMITS.min, Math.min(ZOOM_LIMITS.max, view.zoom * factor)) };
}

/** The window moved: contrast by `dx`, brightness by `dy`, both as shares of its width. */
export function windowed(
  view: View,
  current: { center: number; width: number },
  dx: number,
  dy: number,
): View {
  const { center, width } = view.window ?? current;
  return {
    ...view,
    window: { width: Math.max(1, width * (1 + dx)), center: center + dy * width },
  };
}

export function Viewer(props: ViewerProps) {
  const { slots, stage, view, layout, residual, tool } = props;
  const root = useRef<HTMLDivElement>(null);
  const latest = useRef(props);
  latest.current = props;
  const wheel = useRef(0);
  const slot = slots[view.index];

  /** Draws the view of now, and says when the panes show it. */
  function draw(on: Stage): void {
    const wanted = latest.current.view;
    root.current?.setAttribute('aria-busy', 'true');
    const drawn = () => {
      if (latest.current.view === wanted) root.current?.setAttribute('aria-busy', 'false');
    };
    void on.draw(wanted).then(drawn, drawn);
  }
  const labels = { first: 'Original', second: 'Corrected', ...props.labels, residual: 'Residual' };

  useEffect(() => {
    if (!stage) return;
    stage.setSlots(slots);
    draw(stage);
  }, [stage, slots, view, layout, residual, props.lost]);

  useEffect(() => {
    if (!stage || !root.current) return;
    const observer = new ResizeObserver(() => {
      stage.resize();
      draw(stage);
    });
    observer.observe(root.current);
    return () => observer.disconnect();
  }, [stage, layout, residual]);

  async function drag(event: PointerEvent, pane: HTMLElement) {
    const what: Tool = event.button === 1 ? 'pan' : event.button === 2 ? 'zoom' : tool;
    if (!stage || !slot) return;
    event.preventDefault();
    pane.closest<HTMLElement>('.panes')?.focus({ preventScroll: true });
    const { clientWidth, clientHeight } = pane;
    const fit = Math.min(clientWidth / slot.image.columns, clientHeight / slot.image.rows);
    const window = view.window ?? (await stage.windowOf(view.index)) ?? { center: 0, width: 1 };
    let [x, y] = [event.clientX, event.clientY];
    followPointer((moved) => {
      const [dx, dy] = [moved.clientX - x, moved.clientY - y];
      [x, y] = [moved.clientX, moved.clientY];
      latest.current.onChange((now) => {
        if (what === 'zoom') return zoomed(now, 1.01 ** -dy);
        if (what === 'window') return windowed(now, window, dx / 250, -dy / 250);
        const scale = fit * now.zoom;
        return { ...now, pan: [now.pan[0] - dx / scale, now.pan[1] - dy / scale] };
      });
    });
  }

  function onWheel(event: WheelEvent) {
    event.preventDefault();
    if (event.ctrlKey) {
      props.onChange((now) => zoomed(now, 1.002 ** -event.deltaY));
      return;
    }
    wheel.current += event.deltaY;
    const steps = Math.trunc(wheel.current / NOTCH);
    wheel.current -= steps * NOTCH;
    if (steps !== 0) props.onScroll(steps);
  }

  const pane = (kind: PaneKind) => (
    <Pane
      kind={kind}
      stage={stage}
      slot={slot}
      view={view}
      count={slots.length}
      label={labels[kind]}
      clip={layout === 'swipe' && kind === 'second' ? props.divider : undefined}
      onPointerDown={drag}
    />
  );
  return (
    <div
      ref={root}
      class={`panes ${layout}${residual ? ' with-residual' : ''} tool-${tool}`}
      tabIndex={0}
      role="group"
      aria-label="Images; arrow keys change the slice"
      onWheel={onWheel}
      onContextMenu={(event) => event.preventDefault()}
      onDblClick={props.onReset}
    >
      {layout === 'side' ? (
        <>
          {pane('first')}
          {pane('second')}
        </>
      ) : (
        <div class="swipe-stack">
          {pane('first')}
          {pane('second')}
          <SwipeDivider share={props.divider} onMove={props.onDivider} />
        </div>
      )}
      {residual && pane('residual')}
    </div>
  );
}
