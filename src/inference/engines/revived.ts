import type { LoadedModel } from '../manifest.js';
import { type Engine, type EngineDescription, EngineError } from './engine.js';

/** An engine that is lost with none to take its place is opened again after this, and again. */
const REOPEN_MS = 30_000;

export interface RevivalOptions {
  /** Nothing is left that could run the network: every run is refused until `onRestored`. */
  onLost?(reason: string): void;
  onRestored?(now: EngineDescription): void;
  /** How long after a loss, or after an opening that failed, it is opened again, ms. Default 30 seconds. */
  reopenMs?: number;
}

/**
 * An engine that does not stay lost: while it is, every run is rejected with `unavailable` and the reason at once.
 * @throws EngineError `unavailable` when it cannot be opened the first time
 */
export async function keepRevived(
  open: (model: LoadedModel) => Promise<Engine>,
  model: LoadedModel,
  o: RevivalOptions,
): Promise<Engine> {
  let loaded = model;
  let current = await open(loaded);
  let lost: string | undefined;
  let timer: NodeJS.Timeout | undefined;
  let opening: Promise<void> = Promise.resolve();
  let closed = false;

  function lose(reason: string): void {
    lost = reason;
    o.onLost?.(reason);
    void current.close().catch(() => {});
    openLater();
  }

  function openLater(): void {
    if (closed) return;
    timer = setTimeout(() => {
      opening = reopen();
    }, o.reopenMs ?? REOPEN_MS);
    timer.unref();
  }

  async function reopen(): Promise<void> {
    try {
      const next = await open(loaded);
      current = next;
      if (closed) return;
      lost = undefined;
      o.onRestored?.(next.describe());
    } catch (error) {
      lost = error instanceof Error ? error.message : String(error);
      openLater();
    }
  }

  return {
    get capacity() {
      return current.capacity;
    },
    async load(next) {
      loaded = next;
      if (lost === undefined) await current.load(next);
    },
    async run(batch, shape, alone) {
      if (closed) throw new EngineError('closed', 'the engine is closed');
      if (lost !== undefined) throw new EngineError('unavailable', lost);
      const engine = current;
      try {
        return await engine.run(batch, shape, alone);
      } catch (error) {
        const gone = error instanceof EngineError && error.code === 'unavailable';
        if (gone && engine === current && lost === undefined && !closed) lose(error.message);
        throw error;
      }
    },
    async close() {
      closed = true;
      clearTimeout(timer);
      await opening;
      await current.close();
    },
    describe: () => current.describe(),
  };
}
