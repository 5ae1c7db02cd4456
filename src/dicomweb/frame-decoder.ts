import { Worker } from 'node:worker_threads';
import {
  type DataSet,
  DicomError,
  type DicomErrorCode,
  elementOf,
  type StoredPixels,
} from '../dicom/index.js';
import type { Picture } from './png.js';

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

/** Goes to the same thread. */
export interface EncodeRequest {
  id: number;
  picture: Picture;
  quality: number;
}

/** Comes from the thread. */
export type CodecAnswer =
  | { id: number; pixels: StoredPixels }
  | { id: number; jpeg: Uint8Array }
  | { id: number; error: { code: DicomErrorCode; message: string } };

export interface DecodedFrame {
  /** Stored values, row by row: as many bits as are allocated, what is beyond the stored bits masked or sign-extended. */
  pixels: StoredPixels;
}

/** Decodes single frames, and encodes pictures, away from the event loop. */
export interface FrameDecoder {
  /**
   * @param frame the frame's bytes as stored
   * @throws DicomError when it cannot be decoded
   */
  decode(
    source: { dataSet: DataSet; transferSyntax: string; vr: string; encapsulated: boolean },
    frame: Buffer,
  ): Promise<DecodedFrame>;
  /**
   * A JPEG file of a picture.
   * @param quality from 1 to 100
   * @throws DicomError when it cannot be encoded
   */
  encodeJpeg(picture: Picture, quality: number): Promise<Buffer>;
  close(): Promise<void>;
}

interface Waiting {
  request: DecodeRequest | EncodeRequest;
  resolve(answer: CodecAnswer): void;
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
    started.on('message', (answer: CodecAnswer) => {
      if (answer.id !== current?.request.id) return;
      settle(({ resolve, reject }) => {
        if ('error' in answer) reject(new DicomError(answer.error.code, answer.error.message));
        else resolve(answer);
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

  function ask(request: DecodeRequest | EncodeRequest): Promise<CodecAnswer> {
    return new Promise((resolve, reject) => {
      if (closed) return reject(new DicomError('undecodable', 'the server is stopping'));
      waiting.push({ request, resolve, reject });
      next();
    });
  }

  return {
    async decode({ dataSet, transferSyntax, vr, encapsulated }, frame) {
      const attributes = PIXEL_ATTRIBUTES.flatMap((keyword) => {
        const element = elementOf(dataSet, keyword);
        return element ? [{ tag: element.tag, vr: element.vr, bytes: Uint8Array.from(element.bytes) }] : [];
      });
      const { bigEndian, explicit } = dataSet;
      const id = nextId++;
      const answer = await ask({
        id,
        transferSyntax,
        bigEndian,
        explicit,
        vr,
        encapsulated,
        attributes,
        frame,
      });
      return { pixels: (answer as { pixels: StoredPixels }).pixels };
    },
    async encodeJpeg(picture, quality) {
      const { jpeg } = (await ask({ id: nextId++, picture, quality })) as { jpeg: Uint8Array };
      return Buffer.from(jpeg.buffer, jpeg.byteOffset, jpeg.length);
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
