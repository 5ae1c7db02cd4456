/** The viewports: every pane shows the same place of the same slice, with one window, zoom and pan for all of them. */
import {
  Enums,
  imageLoader,
  init,
  RenderingEngine,
  setUseCPURendering,
  type Types,
} from '@cornerstonejs/core';
import { RESIDUAL_COLORMAP, registerLoader } from './images.js';
import type { Slot } from './slots.js';

export type PaneKind = 'first' | 'second' | 'residual';

/** What all panes have in common. */
export interface View {
  index: number;
  /** 1 fits the pane. */
  zoom: number;
  /** Image point in the middle of the pane, from the image's middle, in columns and rows. */
  pan: readonly [number, number];
  /** In rescaled values; undefined: what the header of the slice says. */
  window: { center: number; width: number } | undefined;
  /** Full colour of the difference at this share of the window's width. */
  residualShare: number;
}

export interface Stage {
  /** Shows a pane in an element of the page. */
  show(kind: PaneKind, element: HTMLDivElement): void;
  hide(kind: PaneKind): void;
  /** Replaces the list of frames; what is shown stays. */
  setSlots(slots: readonly Slot[]): void;
  /** Draws; resolves when what was asked for last is in every pane. */
  draw(view: View): Promise<void>;
  /** Resolves when the panes have shown their first slice, or have failed to. */
  readonly begun: Promise<void>;
  /** Fits the canvases to their elements again. */
  resize(): void;
  /** The window of the header (or of the pixels) of a slice. */
  windowOf(index: number): Promise<{ center: number; width: number } | undefined>;
  close(): void;
}

interface Pane {
  id: string;
  element: HTMLDivElement;
  /** The list that its stack was made of. */
  slots?: readonly Slot[];
  ids: readonly string[];
}

let initialised = false;

/**
 * Cornerstone draws on the processor: slices of this size take a few milliseconds, every workstation shows the same
 * grey values, and no graphics driver can be missing.
 */
function initialise(): void {
  if (initialised) return;
  initialised = true;
  init();
  setUseCPURendering(true);
  registerLoader();
}

let stages = 0;

