/**
 * A thread that writes files: each to its place, then file and folder to the disk for good. What has come in meanwhile is
 * written before the first sync, so that one commit of the file system's journal serves all.
 */
import { closeSync, fdatasyncSync, fsyncSync, openSync } from 'node:fs';
import { dirname } from 'node:path';
import { type MessagePort, parentPort, receiveMessageOnPort } from 'node:worker_threads';
import { type FileOrder, writeFileWhole } from './whole-file.js';

export interface WriteOrder extends FileOrder {
  id: number;
}

/** For each order `written` and then `settled`, or `failed` in the place of either. */
export type WriterReport =
  | { id: number; at: 'written'; digest?: string }
  | { id: number; at: 'settled' }
  | { id: number; at: 'failed'; message: string; code?: string };

/** Several travel in one message, each way. */
export type WriteOrders = readonly WriteOrder[];
export type WriterReports = readonly WriterReport[];

/** Files that wait for one sync at most: bounds how long the first of them waits. */
const batchSize = 16;
/** Where one commit of the file system does not serve all folders, the first one's files do not wait for the last one's. */
const reportEveryMs = 4;

function failure(id: number, error: unknown): WriterReport {
  const { message, code } = error as NodeJS.ErrnoException;
  return { id, at: 'failed', message, ...(code !== undefined && { code }) };
}

interface Written {
  id: number;
  fd: number;
}

function settleIn(folder: string, files: readonly Written[]): WriterReport[] {
  const reports = files.map(({ id, fd }): WriterReport => {
    try {
      fdatasyncSync(fd);
      return { id, at: 'settled' };
    } catch (error) {
      return failure(id, error);
    } finally {
      closeSync(fd);
    }
  });
  try {
    syncFolder(folder);
    return reports;
  } catch (error) {
    return reports.map((report) => (report.at === 'settled' ? failure(report.id, error) : report));
  }
}

function syncFolder(folder: string): void {
  const fd = openSync(folder, 'r');
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

function serve(port: MessagePort): void {
  const waiting: WriteOrder[] = [];

  function takeWhatCame(): void {
    for (;;) {
      const more = receiveMessageOnPort(port) as { message: WriteOrders } | undefined;
      if (more === undefined) return;
      waiting.push(...more.message);
    }
  }

  function writeBatch(orders: WriteOrders): void {
    const written = new Map<string, Written[]>();
    const reports: WriterReport[] = [];
    for (const order of orders) {
      const { id } = order;
      try {
        const folder = dirname(order.target);
        const beside = written.get(folder) ?? [];
        written.set(folder, beside);
        const { fd, ...digest } = writeFileWhole(order);
        beside.push({ id, fd });
        reports.push({ id, at: 'written', ...digest });
      } catch (error) {
        reports.push(failure(id, error));
      }
    }
    port.postMessage(reports satisfies WriterReports);
    settle(written);
  }

  function settle(written: ReadonlyMap<string, readonly Written[]>): void {
    let reports: WriterReport[] = [];
    let reportedAt = performance.now();
    for (const [folder, files] of written) {
      reports.push(...settleIn(folder, files));
      const now = performance.now();
      if (now - reportedAt < reportEveryMs) continue;
      port.postMessage(reports satisfies WriterReports);
      reports = [];
      reportedAt = now;
    }
    if (reports.length > 0) port.postMessage(reports satisfies WriterReports);
  }

  port.on('message', (orders: WriteOrders) => {
    waiting.push(...orders);
    while (waiting.length > 0) {
      takeWhatCame();
      writeBatch(waiting.splice(0, batchSize));
    }
  });
}

serve(parentPort!);
