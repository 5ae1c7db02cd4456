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

export function createSharedMemory(): SharedMemory {
  const free: SharedArrayBuffer[] = [];
  let kept = 0;
  // Most objects are as long as the one before.
  let usual = smallestBlock;

  /** The smallest block that is free and large enough, else a new one. */
  function block(bytes: number): SharedArrayBuffer {
    let best = -1;
    for (const [index, { byteLength }] of free.entries()) {
      if (byteLength >= bytes && (best < 0 || byteLength < free[best]!.byteLength)) best = index;
    }
    if (best < 0) return new SharedArrayBuffer(Math.max(smallestBlock, 2 ** Math.ceil(Math.log2(bytes))));
    const [found] = free.splice(best, 1);
    kept -= found!.byteLength;
    return found!;
  }

  function giveBack(memory: SharedArrayBuffer): void {
    if (kept + memory.byteLength > keptBytes) return;
    kept += memory.byteLength;
    free.push(memory);
  }

  return {
    take() {
      let memory: SharedArrayBuffer | undefined;
      let view: Buffer = Buffer.alloc(0);
      let length = 0;
      let released = false;
      const grow = (wanted: number) => {
        const larger = block(Math.max(wanted, usual));
        const largerView = Buffer.from(larger);
        view.copy(largerView, 0, 0, length);
        if (memory !== undefined) giveBack(memory);
        memory = larger;
        view = largerView;
      };
      return {
        get length() {
          return length;
        },
        append(chunk) {
          if (released) throw new Error('the memory has been released');
          if (length + chunk.length > view.length) grow(length + chunk.length);
          chunk.copy(view, length);
          length += chunk.length;
        },
        bytes: () => view.subarray(0, length),
        release() {
          if (released) return;
          released = true;
          if (length > 0) usual = length;
          if (memory !== undefined) giveBack(memory);
          memory = undefined;
          view = Buffer.alloc(0);
        },
      };
    },
  };
}
