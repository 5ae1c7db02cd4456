import { Worker } from 'node:worker_threads';
import { CorrectionError } from './error.js';
import type { FromWorker, ToWorker, WorkerSettings } from './protocol.js';

/** What a task of the pool hears from its worker. */
export interface Task {
  /** The first message to the worker that gets the task; made anew when it is given to another one. */
  open(id: number): { message: ToWorker; transfer: ArrayBuffer[] };
  /** A message about this task. `post` answers to the same worker; `finished` frees its place there. */
  onMessage(
    message: FromWorker,
    at: { post(message: ToWorker, transfer?: ArrayBuffer[]): void },
  ): 'open' | 'finished';
  /** Whether the task waits for its worker, and not the worker for it. */
  waitsForWorker(): boolean;
  /** The worker is gone; the task will be opened once more, on a worker of its own. */
  onAgain(): void;
  /** The task is given up. */
  onFailed(error: CorrectionError): void;
}

export interface PoolOptions {
  workers: number;
  /** Tasks that one worker may have open. */
  openPerWorker: number;
  settings: WorkerSettings;
  /** A worker that owes an answer for longer than this is ended. */
  hangMs: number;
  script: URL;
}

export interface Pool {
  /** Gives a task to a worker, now or when one has a place. Returns a function that takes it back. */
  submit(task: Task): () => void;
  readonly waiting: number;
  readonly open: number;
  close(): Promise<void>;
}

interface Entry {
  id: number;
  task: Task;
  crashes: number;
  member?: Member;
  /** When the worker was last heard about this task. */
  heardAt: number;
}

interface Member {
  worker: Worker;
  ready: boolean;
  /** Holds one task that was open when another worker ended, and no other task meanwhile. */
  exclusive: boolean;
  open: Map<number, Entry>;
  exited: Promise<void>;
}

/**
 * Heap for young objects of a worker, MiB. Pixel data lies outside the heap and goes with the objects that own it: small,
 * so that they are looked through every few slices, or megabytes of slices that are done with wait for it.
 */
const YOUNG_GENERATION_MIB = 2;

/** Workers that end before they are ready, one after another, before the pool gives up. */
const FAILED_STARTS = 3;

/**
 * Threads that hold tasks. When one of them ends (a codec's WebAssembly may abort, or loop), the tasks it held are
 * opened again one by one, each alone on a thread: the one that ends its thread again is given up, the others go on.
 */
