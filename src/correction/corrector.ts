import type { Derivation } from '../dicom/index.js';
import {
  type Batcher,
  createBatcher,
  type Engine,
  type EngineChoice,
  type EngineDescription,
  EngineError,
  type EngineOptions,
  type Flag,
  type Inferred,
  type LoadedModel,
  loadModel,
  openEngine,
  type Quality,
  type Safeguards,
  usableCores,
} from '../inference/index.js';
import { CorrectionError } from './error.js';
import { createPool, type Task } from './pool.js';
import type { FromWorker } from './protocol.js';
import { createSpares, type Spares } from './spares.js';

export interface CorrectorOptions {
  /** A model folder, or a model that is loaded already. */
  model: string | LoadedModel;
  /** Which engine to open, or one that is open already (which `close` then leaves open). Default `auto`. */
  engine?: EngineChoice | Engine;
  engineOptions?: EngineOptions;
  /** Threads that decode and write. Default: cores − 1, 4 at most, at least 1. */
  workers?: number;
  batch?: {
    /** Slices in one run at most. Default 16. */
    max?: number;
    /** How long a slice waits for others of its shape while the engine is busy, ms. Default 5. */
    waitMs?: number;
    /** Told about every run, for metrics. */
    onRun?(run: { slices: number; rows: number; columns: number; ms: number }): void;
  };
  /** Frames of one object that may be under way to the network at the same time. Default 8. */
  window?: number;
  /** Objects whose source or derived frames have more bytes are corrected on the disk, where the request allows it. Default 32 MiB. */
  largeBytes?: number;
  /** A thread that owes an answer for longer than this is ended, ms. Default 120 000. */
  hangMs?: number;
  /** The worker; tests put one that fails in its place. */
  workerScript?: URL;
}

/**
 * A part 10 file, by path or as its bytes, and how its derived instance is to be named. The bytes stay the caller's;
 * in a SharedArrayBuffer they must not change before the answer, and save a copy.
 */
export type CorrectionRequest = ({ path: string } | { bytes: Uint8Array }) & {
  derivation: Derivation;
  /** What is flagged, skipped and passed through. Default: nothing. */
  safeguards?: Safeguards;
  /** Correct it although its header says that it is nothing to correct: for rules that name such images expressly. */
  anyway?: boolean;
  /**
   * A name for a file that is made when the object is large: then it holds the stored values of all derived frames, and
   * the memory of a few frames suffices. It is the caller's to remove, whatever the outcome. Without it the derived
   * instance is made in memory.
   */
  scratch?: string;
  signal?: AbortSignal;
};

/** A corrected instance. */
export interface Corrected {
  /** The derived instance as a part 10 file; when there are `pixels`, what precedes them. */
  file: Buffer;
  /** The rest of the file, in the request's scratch file. */
  pixels?: { path: string; bytes: number };
  study: string;
  /** Series and SOP Instance UID of the derived instance. */
  series: string;
  sop: string;
  sopClass: string;
  transferSyntax: string;
  frames: number;
  rows: number;
  columns: number;
  quality: Quality;
  /** Remarks of the safeguards; none when the request had none. */
  flags: Flag[];
  /** Quality of each frame, where there are several. */
  frameQuality?: Quality[];
  /** Where the time went, ms; sums over the frames. `total` runs from the request to the answer. */
  ms: {
    read: number;
    decode: number;
    preprocess: number;
    queue: number;
    inference: number;
    postprocess: number;
    total: number;
  };
  /**
   * Says that nobody looks at `file` any more: its memory is used again. With an error it is not, since whatever failed
   * may still look at it.
   */
  acknowledge(error?: unknown): void;
}

export interface CorrectorDescription {
  model: { name: string; version: string; sha256: string; folder: string };
  engine: EngineDescription;
  workers: number;
}

/** Corrects instances, each by itself, as many at a time as engine and threads take. */
export interface Corrector {
  /**
   * From a part 10 file to the derived part 10 file.
   * @throws CorrectionError; or the signal's reason when it is aborted first
   */
  correct(request: CorrectionRequest): Promise<Corrected>;
  /** Requests that keep engine and threads busy; more of them only wait. */
  readonly concurrency: number;
  /** Slices that wait for the engine. */
  readonly depth: number;
  /** Requests that wait for a thread. */
  readonly waiting: number;
  describe(): CorrectorDescription;
  close(): Promise<void>;
}

const SCRIPT = new URL('./worker.js', import.meta.url);
const SPARE_BYTES = 8 * 1024 * 1024;

/**
 * Opens model, engine and threads.
 * @throws ModelError when the model folder is not in order, EngineError when the engine cannot be used
 */
