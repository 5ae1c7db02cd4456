/** Bytes of one object as they arrive: in memory while they are few, in the incoming folder when they are many. */
import { open } from 'node:fs/promises';
import type { InstanceFiles, PartFile } from '../archive/index.js';

/** Objects up to this size are written at once, when they are known to be good. */
export const spillBytes = 4 * 1024 * 1024;

/** Beyond this, an object is checked by its beginning only. */
const wholeLimit = 1024 * 1024 * 1024;

export class Receiving {
  #chunks: Buffer[];
  #bytes: number;
  #part: PartFile | undefined;

  /** @param prefix what comes before the sender's bytes in the file. The chunks are kept as they are: their memory must not be reused. */
  constructor(
    private readonly files: InstanceFiles,
    prefix: Buffer,
  ) {
    this.#chunks = prefix.length > 0 ? [prefix] : [];
    this.#bytes = prefix.length;
  }

  /** Of the whole file so far. */
  get bytes(): number {
    return this.#bytes;
  }

  async write(chunk: Buffer): Promise<void> {
    this.#bytes += chunk.length;
    this.#chunks.push(chunk);
    if (this.#part === undefined && this.#bytes <= spillBytes) return;
    await this.#spill();
  }

  async #spill(): Promise<void> {
    this.#part ??= this.files.createPart();
    const chunks = this.#chunks;
    this.#chunks = [];
    await this.#part.write(chunks);
  }

  /** The file's bytes. Of one that is larger than a gigabyte, the first part of it. */
  async contents(): Promise<{ bytes: Buffer; whole: boolean }> {
    if (this.#part === undefined) {
      const bytes = this.#chunks.length === 1 ? this.#chunks[0]! : Buffer.concat(this.#chunks, this.#bytes);
      this.#chunks = [bytes];
      return { bytes, whole: true };
    }
    const handle = await open(this.#part.path, 'r');
    try {
      const bytes = Buffer.allocUnsafe(Math.min(this.#bytes, wholeLimit));
      let filled = 0;
      while (filled < bytes.length) {
        const { bytesRead } = await handle.read(
          bytes,
          filled,
          Math.min(bytes.length - filled, 64 * 1024 * 1024),
          filled,
        );
        if (bytesRead === 0) throw new Error(`${this.#part.path} is shorter than what was written to it`);
        filled += bytesRead;
      }
      return { bytes, whole: filled === this.#bytes };
    } finally {
      await handle.close();
    }
  }

  /** All bytes in a file of the incoming folder, ready to be placed. */
  async part(): Promise<PartFile> {
    if (this.#part === undefined && this.#bytes <= spillBytes) {
      this.#part = this.files.writePart(this.#chunks);
      this.#chunks = [];
      return this.#part;
    }
    await this.#spill();
    return this.#part!;
  }

  async discard(): Promise<void> {
    this.#chunks = [];
    await this.#part?.discard();
  }
}
