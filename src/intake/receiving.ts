/** Bytes of one object as they arrive: in memory while they are few, in the incoming folder when they are many. */
import type { Hash } from 'node:crypto';
import { type FileHandle, open } from 'node:fs/promises';
import { type InstanceFiles, type PartFile, type SharedBytes, smallBytes } from '../archive/index.js';

/** One read takes no more: the system's own limit is two gigabytes. */
const readBytes = 64 * 1024 * 1024;

export interface ReadablePart {
  path: string;
  size: number;
  /** Exactly these bytes; fewer only where the file ends. */
  read(offset: number, length: number): Promise<Buffer>;
}

async function readFrom(handle: FileHandle, offset: number, length: number, size: number): Promise<Buffer> {
  const bytes = Buffer.allocUnsafe(Math.max(0, Math.min(length, size - offset)));
  for (let filled = 0; filled < bytes.length; ) {
    const next = Math.min(bytes.length - filled, readBytes);
    const { bytesRead } = await handle.read(bytes, filled, next, offset + filled);
    if (bytesRead === 0) throw new Error('the file is shorter than what was written to it');
    filled += bytesRead;
  }
  return bytes;
}

export class Receiving {
  readonly #memory: SharedBytes;
  #bytes = 0;
  #part: PartFile | undefined;

  /**
   * @param prefix what comes before the sender's bytes in the file.
   * @param hash takes the sender's bytes as they come
   */
  constructor(
    private readonly files: InstanceFiles,
    prefix: Buffer,
    private readonly hash?: Hash,
  ) {
    this.#memory = files.memory.take();
    this.#memory.append(prefix);
    this.#bytes = prefix.length;
  }

  /** Of the whole file so far. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Takes a copy, or writes it down. */
  async write(chunk: Buffer): Promise<void> {
    this.#bytes += chunk.length;
    this.hash?.update(chunk);
    if (this.#part === undefined && this.#bytes <= smallBytes) {
      this.#memory.append(chunk);
      return;
    }
    const part = await this.#spill();
    await part.write([chunk]);
  }

  async #spill(): Promise<PartFile> {
    if (this.#part !== undefined) return this.#part;
    this.#part = await this.files.createPart();
    await this.#part.write([this.#memory.bytes()]);
    this.#memory.release();
    return this.#part;
  }

  /** What `hash` made of the sender's bytes, hexadecimal; to be asked for once, when all have come. */
  digest(): string | undefined {
    return this.hash?.digest('hex');
  }

  /** The file's bytes, all in memory; not to be read after `end` or `discard`. */
  async contents(): Promise<Buffer> {
    if (this.#part === undefined) return this.#memory.bytes();
    return this.reading((file) => file.read(0, file.size));
  }

  /** Lets `work` read in the file where it lies. */
  async reading<T>(work: (file: ReadablePart) => Promise<T>): Promise<T> {
    const { path } = await this.#spill();
    const handle = await open(path, 'r');
    const size = this.#bytes;
    try {
      return await work({ path, size, read: (offset, length) => readFrom(handle, offset, length, size) });
    } finally {
      await handle.close();
    }
  }

  /** All bytes, ready to be placed. */
  part(): PartFile {
    this.#part ??= this.files.partOf(this.#memory);
    return this.#part;
  }

  /** The part is in its place for good: its memory is given back. */
  end(): void {
    this.#memory.release();
  }

  async discard(): Promise<void> {
    this.#memory.release();
    await this.#part?.discard();
  }
}
