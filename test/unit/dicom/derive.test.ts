import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  type DataSet,
  type Derivation,
  decodeFrames,
  derivedUids,
  deriveInstance,
  elementOf,
  isOwnOutput,
  itemsOf,
  number,
  numbers,
  parsePart10,
  readHeader,
  type StoredPixels,
  string,
  strings,
  verifyWhole,
} from '../../../src/dicom/index.js';
import {
  ENHANCED_MR,
  encodeDataSet,
  explicitBE,
  explicitLE,
  type ImageOptions,
  type Item,
  implicitLE,
  mrImage,
  nativePixels,
  part10,
  type Syntax,
} from './encode.js';

const derivation: Derivation = {
  model: { name: 'mcnet', version: '0.3.0', sha256: 'ab'.repeat(32) },
  configurationDigest: 'cd'.repeat(32),
  softwareVersion: '0.1.0',
  manufacturer: 'MC-Net',
  deviceUid: '2.25.42',
  at: new Date('2026-03-04T05:06:07.089Z'),
};

const ramp = Array.from({ length: 24 }, (_, i) => i * 100);

function sourceFile(syntax: Syntax, o: ImageOptions = {}, words = ramp): Buffer {
  const pixels = nativePixels(syntax, words, o.bitsAllocated ?? 16);
  return part10(syntax, Buffer.concat([encodeDataSet(syntax, mrImage(o)), pixels]));
}

async function derive(
  source: Buffer,
  d: Partial<Derivation> = {},
  change: (frame: StoredPixels) => StoredPixels = (frame) => frame,
): Promise<{ file: Buffer; ds: DataSet; pixels: number[] }> {
  const read = parsePart10(source);
  const { frames } = await decodeFrames(read);
  const file = deriveInstance(read, frames.map(change), { ...derivation, ...d });
  const out = parsePart10(file);
  return { file, ds: out.dataSet, pixels: (await decodeFrames(out)).frames.flatMap((frame) => [...frame]) };
}

test('the derived instance has the values that the standard and our table ask for', async () => {
  const { file, ds, pixels } = await derive(
    sourceFile(explicitLE, { bitsStored: 12 }),
    { flags: ['residual energy above 0.4'] },
    (frame) => frame.map((v) => v + 1),
  );
  verifyWhole(file);
  const header = readHeader(file);
  assert.equal(header.transferSyntaxUid, explicitLE.uid);
  const uids = derivedUids({ seriesInstanceUid: '1.2.3.4.5', sopInstanceUid: '1.2.3.4.5.6' }, derivation);
  assert.equal(header.seriesInstanceUid, uids.seriesInstanceUid);
  assert.equal(header.sopInstanceUid, uids.sopInstanceUid);
  assert.equal(header.studyInstanceUid, '1.2.3.4');
  assert.equal(string(parsePart10(file).meta, 'MediaStorageSOPInstanceUID'), uids.sopInstanceUid);
  assert.deepEqual(strings(ds, 'ImageType'), ['DERIVED', 'PRIMARY', 'M', 'NORM']);
  assert.equal(string(ds, 'SeriesDescription'), 'T1 sag MC-Net');
  assert.equal(number(ds, 'SeriesNumber'), 1301);
  assert.equal(number(ds, 'InstanceNumber'), 7);
  assert.equal(string(ds, 'FrameOfReferenceUID'), '1.2.3.4.9');
  assert.deepEqual(numbers(ds, 'ImagePositionPatient'), [1.5, -2, 3]);
  assert.equal(string(ds, 'PatientName'), 'Müller^Jörg');
  assert.equal(string(ds, 'Manufacturer'), 'Maker');
  assert.equal(string(ds, 'ImageComments'), 'MC-Net: residual energy above 0.4');
  assert.equal(number(ds, 'SmallestImagePixelValue'), 1);
  assert.equal(number(ds, 'LargestImagePixelValue'), 2301);
  assert.equal(elementOf(ds, 'PixelData')!.vr, 'OW');
  assert.deepEqual(
    pixels,
    ramp.map((v) => v + 1),
  );
  const [image] = itemsOf(ds, 'SourceImageSequence');
  assert.equal(string(image!, 'ReferencedSOPInstanceUID'), '1.2.3.4.5.6');
  assert.equal(string(itemsOf(image!, 'PurposeOfReferenceCodeSequence')[0]!, 'CodeValue'), '121322');
  const [equipment] = itemsOf(ds, 'ContributingEquipmentSequence');
  assert.equal(string(itemsOf(equipment!, 'PurposeOfReferenceCodeSequence')[0]!, 'CodeValue'), '109102');
  assert.deepEqual(strings(equipment!, 'SoftwareVersions'), ['0.1.0', 'mcnet 0.3.0']);
  assert.match(string(ds, 'DerivationDescription')!, /mcnet 0\.3\.0/);
  assert.ok(isOwnOutput(ds));
  assert.ok(!isOwnOutput(parsePart10(sourceFile(explicitLE)).dataSet));
});

