import { Worker } from 'node:worker_threads';
import '../no-telemetry.js';
import { type BatchShape, classifyRuntimeError, EngineError, type Precision } from './engine.js';

/** What a lane's worker is told when it starts, through `workerData`. */
export interface OnnxLaneOptions {
  modelPath: string;
  provider: 'cpu' | 'webgpu' | 'cuda' | 'tensorrt';
  /** Threads that one run may use (CPU provider). */
  threads: number;
  /** Whether these threads wait for each other by spinning: faster runs, at the price of processor time. */
  spin: boolean;
  /** Which device of the machine (GPU providers). */
  deviceId: number;
  /** The form of the network that runs what it was tried for. Default float32. */
  precision?: Precision;
}

export interface TensorflowLaneOptions {
  /** Packages to try, first to last. */
  packages: readonly string[];
  /** model.json of the layers model. */
  modelPath: string;
}

export interface LaneInfo {
  version: string;
  device?: string;
  provider: string;
}

export type LaneRequest = { id: number; data: Float32Array; shape: BatchShape } | 'close';
export type LaneReply =
  | { kind: 'ready'; info: LaneInfo }
  | { kind: 'unusable'; message: string }
  | { kind: 'result'; id: number; data: Float32Array }
  | { kind: 'error'; id: number; message: string };

/** One network in one worker thread: a run blocks that thread only, and runs are served in the order they came. */
export interface Lane {
  readonly info: LaneInfo;
  /** Runs that were asked for and not yet answered. */
  readonly outstanding: number;
  /** Resolves, with the reason, when the worker is gone without having been closed. */
  readonly lost: Promise<string>;
  run(data: Float32Array, shape: BatchShape): Promise<Float32Array>;
  close(): Promise<void>;
}

/** A run that takes longer than this hangs in the driver; TensorRT may build a plan for minutes before it runs. */
const RUN_TIMEOUT_MS = 10 * 60_000;

interface Pending {
  timer: NodeJS.Timeout;
  resolve(data: Float32Array): void;
  reject(error: EngineError): void;
}

/**
 * Starts a lane and waits until its network is loaded.
 * @throws EngineError `unavailable` with the runtime's own words when the network or the device cannot be used
 */
export function openLane(
  script: URL,
  options: OnnxLaneOptions | TensorflowLaneOptions,
  runTimeoutMs: number = RUN_TIMEOUT_MS,
): Promise<Lane> {
  const worker = new Worker(script, { workerData: options });
  const pending = new Map<number, Pending>();
  let nextId = 0;
  let closing = false;
  let gone: string | undefined;
  let reportLost: (reason: string) => void = () => {};
  const lost = new Promise<string>((resolve) => {
    reportLost = resolve;
  });
  const exited = new Promise<void>((resolve) => worker.once('exit', () => resolve()));

  function rejectAll(error: EngineError): void {
    const waiting = [...pending.values()];
    pending.clear();
    for (const one of waiting) {
      clearTimeout(one.timer);
      one.reject(error);
    }
  }

  return new Promise<Lane>((resolveLane, rejectLane) => {
    function ended(reason: string): void {
      if (gone !== undefined) return;
      gone = reason;
      rejectLane(new EngineError('unavailable', reason));
      if (closing) {
        rejectAll(new EngineError('closed', 'the engine was closed while it worked on this batch'));
      } else {
        rejectAll(
          new EngineError('crashed', `the engine's thread ended while it worked on this batch: ${reason}`),
        );
        reportLost(reason);
      }
    }
    function abandon(reason: string): void {
      ended(reason);
      void worker.terminate();
    }
    worker.on('error', (error) => ended(error.message));
    worker.on('exit', (code) => ended(`its thread exited with code ${code}`));
    worker.on('messageerror', (error) => ended(`a message could not be read: ${error.message}`));
    worker.on('message', (reply: LaneReply) => {
      switch (reply.kind) {
        case 'ready':
          resolveLane({
            info: reply.info,
            lost,
            get outstanding() {
              return pending.size;
            },
            run(data, shape) {
              if (gone !== undefined || closing) {
                const code = closing ? 'closed' : 'crashed';
                return Promise.reject(new EngineError(code, gone ?? 'the engine is closed'));
              }
              return new Promise<Float32Array>((resolve, reject) => {
                const id = nextId++;
                const timer = setTimeout(
                  () => abandon(`a run of ${shape.join('×')} gave no answer within ${runTimeoutMs / 1000} s`),
                  runTimeoutMs,
                );
                timer.unref();
                pending.set(id, { timer, resolve, reject });
                const request: LaneRequest = { id, data, shape };
                worker.postMessage(request, [data.buffer as ArrayBuffer]);
              });
            },
            async close() {
              if (gone !== undefined) return;
              closing = true;
              rejectAll(new EngineError('closed', 'the engine was closed while it worked on this batch'));
              const request: LaneRequest = 'close';
              worker.postMessage(request);
              const deadline = setTimeout(() => void worker.terminate(), 5000);
              await exited;
              clearTimeout(deadline);
            },
          });
          break;
        case 'unusable':
          closing = true;
          rejectLane(new EngineError('unavailable', reply.message));
          void worker.terminate();
          break;
        case 'result': {
          const run = pending.get(reply.id);
          clearTimeout(run?.timer);
          run?.resolve(reply.data);
          pending.delete(reply.id);
          break;
        }
        case 'error': {
          const code = classifyRuntimeError(reply.message);
          const run = pending.get(reply.id);
          clearTimeout(run?.timer);
          run?.reject(new EngineError(code, reply.message));
          pending.delete(reply.id);
          // A lost device stays lost for this session: only a new one can go on.
          if (code === 'crashed') abandon(reply.message);
          break;
        }
      }
    });
  });
}
