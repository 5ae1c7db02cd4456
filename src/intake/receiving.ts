/** Bytes of one object as they arrive: in memory while they are few, in the incoming folder when they are many. */
import { type FileHandle, open } from 'node:fs/promises';
import { type InstanceFiles, type PartFile, smallBytes } from '../archive/index.js';

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
    if (this.#part === undefined && this.#bytes <= smallBytes) return;
    await this.#spill();
  }

  async #spill(): Promise<void> {
    this.#part ??= await this.files.createPart();
    const chunks = this.#chunks;
    this.#chunks = [];
    await this.#part.write(chunks);
  }

  /** The file's bytes, all in memory. */
  async contents(): Promise<Buffer> {
    if (this.#part === undefined) {
      const bytes = this.#chunks.length === 1 ? this.#chunks[0]! : Buffer.concat(this.#chunks, this.#bytes);
      this.#chunks = [bytes];
      return bytes;
    }
    return this.reading((file) => file.read(0, file.size));
  }

  /** Lets `work` read in the file where it lies. */
  async reading<T>(work: (file: ReadablePart) => Promise<T>): Promise<T> {
    await this.#spill();
    const { path } = this.#part!;
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
    this.#part ??= this.files.partOf(this.#chunks);
    return this.#part;
  }

  async discard(): Promise<void> {
    this.#chunks = [];
    await this.#part?.discard();
  }
}