test('elements ascend, and no private group remains', async () => {
  const { ds } = await derive(sourceFile(explicitLE));
  const ascending = (set: DataSet) => {
    const tags = [...set.elements.keys()];
    assert.deepEqual(
      tags,
      tags.toSorted((a, b) => a - b),
    );
    for (const element of set.elements.values()) for (const item of element.items ?? []) ascending(item);
  };
  ascending(ds);
  assert.ok([...ds.elements.keys()].every((tag) => ((tag >>> 16) & 1) === 0));
});

test('the same source and derivation give the same bytes; another configuration gives other UIDs', async () => {
  const source = sourceFile(explicitLE);
  const first = await derive(source);
  const second = await derive(source);
  assert.ok(first.file.equals(second.file));
  const other = await derive(source, { configurationDigest: 'ef'.repeat(32) });
  assert.notEqual(string(other.ds, 'SOPInstanceUID'), string(first.ds, 'SOPInstanceUID'));
  assert.notEqual(string(other.ds, 'SeriesInstanceUID'), string(first.ds, 'SeriesInstanceUID'));
  const uids = new Set<string>();
  for (const seriesInstanceUid of ['1.2', '1.3']) {
    for (const sopInstanceUid of ['1.2.1', '1.2.2']) {
      const { sopInstanceUid: uid } = derivedUids({ seriesInstanceUid, sopInstanceUid }, derivation);
      assert.match(uid, /^2\.25\.\d{30,39}$/);
      uids.add(uid);
    }
  }
  assert.equal(uids.size, 4, 'one SOP Instance UID in two series gives two derived UIDs');
});

test('implicit and big endian sources give the same object as explicit little endian', async () => {
  const o: ImageOptions = {
    signed: true,
    extra: [
      [0x00189087, 'FD', 0.125],
      [0x00181320, 'FL', 0.5],
      [
        0x00081140,
        'SQ',
        [
          [
            [0x00081150, 'UI', '1.2.3'],
            [0x00081155, 'UI', '1.2.9'],
            [0x00081160, 'IS', '1'],
          ],
        ],
      ],
      [0x00280120, 'SS', -3],
    ],
  };
  const words = ramp.map((v) => v - 1000);
  const expected = await derive(sourceFile(explicitLE, o, words));
  for (const syntax of [implicitLE, explicitBE]) {
    assert.ok((await derive(sourceFile(syntax, o, words))).file.equals(expected.file), syntax.uid);
  }
});

test('a high bit elsewhere becomes Bits Stored − 1, and values stay', async () => {
  const words = ramp.map((v) => v << 4);
  const { ds, pixels } = await derive(sourceFile(explicitLE, { bitsStored: 12, highBit: 15 }, words));
  assert.equal(number(ds, 'HighBit'), 11);
  assert.deepEqual(pixels, ramp);
});

