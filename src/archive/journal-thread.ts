/**
 * The thread that writes the journal, and beside it the objects' own files. What has come in meanwhile is written before
 * the next sync, so that one serves all.
 */
import { fdatasyncSync, writeSync, writevSync } from 'node:fs';
import { type MessagePort, parentPort, receiveMessageOnPort } from 'node:worker_threads';
import { digestOfBytes } from './digest.js';
import { sealed, voidedAt } from './journal-record.js';
import { reportedError, type ThreadReport } from './threads.js';
import { writeFileWhole } from './whole-file.js';

/** `fd`: a segment, written over in place. */
export type JournalOrder =
  | {
      do: 'append';
      fd: number;
      at: number;
      head: Uint8Array;
      memory: SharedArrayBuffer;
      offset: number;
      length: number;
      /** Where the object's own file goes, as for a writer; it is left open and is not synced. */
      target: string;
      part: string;
      digest?: { transferSyntax: string; dataSetOffset: number };
    }
  | { do: 'overwrite'; fd: number; at: number; bytes: Uint8Array };

/** The object's own file is written. */
export interface FileWritten {
  fd: number;
  /** SHA-256 of the data set, where it was asked for. */
  digest?: string;
}

/** Objects that share a sync at most: bounds how long the first of them waits. */
const batchSize = 32;

function bufferOf({ buffer, byteOffset, byteLength }: Uint8Array): Buffer {
  return Buffer.from(buffer, byteOffset, byteLength);
}

function writeAll(fd: number, pieces: Buffer[], at: number): void {
  const length = pieces.reduce((sum, piece) => sum + piece.length, 0);
  const written = writevSync(fd, pieces, at);
  if (written === length) return;
  const rest = Buffer.concat(pieces).subarray(written);
  for (let done = 0; done < rest.length; ) {
    done += writeSync(fd, rest, done, rest.length - done, at + written + done);
  }
}

function bytesOf({ memory, offset, length }: JournalOrder & { do: 'append' }): Buffer {
  return Buffer.from(memory, offset, length);
}

function writeOwnFile(order: JournalOrder & { do: 'append' }): FileWritten {
  const bytes = bytesOf(order);
  const fd = writeFileWhole(order, bytes);
  if (order.digest === undefined) return { fd };
  const { transferSyntax, dataSetOffset } = order.digest;
  return { fd, digest: digestOfBytes(transferSyntax, bytes.subarray(dataSetOffset)) };
}

/** @param kept false: its file could not be written; the record only keeps the place between others */
function writeRecord(order: JournalOrder, kept: boolean): void {
  if (order.do === 'overwrite') {
    writeAll(order.fd, [bufferOf(order.bytes)], order.at);
    return;
  }
  const head = bufferOf(order.head);
  if (!kept) head[voidedAt] = 1;
  writeAll(order.fd, sealed(head, bytesOf(order)), order.at);
}

interface Message {
  id: number;
  order: JournalOrder;
}

function serve(port: MessagePort): void {
  port.on('message', (first: Message) => {
    const batch = [first];
    while (batch.length < batchSize) {
      const more = receiveMessageOnPort(port) as { message: Message } | undefined;
      if (more === undefined) break;
      batch.push(more.message);
    }
    const failed = new Map<number, unknown>();
    const attempt = (id: number, work: () => void) => {
      try {
        work();
      } catch (error) {
        failed.set(id, error);
      }
    };
    const written: ThreadReport<FileWritten>[] = [];
    for (const { id, order } of batch) {
      if (order.do === 'append') attempt(id, () => written.push({ id, stage: writeOwnFile(order) }));
    }
    if (written.length > 0) port.postMessage(written);
    for (const { id, order } of batch) attempt(id, () => writeRecord(order, !failed.has(id)));
    for (const fd of new Set(batch.map(({ order }) => order.fd))) {
      const ids = batch.filter(({ order }) => order.fd === fd).map(({ id }) => id);
      try {
        fdatasyncSync(fd);
      } catch (error) {
        for (const id of ids) failed.set(id, error);
      }
    }
    const reports = batch.map(({ id }): ThreadReport<FileWritten> => {
      return failed.has(id) ? { id, error: reportedError(failed.get(id)) } : { id };
    });
    port.postMessage(reports);
  });
}

serve(parentPort!);
