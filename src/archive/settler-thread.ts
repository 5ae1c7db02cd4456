/** A thread that brings files to the disk for good, after they have been written, and prepares room to write in. */
import { closeSync, fdatasyncSync, openSync, rmSync, writeSync } from 'node:fs';
import { type MessagePort, parentPort } from 'node:worker_threads';
import { reportedError, type ThreadReport } from './threads.js';

export type SettlerOrder =
  /** Syncs and closes each, whatever becomes of the others. */
  | { do: 'settle'; descriptors: number[] }
  /** Creates a file of so many bytes that are all written: later syncs of them change nothing else in the file system. */
  | { do: 'prepare'; path: string; bytes: number };

const step = 1024 * 1024;

function settle(descriptors: readonly number[]): void {
  let failure: unknown;
  for (const fd of descriptors) {
    try {
      fdatasyncSync(fd);
    } catch (error) {
      failure ??= error;
    } finally {
      closeSync(fd);
    }
  }
  if (failure !== undefined) throw failure;
}

function prepare(path: string, bytes: number): void {
  const fd = openSync(path, 'w');
  try {
    const zeros = Buffer.alloc(step);
    for (let at = 0; at < bytes; ) at += writeSync(fd, zeros, 0, Math.min(step, bytes - at));
    fdatasyncSync(fd);
  } catch (error) {
    rmSync(path, { force: true });
    throw error;
  } finally {
    closeSync(fd);
  }
}

function serve(port: MessagePort): void {
  port.on('message', ({ id, order }: { id: number; order: SettlerOrder }) => {
    const report: ThreadReport = { id };
    try {
      if (order.do === 'settle') settle(order.descriptors);
      else prepare(order.path, order.bytes);
    } catch (error) {
      report.error = reportedError(error);
    }
    port.postMessage([report]);
  });
}

serve(parentPort!);
