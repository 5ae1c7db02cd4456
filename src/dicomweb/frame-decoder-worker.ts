/** The thread of `createFrameDecoder`. */
import { parentPort } from 'node:worker_threads';
import { DicomError, type Element, openFrames, tagOf } from '../dicom/index.js';
import type { DecodeAnswer, DecodeRequest } from './frame-decoder.js';

const port = parentPort!;

function bufferOf(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
}

async function decode(request: DecodeRequest): Promise<DecodeAnswer> {
  const { id, transferSyntax, bigEndian, explicit, vr, encapsulated } = request;
  const elements = new Map<number, Element>();
  for (const element of request.attributes) {
    elements.set(element.tag, { ...element, bytes: bufferOf(element.bytes) });
  }
  const frame = bufferOf(request.frame);
  const tag = tagOf('PixelData');
  elements.set(
    tag,
    encapsulated
      ? { tag, vr, bytes: Buffer.alloc(0), fragments: [Buffer.alloc(0), frame] }
      : { tag, vr, bytes: frame },
  );
  const empty = { elements: new Map(), bigEndian: false, explicit: true };
  try {
    const reader = await openFrames({
      meta: empty,
      transferSyntaxUid: transferSyntax,
      dataSetOffset: 0,
      dataSet: { elements, bigEndian, explicit },
    });
    return { id, pixels: reader.frame(0) };
  } catch (error) {
    if (!(error instanceof DicomError)) throw error;
    return { id, error: { code: error.code, message: error.message } };
  }
}

port.on('message', async (request: DecodeRequest) => {
  const answer = await decode(request);
  port.postMessage(answer, 'pixels' in answer ? [answer.pixels.buffer as ArrayBuffer] : []);
});