export async function createPool(options: PoolOptions): Promise<Pool> {
  const members = new Set<Member>();
  const queue: Entry[] = [];
  const suspects: Entry[] = [];
  let nextId = 1;
  let failedStarts = 0;
  let closed = false;

  function start(): Promise<void> {
    return new Promise((resolve, reject) => {
      const worker = new Worker(options.script, {
        workerData: options.settings,
        resourceLimits: { maxYoungGenerationSizeMb: YOUNG_GENERATION_MIB },
      });
      const member: Member = {
        worker,
        ready: false,
        exclusive: false,
        open: new Map(),
        exited: new Promise((done) => worker.once('exit', () => done())),
      };
      members.add(member);
      let reason: string | undefined;
      worker.on('error', (error) => {
        reason ??= error.message;
      });
      worker.on('exit', (code) => {
        reason ??= `exit code ${code}`;
        if (!members.delete(member)) return;
        if (!member.ready) {
          failedStarts += 1;
          reject(new CorrectionError('engine', false, `a correction thread does not start: ${reason}`));
        }
        for (const entry of member.open.values()) lose(entry, reason);
        member.open.clear();
        if (closed) return;
        if (failedStarts >= FAILED_STARTS && members.size === 0) return failAll(reason);
        start().catch(() => {});
      });
      worker.on('message', (message: FromWorker) => {
        if (message.kind === 'ready') {
          member.ready = true;
          failedStarts = 0;
          resolve();
          return assign();
        }
        const entry = member.open.get(message.id);
        if (entry === undefined) return;
        entry.heardAt = performance.now();
        const post = (answer: ToWorker, transfer: ArrayBuffer[] = []) => {
          if (entry.member !== member) return;
          entry.heardAt = performance.now();
          worker.postMessage(answer, transfer);
        };
        if (entry.task.onMessage(message, { post }) === 'finished') release(entry);
      });
    });
  }

  function release(entry: Entry): void {
    const { member } = entry;
    if (member === undefined) return;
    member.open.delete(entry.id);
    if (member.open.size === 0) member.exclusive = false;
    delete entry.member;
    assign();
  }

  function lose(entry: Entry, reason: string): void {
    delete entry.member;
    entry.crashes += 1;
    if (closed) {
      entry.task.onFailed(new CorrectionError('closed', false, 'the corrector was closed'));
    } else if (entry.crashes >= 2) {
      const message = `its decoding ended a thread twice (${reason})`;
      entry.task.onFailed(new CorrectionError('undecodable', true, message));
    } else {
      entry.task.onAgain();
      suspects.push(entry);
    }
  }

  function failAll(reason: string): void {
    closed = true;
    clearInterval(watch);
    const error = new CorrectionError('engine', false, `correction threads do not start any more: ${reason}`);
    for (const entry of [...suspects.splice(0), ...queue.splice(0)]) entry.task.onFailed(error);
  }

  function give(entry: Entry, member: Member): void {
    entry.member = member;
    entry.heardAt = performance.now();
    member.open.set(entry.id, entry);
    const { message, transfer } = entry.task.open(entry.id);
    member.worker.postMessage(message, transfer);
  }

  function assign(): void {
    for (const member of members) {
      if (suspects.length === 0) break;
      if (!member.ready || member.open.size > 0) continue;
      member.exclusive = true;
      give(suspects.shift()!, member);
    }
    while (queue.length > 0) {
      let best: Member | undefined;
      for (const member of members) {
        if (!member.ready || member.exclusive || member.open.size >= options.openPerWorker) continue;
        if (best === undefined || member.open.size < best.open.size) best = member;
      }
      if (best === undefined) return;
      give(queue.shift()!, best);
    }
  }

  const watch = setInterval(
    () => {
      const now = performance.now();
      for (const member of members) {
        for (const entry of member.open.values()) {
          if (entry.task.waitsForWorker() && now - entry.heardAt > options.hangMs) {
            void member.worker.terminate();
            break;
          }
        }
      }
    },
    Math.min(5000, Math.max(50, options.hangMs / 4)),
  );
  watch.unref();

  async function close(): Promise<void> {
    closed = true;
    clearInterval(watch);
    const error = new CorrectionError('closed', false, 'the corrector was closed');
    for (const entry of [...suspects.splice(0), ...queue.splice(0)]) entry.task.onFailed(error);
    const all = [...members];
    for (const member of all) {
      const message: ToWorker = { kind: 'close' };
      member.worker.postMessage(message);
    }
    const deadline = setTimeout(() => {
      for (const member of all) void member.worker.terminate();
    }, 2000);
    await Promise.all(all.map((member) => member.exited));
    clearTimeout(deadline);
  }

  try {
    await Promise.all(Array.from({ length: options.workers }, start));
  } catch (error) {
    await close();
    throw error;
  }
  return {
    submit(task) {
      const entry: Entry = { id: nextId++, task, crashes: 0, heardAt: 0 };
      if (closed) {
        task.onFailed(new CorrectionError('closed', false, 'the corrector is closed'));
        return () => {};
      }
      queue.push(entry);
      assign();
      return () => {
        for (const list of [queue, suspects]) {
          const at = list.indexOf(entry);
          if (at >= 0) list.splice(at, 1);
        }
        if (entry.member?.open.has(entry.id)) {
          entry.member.worker.postMessage({ kind: 'drop', id: entry.id } satisfies ToWorker);
        }
        release(entry);
      };
    },
    get waiting() {
      return queue.length + suspects.length;
    },
    get open() {
      let open = 0;
      for (const member of members) open += member.open.size;
      return open;
    },
    close,
  };
}
