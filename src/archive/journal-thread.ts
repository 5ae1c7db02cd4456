/** The thread that writes the journal. What has come in meanwhile is written before the next sync, so that one serves all. */
import { fdatasyncSync, writeSync, writevSync } from 'node:fs';
import { type MessagePort, parentPort, receiveMessageOnPort } from 'node:worker_threads';
import { sealed } from './journal-record.js';
import { reportedError, type ThreadReport } from './threads.js';

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
    }
  | { do: 'overwrite'; fd: number; at: number; bytes: Uint8Array };

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

function writeOrder(order: JournalOrder): void {
  const pieces =
    order.do === 'overwrite'
      ? [bufferOf(order.bytes)]
      : sealed(bufferOf(order.head), Buffer.from(order.memory, order.offset, order.length));
  writeAll(order.fd, pieces, order.at);
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
    for (const { id, order } of batch) {
      try {
        writeOrder(order);
      } catch (error) {
        failed.set(id, error);
      }
    }
    for (const fd of new Set(batch.map(({ order }) => order.fd))) {
      const ids = batch.filter(({ order }) => order.fd === fd).map(({ id }) => id);
      try {
        fdatasyncSync(fd);
      } catch (error) {
        for (const id of ids) failed.set(id, error);
      }
    }
    const reports = batch.map(({ id }): ThreadReport => {
      return failed.has(id) ? { id, error: reportedError(failed.get(id)) } : { id };
    });
    port.postMessage(reports);
  });
}

serve(parentPort!);