test('frames that do not fit the source are refused', () => {
  const source = parsePart10(sourceFile(explicitLE, { bitsStored: 12 }));
  const attempt = (frames: StoredPixels[]) => () => deriveInstance(source, frames, derivation);
  assert.throws(attempt([]), RangeError);
  assert.throws(attempt([new Uint16Array(23)]), RangeError);
  assert.throws(attempt([new Uint8Array(24)]), RangeError);
  assert.throws(attempt([new Uint16Array(24).fill(4096)]), RangeError);
  assert.doesNotThrow(attempt([new Uint16Array(24).fill(4095)]));
});

test('odd sizes of 8 bits are padded', async () => {
  const words = Array.from({ length: 15 }, (_, i) => i);
  const { ds, pixels } = await derive(
    sourceFile(explicitLE, { bitsAllocated: 8, rows: 3, columns: 5 }, words),
  );
  assert.equal(elementOf(ds, 'PixelData')!.bytes.length, 16);
  assert.deepEqual(pixels, words);
});

test('series number and description have their limits', async () => {
  const long = 'ä'.repeat(70);
  const cases: [Item, number, string][] = [
    [[], 1301, 'T1 sag MC-Net'],
    [[[0x00200011, 'IS', '']], 1, 'T1 sag MC-Net'],
    [[[0x00200011, 'IS', '2147483647']], 748364701, 'T1 sag MC-Net'],
    [[[0x0008103e, 'LO', '']], 1301, 'MC-Net'],
    [[[0x0008103e, 'LO', long]], 1301, `${'ä'.repeat(57)} MC-Net`],
  ];
  for (const [extra, seriesNumber, description] of cases) {
    const { ds } = await derive(sourceFile(explicitLE, { extra }));
    assert.equal(number(ds, 'SeriesNumber'), seriesNumber);
    assert.equal(string(ds, 'SeriesDescription'), description);
  }
  const { ds } = await derive(sourceFile(explicitLE), {
    seriesNumberOffset: 5,
    descriptionSuffix: ' corrected',
  });
  assert.equal(number(ds, 'SeriesNumber'), 1305);
  assert.equal(string(ds, 'SeriesDescription'), 'T1 sag corrected');
});

test('times are written in the zone of the data set', async () => {
  const { ds } = await derive(sourceFile(explicitLE, { extra: [[0x00080201, 'SH', '+0130']] }));
  assert.equal(string(ds, 'ContentDate'), '20260304');
  assert.equal(string(ds, 'ContentTime'), '063607.089');
  const [equipment] = itemsOf(ds, 'ContributingEquipmentSequence');
  assert.equal(string(equipment!, 'ContributionDateTime'), '20260304063607.089+0130');
});

test('what was done before stays said', async () => {
  const extra: Item = [
    [0x00082111, 'ST', 'Filtered'],
    [
      0x00089215,
      'SQ',
      [
        [
          [0x00080100, 'SH', '113040'],
          [0x00080102, 'SH', 'DCM'],
          [0x00080104, 'LO', 'Lossy Compression'],
        ],
      ],
    ],
    [0x00204000, 'LT', 'good scan'],
    [0x00282110, 'CS', '01'],
    [0x00282112, 'DS', '11'],
    [0x0018a001, 'SQ', [[[0x00080070, 'LO', 'Other']]]],
  ];
  const { ds } = await derive(sourceFile(explicitLE, { extra }), { flags: ['x'] });
  assert.match(string(ds, 'DerivationDescription')!, /^Filtered\r\nMotion/);
  assert.deepEqual(
    itemsOf(ds, 'DerivationCodeSequence').map((i) => string(i, 'CodeValue')),
    ['113040', 'MOTIONCORR'],
  );
  assert.equal(string(ds, 'ImageComments'), 'good scan\r\nMC-Net: x');
  assert.equal(string(ds, 'LossyImageCompression'), '01');
  assert.equal(string(ds, 'LossyImageCompressionRatio'), '11');
  assert.equal(itemsOf(ds, 'ContributingEquipmentSequence').length, 2);
});

