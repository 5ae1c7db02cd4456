/** Corrected frames on their way into the derived instance: in memory, or on the disk when they are many. */
import { closeSync, openSync, writeSync } from 'node:fs';
import {
  type Derivation,
  type DerivedFrom,
  deriveFile,
  deriveHeader,
  PixelRange,
  type StoredPixels,
} from '../dicom/index.js';
import { CorrectionError } from './error.js';
import type { Spares } from './spares.js';

export interface DerivedFrames {
  /** Takes a corrected frame and its memory; they may come in any order. */
  put(frame: number, pixels: StoredPixels): void;
  /**
   * All frames are in: the derived file, or what precedes the stored values, which are on the disk.
   * @param into memory for the file, used when there is enough of it
   */
  finish(derivation: Derivation, into?: ArrayBuffer): { file: Buffer; scratchBytes?: number };
  /** Gives back what is kept open. */
  close(): void;
}

function inMemory(source: DerivedFrom, spares: Spares): DerivedFrames {
  let frames: StoredPixels[] = [];
  return {
    put(frame, pixels) {
      frames[frame] = pixels;
    },
    finish: (derivation, into) => ({ file: deriveFile(source, frames, derivation, into) }),
    close() {
      for (const { buffer } of frames) spares.give(buffer);
      frames = [];
    },
  };
}

function onDisk(source: DerivedFrom, path: string, frameBytes: number, spares: Spares): DerivedFrames {
  const range = new PixelRange(source.image);
  let fd: number | undefined = guarded(() => openSync(path, 'w'));
  const write = (bytes: Uint8Array, position: number) => {
    for (let written = 0; written < bytes.length; ) {
      written += guarded(() => writeSync(fd!, bytes, written, bytes.length - written, position + written));
    }
  };
  return {
    put(frame, pixels) {
      range.add(pixels);
      write(new Uint8Array(pixels.buffer, pixels.byteOffset, pixels.byteLength), frame * frameBytes);
      spares.give(pixels.buffer);
    },
    finish(derivation) {
      const bytes = frameBytes * source.image.count;
      if (bytes % 2 === 1) write(new Uint8Array(1), bytes);
      return { file: deriveHeader(source, range, derivation), scratchBytes: bytes + (bytes % 2) };
    },
    close() {
      if (fd !== undefined) closeSync(fd);
      fd = undefined;
    },
  };
}

/** Space may be there again later: never permanent. */
function guarded<T>(work: () => T): T {
  try {
    return work();
  } catch (error) {
    const { code = 'unknown error' } = error as NodeJS.ErrnoException;
    const full = code === 'ENOSPC' || code === 'EDQUOT';
    throw new CorrectionError(
      'io',
      false,
      full ? 'the disk is full' : `its frames cannot be written: ${code}`,
    );
  }
}

/**
 * @param scratch a file for the frames when they have more than `largeBytes` bytes; without it they stay in memory
 * @throws CorrectionError `io` when it cannot be made
 */
export function derivedFrames(
  source: DerivedFrom,
  scratch: string | undefined,
  largeBytes: number,
  spares: Spares,
): DerivedFrames {
  const { rows, columns, bitsAllocated, count } = source.image;
  const frameBytes = rows * columns * (bitsAllocated / 8);
  if (scratch === undefined || frameBytes * count <= largeBytes) return inMemory(source, spares);
  return onDisk(source, scratch, frameBytes, spares);
}
