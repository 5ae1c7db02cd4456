/**
 * Memory for objects on their way to the disk: shared with the threads that write them, and used again, because the
 * system hands out fresh memory page by page at a higher price than the bytes' copy.
 */

const smallestBlock = 256 * 1024;
/** Kept for the objects to come. */
const keptBytes = 64 * 1024 * 1024;

/** The bytes of one object, in one piece. */
export interface SharedBytes {
  readonly length: number;
  append(chunk: Buffer): void;
  /** A view of all bytes so far; not to be read after the release. */
  bytes(): Buffer;
  /** Gives the memory to the next object. Nobody may use it any more. */
  release(): void;
}

export interface SharedMemory {
  take(): SharedBytes;
}

const nothing = Buffer.alloc(0);

class Pool implements SharedMemory {
  private readonly free: SharedArrayBuffer[] = [];
  private kept = 0;
  /** Most objects are as long as the one before. */
  usual = smallestBlock;

  take(): SharedBytes {
    return new PooledBytes(this);
  }

  /** The smallest block that is free and large enough, else a new one. */
  block(bytes: number): SharedArrayBuffer {
    let best = -1;
    for (let index = 0; index < this.free.length; index += 1) {
      const { byteLength } = this.free[index]!;
      if (byteLength >= bytes && (best < 0 || byteLength < this.free[best]!.byteLength)) best = index;
    }
    if (best < 0) return new SharedArrayBuffer(Math.max(smallestBlock, 2 ** Math.ceil(Math.log2(bytes))));
    const [found] = this.free.splice(best, 1);
    this.kept -= found!.byteLength;
    return found!;
  }

  giveBack(memory: SharedArrayBuffer): void {
    if (this.kept + memory.byteLength > keptBytes) return;
    this.kept += memory.byteLength;
    this.free.push(memory);
  }
}

class PooledBytes implements SharedBytes {
  length = 0;
  private memory: SharedArrayBuffer | undefined;
  private view: Buffer = nothing;
  private released = false;

  constructor(private readonly pool: Pool) {}

  append(chunk: Buffer): void {
    if (this.released) throw new Error('the memory has been released');
    const end = this.length + chunk.length;
    if (end > this.view.length) this.grow(end);
    this.view.set(chunk, this.length);
    this.length = end;
  }

  bytes(): Buffer {
    return this.view.subarray(0, this.length);
  }

  release(): void {
    if (this.released) return;
    this.released = true;
    if (this.length > 0) this.pool.usual = this.length;
    if (this.memory !== undefined) this.pool.giveBack(this.memory);
    this.memory = undefined;
    this.view = nothing;
  }

  private grow(wanted: number): void {
    const larger = this.pool.block(Math.max(wanted, this.pool.usual));
    const view = Buffer.from(larger);
    this.view.copy(view, 0, 0, this.length);
    if (this.memory !== undefined) this.pool.giveBack(this.memory);
    this.memory = larger;
    this.view = view;
  }
}

export function createSharedMemory(): SharedMemory {
  return new Pool();
}