export async function createCorrector(options: CorrectorOptions): Promise<Corrector> {
  const model = typeof options.model === 'string' ? await loadModel(options.model) : options.model;
  const { manifest } = model;
  const given = options.engine ?? 'auto';
  const engine = typeof given === 'string' ? await openEngine(given, model, options.engineOptions) : given;
  const workers = Math.max(1, options.workers ?? Math.min(4, usableCores() - 1));
  const batcher = createBatcher(engine, {
    ...(options.batch?.max === undefined ? {} : { maxBatch: options.batch.max }),
    ...(options.batch?.waitMs === undefined ? {} : { maxWaitMs: options.batch.waitMs }),
    ...(options.batch?.onRun === undefined ? {} : { onRun: options.batch.onRun }),
  });
  // Enough open that a full round of runs waits while another one runs, and as many are on their way to and fro.
  const { lanes, batch, ahead = 0 } = engine.capacity;
  const openPerWorker = Math.max(
    2,
    Math.ceil(((2 * lanes + ahead) * Math.min(batch, options.batch?.max ?? batch)) / workers),
  );

  /** Memory of derived files that nobody looks at any more. */
  const spares = createSpares(SPARE_BYTES);

  async function closeEngine(): Promise<void> {
    await batcher.close();
    if (typeof given === 'string') await engine.close();
  }

  const pool = await createPool({
    workers,
    openPerWorker,
    settings: {
      input: { multiple: manifest.input.multiple, normalisation: manifest.normalisation },
      window: Math.max(1, options.window ?? 8),
      largeBytes: options.largeBytes ?? 32 * 1024 * 1024,
      intended: manifest.intended,
      severity: manifest.severity,
    },
    hangMs: options.hangMs ?? 120_000,
    script: options.workerScript ?? SCRIPT,
  }).catch(async (error: unknown) => {
    await closeEngine();
    throw error;
  });

  return {
    concurrency: workers * openPerWorker,
    correct(request) {
      const { signal } = request;
      if (signal?.aborted) return Promise.reject(signal.reason);
      return new Promise<Corrected>((resolve, reject) => {
        const stop = new AbortController();
        let takeBack = (): void => {};
        const onAbort = (): void => {
          stop.abort();
          takeBack();
          reject(signal!.reason);
        };
        const settled = (): void => signal?.removeEventListener('abort', onAbort);
        const task = correctionTask(request, batcher, spares, stop.signal, {
          onCorrected(corrected) {
            settled();
            resolve(corrected);
          },
          onFailed(error) {
            settled();
            stop.abort();
            takeBack();
            reject(error);
          },
        });
        signal?.addEventListener('abort', onAbort, { once: true });
        takeBack = pool.submit(task);
      });
    },
    get depth() {
      return batcher.depth;
    },
    get waiting() {
      return pool.waiting;
    },
    describe: () => ({
      model: {
        name: manifest.name,
        version: manifest.version,
        sha256: manifest.sha256,
        folder: model.folder,
      },
      engine: engine.describe(),
      workers,
    }),
    async close() {
      await pool.close();
      await closeEngine();
    },
  };
}

/** Relays one object's frames between its worker and the batcher. */
function correctionTask(
  request: CorrectionRequest,
  batcher: Batcher,
  spares: Spares,
  signal: AbortSignal,
  on: { onCorrected(corrected: Corrected): void; onFailed(error: CorrectionError): void },
): Task {
  const startedAt = performance.now();
  const { derivation, safeguards, anyway = false, scratch } = request;
  const source = 'path' in request ? { path: request.path } : { bytes: request.bytes };
  const name = 'path' in request ? request.path : `${request.bytes.byteLength} bytes in memory`;
  let away = 0;
  let attempt = 0;
  let queueMs = 0;
  let inferenceMs = 0;

  function failed(error: CorrectionError): void {
    on.onFailed(new CorrectionError(error.code, error.permanent, `${name}: ${error.message}`, error.dicom));
  }

  function engineError(error: unknown): CorrectionError {
    const message = error instanceof Error ? error.message : String(error);
    const found = error instanceof EngineError ? error.code : undefined;
    const code = found === 'closed' || found === 'unavailable' ? found : 'engine';
    return new CorrectionError(code, false, message);
  }

  return {
    open(id) {
      const memory = spares.any();
      return {
        message: { kind: 'open', id, source, derivation, safeguards, anyway, scratch, memory },
        transfer: memory === undefined ? [] : [memory],
      };
    },
    waitsForWorker: () => away === 0,
    onMessage(message: FromWorker, { post }) {
      switch (message.kind) {
        case 'frame': {
          const { id, frame, data, rows, columns } = message;
          const inAttempt = attempt;
          away += 1;
          batcher.infer(data, rows, columns, { signal }).then(
            (inferred: Inferred) => {
              if (inAttempt !== attempt) return;
              away -= 1;
              queueMs += inferred.queueMs;
              inferenceMs += inferred.inferenceMs;
              const { residual } = inferred;
              post({ kind: 'residual', id, frame, residual }, [residual.buffer as ArrayBuffer]);
            },
            (error: unknown) => {
              if (inAttempt !== attempt || signal.aborted) return;
              failed(engineError(error));
            },
          );
          return 'open';
        }
        case 'done': {
          const { file, ms, scratchBytes, ...corrected } = message.corrected;
          on.onCorrected({
            ...corrected,
            file: Buffer.from(file.buffer, file.byteOffset, file.byteLength),
            ...(scratchBytes !== undefined && { pixels: { path: scratch!, bytes: scratchBytes } }),
            ms: { ...ms, queue: queueMs, inference: inferenceMs, total: performance.now() - startedAt },
            acknowledge: once((error) => {
              if (error === undefined) spares.give(file.buffer);
            }),
          });
          return 'finished';
        }
        case 'rejected':
          failed(new CorrectionError(message.code, message.permanent, message.message, message.dicom));
          return 'finished';
        case 'ready':
          return 'open';
      }
    },
    onAgain() {
      attempt += 1;
      away = 0;
      queueMs = 0;
      inferenceMs = 0;
    },
    onFailed: failed,
  };
}

function once<T>(work: (argument?: T) => void): (argument?: T) => void {
  let done = false;
  return (argument) => {
    if (!done) work(argument);
    done = true;
  };
}
