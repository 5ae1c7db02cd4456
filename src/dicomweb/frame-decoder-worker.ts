/** The thread of `createFrameDecoder`. */
import { parentPort } from 'node:worker_threads';
import { DicomError, type Element, encodeJpeg, openFrames, prepareCodecs, tagOf } from '../dicom/index.js';
import type { CodecAnswer, DecodeRequest, EncodeRequest } from './frame-decoder.js';

const port = parentPort!;

function bufferOf(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
}

async function decode(request: DecodeRequest): Promise<CodecAnswer> {
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
  const reader = await openFrames({
    meta: empty,
    transferSyntaxUid: transferSyntax,
    dataSetOffset: 0,
    dataSet: { elements, bigEndian, explicit },
  });
  return { id, pixels: reader.frame(0) };
}

async function encode({ id, picture, quality }: EncodeRequest): Promise<CodecAnswer> {
  await prepareCodecs();
  return { id, jpeg: encodeJpeg(picture, quality) };
}

port.on('message', async (request: DecodeRequest | EncodeRequest) => {
  try {
    const answer = 'picture' in request ? await encode(request) : await decode(request);
    const values = 'pixels' in answer ? answer.pixels : 'jpeg' in answer ? answer.jpeg : undefined;
    port.postMessage(answer, values === undefined ? [] : [values.buffer as ArrayBuffer]);
  } catch (error) {
    if (!(error instanceof DicomError)) throw error;
    const failed: CodecAnswer = { id: request.id, error: { code: error.code, message: error.message } };
    port.postMessage(failed);
  }
});
