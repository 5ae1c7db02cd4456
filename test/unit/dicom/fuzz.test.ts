import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  correctable,
  type DataSet,
  DicomError,
  decodeFrames,
  deriveInstance,
  openFrames,
  parsePart10,
  readHeader,
  strings,
  verifyWhole,
} from '../../../src/dicom/index.js';
import { encode, image, textured } from './codestreams.js';
import {
  ENHANCED_MR,
  encapsulate,
  encodeDataSet,
  explicitBE,
  explicitLE,
  implicitLE,
  mrImage,
  nativePixels,
  part10,
} from './encode.js';

const derivation = {
  model: { name: 'm', version: '1', sha256: '00' },
  configurationDigest: '00',
  softwareVersion: '1',
  manufacturer: 'x',
  deviceUid: '1.2',
  at: new Date(0),
};

const words = Array.from({ length: 24 }, (_, i) => i);
const extra = {
  extra: [
    [
      0x00081140,
      'SQ',
      {
        undefinedLength: [
          [
            [0x00081150, 'UI', '1.2'],
            [0x0040a170, 'SQ', [[[0x00080100, 'SH', 'A']]]],
          ],
        ],
      },
    ],
    [0x00080005, 'CS', '\\ISO 2022 IR 87'],
    [0x00081030, 'LO', Buffer.from('1b24423b3345441b2842', 'hex')],
  ],
} satisfies Parameters<typeof mrImage>[0];
const enhanced = mrImage({
  extra: [
    [0x00080016, 'UI', ENHANCED_MR],
    [0x52009229, 'SQ', [[[0x00189226, 'SQ', [[[0x00089007, 'CS', 'ORIGINAL\\PRIMARY\\A\\NONE']]]]]]],
    [0x52009230, 'SQ', { undefinedLength: [[[0x00209113, 'SQ', [[[0x00200032, 'DS', '0\\0\\0']]]]]] }],
  ],
});
const rleFrame = Buffer.concat([
  Buffer.from([2, 0, 0, 0, 64, 0, 0, 0, 66, 0, 0, 0]),
  Buffer.alloc(52),
  Buffer.from([233, 0, 23, ...words, 0]),
]);

const seeds = [
  ...[explicitLE, implicitLE, explicitBE].map((syntax) =>
    part10(syntax, Buffer.concat([encodeDataSet(syntax, mrImage(extra)), nativePixels(syntax, words, 16)])),
  ),
  part10(
    explicitLE,
    Buffer.concat([encodeDataSet(explicitLE, enhanced), nativePixels(explicitLE, words, 16)]),
  ),
  part10(
    { uid: '1.2.840.10008.1.2.5' },
    Buffer.concat([encodeDataSet(explicitLE, mrImage()), encapsulate([rleFrame])]),
  ),
];

/** Does everything that the server does with a file; only DicomError may come out. */
async function exercise(file: Buffer): Promise<boolean> {
  const guarded = async (of: () => unknown): Promise<boolean> => {
    try {
      await of();
      return true;
    } catch (error) {
      if (!(error instanceof DicomError)) throw error;
      assert.ok(error.message.length < 400);
      return false;
    }
  };
  const everything = (ds: DataSet) => {
    for (const element of ds.elements.values()) {
      strings(ds, element.tag);
      for (const item of element.items ?? []) everything(item);
    }
  };
  const identified = await guarded(() => {
    const header = readHeader(file);
    correctable(header.dataSet, header.sopClassUid);
  });
  await guarded(() => verifyWhole(file));
  await guarded(() => everything(parsePart10(file).dataSet));
  await guarded(async () => {
    const source = parsePart10(file);
    const { frames } = await decodeFrames(source);
    verifyWhole(deriveInstance(source, frames, derivation));
  });
  return identified;
}

test('the seeds are good files', async () => {
  for (const seed of seeds) assert.ok(await exercise(seed));
});

const bounded = { seed: 20261123, interruptAfterTimeLimit: 4000, endOnFailure: true };

