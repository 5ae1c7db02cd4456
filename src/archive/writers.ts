/** The threads that write small files: as many as there is work for, so that no write and no sync holds the event loop. */
import { Worker } from 'node:worker_threads';
import type { WriteOrder, WriteOrders, WriterReport, WriterReports } from './writer-thread.js';

export interface Written {
  /** SHA-256 of the data set, where it was asked for. */
  digest?: string;
  /** Resolves when the file and its folder are on disk for good; its memory is in use until it has ended either way. */
  settled: Promise<void>;
}

export interface Writers {
  /**
   * Writes a whole file; resolves when the operating system has it.
   * @param order.bytes in shared memory, unchanged until `settled` has ended
   * @throws the error of the file system, with its code: nothing is left of the file
   */
  write(order: {
    target: string;
    part: string;
    bytes: Buffer;
    digest?: { transferSyntax: string; dataSetOffset: number };
  }): Promise<Written>;
  /** Waits for what is under way. */
  close(): Promise<void>;
}

interface Entry {
  written(value: Written): void;
  failed(error: Error): void;
  settle?: { resolve(): void; reject(error: Error): void };
}

interface Member {
  worker: Worker;
  ready: boolean;
  open: Map<number, Entry>;
  /** Not posted yet: what comes in the same turn of the event loop goes in one message. */
  orders: WriteOrder[];
}

const most = 4;
const script = new URL('./writer-thread.js', import.meta.url);

export function createWriters(): Writers {
  const members: Member[] = [];
  let sequence = 0;
  let idle: (() => void)[] = [];

  function start(): Member {
    // Descriptors are shared by all threads: none is closed because one of them ends.
    const worker = new Worker(script, { name: 'archive-writer', trackUnmanagedFds: false });
    const member: Member = { worker, ready: false, open: new Map(), orders: [] };
    members.push(member);
    worker.unref();
    worker.once('online', () => {
      member.ready = true;
    });
    worker.on('message', (reports: WriterReports) => {
      for (const report of reports) heard(member, report);
    });
    worker.once('error', (error) => lost(member, error instanceof Error ? error : new Error(String(error))));
    worker.once('exit', () => lost(member, new Error('a thread that writes files ended')));
    return member;
  }

  function post(member: Member): void {
    member.worker.postMessage(member.orders satisfies WriteOrders);
    member.orders = [];
  }

  function heard(member: Member, report: WriterReport): void {
    const entry = member.open.get(report.id);
    if (entry === undefined) return;
    if (report.at === 'written') {
      const settled = new Promise<void>((resolve, reject) => {
        entry.settle = { resolve, reject };
      });
      settled.catch(() => {}); // told where it is waited for
      entry.written({ settled, ...(report.digest !== undefined && { digest: report.digest }) });
      return;
    }
    finished(member, report.id);
    if (report.at === 'settled') entry.settle!.resolve();
    else {
      const { message, code } = report;
      const error = Object.assign(new Error(message), code !== undefined && { code });
      (entry.settle ? entry.settle.reject : entry.failed)(error);
    }
  }

  function finished(member: Member, id: number): void {
    member.open.delete(id);
    if (member.open.size > 0) return;
    member.worker.unref();
    if (members.some(({ open }) => open.size > 0)) return;
    for (const resolve of idle) resolve();
    idle = [];
  }

  function lost(member: Member, error: Error): void {
    const at = members.indexOf(member);
    if (at >= 0) members.splice(at, 1);
    for (const [id, entry] of [...member.open]) {
      finished(member, id);
      (entry.settle ? entry.settle.reject : entry.failed)(error);
    }
  }

  /** The one with the least to do; another is started when all have more than one file before them. */
  function choose(): Member {
    let best: Member | undefined;
    for (const member of members) {
      if (best?.ready && !member.ready) continue;
      if (best === undefined || (member.ready && !best.ready) || member.open.size < best.open.size)
        best = member;
    }
    if (best === undefined) return start();
    if (best.open.size > 1 && members.length < most && members.every(({ ready }) => ready)) start();
    return best;
  }

  return {
    write({ target, part, bytes, digest }) {
      const memory = bytes.buffer as ArrayBufferLike;
      if (!(memory instanceof SharedArrayBuffer)) throw new TypeError('the bytes are not in shared memory');
      sequence += 1;
      const id = sequence;
      const member = choose();
      const order: WriteOrder = {
        id,
        target,
        part,
        memory,
        offset: bytes.byteOffset,
        length: bytes.length,
        ...(digest !== undefined && { digest }),
      };
      return new Promise<Written>((resolve, reject) => {
        if (member.open.size === 0) member.worker.ref();
        member.open.set(id, { written: resolve, failed: reject });
        if (member.orders.push(order) === 1) setImmediate(post, member);
      });
    },
    async close() {
      if (members.some(({ open }) => open.size > 0)) {
        await new Promise<void>((resolve) => idle.push(resolve));
      }
      const all = members.splice(0);
      await Promise.all(all.map(({ worker }) => worker.terminate()));
    },
  };
}
