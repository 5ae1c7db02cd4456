import type { LoadedModel } from '../manifest.js';

/** The engines a configuration may ask for, `auto` apart, in the order in which `auto` tries them. */
export const ENGINE_NAMES = ['tensorrt', 'cuda', 'webgpu', 'cpu', 'tensorflow'] as const;
export type EngineName = (typeof ENGINE_NAMES)[number];
export type EngineChoice = EngineName | 'auto';

export type EngineErrorCode =
  /** The engine cannot be used on this machine; the message says why and how to get it. */
  | 'unavailable'
  /** The device or the host ran out of memory on this batch; a smaller one may pass. */
  | 'out-of-memory'
  /** The engine's thread ended or its device was lost while it worked; the batch may be tried again. */
  | 'crashed'
  /** The network refused the batch, or the runtime failed on it. */
  | 'failed'
  /** The engine was closed. */
  | 'closed';

/** What went wrong in an engine. */
export class EngineError extends Error {
  override name = 'EngineError';
  constructor(
    readonly code: EngineErrorCode,
    message: string,
  ) {
    super(message);
  }
}

/** An engine that was considered and not taken. */
export interface EngineRefusal {
  engine: EngineName;
  reason: string;
}

/** The element type of weights and activations inside the network. */
export type Precision = 'float32' | 'float16';

export interface PrecisionChoice {
  precision: Precision;
  /** Why this one: times and differences where they were measured. */
  reason: string;
}

export interface EngineDescription {
  engine: EngineName;
  /** The processor or graphics device, in words. */
  device: string;
  /** The runtime and its execution provider. */
  provider: string;
  /** Threads of the host that compute; 0 where a GPU does. */
  threads: number;
  /** Version of the runtime. */
  version: string;
  /** The form of the network that runs; absent where there is only float32. */
  precision?: PrecisionChoice;
  /** Engines that were considered before this one, and why they were not taken. */
  refused: EngineRefusal[];
}

/** How an engine wants to be fed. */
export interface EngineCapacity {
  /** Runs that pay off at the same time. */
  lanes: number;
  /** Runs beyond those that may be handed over already, so that no lane pauses between two. Default 0. */
  ahead?: number;
  /** Slices in one run beyond which nothing is gained. */
  batch: number;
  /** Pixels (slices × rows × columns) in one run that must not be exceeded, a single slice apart. */
  pixels: number;
}

/** [slices, 1, rows, columns] */
export type BatchShape = readonly [number, 1, number, number];

/** Runs a network, off the event loop of the caller. */
export interface Engine {
  readonly capacity: EngineCapacity;
  /** Loads (or replaces) the network. @throws EngineError `unavailable` */
  load(model: LoadedModel): Promise<void>;
  /**
   * One pass through the network. `batch` holds slices × rows × columns float32 values, row by row, slice by slice;
   * the answer has the same shape. The batch's buffer is handed over to the engine: do not use it afterwards.
   * `alone` says that no other run is waiting, so that this one may have the whole machine.
   * @throws EngineError
   */
  run(batch: Float32Array, shape: BatchShape, alone?: boolean): Promise<Float32Array>;
  /** Rejects what is running with EngineError `closed` and frees the device. */
  close(): Promise<void>;
  describe(): EngineDescription;
}

/** Sorts a runtime's error message by what can be done about it. */
export function classifyRuntimeError(message: string): EngineErrorCode {
  if (
    /failed to allocate memory|out of memory|bad[_ ]alloc|OUT_OF_MEMORY|CUDA failure 2\b|OutOfMemory|OOM when allocating|Array buffer allocation failed|invalid array buffer length/i.test(
      message,
    )
  ) {
    return 'out-of-memory';
  }
  if (
    /device (was |is )?lost|DeviceLost|CUDA failure (46|700|719|999)\b|illegal memory access|unspecified launch failure/i.test(
      message,
    )
  ) {
    return 'crashed';
  }
  return 'failed';
}
