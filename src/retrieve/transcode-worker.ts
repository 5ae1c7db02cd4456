/** The thread of `createTranscoder`. */
import { readFileSync } from 'node:fs';
import { parentPort } from 'node:worker_threads';
import { DicomError, parsePart10, transcode } from '../dicom/index.js';
import type { TranscodeAnswer, TranscodeRequest } from './transcoder.js';

const port = parentPort!;
const open = new Map<number, AsyncGenerator<Buffer>>();

/** In memory of its own, so that it can be handed over: pieces may be views of the file, or of Node's pool. */
function ownBytes(piece: Buffer): Uint8Array<ArrayBuffer> {
  const { buffer, byteLength } = piece;
  if (buffer instanceof ArrayBuffer && buffer.byteLength === byteLength) return new Uint8Array(buffer);
  return new Uint8Array(piece);
}

async function next({ id, path, to }: Extract<TranscodeRequest, { kind: 'next' }>): Promise<void> {
  let pieces = open.get(id);
  try {
    if (pieces === undefined) {
      pieces = transcode(parsePart10(readFileSync(path)), to);
      open.set(id, pieces);
    }
    const { done, value } = await pieces.next();
    if (done) {
      open.delete(id);
      port.postMessage({ id } satisfies TranscodeAnswer);
      return;
    }
    const piece = ownBytes(value);
    port.postMessage({ id, piece } satisfies TranscodeAnswer, [piece.buffer]);
  } catch (error) {
    open.delete(id);
    const message = error instanceof Error ? error.message : String(error);
    const code = error instanceof DicomError ? error.code : undefined;
    port.postMessage({ id, error: { code, message } } satisfies TranscodeAnswer);
  }
}

port.on('message', (request: TranscodeRequest) => {
  if (request.kind === 'drop') open.delete(request.id);
  else void next(request);
});
