import { createReadStream } from 'node:fs';
import type { Corrected } from './corrector.js';

const PIECE = 1024 * 1024;

/** The bytes of a derived file in order, wherever they are. */
export async function* contentsOf({
  file,
  pixels,
}: Pick<Corrected, 'file' | 'pixels'>): AsyncGenerator<Buffer> {
  yield file;
  if (pixels === undefined) return;
  let bytes = 0;
  for await (const piece of createReadStream(pixels.path, { highWaterMark: PIECE })) {
    bytes += (piece as Buffer).length;
    yield piece as Buffer;
  }
  if (bytes !== pixels.bytes)
    throw new Error(`${pixels.path} has ${bytes} bytes, ${pixels.bytes} were written`);
}