function frameGroups(i: number): Item {
  return [
    [0x00209111, 'SQ', [[[0x00209157, 'UL', i + 1]]]],
    [0x00209113, 'SQ', [[[0x00200032, 'DS', `0\\0\\${i}`]]]],
    [0x20050010, 'LO', 'Philips'],
    [0x20051001, 'FL', i],
  ];
}

const enhancedExtra: Item = [
  [0x00080016, 'UI', ENHANCED_MR],
  [0x00189005, 'SH', 'tfl'],
  [0x00209222, 'SQ', [[[0x00209165, 'AT', Buffer.from('20003200', 'hex')]]]],
  [
    0x52009229,
    'SQ',
    [
      [
        [
          0x00189226,
          'SQ',
          [
            [
              [0x00089007, 'CS', 'ORIGINAL\\PRIMARY\\BRAIN\\NONE'],
              [0x00089208, 'CS', 'MAGNITUDE'],
            ],
          ],
        ],
      ],
    ],
  ],
  [0x52009230, 'SQ', { undefinedLength: [0, 1, 2].map(frameGroups) }],
];

test('Enhanced MR keeps dimensions and functional groups, and every frame names its source frame', async () => {
  const words = Array.from({ length: 72 }, (_, i) => i);
  const { ds, pixels } = await derive(sourceFile(explicitLE, { frames: 3, extra: enhancedExtra }, words));
  assert.deepEqual(pixels, words);
  assert.equal(number(ds, 'NumberOfFrames'), 3);
  assert.equal(elementOf(ds, 'PulseSequenceName'), undefined, 'forbidden in a derived multi-frame image');
  assert.equal(itemsOf(ds, 'DimensionIndexSequence').length, 1);
  const [shared] = itemsOf(ds, 'SharedFunctionalGroupsSequence');
  const [type] = itemsOf(shared!, 'MRImageFrameTypeSequence');
  assert.deepEqual(strings(type!, 'FrameType'), ['DERIVED', 'PRIMARY', 'BRAIN', 'NONE']);
  const frames = itemsOf(ds, 'PerFrameFunctionalGroupsSequence');
  frames.forEach((frame, i) => {
    assert.equal(number(itemsOf(frame, 'FrameContentSequence')[0]!, 'DimensionIndexValues'), i + 1);
    assert.deepEqual(numbers(itemsOf(frame, 'PlanePositionSequence')[0]!, 'ImagePositionPatient'), [0, 0, i]);
    assert.equal(number(frame, 0x20051001), i);
    const [macro] = itemsOf(frame, 'DerivationImageSequence');
    const [image] = itemsOf(macro!, 'SourceImageSequence');
    assert.equal(number(image!, 'ReferencedFrameNumber'), i + 1);
    assert.equal(string(image!, 'ReferencedSOPInstanceUID'), '1.2.3.4.5.6');
  });
  assert.equal(frames.length, 3);
  const [evidence] = itemsOf(ds, 'SourceImageEvidenceSequence');
  assert.equal(string(evidence!, 'StudyInstanceUID'), '1.2.3.4');
});

test('Enhanced MR whose functional groups do not match its frames is refused', async () => {
  const words = Array.from({ length: 48 }, (_, i) => i);
  const source = parsePart10(sourceFile(explicitLE, { frames: 2, extra: enhancedExtra }, words));
  const { frames } = await decodeFrames(source);
  assert.throws(() => deriveInstance(source, frames, derivation), /3 items .* 2 frames/);
});

test('a thousand frames derive in bounded time', async () => {
  const extra = enhancedExtra.map(([tag, vr, value]): Item[number] =>
    tag === 0x52009230 ? [tag, vr, Array.from({ length: 1000 }, (_, i) => frameGroups(i))] : [tag, vr, value],
  );
  const words = Array.from({ length: 24_000 }, (_, i) => i % 4000);
  const started = performance.now();
  const { ds } = await derive(sourceFile(explicitLE, { frames: 1000, extra }, words));
  assert.equal(itemsOf(ds, 'PerFrameFunctionalGroupsSequence').length, 1000);
  assert.ok(performance.now() - started < 30_000);
});
