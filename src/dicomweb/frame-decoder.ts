import { Worker } from 'node:worker_threads';
import {
  type DataSet,
  DicomError,
  type DicomErrorCode,
  elementOf,
  type StoredPixels,
} from '../dicom/index.js';

/** The attributes that decoding a frame needs (PS3.3 C.7.6.3), as they stand in the data set. */
const PIXEL_ATTRIBUTES = [
  'SamplesPerPixel',
  'PhotometricInterpretation',
  'Rows',
  'Columns',
  'BitsAllocated',
  'BitsStored',
  'HighBit',
  'PixelRepresentation',
] as const;

/** Goes to the decoding thread. */
export interface DecodeRequest {
  id: number;
  transferSyntax: string;
  bigEndian: boolean;
  explicit: boolean;
  /** vr of the pixel data */
  vr: string;
  encapsulated: boolean;
  attributes: { tag: number; vr: string; bytes: Uint8Array }[];
  frame: Uint8Array;
}

/** Comes from the decoding thread. */
export type DecodeAnswer =
  | { id: number; pixels: StoredPixels }
  | { id: number; error: { code: DicomErrorCode; message: string } };

export interface DecodedFrame {
  /** Stored values, row by row: as many bits as are allocated, what is beyond the stored bits masked or sign-extended. */
  pixels: StoredPixels;
}

/** Decodes single frames away from the event loop. */
export interface FrameDecoder {
  /**
   * @param frame the frame's bytes as stored
   * @throws DicomError when it cannot be decoded
   */
  decode(
    source: { dataSet: DataSet; transferSyntax: string; vr: string; encapsulated: boolean },
    frame: Buffer,
  ): Promise<DecodedFrame>;
  close(): Promise<void>;
}

interface Waiting {
  request: DecodeRequest;
  resolve(frame: DecodedFrame): void;
  reject(error: Error): void;
}

/** A frame that takes longer than this is given up, and its thread with it: codecs may loop on broken input. */
const HANG_MS = 30_000;

/** One thread, started with the first frame; a frame that ends the thread fails alone. */
export function createFrameDecoder(hangMs = HANG_MS): FrameDecoder {
  const waiting: Waiting[] = [];
  let worker: Worker | undefined;
  let current: Waiting | undefined;
  let watch: NodeJS.Timeout | undefined;
  let nextId = 1;
  let closed = false;

  function settle(work: (waiting: Waiting) => void): void {
    const settled = current;
    current = undefined;
    clearTimeout(watch);
    if (settled) work(settled);
    next();
  }

  function start(): Worker {
    const started = new Worker(new URL('./frame-decoder-worker.js', import.meta.url));
    started.unref();
    started.on('message', (answer: DecodeAnswer) => {
      if (answer.id !== current?.request.id) return;
      settle(({ resolve, reject }) => {
        if ('error' in answer) reject(new DicomError(answer.error.code, answer.error.message));
        else resolve({ pixels: answer.pixels });
      });
    });
    let reason = 'it took too long';
    started.on('error', (error) => {
      reason = error.message;
    });
    started.on('exit', () => {
      if (worker !== started) return;
      worker = undefined;
      settle(({ reject }) =>
        reject(new DicomError('undecodable', `decoding the frame ended its thread: ${reason}`)),
      );
    });
    return started;
  }

  function next(): void {
    if (current || closed) return;
    current = waiting.shift();
    if (!current) return;
    worker ??= start();
    const at = worker;
    watch = setTimeout(() => void at.terminate(), hangMs);
    watch.unref();
    at.postMessage(current.request);
  }

  return {
    decode(source, frame) {
      const attributes = PIXEL_ATTRIBUTES.flatMap((keyword) => {
        const element = elementOf(source.dataSet, keyword);
        return element ? [{ tag: element.tag, vr: element.vr, bytes: Uint8Array.from(element.bytes) }] : [];
      });
      const { transferSyntax, vr, encapsulated } = source;
      const { bigEndian, explicit } = source.dataSet;
      const request = {
        id: nextId++,
        transferSyntax,
        bigEndian,
        explicit,
        vr,
        encapsulated,
        attributes,
        frame,
      };
      return new Promise((resolve, reject) => {
        if (closed) return reject(new DicomError('undecodable', 'the server is stopping'));
        waiting.push({ request, resolve, reject });
        next();
      });
    },
    async close() {
      closed = true;
      clearTimeout(watch);
      const error = new DicomError('undecodable', 'the server is stopping');
      for (const { reject } of [...(current ? [current] : []), ...waiting.splice(0)]) reject(error);
      current = undefined;
      const last = worker;
      worker = undefined;
      await last?.terminate();
    },
  };
}
