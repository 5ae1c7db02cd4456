import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DicomError, decodeFrames, type Frames, openFrames, parsePart10 } from '../../../src/dicom/index.js';
import { type Encoder, encode, image, size, textured } from './codestreams.js';
import {
  encapsulate,
  encodeDataSet,
  encodeElement,
  explicitBE,
  explicitLE,
  type ImageOptions,
  implicitLE,
  mrImage,
  nativePixels,
  part10,
  type Syntax,
} from './encode.js';

function native(syntax: Syntax, words: number[], o: ImageOptions = {}): Promise<Frames> {
  const body = Buffer.concat([
    encodeDataSet(syntax, mrImage(o)),
    nativePixels(syntax, words, o.bitsAllocated ?? 16),
  ]);
  return decodeFrames(parsePart10(part10(syntax, body)));
}

function compressed(
  uid: string,
  fragments: Buffer[],
  o: ImageOptions = {},
  offsets: number[] = [],
): Promise<Frames> {
  const body = Buffer.concat([encodeDataSet(explicitLE, mrImage(o)), encapsulate(fragments, offsets)]);
  return decodeFrames(parsePart10(part10({ uid }, body)));
}

async function rejects(of: Promise<unknown>, code: string): Promise<void> {
  await assert.rejects(of, (error) => {
    assert.ok(error instanceof DicomError, String(error));
    assert.equal(error.code, code, error.message);
    return true;
  });
}

const ramp = Array.from({ length: 24 }, (_, i) => i * 170);

for (const [name, syntax] of Object.entries({ explicitLE, implicitLE, explicitBE })) {
  test(`native pixels in ${name}: unsigned, signed and 8 bits`, async () => {
    assert.deepEqual([...(await native(syntax, ramp)).frames[0]!], ramp);
    const negative = ramp.map((v) => v - 2000);
    const signed = await native(syntax, negative, { signed: true });
    assert.deepEqual([...signed.frames[0]!], negative);
    assert.ok(signed.frames[0] instanceof Int16Array);
    const bytes = ramp.map((v) => v & 0xff);
    const eight = await native(syntax, bytes, { bitsAllocated: 8 });
    assert.deepEqual([...eight.frames[0]!], bytes);
    assert.ok(eight.frames[0] instanceof Uint8Array);
  });
}

test('bits above Bits Stored are masked, or filled with the sign', async () => {
  const words = [0xf7ff, 0x0800, 0xffff, 0x0000, ...Array<number>(20).fill(0x5123)];
  const unsigned = await native(explicitLE, words, { bitsStored: 12 });
  assert.deepEqual([...unsigned.frames[0]!.subarray(0, 5)], [0x7ff, 0x800, 0xfff, 0, 0x123]);
  assert.deepEqual(unsigned.storedRange, { min: 0, max: 4095 });
  const signed = await native(explicitLE, words, { bitsStored: 12, signed: true });
  assert.deepEqual([...signed.frames[0]!.subarray(0, 5)], [0x7ff, -2048, -1, 0, 0x123]);
  assert.deepEqual(signed.storedRange, { min: -2048, max: 2047 });
});

test('the high bit may lie anywhere', async () => {
  const words = Array.from({ length: 24 }, (_, i) => ((i - 12) << 4) & 0xffff);
  const high = await native(explicitLE, words, { bitsStored: 12, highBit: 15, signed: true });
  assert.deepEqual(
    [...high.frames[0]!],
    Array.from({ length: 24 }, (_, i) => i - 12),
  );
});

test('8 bit pixels in OW of big endian come out in order', async () => {
  const bytes = Array.from({ length: 24 }, (_, i) => i + 1);
  const swapped = Buffer.from(bytes).swap16();
  const body = Buffer.concat([
    encodeDataSet(explicitBE, mrImage({ bitsAllocated: 8 })),
    encodeElement(explicitBE, 0x7fe00010, 'OW', swapped),
  ]);
  const read = await decodeFrames(parsePart10(part10(explicitBE, body)));
  assert.deepEqual([...read.frames[0]!], bytes);
});

test('several frames, each a fresh array', async () => {
  const words = Array.from({ length: 72 }, (_, i) => i);
  const read = await native(explicitLE, words, { frames: 3 });
  assert.equal(read.count, 3);
  assert.deepEqual(
    read.frames.flatMap((frame) => [...frame]),
    words,
  );
  const body = Buffer.concat([
    encodeDataSet(explicitLE, mrImage({ frames: 3 })),
    nativePixels(explicitLE, words, 16),
  ]);
  const reader = await openFrames(parsePart10(part10(explicitLE, body)));
  const first = reader.frame(0);
  first.fill(9);
  assert.equal(reader.frame(0)[1], 1);
  assert.throws(() => reader.frame(3), RangeError);
});

