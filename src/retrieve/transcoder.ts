/** Stored objects in another transfer syntax, made by a thread of their own, as fast as they are taken. */
import { Worker } from 'node:worker_threads';
import { DicomError, type DicomErrorCode } from '../dicom/index.js';

/** Goes to the thread: the next piece of an object is wanted, or none any more. */
export type TranscodeRequest =
  | { kind: 'next'; id: number; path: string; to: string }
  | { kind: 'drop'; id: number };

/** Comes from the thread. No `piece`: the object is complete. */
export type TranscodeAnswer =
  | { id: number; piece?: Uint8Array }
  | { id: number; error: { code: DicomErrorCode | undefined; message: string } };

export interface Transcoder {
  /**
   * The data set of a part 10 file in another syntax (one of `nativeAlternatives` of its own). Resolves when its first
   * piece is there: what cannot be read or decoded fails before anything of it is sent.
   * @throws Error
   */
  open(path: string, to: string): Promise<AsyncIterable<Buffer>>;
  close(): Promise<void>;
}

interface Waiting {
  resolve(piece: Buffer | undefined): void;
  reject(error: Error): void;
}

/** A piece that takes longer is given up, and the thread with it: codecs may loop on broken input. */
const HANG_MS = 60_000;

/** One thread, started when it is needed. When it ends, the objects that were open fail. */
export function createTranscoder(hangMs = HANG_MS): Transcoder {
  const waiting = new Map<number, Waiting>();
  let worker: Worker | undefined;
  let watch: NodeJS.Timeout | undefined;
  let nextId = 1;
  let closed = false;

  function failAll(reason: string): void {
    clearTimeout(watch);
    const error = new DicomError('undecodable', reason);
    for (const { reject } of waiting.values()) reject(error);
    waiting.clear();
  }

  /** The thread must answer something within the time, whichever object it is about. */
  function rewatch(): void {
    clearTimeout(watch);
    if (waiting.size === 0) return;
    watch = setTimeout(() => void worker?.terminate(), hangMs);
    watch.unref();
  }

  function start(): Worker {
    const started = new Worker(new URL('./transcode-worker.js', import.meta.url));
    started.unref();
    started.on('message', (answer: TranscodeAnswer) => {
      const asked = waiting.get(answer.id);
      waiting.delete(answer.id);
      rewatch();
      if (asked === undefined) return;
      if ('error' in answer) {
        const { code, message } = answer.error;
        asked.reject(code === undefined ? new Error(message) : new DicomError(code, message));
        return;
      }
      const { piece } = answer;
      asked.resolve(piece && Buffer.from(piece.buffer, piece.byteOffset, piece.byteLength));
    });
    let reason = 'it took too long';
    started.on('error', (error) => {
      reason = error.message;
    });
    started.on('exit', () => {
      if (worker !== started) return;
      worker = undefined;
      failAll(`decoding ended its thread: ${reason}`);
    });
    return started;
  }

  function tell(request: TranscodeRequest): void {
    worker ??= start();
    worker.postMessage(request);
  }

  function next(id: number, path: string, to: string): Promise<Buffer | undefined> {
    if (closed) return Promise.reject(new DicomError('undecodable', 'the server is stopping'));
    return new Promise((resolve, reject) => {
      waiting.set(id, { resolve, reject });
      if (waiting.size === 1) rewatch();
      tell({ kind: 'next', id, path, to });
    });
  }

  return {
    async open(path, to) {
      const id = nextId++;
      const first = await next(id, path, to);
      return (async function* () {
        try {
          for (let piece = first; piece !== undefined; piece = await next(id, path, to)) yield piece;
        } finally {
          if (!closed && worker !== undefined) tell({ kind: 'drop', id });
        }
      })();
    },
    async close() {
      closed = true;
      const last = worker;
      worker = undefined;
      failAll('the server is stopping');
      await last?.terminate();
    },
  };
}
