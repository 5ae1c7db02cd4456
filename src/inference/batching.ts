import { type Engine, type EngineCapacity, EngineError, type EngineErrorCode } from './engines/engine.js';

export interface BatcherOptions {
  /** Slices in one run at most; the engine may want fewer. Default 16. */
  maxBatch?: number;
  /** How long a slice may wait for others of its shape while the engine is busy, in ms. Default 5. */
  maxWaitMs?: number;
  /** Told about every run that succeeded, for metrics. */
  onRun?(run: { slices: number; rows: number; columns: number; ms: number }): void;
}

export interface Inferred {
  /** rows × columns float32 values, row by row. */
  residual: Float32Array;
  /** Time in the queue, ms. */
  queueMs: number;
  /** Time of the run that held this slice, ms. */
  inferenceMs: number;
  /** Slices in that run. */
  batch: number;
}

/** Gathers slices of one shape into runs of an engine. */
export interface Batcher {
  /**
   * The network's answer to one slice of rows × columns float32 values. The slice's memory is handed over: the answer
   * may come back in it.
   * @throws EngineError; or the signal's reason when it is aborted first
   */
  infer(
    input: Float32Array,
    rows: number,
    columns: number,
    options?: { signal?: AbortSignal },
  ): Promise<Inferred>;
  /** Slices that wait for a run. */
  readonly depth: number;
  /** Slices that are running. */
  readonly running: number;
  /** Rejects what waits with EngineError `closed` and waits for what runs. The engine stays open. */
  close(): Promise<void>;
}

interface Request {
  input: Float32Array;
  rows: number;
  columns: number;
  arrivedAt: number;
  attempts: number;
  /** It was in a batch that failed: it runs by itself from now on. */
  single: boolean;
  settled: boolean;
  resolve(inferred: Inferred): void;
  reject(error: unknown): void;
}

const DEFAULT_MAX_BATCH = 16;
const DEFAULT_MAX_WAIT_MS = 5;
/** Runs of one slice that may end in a crash of the engine before the slice is given back as failed. */
const ATTEMPTS = 5;
/** Successful runs after which a batch that was halved for memory may grow again. */
const RUNS_UNTIL_GROWTH = 256;

/**
 * Micro-batches: an engine that has nothing to do gets a slice at once; while it is busy, slices of one shape gather
 * until the batch is full or the oldest has waited long enough. Among the shapes, the one whose oldest slice waits
 * longest goes first. On out-of-memory the batch is halved and run again.
 */
