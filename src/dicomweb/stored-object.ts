import { createReadStream } from 'node:fs';
import { open } from 'node:fs/promises';
import type { Instance } from '../archive/index.js';
import { type DataSet, DicomError, type PixelDataPlace, parseBeginning } from '../dicom/index.js';

/** An object of the archive: its header in memory, its pixel data where it is. */
export interface StoredObject {
  readonly instance: Instance;
  /** As the file says. */
  readonly transferSyntax: string;
  /** What precedes the pixel data. */
  readonly dataSet: DataSet;
  /** Where the pixel data is, in the positions of `read`; undefined for an object without. */
  readonly pixelData: PixelDataPlace | undefined;
  /** The position behind the last element. */
  readonly end: number;
  /** Bytes from a position to another, as they are stored (of a deflated data set, inflated). */
  read(start: number, end: number): AsyncIterable<Buffer>;
}

/** Enough of most files for everything before the pixel data. */
const BEGINNING_BYTES = 64 * 1024;
/** Headers are searched for pixel data as far as this, the largest that a per-frame functional group may need. */
const HEADER_BYTES = 512 * 1024 * 1024;
const CHUNK_BYTES = 256 * 1024;

/** Bytes from a position on, as many as asked for where the file has them. */
async function readAt(path: string, start: number, length: number): Promise<Buffer> {
  const file = await open(path);
  try {
    const buffer = Buffer.allocUnsafe(length);
    let filled = 0;
    while (filled < length) {
      const { bytesRead } = await file.read(buffer, filled, length - filled, start + filled);
      if (bytesRead === 0) break;
      filled += bytesRead;
    }
    return buffer.subarray(0, filled);
  } finally {
    await file.close();
  }
}

async function* inMemory(bytes: Buffer): AsyncGenerator<Buffer, void> {
  for (let at = 0; at < bytes.length; at += CHUNK_BYTES) yield bytes.subarray(at, at + CHUNK_BYTES);
}

function cut(length: number, announced: number): DicomError {
  return new DicomError('truncated', `the file has ${length} bytes where ${announced} were announced`);
}

async function* fromFile(path: string, start: number, end: number): AsyncGenerator<Buffer, void> {
  if (end <= start) return;
  if (end - start <= CHUNK_BYTES) {
    const whole = await readAt(path, start, end - start);
    if (whole.length < end - start) throw cut(start + whole.length, end);
    yield whole;
    return;
  }
  let length = 0;
  const stream = createReadStream(path, { start, end: end - 1, highWaterMark: CHUNK_BYTES });
  for await (const chunk of stream as AsyncIterable<Buffer>) {
    length += chunk.length;
    yield chunk;
  }
  if (length < end - start) throw cut(start + length, end);
}

/** The bytes of a whole file, with a check that it has as many as the index says. */
export async function* wholeFile(instance: Instance): AsyncGenerator<Buffer, void> {
  yield* fromFile(instance.path, 0, instance.bytes);
}

/**
 * Reads an instance's header, from as little of the file as it takes.
 * @throws DicomError; an error of the file system
 */
export async function openStored(instance: Instance): Promise<StoredObject> {
  const size = instance.bytes;
  for (let length = BEGINNING_BYTES; ; length *= 8) {
    const bytes = await readAt(instance.path, 0, Math.min(length, size));
    if (bytes.length < Math.min(length, size)) {
      throw cut(bytes.length, size);
    }
    const whole = bytes.length >= size;
    try {
      const { dataSet, pixelData, inflated, dataSetOffset, transferSyntaxUid } = parseBeginning(bytes);
      if (pixelData !== undefined || whole) {
        const offset = inflated ? 0 : dataSetOffset;
        return {
          instance,
          transferSyntax: transferSyntaxUid,
          dataSet,
          pixelData: pixelData && { ...pixelData, offset: pixelData.offset + offset },
          end: inflated?.length ?? size,
          read: (start, end) =>
            inflated ? inMemory(inflated.subarray(start, end)) : fromFile(instance.path, start, end),
        };
      }
    } catch (error) {
      if (whole || !(error instanceof DicomError) || error.code !== 'truncated') throw error;
    }
    if (length > HEADER_BYTES) {
      throw new DicomError('unsupported', `no pixel data within the first ${length} bytes`);
    }
  }
}
