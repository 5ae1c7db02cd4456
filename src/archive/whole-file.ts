import { closeSync, openSync, renameSync, rmSync, writeSync } from 'node:fs';
import { digestOfBytes } from './digest.js';

/** A whole file for a thread to write. */
export interface FileOrder {
  /** Where the file goes, absolute; its folder exists. */
  target: string;
  /** Where it is written when something is there already, to be renamed then. */
  part: string;
  memory: SharedArrayBuffer;
  offset: number;
  length: number;
  /** Asks for the digest of the data set. */
  digest?: { transferSyntax: string; dataSetOffset: number };
}

/** It is open still, and not synced. */
export interface FileWritten {
  fd: number;
  /** SHA-256 of the data set, where it was asked for. */
  digest?: string;
}

function create(target: string): number | undefined {
  try {
    return openSync(target, 'wx');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return undefined;
    throw error;
  }
}

/** Writes all of it, or leaves nothing behind. */
function fill(fd: number, path: string, bytes: Uint8Array): void {
  try {
    for (let at = 0; at < bytes.length; ) at += writeSync(fd, bytes, at);
  } catch (error) {
    closeSync(fd);
    rmSync(path, { force: true });
    throw error;
  }
}

function writeBytes({ target, part }: FileOrder, bytes: Uint8Array): number {
  const fresh = create(target);
  if (fresh !== undefined) {
    fill(fresh, target, bytes);
    return fresh;
  }
  const fd = openSync(part, 'wx');
  fill(fd, part, bytes);
  try {
    renameSync(part, target);
  } catch (error) {
    closeSync(fd);
    rmSync(part, { force: true });
    throw error;
  }
  return fd;
}

/**
 * Writes a whole file. What is at the target already is replaced by renaming `part` over it.
 * @throws the error of the file system: nothing is left of the file
 */
export function writeFileWhole(order: FileOrder): FileWritten {
  const bytes = Buffer.from(order.memory, order.offset, order.length);
  const fd = writeBytes(order, bytes);
  if (order.digest === undefined) return { fd };
  const { transferSyntax, dataSetOffset } = order.digest;
  return { fd, digest: digestOfBytes(transferSyntax, bytes.subarray(dataSetOffset)) };
}
