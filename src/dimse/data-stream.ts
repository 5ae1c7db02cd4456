/** The data set of one incoming message while it arrives. */

/** What a queued part costs beside its bytes, so that a flood of tiny fragments counts too. */
const PART_OVERHEAD = 128;

/**
 * Parts of a data set, in order, for one consumer (`for await`). The queue reports its growth and shrinkage through
 * `onQueued`, by which the association stops and restarts the socket. Leaving the loop early, or `discard`, drops
 * what is queued and what still comes. When the association ends before the data set does, the consumer gets the
 * error: a truncated data set never looks like a whole one.
 */
export class DataStream implements AsyncIterable<Buffer> {
  private parts: Buffer[] = [];
  private head = 0;
  private ended = false;
  private failure: Error | undefined;
  private discarded = false;
  private taken = false;
  private waiting: { resolve(result: IteratorResult<Buffer>): void; reject(error: Error): void } | undefined;
  private onComplete: (() => void)[] = [];

  /** Bytes received so far. */
  received = 0;

  constructor(private readonly onQueued: (delta: number) => void) {}

  /** True when the last fragment arrived, or none will. */
  get complete(): boolean {
    return this.ended || this.failure !== undefined;
  }

  /** Resolves when the last fragment arrived, or none will. */
  whenComplete(): Promise<void> {
    if (this.complete) return Promise.resolve();
    return new Promise((resolve) => this.onComplete.push(resolve));
  }

  push(part: Buffer): void {
    if (part.length === 0 || this.complete) return;
    this.received += part.length;
    if (this.discarded) return;
    if (this.waiting !== undefined) {
      const { resolve } = this.waiting;
      this.waiting = undefined;
      resolve({ done: false, value: part });
      return;
    }
    this.parts.push(part);
    this.onQueued(part.length + PART_OVERHEAD);
  }

  end(): void {
    if (this.complete) return;
    this.ended = true;
    this.waiting?.resolve({ done: true, value: undefined });
    this.waiting = undefined;
    this.completed();
  }

  fail(error: Error): void {
    if (this.complete) return;
    this.failure = error;
    this.dropQueued();
    this.waiting?.reject(error);
    this.waiting = undefined;
    this.completed();
  }

  discard(): void {
    this.discarded = true;
    this.dropQueued();
  }

  [Symbol.asyncIterator](): AsyncIterator<Buffer> {
    if (this.taken) throw new Error('a data stream is read once');
    this.taken = true;
    return {
      next: () => this.next(),
      return: () => {
        this.discard();
        return Promise.resolve({ done: true, value: undefined });
      },
    };
  }

  private next(): Promise<IteratorResult<Buffer>> {
    if (this.head < this.parts.length) {
      const part = this.parts[this.head]!;
      this.head += 1;
      if (this.head === this.parts.length) {
        this.parts = [];
        this.head = 0;
      }
      this.onQueued(-(part.length + PART_OVERHEAD));
      return Promise.resolve({ done: false, value: part });
    }
    if (this.failure !== undefined) return Promise.reject(this.failure);
    if (this.ended || this.discarded) return Promise.resolve({ done: true, value: undefined });
    return new Promise((resolve, reject) => {
      this.waiting = { resolve, reject };
    });
  }

  private dropQueued(): void {
    let bytes = 0;
    for (let i = this.head; i < this.parts.length; i += 1) bytes += this.parts[i]!.length + PART_OVERHEAD;
    this.parts = [];
    this.head = 0;
    if (bytes > 0) this.onQueued(-bytes);
  }

  private completed(): void {
    for (const listener of this.onComplete) listener();
    this.onComplete = [];
  }
}
