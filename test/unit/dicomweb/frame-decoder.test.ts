import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DicomError, parseDataSet } from '../../../src/dicom/index.js';
import { createFrameDecoder } from '../../../src/dicomweb/index.js';
import { encodeDataSet, explicitLE, mrImage } from '../dicom/encode.js';

const dataSet = parseDataSet(encodeDataSet(explicitLE, mrImage({ bitsStored: 12 })), explicitLE.uid);
const native = { dataSet, transferSyntax: explicitLE.uid, vr: 'OW', encapsulated: false };
const words = Uint16Array.from({ length: 24 }, (_, i) => i * 3000);
const frame = Buffer.from(words.buffer);

test('frames are decoded in turn, a broken one fails alone', async (t) => {
  const decoder = createFrameDecoder();
  t.after(() => decoder.close());
  const jpeg = { ...native, transferSyntax: '1.2.840.10008.1.2.4.70', encapsulated: true };
  const [good, broken, short, again] = await Promise.allSettled([
    decoder.decode(native, frame),
    decoder.decode(jpeg, Buffer.from('no codestream')),
    decoder.decode(native, frame.subarray(2)),
    decoder.decode(native, frame),
  ]);
  const expected = words.map((word) => word & 0xfff);
  for (const result of [good, again]) {
    assert.ok(result.status === 'fulfilled');
    assert.deepEqual(result.value.pixels, expected);
  }
  for (const result of [broken, short]) {
    assert.ok(result.status === 'rejected' && result.reason instanceof DicomError, JSON.stringify(result));
    assert.equal(result.reason.code, 'undecodable');
  }
  assert.equal(frame.readUInt16LE(2), 3000, 'the caller keeps its bytes');
});

test('a thread that does not answer is ended, and so is what waits when the decoder is closed', async () => {
  const impatient = createFrameDecoder(1);
  await assert.rejects(impatient.decode(native, frame), /ended its thread/);
  await impatient.close();
  const decoder = createFrameDecoder();
  const waiting = [decoder.decode(native, frame), decoder.decode(native, frame)];
  const settled = Promise.allSettled(waiting);
  await decoder.close();
  for (const { status } of await settled) assert.equal(status, 'rejected');
  await assert.rejects(decoder.decode(native, frame), /stopping/);
});
