/**
 * A thread that writes files: each to its place, then to the disk for good. What has come in meanwhile is written before
 * the first sync, so that one commit of the file system's journal serves all.
 */
import { closeSync, fdatasyncSync } from 'node:fs';
import { type MessagePort, parentPort, receiveMessageOnPort } from 'node:worker_threads';
import { digestOfBytes } from './digest.js';
import { writeFileWhole } from './whole-file.js';

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
}

/** For each order `written` and then `settled`, or `failed` in the place of either. */
export type WriterReport =
  | { id: number; at: 'written'; digest?: string }
  | { id: number; at: 'settled' }
  | { id: number; at: 'failed'; message: string; code?: string };

/** Files that wait for one sync at most: bounds how long the first of them waits. */
const batchSize = 16;

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
      const { id, memory, offset, length, digest } = order;
      try {
        const bytes = Buffer.from(memory, offset, length);
        const fd = writeFileWhole(order, bytes);
        written.push({ id, fd });
        report({
          id,
          at: 'written',
          ...(digest && {
            digest: digestOfBytes(digest.transferSyntax, bytes.subarray(digest.dataSetOffset)),
          }),
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
