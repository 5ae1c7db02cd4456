/** Memory that slices leave behind, for the slices after them. */
export interface Spares {
  /** Memory of at least so many bytes; what it holds does not matter. */
  take(bytes: number): ArrayBuffer;
  /** What was given last, whatever its size. */
  any(): ArrayBuffer | undefined;
  /** Takes memory that nobody looks at any more. */
  give(memory: ArrayBufferLike): void;
}

/**
 * Memory outside V8's heap makes it look through the whole heap every few megabytes: handing it on saves a fifth of a
 * correction thread's work.
 * @param most bytes that are kept
 */
export function createSpares(most: number): Spares {
  const kept: ArrayBuffer[] = [];
  let bytesKept = 0;
  return {
    take(bytes) {
      const at = kept.findIndex(
        ({ byteLength }) => byteLength >= bytes && byteLength <= 1.125 * bytes + 4096,
      );
      if (at < 0) return new ArrayBuffer(bytes);
      const [memory] = kept.splice(at, 1);
      bytesKept -= memory!.byteLength;
      return memory!;
    },
    any() {
      const memory = kept.pop();
      bytesKept -= memory?.byteLength ?? 0;
      return memory;
    },
    give(memory) {
      if (!(memory instanceof ArrayBuffer) || memory.byteLength === 0) return;
      if (bytesKept + memory.byteLength > most) return;
      kept.push(memory);
      bytesKept += memory.byteLength;
    },
  };
}
