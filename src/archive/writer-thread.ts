/**
 * A thread that writes files: each to its place, then to the disk for good. What has come in meanwhile is written before
 * the first sync, so that one commit of the file system's journal serves all.
 */
import { closeSync, fdatasyncSync, openSync, renameSync, rmSync, writeSync } from 'node:fs';
import { type MessagePort, parentPort, receiveMessageOnPort } from 'node:worker_threads';
import { digestOfBytes } from './digest.js';

export interface WriteOrder {
  id: number;
  /** Where the file goes, absolute; its folder exists. */
  target: string;
  /** Where it is written when something is there already, to be renamed then. */
  part: string;
  memory: SharedArrayBuffer;
  offset: number;
  length: number;
  /** Asks for the digest of the data set. */
  digest?: { transferSyntax: string; dataSetOffset: number };
  /** Leaves the file open, to be synced and closed by others later. */
  leave?: boolean;
}

/**
 * For each order `written` and then `settled`, or `failed` in the place of either; of a file that is left open `written`
 * with its descriptor, or `failed`.
 */
export type WriterReport =
  | { id: number; at: 'written'; digest?: string; fd?: number }
  | { id: number; at: 'settled' }
  | { id: number; at: 'failed'; message: string; code?: string };

/** Files that wait for one sync at most: bounds how long the first of them waits. */
const batchSize = 16;

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

function write({ target, part }: WriteOrder, bytes: Uint8Array): number {
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

function serve(port: MessagePort): void {
  const report = (message: WriterReport) => port.postMessage(message);
  const failed = (id: number, error: unknown) => {
    const { message, code } = error as NodeJS.ErrnoException;
    report({ id, at: 'failed', message, ...(code !== undefined && { code }) });
  };

  port.on('message', (first: WriteOrder) => {
    const orders = [first];
    while (orders.length < batchSize) {
      const more = receiveMessageOnPort(port) as { message: WriteOrder } | undefined;
      if (more === undefined) break;
      orders.push(more.message);
    }
    const written: { id: number; fd: number }[] = [];
    for (const order of orders) {
      const { id, memory, offset, length, digest, leave } = order;
      try {
        const bytes = Buffer.from(memory, offset, length);
        const fd = write(order, bytes);
        if (!leave) written.push({ id, fd });
        report({
          id,
          at: 'written',
          ...(digest && {
            digest: digestOfBytes(digest.transferSyntax, bytes.subarray(digest.dataSetOffset)),
          }),
          ...(leave && { fd }),
        });
      } catch (error) {
        failed(id, error);
      }
    }
    for (const { id, fd } of written) {
      try {
        fdatasyncSync(fd);
        report({ id, at: 'settled' });
      } catch (error) {
        failed(id, error);
      } finally {
        closeSync(fd);
      }
    }
  });
}

serve(parentPort!);
