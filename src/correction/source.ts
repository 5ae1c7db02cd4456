/** Reads the object that is to be corrected: at once, or header first and frames in their turn when it is large. */
import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import {
  type DataSet,
  type FrameReader,
  openFrames,
  openLarge,
  openLargeImage,
  parsePart10,
  verifyWhole,
} from '../dicom/index.js';
import { CorrectionError } from './error.js';
import type { Spares } from './spares.js';

/** A whole object, its frames not yet opened. */
export interface SourceObject {
  dataSet: DataSet;
  openFrames(): Promise<FrameReader>;
  /** Gives back what is kept open, and the memory that the data set lies in. */
  close(): void;
}

/** One read takes no more: the system's own limit is two gigabytes. */
const READ_BYTES = 1024 * 1024 * 1024;

/** This thread has nothing else to do meanwhile that would not wait for the disk too. */
function onDisk<T>(work: () => T): T {
  try {
    return work();
  } catch (error) {
    const { code = 'unknown error' } = error as NodeJS.ErrnoException;
    throw new CorrectionError('io', code === 'ENOENT' || code === 'EISDIR', `cannot be read: ${code}`);
  }
}

function fromMemory(file: Buffer, close: () => void): SourceObject {
  verifyWhole(file);
  const part10 = parsePart10(file);
  return { dataSet: part10.dataSet, openFrames: () => openFrames(part10), close };
}

/** Exactly these bytes of a file; fewer only where it ends. */
function readAt(fd: number, offset: number, length: number, size: number): Buffer {
  return readInto(fd, offset, Buffer.allocUnsafe(Math.max(0, Math.min(length, size - offset))));
}

function readInto(fd: number, offset: number, bytes: Buffer): Buffer {
  for (let filled = 0; filled < bytes.length; ) {
    const next = Math.min(bytes.length - filled, READ_BYTES);
    const count = onDisk(() => readSync(fd, bytes, filled, next, offset + filled));
    if (count === 0) throw new CorrectionError('io', false, 'cannot be read: it is shorter than it was');
    filled += count;
  }
  return bytes;
}

/**
 * Opens an object, by path or as its bytes, and checks that it is whole.
 * @param largeBytes files that are larger are not read at once
 * @param spares where memory for the others comes from and goes to
 * @throws CorrectionError `io`; DicomError
 */
export async function openSource(
  source: { path: string } | { bytes: Uint8Array },
  largeBytes: number,
  spares: Spares,
): Promise<SourceObject> {
  if ('bytes' in source) {
    const { buffer, byteOffset, byteLength } = source.bytes;
    if (buffer instanceof ArrayBuffer)
      return fromMemory(Buffer.from(buffer, byteOffset, byteLength), () => {});
    // Others may write into shared memory later on.
    const memory = spares.take(byteLength);
    const file = Buffer.from(memory, 0, byteLength);
    file.set(source.bytes);
    return fromMemory(file, () => spares.give(memory));
  }
  const fd = onDisk(() => openSync(source.path, 'r'));
  let kept = false;
  try {
    const { size } = onDisk(() => fstatSync(fd));
    const file = { size, read: (offset: number, length: number) => readAt(fd, offset, length, size) };
    const image = size > largeBytes ? openLargeImage(file) : undefined;
    if (image === undefined) {
      const memory = spares.take(size);
      return fromMemory(readInto(fd, 0, Buffer.from(memory, 0, size)), () => spares.give(memory));
    }
    const { verify } = await openLarge({ size, read: async (offset, length) => file.read(offset, length) });
    await verify();
    kept = true;
    return { dataSet: image.dataSet, openFrames: () => image.openFrames(), close: () => closeSync(fd) };
  } finally {
    if (!kept) closeSync(fd);
  }
}