test('mutated files end in a DicomError or a result, never in anything else', async () => {
  const mutation = fc.record({
    at: fc.nat(5000),
    kind: fc.constantFrom('set', 'cut', 'insert', 'delete', 'length'),
    bytes: fc.uint8Array({ minLength: 1, maxLength: 8 }),
  });
  await fc.assert(
    fc.asyncProperty(
      fc.nat(seeds.length - 1),
      fc.array(mutation, { minLength: 1, maxLength: 6 }),
      async (which, mutations) => {
        let file = Buffer.from(seeds[which]!);
        for (const { at, kind, bytes } of mutations) {
          const position = 128 + (at % Math.max(1, file.length - 128));
          if (kind === 'set') file.set(bytes.subarray(0, file.length - position), position);
          else if (kind === 'cut') file = file.subarray(0, position);
          else if (kind === 'insert')
            file = Buffer.concat([file.subarray(0, position), bytes, file.subarray(position)]);
          else if (kind === 'delete')
            file = Buffer.concat([file.subarray(0, position), file.subarray(position + bytes.length)]);
          else if (position + 4 <= file.length) file.writeUInt32LE(0xffffffff, position);
        }
        await exercise(file);
      },
    ),
    { ...bounded, numRuns: 4000 },
  );
});

test('random bytes are no DICOM', async () => {
  await fc.assert(
    fc.asyncProperty(fc.uint8Array({ maxLength: 600 }), async (bytes) => {
      assert.equal(await exercise(Buffer.from(bytes)), false);
      const dressed = Buffer.concat([Buffer.alloc(128), Buffer.from('DICM'), Buffer.from(bytes)]);
      assert.equal(await exercise(dressed), false);
    }),
    { ...bounded, numRuns: 2000 },
  );
});

test('mutated codestreams end in a DicomError or an image, and the decoders go on', async () => {
  const unsigned = Uint16Array.from(textured, (v) => v + 1000);
  const header = encodeDataSet(explicitLE, mrImage({ ...image, signed: false }));
  const streams: [string, Buffer][] = [
    ['1.2.840.10008.1.2.4.70', await encode('encodeJpeg', unsigned, false, { predictor: 1 })],
    ['1.2.840.10008.1.2.4.80', await encode('encodeJpegLs', unsigned, false)],
    ['1.2.840.10008.1.2.4.90', await encode('encodeJpeg2000', unsigned, false)],
    ['1.2.840.10008.1.2.4.201', await encode('encodeHtJpeg2000', unsigned, false)],
  ];
  const file = (uid: string, stream: Buffer) =>
    part10({ uid }, Buffer.concat([header, encapsulate([stream])]));
  const change = fc.record({ inHeader: fc.boolean(), at: fc.nat(100_000), value: fc.nat(255) });
  await fc.assert(
    fc.asyncProperty(fc.nat(3), fc.array(change, { minLength: 1, maxLength: 4 }), async (which, changes) => {
      const [uid, original] = streams[which]!;
      const stream = Buffer.from(original);
      for (const { inHeader, at, value } of changes) stream[at % (inHeader ? 120 : stream.length)] = value;
      await exercise(file(uid, stream));
    }),
    { ...bounded, numRuns: 200 },
  );
  for (const [uid, stream] of streams) {
    const { frames } = await decodeFrames(parsePart10(file(uid, stream)));
    assert.deepEqual(frames[0], unsigned, uid);
  }
  // An image that is open is not harmed by another one that makes its decoder give up.
  let gaveUp = 0;
  for (const [uid, stream] of streams) {
    for (let at = 40; at < 120; at += 1) {
      const open = await openFrames(parsePart10(file(uid, stream)));
      const broken = Buffer.from(stream);
      broken[at] = broken[at]! ^ 0xff;
      const why = await decodeFrames(parsePart10(file(uid, broken))).then(
        () => '',
        (error: unknown) => (error instanceof Error ? error.message : ''),
      );
      if (!why.includes('does not decode')) continue;
      gaveUp += 1;
      assert.deepEqual(open.frame(0), unsigned, uid);
      break;
    }
  }
  assert.ok(gaveUp > 0, 'no decoder gave up');
});