test('padding value and range are reported as stored values', async () => {
  const read = await native(explicitLE, ramp, {
    signed: true,
    extra: [
      [0x00280120, 'US', 0xf830],
      [0x00280121, 'SS', -1990],
    ],
  });
  assert.deepEqual(read.padding, { min: -2000, max: -1990 });
  assert.equal((await native(explicitLE, ramp)).padding, undefined);
});

test('what cannot be an image of one sample says why', async () => {
  await rejects(native(explicitLE, ramp, { extra: [[0x00280002, 'US', 3]] }), 'unsupported');
  await rejects(native(explicitLE, ramp, { extra: [[0x00280004, 'CS', 'PALETTE COLOR']] }), 'unsupported');
  await rejects(native(explicitLE, ramp, { extra: [[0x00280100, 'US', 32]] }), 'unsupported');
  await rejects(native(explicitLE, ramp, { extra: [[0x00280101, 'US', 17]] }), 'undecodable');
  await rejects(native(explicitLE, ramp, { extra: [[0x00280102, 'US', 3]] }), 'undecodable');
  await rejects(native(explicitLE, ramp, { rows: 400 }), 'undecodable');
  await rejects(native(explicitLE, ramp, { rows: 0 }), 'undecodable');
  await rejects(native(explicitLE, ramp, { frames: 2_000_000_000 }), 'undecodable');
  await rejects(native(explicitLE, ramp, { rows: 65535, columns: 65535 }), 'unsupported');
  await rejects(compressed('1.2.840.10008.1.2.4.110', [Buffer.alloc(8)]), 'unsupported');
  await rejects(
    decodeFrames(parsePart10(part10(explicitLE, encodeDataSet(explicitLE, mrImage())))),
    'undecodable',
  );
});

/** PS3.5 annex G with literal runs only, or with replicate runs where they pay. */
function rle(words: number[], bytesPerSample: number, replicate: boolean): Buffer {
  const segments: Buffer[] = [];
  for (let plane = bytesPerSample - 1; plane >= 0; plane -= 1) {
    const bytes = words.map((w) => (w >> (8 * plane)) & 0xff);
    const out: number[] = [];
    for (let i = 0; i < bytes.length; ) {
      let run = 1;
      while (replicate && run < 128 && bytes[i + run] === bytes[i]) run += 1;
      if (run > 1) out.push(257 - run, bytes[i]!);
      else out.push(0, bytes[i]!);
      i += run;
    }
    if (out.length % 2 === 1) out.push(0);
    segments.push(Buffer.from(out));
  }
  const header = Buffer.alloc(64);
  header.writeUInt32LE(segments.length, 0);
  let offset = 64;
  segments.forEach((segment, i) => {
    header.writeUInt32LE(offset, 4 + 4 * i);
    offset += segment.length;
  });
  return Buffer.concat([header, ...segments]);
}

const RLE = '1.2.840.10008.1.2.5';

test('RLE decodes literal and replicate runs of 8 and 16 bits', async () => {
  const flat = [...Array<number>(20).fill(515), 1, 2, 3, 4];
  for (const replicate of [true, false]) {
    assert.deepEqual([...(await compressed(RLE, [rle(flat, 2, replicate)])).frames[0]!], flat);
    const bytes = flat.map((v) => v & 0xff);
    assert.deepEqual(
      [...(await compressed(RLE, [rle(bytes, 1, replicate)], { bitsAllocated: 8 })).frames[0]!],
      bytes,
    );
  }
});

test('damaged RLE is undecodable', async () => {
  const whole = rle(ramp, 2, false);
  await rejects(compressed(RLE, [whole.subarray(0, whole.length - 4)]), 'undecodable');
  await rejects(compressed(RLE, [whole.subarray(0, 10)]), 'undecodable');
  await rejects(compressed(RLE, [rle(ramp, 1, false)]), 'undecodable');
  const outside = Buffer.from(whole);
  outside.writeUInt32LE(1 << 30, 8);
  await rejects(compressed(RLE, [outside]), 'undecodable');
});