export function createBatcher(engine: Engine, options: BatcherOptions = {}): Batcher {
  const maxBatch = Math.max(1, options.maxBatch ?? DEFAULT_MAX_BATCH);
  const maxWaitMs = Math.max(0, options.maxWaitMs ?? DEFAULT_MAX_WAIT_MS);
  const queues = new Map<string, Request[]>();
  const runs = new Set<Promise<void>>();
  /** Runs that wait at the engine for a lane, oldest first. */
  const ahead: { startedAt: number }[] = [];
  let depth = 0;
  let running = 0;
  let lastEnd = Number.NEGATIVE_INFINITY;
  let timer: NodeJS.Timeout | undefined;
  let scheduled = false;
  let closed = false;
  let capacity: EngineCapacity = engine.capacity;
  let pixels = capacity.pixels;
  let successes = 0;
  /** The answer to an earlier run: memory for a batch of the same size. */
  let spare: Float32Array | undefined;

  /** Slices that the batch which starts with this one may hold. */
  function sizeOf({ rows, columns, single }: Request): number {
    if (single) return 1;
    const fits = Math.max(1, Math.floor(pixels / (rows * columns)));
    return Math.min(maxBatch, capacity.batch, fits);
  }

  function settle(request: Request): boolean {
    if (request.settled) return false;
    request.settled = true;
    return true;
  }

  function requeue(requests: Request[]): void {
    const again = requests.filter((request) => !request.settled);
    if (again.length === 0) return;
    const { rows, columns } = again[0]!;
    const key = `${rows}x${columns}`;
    queues.set(key, [...again, ...(queues.get(key) ?? [])]);
    depth += again.length;
  }

  function schedule(): void {
    if (scheduled) return;
    scheduled = true;
    setImmediate(() => {
      scheduled = false;
      pump();
    });
  }

  /** Starts runs while the engine has lanes free and a shape is due. */
  function pump(): void {
    if (timer !== undefined) clearTimeout(timer);
    timer = undefined;
    if (engine.capacity !== capacity) {
      capacity = engine.capacity;
      pixels = capacity.pixels;
    }
    while (runs.size < capacity.lanes + (capacity.ahead ?? 0) && depth > 0) {
      const now = performance.now();
      const idle = runs.size === 0 && now - lastEnd >= maxWaitMs;
      let due: Request[] | undefined;
      let dueIn = Number.POSITIVE_INFINITY;
      for (const queue of queues.values()) {
        const head = queue[0]!;
        const wait = idle || queue.length >= sizeOf(head) ? 0 : head.arrivedAt + maxWaitMs - now;
        if (wait > 0) dueIn = Math.min(dueIn, wait);
        else if (due === undefined || head.arrivedAt < due[0]!.arrivedAt) due = queue;
      }
      if (due === undefined) {
        timer = setTimeout(pump, Math.ceil(dueIn));
        return;
      }
      const { rows, columns } = due[0]!;
      const batch = due.splice(0, sizeOf(due[0]!));
      depth -= batch.length;
      if (due.length === 0) queues.delete(`${rows}x${columns}`);
      const run = start(batch, rows, columns).finally(() => {
        runs.delete(run);
        lastEnd = performance.now();
        if (!closed) pump();
      });
      runs.add(run);
    }
  }

  async function start(batch: Request[], rows: number, columns: number): Promise<void> {
    const area = rows * columns;
    const alone = batch.length === 1;
    const length = batch.length * area;
    const data = spare?.length === length ? spare : new Float32Array(length);
    if (data === spare) spare = undefined;
    for (const [i, request] of batch.entries()) data.set(request.input, i * area);
    const run = { startedAt: performance.now() };
    if (runs.size >= capacity.lanes) ahead.push(run);
    running += batch.length;
    try {
      const answer = await engine.run(data, [batch.length, 1, rows, columns], runs.size === 0 && depth === 0);
      if (answer.length !== batch.length * area) {
        throw new EngineError(
          'failed',
          `the network answered ${answer.length} values to ${batch.length} × ${rows} × ${columns}`,
        );
      }
      const ms = performance.now() - run.startedAt;
      for (const [i, request] of batch.entries()) {
        if (!settle(request)) continue;
        if (!alone) request.input.set(answer.subarray(i * area, (i + 1) * area));
        request.resolve({
          residual: alone ? answer : request.input,
          queueMs: run.startedAt - request.arrivedAt,
          inferenceMs: ms,
          batch: batch.length,
        });
      }
      spare = alone ? batch[0]!.input : answer;
      successes += 1;
      if (pixels < capacity.pixels && successes >= RUNS_UNTIL_GROWTH) {
        pixels = Math.min(capacity.pixels, pixels * 2);
        successes = 0;
      }
      options.onRun?.({ slices: batch.length, rows, columns, ms });
    } catch (error) {
      recover(batch, rows, columns, error);
    } finally {
      running -= batch.length;
      // A lane is free now: the run that has waited longest begins.
      const waited = ahead.indexOf(run);
      if (waited >= 0) ahead.splice(waited, 1);
      else {
        const next = ahead.shift();
        if (next !== undefined) next.startedAt = performance.now();
      }
    }
  }

  function recover(batch: Request[], rows: number, columns: number, error: unknown): void {
    const code = error instanceof EngineError ? error.code : 'failed';
    const again = closed ? [] : worthAnotherRun(batch, rows * columns, code);
    requeue(again);
    for (const request of batch) {
      if (!again.includes(request) && settle(request)) request.reject(error);
    }
  }

  /** Those of a failed run's slices that may pass in another one: smaller, by themselves, or on a new session. */
  function worthAnotherRun(batch: Request[], area: number, code: EngineErrorCode): Request[] {
    switch (code) {
      case 'out-of-memory': {
        successes = 0;
        if (batch.length > 1) {
          pixels = Math.min(pixels, Math.floor(batch.length / 2) * area);
          return batch;
        }
        // Alone in its run, but not on the device: once the others are done it may fit.
        return runs.size > 1 ? batch.filter((request) => request.attempts++ < ATTEMPTS) : [];
      }
      case 'crashed':
        return batch.filter((request) => ++request.attempts < ATTEMPTS);
      case 'failed':
        // One slice that the network refuses must not take the others of its batch with it.
        if (batch.length === 1) return [];
        for (const request of batch) request.single = true;
        return batch;
      default:
        return [];
    }
  }

  return {
    infer(input, rows, columns, { signal } = {}) {
      if (closed) return Promise.reject(new EngineError('closed', 'the batcher is closed'));
      if (signal?.aborted) return Promise.reject(signal.reason);
      if (input.length !== rows * columns) {
        return Promise.reject(
          new EngineError('failed', `${input.length} values are not ${rows} × ${columns}`),
        );
      }
      return new Promise<Inferred>((resolve, reject) => {
        const abort = (): void => {
          if (!settle(request)) return;
          const key = `${rows}x${columns}`;
          const queue = queues.get(key);
          const at = queue?.indexOf(request) ?? -1;
          if (at >= 0) {
            queue!.splice(at, 1);
            depth -= 1;
            if (queue!.length === 0) queues.delete(key);
          }
          reject(signal!.reason);
        };
        const request: Request = {
          input,
          rows,
          columns,
          arrivedAt: performance.now(),
          attempts: 0,
          single: false,
          settled: false,
          resolve(inferred) {
            signal?.removeEventListener('abort', abort);
            resolve(inferred);
          },
          reject(error) {
            signal?.removeEventListener('abort', abort);
            reject(error);
          },
        };
        signal?.addEventListener('abort', abort, { once: true });
        const key = `${rows}x${columns}`;
        const queue = queues.get(key);
        if (queue === undefined) queues.set(key, [request]);
        else queue.push(request);
        depth += 1;
        schedule();
      });
    },
    get depth() {
      return depth;
    },
    get running() {
      return running;
    },
    async close() {
      closed = true;
      if (timer !== undefined) clearTimeout(timer);
      const waiting = [...queues.values()].flat();
      queues.clear();
      depth = 0;
      for (const request of waiting) {
        if (settle(request))
          request.reject(new EngineError('closed', 'the batcher was closed before this slice ran'));
      }
      await Promise.all(runs);
    },
  };
}
