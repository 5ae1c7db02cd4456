import { cpus } from 'node:os';
import type { LoadedModel } from '../manifest.js';
import { usableCores } from './cores.js';
import { graphicsDevices } from './devices.js';
import {
  type BatchShape,
  type Engine,
  type EngineCapacity,
  type EngineDescription,
  EngineError,
  type EngineRefusal,
  type PrecisionChoice,
} from './engine.js';
import { type Lane, type OnnxLaneOptions, openLane } from './lane.js';
import { createLossCounter, keepStanding, type StandingLane } from './standing.js';

export interface OnnxEngineOptions {
  /** Threads of the host that may compute (CPU). Default: every core that the process may use. */
  threads?: number;
  /** Runs at the same time (CPU); each has threads / lanes threads. Default: one per thread, 8 at most. */
  lanes?: number;
  /** Which GPU of the machine, counted from 0. */
  deviceId?: number;
  /** Engines that were not taken, for `describe`. */
  refused?: EngineRefusal[];
  /** Chooses the form of a network that is loaded (GPU). Default: float32. */
  choosePrecision?(model: LoadedModel): Promise<PrecisionChoice>;
  /** The lane's worker; tests put one that fails in its place. */
  script?: URL;
}

const SCRIPT = new URL('./onnx-worker.js', import.meta.url);

/**
 * Above this number of pixels a run goes to the lane that has all threads: side by side, large slices would need
 * several times the memory, and one of them alone keeps all cores busy.
 */
const NARROW_PIXELS = 384 * 384;
/** About 1 GB of activations in a U-Net of width 32; a single slice may be larger. */
const CPU_PIXELS = 4 * 256 * 256;
const GPU_PIXELS = 32 * 256 * 256;

/**
 * ONNX Runtime on the processor.
 *
 * Measured with U-Nets of width 16 and 32 at 256 × 256 on 4 cores: four sessions with one thread each answer 20 to
 * 40 % more slices a second than one session with four threads, which in turn answers a single slice 3 to 4 times
 * sooner; batches of more than one slice gain nothing. So there are both: a run that is alone (or large) gets the
 * wide lane with every thread, runs that wait side by side get the narrow ones.
 */
export async function openCpuEngine(model: LoadedModel, options: OnnxEngineOptions = {}): Promise<Engine> {
  const threads = Math.max(1, options.threads ?? usableCores());
  const lanes = Math.min(threads, Math.max(1, options.lanes ?? Math.min(threads, 8)));
  const losses = createLossCounter();
  const script = options.script ?? SCRIPT;
  let version = '';
  let wide: StandingLane | undefined;
  let narrow: StandingLane[] = [];
  let closed = false;

  async function lane(of: LoadedModel, laneThreads: number): Promise<StandingLane> {
    const laneOptions: OnnxLaneOptions = {
      modelPath: of.onnxPath,
      provider: 'cpu',
      threads: laneThreads,
      spin: laneThreads > 1,
      deviceId: 0,
    };
    const open = () => openLane(script, laneOptions);
    const first: Lane = await open();
    version = first.info.version;
    return keepStanding(first, open, losses);
  }

  async function closeAll(): Promise<void> {
    const all = wide === undefined ? narrow : [wide, ...narrow];
    wide = undefined;
    narrow = [];
    await Promise.all(all.map((one) => one.close()));
  }

  const engine: Engine = {
    capacity: { lanes, ahead: lanes, batch: 1, pixels: CPU_PIXELS },
    async load(next) {
      await closeAll();
      const opened = await Promise.allSettled([
        lane(next, threads),
        ...(lanes > 1 ? Array.from({ length: lanes }, () => lane(next, Math.floor(threads / lanes))) : []),
      ]);
      const good = opened.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []));
      [wide, ...narrow] = good;
      const bad = opened.find((one) => one.status === 'rejected');
      if (bad !== undefined) {
        await closeAll();
        throw bad.reason;
      }
    },
    run(batch, shape, alone = false) {
      if (wide === undefined) {
        return Promise.reject(
          closed
            ? new EngineError('closed', 'the engine is closed')
            : new EngineError('unavailable', 'no network is loaded'),
        );
      }
      const pixels = shape[0] * shape[2] * shape[3];
      if (alone || pixels > NARROW_PIXELS || narrow.length === 0) return wide.run(batch, shape);
      return narrow.reduce((a, b) => (b.outstanding < a.outstanding ? b : a)).run(batch, shape);
    },
    async close() {
      closed = true;
      await closeAll();
    },
    describe: () => ({
      engine: 'cpu',
      device: cpus()[0]?.model.trim() ?? process.arch,
      provider: 'ONNX Runtime, CPU execution provider',
      threads,
      version,
      refused: options.refused ?? [],
    }),
  };
  await engine.load(model);
  return engine;
}

const GPU_PROVIDERS = { webgpu: 'WebGPU', cuda: 'CUDA', tensorrt: 'TensorRT' } as const;

/** ONNX Runtime on a graphics device: one session in one thread, fed with batches. */
export async function openGpuEngine(
  provider: keyof typeof GPU_PROVIDERS,
  model: LoadedModel,
  options: OnnxEngineOptions = {},
): Promise<Engine> {
  const script = options.script ?? SCRIPT;
  const capacity: EngineCapacity = { lanes: 1, batch: 32, pixels: GPU_PIXELS };
  const losses = createLossCounter();
  let info: Lane['info'] | undefined;
  let lane: StandingLane | undefined;
  let choice: PrecisionChoice | undefined;
  let closed = false;

  const engine: Engine = {
    capacity,
    async load(next) {
      await lane?.close();
      lane = undefined;
      choice = await options.choosePrecision?.(next);
      const precision = choice?.precision ?? 'float32';
      const open = () =>
        openLane(script, {
          precision,
          modelPath: next.onnxPath,
          provider,
          threads: 1,
          spin: false,
          deviceId: options.deviceId ?? 0,
        });
      const first = await open();
      info = first.info;
      lane = keepStanding(first, open, losses);
    },
    run(batch: Float32Array, shape: BatchShape) {
      if (lane === undefined) {
        return Promise.reject(
          closed
            ? new EngineError('closed', 'the engine is closed')
            : new EngineError('unavailable', 'no network is loaded'),
        );
      }
      return lane.run(batch, shape);
    },
    async close() {
      closed = true;
      await lane?.close();
      lane = undefined;
    },
    describe: (): EngineDescription => ({
      engine: provider,
      device: graphicsDevices().join(', ') || 'unknown graphics device',
      provider: `ONNX Runtime, ${GPU_PROVIDERS[provider]} execution provider`,
      threads: 0,
      version: info?.version ?? '',
      ...(choice && { precision: choice }),
      refused: options.refused ?? [],
    }),
  };
  await engine.load(model);
  return engine;
}