test('frames are found by offset table, extended offset table, one fragment each, and start markers', async () => {
  const frames = [0, 1000, 2000].map((base) => ramp.map((v) => v + base));
  const encoded = frames.map((frame) => rle(frame, 2, false));
  const flat = frames.flat();
  const decoded = (read: Frames) => read.frames.flatMap((frame) => [...frame]);
  assert.deepEqual(decoded(await compressed(RLE, encoded, { frames: 3 })), flat);
  // Two fragments a frame: 8 bytes of item header each.
  const fragments = encoded.flatMap((frame) => [frame.subarray(0, 40), frame.subarray(40)]);
  const offsets = [0, 1, 2].map((i) => i * (encoded[0]!.length + 16));
  assert.deepEqual(decoded(await compressed(RLE, fragments, { frames: 3 }, offsets)), flat);
  const extended = Buffer.alloc(24);
  for (const [i, offset] of offsets.entries()) extended.writeBigUInt64LE(BigInt(offset), 8 * i);
  const withExtended = await compressed(RLE, fragments, { frames: 3, extra: [[0x7fe00001, 'OV', extended]] });
  assert.deepEqual(decoded(withExtended), flat);
  await rejects(compressed(RLE, fragments, { frames: 3 }), 'undecodable');
  await rejects(compressed(RLE, fragments, { frames: 3 }, [0, 4, 8]), 'undecodable');
  await rejects(compressed(RLE, encoded, { frames: 4 }), 'undecodable');
  const all = await compressed(RLE, [encoded[1]!.subarray(0, 30), encoded[1]!.subarray(30)]);
  assert.deepEqual([...all.frames[0]!], frames[1]);
});

const lossless: [string, string, Encoder][] = [
  ['JPEG 2000', '1.2.840.10008.1.2.4.90', 'encodeJpeg2000'],
  ['HTJ2K', '1.2.840.10008.1.2.4.201', 'encodeHtJpeg2000'],
];
for (const [name, uid, encoder] of lossless) {
  test(`${name} lossless gives back every signed and unsigned value`, async () => {
    const signed = await compressed(uid, [await encode(encoder, textured, true)], image);
    assert.deepEqual(signed.frames[0], textured);
    assert.equal(signed.lossy, false);
    const unsigned = Uint16Array.from(textured, (v) => v + 1000);
    const read = await compressed(uid, [await encode(encoder, unsigned, false)], { ...image, signed: false });
    assert.deepEqual(read.frames[0], unsigned);
  });
}

test('JPEG lossless and JPEG-LS give back every value', async () => {
  const unsigned = Uint16Array.from(textured, (v) => v + 1000);
  const o = { ...image, signed: false };
  for (const predictor of [1, 4, 7]) {
    const uid = predictor === 1 ? '1.2.840.10008.1.2.4.70' : '1.2.840.10008.1.2.4.57';
    const frame = await encode('encodeJpeg', unsigned, false, { predictor });
    assert.deepEqual((await compressed(uid, [frame], o)).frames[0], unsigned, `predictor ${predictor}`);
  }
  const frame = await encode('encodeJpegLs', unsigned, false);
  const read = await compressed('1.2.840.10008.1.2.4.80', [frame], o);
  assert.deepEqual(read.frames[0], unsigned);
  assert.equal(read.lossy, false);
});

test('JPEG-LS near-lossless stays within its bound and is lossy', async () => {
  const unsigned = Uint16Array.from(textured, (v) => v + 1000);
  const frame = await encode('encodeJpegLs', unsigned, false, { lossy: true, allowedLossyError: 3 });
  const read = await compressed('1.2.840.10008.1.2.4.81', [frame], { ...image, signed: false });
  const worst = Math.max(...read.frames[0]!.map((v, i) => Math.abs(v - unsigned[i]!)));
  assert.ok(worst > 0 && worst <= 3, `largest error ${worst}`);
  assert.equal(read.lossy, true);
});

test('a codestream that was cut, or does not fit the attributes, is undecodable, and the next one decodes', async () => {
  const unsigned = Uint16Array.from(textured, (v) => v + 1000);
  const o = { ...image, signed: false };
  const streams: [string, Buffer][] = [
    ['1.2.840.10008.1.2.4.70', await encode('encodeJpeg', unsigned, false, { predictor: 1 })],
    ['1.2.840.10008.1.2.4.80', await encode('encodeJpegLs', unsigned, false)],
    ['1.2.840.10008.1.2.4.90', await encode('encodeJpeg2000', unsigned, false)],
    ['1.2.840.10008.1.2.4.201', await encode('encodeHtJpeg2000', unsigned, false)],
  ];
  for (const [uid, stream] of streams) {
    await rejects(compressed(uid, [stream.subarray(0, stream.length >> 1)], o), 'undecodable');
    await rejects(compressed(uid, [stream], { ...o, rows: size / 2 }), 'undecodable');
    await rejects(compressed(uid, [stream.subarray(0, 3)], o), 'undecodable');
    await rejects(compressed(uid, [Buffer.from('not a codestream at all')], o), 'undecodable');
    assert.deepEqual((await compressed(uid, [stream], o)).frames[0], unsigned);
  }
});
