import type { LoadedModel } from '../manifest.js';
import { whyNot } from './devices.js';
import {
  type Engine,
  type EngineChoice,
  type EngineDescription,
  EngineError,
  type EngineName,
  type EngineRefusal,
} from './engine.js';
import { openCpuEngine, openGpuEngine } from './onnx.js';
import { type PrecisionSetting, tryPrecision } from './precision.js';
import { probe } from './probe.js';
import { keepRevived, type RevivalOptions } from './revived.js';
import { openTensorflowEngine } from './tensorflow.js';

export interface EngineOptions extends RevivalOptions {
  /** Threads of the host that may compute (CPU engine). Default: every core that the process may use. */
  threads?: number;
  /** Runs at the same time (CPU engine). Default: one per thread, 8 at most. */
  lanes?: number;
  /** Which GPU of the machine, counted from 0. */
  deviceId?: number;
  /** `auto`: float16 inside the network where a trial on the GPU finds it right and faster. Default float32. */
  precision?: PrecisionSetting;
  /** Called when a device failed and another engine took over: readiness and metrics hang on it. */
  onChange?(now: EngineDescription, reason: string): void;
  /** How one engine is opened; tests put their own in its place. */
  openOne?: typeof openOneEngine;
}

/** The order of `auto`: the fastest first, and the processor, which is always there, last. */
export const AUTO_ORDER = ['tensorrt', 'cuda', 'webgpu', 'cpu'] as const satisfies readonly EngineName[];

/**
 * Opens the named engine.
 * @param careful try a GPU in a child process first and refuse it when the machine has no device for it
 * @throws EngineError `unavailable` with what is missing and how to get it
 */
export async function openOneEngine(
  name: EngineName,
  model: LoadedModel,
  options: EngineOptions & { refused?: EngineRefusal[] },
  careful: boolean,
): Promise<Engine> {
  switch (name) {
    case 'cpu':
      return openCpuEngine(model, options);
    case 'tensorflow':
      return openTensorflowEngine(model, options);
    default: {
      // Asked for by name, WebGPU may also run on a software adapter: that is how it is tested without a GPU.
      const missing = careful || name !== 'webgpu' ? whyNot(name) : undefined;
      const reason = missing ?? (await probe(name, model, options));
      if (reason !== undefined) throw new EngineError('unavailable', `engine ${name}: ${reason}`);
      return openGpuEngine(name, model, {
        ...options,
        choosePrecision: (loaded) => tryPrecision(name, loaded, options),
      });
    }
  }
}

/**
 * Opens the engine that the configuration asks for. `auto` takes the first of tensorrt, cuda, webgpu and cpu that
 * works here, and goes on to the next when that one fails for good later. When there is no next one, or an engine that
 * was asked for by name fails for good, `onLost` is told, and it is opened again until it works.
 * @throws EngineError `unavailable` when there is none; the message holds every reason
 */
export function openEngine(
  choice: EngineChoice,
  model: LoadedModel,
  options: EngineOptions = {},
): Promise<Engine> {
  const openOne = options.openOne ?? openOneEngine;
  const open = (loaded: LoadedModel) =>
    choice === 'auto'
      ? openFirstThatWorks(loaded, options, openOne)
      : openOne(choice, loaded, options, false);
  return keepRevived(open, model, options);
}

async function openFirstThatWorks(
  model: LoadedModel,
  options: EngineOptions,
  openOne: typeof openOneEngine,
): Promise<Engine> {
  const refused: EngineRefusal[] = [];
  const candidates: EngineName[] = [...AUTO_ORDER];

  async function openNext(): Promise<{ engine: Engine; name: EngineName }> {
    while (candidates.length > 0) {
      const name = candidates.shift()!;
      try {
        return { engine: await openOne(name, loaded, { ...options, refused }, true), name };
      } catch (error) {
        const text = error instanceof Error ? error.message : String(error);
        refused.push({ engine: name, reason: text.replace(`engine ${name}: `, '') });
      }
    }
    const reasons = refused.map((one) => `${one.engine}: ${one.reason}`).join('; ');
    throw new EngineError('unavailable', `no engine works on this machine. ${reasons}`);
  }

  let loaded = model;
  let current = openNext();
  await current;
  let closed = false;

  /** Gives up the engine that failed, unless somebody did before, and opens the next one. */
  function fallBack(failed: Engine, name: EngineName, reason: string): void {
    const before = current;
    current = before.then(async (now) => {
      if (now.engine !== failed || closed) return now;
      refused.push({ engine: name, reason: `failed while running: ${reason}` });
      await failed.close();
      const next = await openNext();
      last = next.engine;
      options.onChange?.(next.engine.describe(), reason);
      return next;
    });
    current.catch(() => {});
  }

  let last = (await current).engine;
  return {
    get capacity() {
      return last.capacity;
    },
    async load(next) {
      loaded = next;
      await (await current).engine.load(next);
    },
    async run(batch, shape, alone) {
      if (closed) throw new EngineError('closed', 'the engine is closed');
      const { engine, name } = await current;
      last = engine;
      try {
        return await engine.run(batch, shape, alone);
      } catch (error) {
        const lost = error instanceof EngineError && error.code === 'unavailable';
        if (lost && !closed && candidates.length > 0) {
          fallBack(engine, name, error.message);
          throw new EngineError('crashed', error.message);
        }
        throw error;
      }
    },
    async close() {
      closed = true;
      const opened = await current.catch(() => undefined);
      await opened?.engine.close();
    },
    describe: () => last.describe(),
  };
}
