import { type BatchShape, EngineError } from './engine.js';
import type { Lane } from './lane.js';

/** Lanes that may be lost within the time below before the engine is given up. */
const LOSSES_TOLERATED = 2;
const LOSSES_WITHIN_MS = 10 * 60_000;

/** A lane that is opened again when its thread ends, until it ends too often. */
export interface StandingLane {
  readonly outstanding: number;
  run(data: Float32Array, shape: BatchShape): Promise<Float32Array>;
  close(): Promise<void>;
}

/** Counts the lanes that an engine lost, over all of its lanes. */
export function createLossCounter(now: () => number = Date.now) {
  const at: number[] = [];
  return {
    /** Notes a loss; true when there were too many lately. */
    note(): boolean {
      at.push(now());
      while (at.length > 0 && at[0]! < now() - LOSSES_WITHIN_MS) at.shift();
      return at.length > LOSSES_TOLERATED;
    },
  };
}

/**
 * Keeps one lane standing: what runs while its thread ends is rejected (`crashed`), what comes after waits for the
 * replacement. After too many losses every run is rejected with `unavailable`.
 */
export function keepStanding(
  first: Lane,
  open: () => Promise<Lane>,
  losses: { note(): boolean },
): StandingLane {
  let lane: Promise<Lane> = Promise.resolve(first);
  let closed = false;
  let waiting = 0;

  function watch(opened: Lane): void {
    void opened.lost.then((reason) => {
      if (closed) return;
      lane = losses.note()
        ? Promise.reject(
            new EngineError('unavailable', `the engine's threads end again and again; the last: ${reason}`),
          )
        : open().then((next) => {
            watch(next);
            return next;
          });
      lane.catch(() => {});
    });
  }
  watch(first);

  return {
    get outstanding() {
      return waiting;
    },
    async run(data, shape) {
      waiting += 1;
      try {
        return await (await lane).run(data, shape);
      } finally {
        waiting -= 1;
      }
    },
    async close() {
      closed = true;
      const last = await lane.catch(() => undefined);
      await last?.close();
    },
  };
}
