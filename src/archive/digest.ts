import { createHash, type Hash } from 'node:crypto';
import { createReadStream } from 'node:fs';

const slice = 1024 * 1024;

/** A digest of `digestOf` of which the data set's bytes are still to come. */
export function beginDigest(transferSyntax: string): Hash {
  return createHash('sha256').update(transferSyntax).update('\0');
}

/**
 * SHA-256, hexadecimal, of the transfer syntax UID, a zero byte and the data set's bytes: equal for the same
 * object whatever its preamble and meta header say.
 */
export function digestOfBytes(transferSyntax: string, dataSet: Buffer): string {
  return beginDigest(transferSyntax).update(dataSet).digest('hex');
}

/** The same; large data sets are taken in slices, with the event loop running in between. */
export async function digestOf(transferSyntax: string, dataSet: Buffer): Promise<string> {
  const hash = beginDigest(transferSyntax);
  for (let at = 0; at < dataSet.length; at += slice) {
    if (at > 0) await new Promise(setImmediate);
    hash.update(dataSet.subarray(at, at + slice));
  }
  return hash.digest('hex');
}

/** The same of a file in pieces whose data set begins at `dataSetOffset`, in the first piece. */
export async function digestOfPieces(
  transferSyntax: string,
  pieces: AsyncIterable<Buffer>,
  dataSetOffset: number,
): Promise<string> {
  const hash = beginDigest(transferSyntax);
  let skip = dataSetOffset;
  for await (const piece of pieces) {
    for (let at = skip; at < piece.length; at += slice) {
      if (at > skip) await new Promise(setImmediate);
      hash.update(piece.subarray(at, at + slice));
    }
    skip = 0;
  }
  return hash.digest('hex');
}

/** The same of a file whose data set begins at `dataSetOffset`. */
export async function digestOfFile(
  path: string,
  transferSyntax: string,
  dataSetOffset: number,
): Promise<string> {
  const hash = beginDigest(transferSyntax);
  for await (const chunk of createReadStream(path, { start: dataSetOffset, highWaterMark: slice })) {
    hash.update(chunk as Buffer);
  }
  return hash.digest('hex');
}
