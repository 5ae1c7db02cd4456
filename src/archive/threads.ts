/** Threads that work off orders for the disk, so that no write and no sync holds the event loop. */
import { Worker } from 'node:worker_threads';

/** What such a thread answers to an order: how far it is, any number of times, and then its end. */
export type ThreadReport<Stage = never> =
  | { id: number; stage: Stage }
  | { id: number; error?: { message: string; code?: string } };

export interface DiskThread<Order, Stage = never> {
  /**
   * Resolves when the order is done.
   * @throws the error of the file system, with its code
   */
  ask(order: Order, onStage?: (stage: Stage) => void): Promise<void>;
  /** Waits for what is under way. */
  close(): Promise<void>;
}

/** A thread that is started with its first order and holds the process only while it has one. */
export function diskThread<Order, Stage = never>(script: URL, name: string): DiskThread<Order, Stage> {
  const open = new Map<
    number,
    { resolve(): void; reject(error: Error): void; onStage: ((stage: Stage) => void) | undefined }
  >();
  let sequence = 0;
  let worker: Worker | undefined;
  let idle: (() => void)[] = [];

  function start(): Worker {
    // Descriptors are shared by all threads: none is closed because one of them ends.
    const started = new Worker(script, { name, trackUnmanagedFds: false });
    started.unref();
    started.on('message', (reports: ThreadReport<Stage>[]) => {
      for (const report of reports) heard(report);
    });
    const lost = (error: Error) => {
      if (worker === started) worker = undefined;
      for (const { reject } of open.values()) reject(error);
      open.clear();
      rest();
    };
    started.once('error', (error) => lost(error instanceof Error ? error : new Error(String(error))));
    started.once('exit', () => lost(new Error(`the thread ${name} ended`)));
    return started;
  }

  function heard(report: ThreadReport<Stage>): void {
    const { id } = report;
    const entry = open.get(id);
    if ('stage' in report) {
      entry?.onStage?.(report.stage);
      return;
    }
    const { error } = report;
    open.delete(id);
    if (error === undefined) entry?.resolve();
    else
      entry?.reject(
        Object.assign(new Error(error.message), error.code !== undefined && { code: error.code }),
      );
    if (open.size === 0) rest();
  }

  function rest(): void {
    worker?.unref();
    for (const resolve of idle) resolve();
    idle = [];
  }

  return {
    ask(order, onStage) {
      worker ??= start();
      const asked = worker;
      sequence += 1;
      const id = sequence;
      return new Promise<void>((resolve, reject) => {
        if (open.size === 0) asked.ref();
        open.set(id, { resolve, reject, onStage });
        asked.postMessage({ id, order });
      });
    },
    async close() {
      if (open.size > 0) await new Promise<void>((resolve) => idle.push(resolve));
      const ended = worker;
      worker = undefined;
      await ended?.terminate();
    },
  };
}

/** The error of an order as it is reported. */
export function reportedError(error: unknown): { message: string; code?: string } {
  const { message, code } = error as NodeJS.ErrnoException;
  return { message, ...(code !== undefined && { code }) };
}