export function createStage(): Stage {
  initialise();
  stages += 1;
  const name = `mcnet-${stages}`;
  const engine = new RenderingEngine(name);
  const panes = new Map<PaneKind, Pane>();
  let slots: readonly Slot[] = [];
  let wanted: View | undefined;
  let drawing: Promise<void> | undefined;
  let closed = false;
  let begin: () => void = () => undefined;
  const begun = new Promise<void>((resolve) => {
    begin = resolve;
  });

  const viewportOf = (id: string) => engine.getViewport(id) as Types.IStackViewport | undefined;

  function place(viewport: Types.IStackViewport, slot: Slot, view: View): void {
    const { image } = slot;
    const canvas = viewport.getCanvas();
    if (canvas.width === 0 || canvas.height === 0) return;
    const [rowSpacing, columnSpacing] = image.spacing;
    const wide = columnSpacing > rowSpacing ? columnSpacing / rowSpacing : 1;
    const high = rowSpacing > columnSpacing ? rowSpacing / columnSpacing : 1;
    const fit = Math.min(canvas.width / (image.columns * wide), canvas.height / (image.rows * high));
    const { origin, direction, spacing } = viewport.getImageData() ?? {};
    if (!origin || !direction || !spacing) return;
    const x = (image.columns / 2 + view.pan[0]) * spacing[0]!;
    const y = (image.rows / 2 + view.pan[1]) * spacing[1]!;
    const focalPoint = [0, 1, 2].map(
      (axis) => origin[axis]! + direction[axis]! * x + direction[3 + axis]! * y,
    ) as Types.Point3;
    // Scale first: where the middle is depends on it.
    viewport.setCamera({ scale: fit * view.zoom } as Types.ICamera);
    viewport.setCamera({ focalPoint });
  }

  /** Puts the slice's image into a pane; false where there is none. */
  async function load(kind: PaneKind, pane: Pane, slot: Slot): Promise<boolean> {
    const id = slot.ids[kind];
    pane.element.classList.toggle('empty', id === undefined);
    pane.element.classList.remove('failed');
    const viewport = viewportOf(pane.id);
    if (id === undefined || !viewport) return false;
    if (pane.slots !== slots) {
      const ids = slots.flatMap(({ ids: of }) => of[kind] ?? []);
      pane.slots = slots;
      pane.ids = ids;
      await viewport.setStack(ids, ids.indexOf(id));
      if (kind === 'residual') viewport.setProperties({ colormap: { name: RESIDUAL_COLORMAP } });
    } else if (viewport.getCurrentImageId() !== id) {
      await viewport.setImageIdIndex(pane.ids.indexOf(id));
    }
    return !closed && panes.get(kind) === pane;
  }

  /** Draws a pane, or leaves it empty: never a picture under the number of another. */
  async function drawOrEmpty(kind: PaneKind, view: View): Promise<void> {
    const pane = panes.get(kind);
    if (!pane) return;
    try {
      await drawPane(kind, pane, view);
    } catch (error) {
      // The stack says that it has the image all the same: a new one is made for the next attempt.
      delete pane.slots;
      delete pane.element.dataset.shown;
      pane.element.classList.add('failed');
      throw error;
    }
  }

  async function drawPane(kind: PaneKind, pane: Pane, view: View): Promise<void> {
    const slot = slots[view.index];
    if (!slot || !(await load(kind, pane, slot))) return;
    const viewport = viewportOf(pane.id)!;
    const window = view.window ?? (await windowOf(view.index));
    if (window) {
      const half = kind === 'residual' ? view.residualShare * window.width : window.width / 2;
      const center = kind === 'residual' ? 0 : window.center;
      viewport.setProperties({ voiRange: { lower: center - half, upper: center + half } });
    }
    place(viewport, slot, view);
    viewport.render();
    pane.element.dataset.shown = slot.ids[kind];
  }

  /** Draws what is wanted, and what is wanted by then, until nothing else is. */
  async function drawAll(): Promise<void> {
    while (wanted !== undefined && !closed) {
      const view = wanted;
      wanted = undefined;
      const results = await Promise.allSettled([...panes.keys()].map((kind) => drawOrEmpty(kind, view)));
      if (results.length > 0 && slots.length > 0) begin();
      const failed = results.find(({ status }) => status === 'rejected');
      if (failed && wanted === undefined) throw (failed as PromiseRejectedResult).reason;
    }
  }

  async function windowOf(index: number) {
    const id = slots[index]?.ids.first;
    if (id === undefined) return undefined;
    const { windowCenter, windowWidth } = await imageLoader.loadAndCacheImage(id);
    return { center: Number(windowCenter), width: Number(windowWidth) };
  }

  return {
    show(kind, element) {
      if (panes.get(kind)?.element === element) return;
      const id = `${name}-${kind}`;
      if (panes.has(kind)) engine.disableElement(id);
      engine.enableElement({
        viewportId: id,
        type: Enums.ViewportType.STACK,
        element,
        defaultOptions: { background: [0, 0, 0] },
      });
      panes.set(kind, { id, element, ids: [] });
    },
    hide(kind) {
      const pane = panes.get(kind);
      if (!pane) return;
      panes.delete(kind);
      if (!closed) engine.disableElement(pane.id);
    },
    setSlots(next) {
      slots = next;
    },
    draw(view) {
      wanted = view;
      drawing ??= drawAll().finally(() => {
        drawing = undefined;
      });
      return drawing;
    },
    resize() {
      // Cornerstone's own resizing on the processor forgets that a device may have more pixels than the page.
      for (const { id, element } of panes.values()) {
        const canvas = viewportOf(id)?.getCanvas();
        const width = Math.round(element.clientWidth * globalThis.devicePixelRatio);
        const height = Math.round(element.clientHeight * globalThis.devicePixelRatio);
        if (!canvas || (canvas.width === width && canvas.height === height)) continue;
        canvas.width = width;
        canvas.height = height;
      }
    },
    begun,
    windowOf,
    close() {
      closed = true;
      panes.clear();
      engine.destroy();
    },
  };
}

/** Loads what will be looked at next, once the first slice is shown: from it outwards, a few at a time, while the page is there. */
export async function prefetch(
  stage: Stage,
  slots: readonly Slot[],
  from: number,
  signal: AbortSignal,
): Promise<void> {
  const AT_A_TIME = 4;
  const order = slots
    .map((slot, index) => ({ slot, away: Math.abs(index - from) }))
    .sort((a, b) => a.away - b.away)
    .flatMap(({ slot }) => [slot.ids.first, ...(slot.ids.second ? [slot.ids.second] : [])]);
  let next = 0;
  const work = async () => {
    while (next < order.length && !signal.aborted) {
      const id = order[next++]!;
      await imageLoader.loadAndCacheImage(id).catch(() => undefined);
    }
  };
  await stage.begun;
  await Promise.all(Array.from({ length: AT_A_TIME }, work));
}
