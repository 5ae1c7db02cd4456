import assert from 'node:assert/strict';
import { test } from 'node:test';
import { deflateRawSync } from 'node:zlib';
import {
  type DataSet,
  DicomError,
  itemsOf,
  number,
  numbers,
  parseDataSet,
  string,
  strings,
} from '../../../src/dicom/index.js';
import { MAX_DEPTH, MAX_INFLATED_BYTES } from '../../../src/dicom/reader.js';
import {
  encodeDataSet,
  encodeElement,
  explicitBE,
  explicitLE,
  type Item,
  implicitLE,
  mrImage,
  nativePixels,
} from './encode.js';

const nested: Item = [
  [0x00080060, 'CS', 'MR'],
  [
    0x00081140,
    'SQ',
    [
      [
        [0x00081150, 'UI', '1.2.3'],
        [
          0x0040a170,
          'SQ',
          { undefinedLength: [[[0x00080100, 'SH', '121322']], [[0x00080100, 'SH', '121311']]] },
        ],
      ],
      [[0x00081150, 'UI', '1.2.4']],
    ],
  ],
  [0x00280010, 'US', 256],
];

function code(of: () => unknown): string {
  try {
    of();
  } catch (error) {
    assert.ok(error instanceof DicomError, String(error));
    return error.code;
  }
  assert.fail('expected a DicomError');
}

for (const [name, syntax] of Object.entries({ explicitLE, implicitLE, explicitBE })) {
  test(`reads values, numbers and nested sequences in ${name}`, () => {
    const ds = parseDataSet(encodeDataSet(syntax, nested), syntax.uid);
    assert.equal(string(ds, 'Modality'), 'MR');
    assert.equal(number(ds, 'Rows'), 256);
    const referenced = itemsOf(ds, 'ReferencedImageSequence');
    assert.deepEqual(
      referenced.map((item) => string(item, 'ReferencedSOPClassUID')),
      ['1.2.3', '1.2.4'],
    );
    const codes = itemsOf(referenced[0]!, 'PurposeOfReferenceCodeSequence');
    assert.deepEqual(
      codes.map((item) => string(item, 'CodeValue')),
      ['121322', '121311'],
    );
  });

  test(`sequences of undefined length are stepped over in ${name}`, () => {
    const item: Item = [
      [
        0x00081140,
        'SQ',
        { undefinedLength: [[[0x0040a170, 'SQ', { undefinedLength: [[[0x00080100, 'SH', 'A']]] }]], []] },
      ],
      [0x00280010, 'US', 7],
    ];
    const ds = parseDataSet(encodeDataSet(syntax, item), syntax.uid);
    assert.equal(number(ds, 'Rows'), 7);
    assert.equal(itemsOf(ds, 'ReferencedImageSequence').length, 2);
  });

  test(`every cut of a data set in ${name} is found`, () => {
    const whole = encodeDataSet(syntax, nested);
    const ends = new Set<number>([0]);
    for (let n = 1; n <= nested.length; n += 1) ends.add(encodeDataSet(syntax, nested.slice(0, n)).length);
    for (let end = 1; end < whole.length; end += 1) {
      if (ends.has(end)) continue;
      const cut = whole.subarray(0, end);
      // A single zero byte after a whole element is padding, and only that.
      if (ends.has(end - 1) && whole[end - 1] === 0) continue;
      assert.equal(
        code(() => parseDataSet(cut, syntax.uid)),
        'truncated',
        `cut at ${end}`,
      );
    }
  });
}

test('numbers of every binary VR keep their byte order and sign', () => {
  const item: Item = [
    [0x00181310, 'US', [1, 65535]],
    [0x00189219, 'SS', -3],
    [0x00189073, 'FD', -1.25],
    [0x00189087, 'FD', [1e300, 0.5]],
    [0x00181320, 'FL', 0.5],
    [0x00209057, 'UL', 4000000000],
    [0x00686000, 'SL', -5],
  ];
  for (const syntax of [explicitLE, explicitBE]) {
    const ds = parseDataSet(encodeDataSet(syntax, item), syntax.uid);
    assert.deepEqual(numbers(ds, 0x00181310), [1, 65535]);
    assert.deepEqual(numbers(ds, 0x00189219), [-3]);
    assert.deepEqual(numbers(ds, 0x00189087), [1e300, 0.5]);
    assert.deepEqual(numbers(ds, 0x00181320), [0.5]);
    assert.deepEqual(numbers(ds, 0x00209057), [4000000000]);
    assert.deepEqual(strings(ds, 0x00189073), ['-1.25']);
  }
});

test('implicit VR takes US or SS from Pixel Representation', () => {
  const item = (signed: number): Item => [
    [0x00280103, 'US', signed],
    [0x00280106, 'SS', -2],
  ];
  assert.equal(number(parseDataSet(encodeDataSet(implicitLE, item(1)), implicitLE.uid), 0x00280106), -2);
  assert.equal(number(parseDataSet(encodeDataSet(implicitLE, item(0)), implicitLE.uid), 0x00280106), 65534);
});

test('UN of undefined length is a sequence in implicit little endian, whatever encloses it', () => {
  const inner = Buffer.concat([
    Buffer.from([0xfe, 0xff, 0x00, 0xe0, 0xff, 0xff, 0xff, 0xff]),
    encodeElement(implicitLE, 0x00280010, 'US', 11),
    Buffer.from([0xfe, 0xff, 0x0d, 0xe0, 0, 0, 0, 0, 0xfe, 0xff, 0xdd, 0xe0, 0, 0, 0, 0]),
  ]);
  for (const syntax of [explicitLE, explicitBE]) {
    const header = encodeElement(syntax, 0x00291010, 'UN', Buffer.alloc(0));
    header.fill(0xff, 8, 12);
    const ds = parseDataSet(
      Buffer.concat([header, inner, encodeElement(syntax, 0x00300010, 'US', 5)]),
      syntax.uid,
    );
    const [item] = itemsOf(ds, 0x00291010);
    assert.equal(number(item!, 'Rows'), 11);
    assert.ok(ds.elements.has(0x00300010));
  }
});

test('implicit VR items within an explicit VR sequence are recognised', () => {
  const content = encodeElement(implicitLE, 0x00280010, 'US', 12);
  const item = Buffer.concat([Buffer.from([0xfe, 0xff, 0x00, 0xe0, content.length, 0, 0, 0]), content]);
  const ds = parseDataSet(encodeElement(explicitLE, 0x20051080, 'SQ', Buffer.concat([item])), explicitLE.uid);
  assert.equal(number(itemsOf(ds, 0x20051080)[0]!, 'Rows'), 12);
});

test('nesting is read to its limit and refused beyond, by length and by delimiter', () => {
  const nest = (depth: number, undefinedLength: boolean): Item => {
    let item: Item = [[0x00080100, 'SH', 'X']];
    for (let i = 0; i < depth; i += 1)
      item = [[0x0040a730, 'SQ', undefinedLength ? { undefinedLength: [item] } : [item]]];
    return item;
  };
  const walk = (ds: DataSet): number => Math.max(0, ...itemsOf(ds, 0x0040a730).map((item) => 1 + walk(item)));
  for (const undefinedLength of [false, true]) {
    const fits = parseDataSet(encodeDataSet(explicitLE, nest(MAX_DEPTH, undefinedLength)), explicitLE.uid);
    assert.equal(walk(fits), MAX_DEPTH);
    const tooDeep = encodeDataSet(explicitLE, nest(MAX_DEPTH + 1, undefinedLength));
    assert.equal(
      code(() => walk(parseDataSet(tooDeep, explicitLE.uid))),
      'malformed',
    );
  }
  const hostile = Buffer.concat(
    Array.from({ length: 100_000 }, () =>
      Buffer.concat([
        Buffer.from([0x40, 0, 0x30, 0xa7, 0x53, 0x51, 0, 0, 0xff, 0xff, 0xff, 0xff]),
        Buffer.from([0xfe, 0xff, 0x00, 0xe0, 0xff, 0xff, 0xff, 0xff]),
      ]),
    ),
  );
  assert.equal(
    code(() => parseDataSet(hostile, explicitLE.uid)),
    'malformed',
  );
});

test('contradictions are malformed', () => {
  const patient = (id: string) => encodeElement(explicitLE, 0x00100020, 'LO', id);
  assert.equal(
    code(() => parseDataSet(Buffer.concat([patient('A1'), patient('B2')]), explicitLE.uid)),
    'malformed',
  );
  assert.doesNotThrow(() => parseDataSet(Buffer.concat([patient('A1'), patient('A1')]), explicitLE.uid));
  assert.equal(
    code(() => parseDataSet(encodeElement(explicitLE, 0x00000002, 'UI', '1.2'), explicitLE.uid)),
    'malformed',
  );
  const noVr = Buffer.from([0x10, 0, 0x20, 0, 0x01, 0x02, 2, 0, 0x41, 0x42]);
  assert.equal(
    code(() => parseDataSet(noVr, explicitLE.uid)),
    'malformed',
  );
  const item = Buffer.from([0xfe, 0xff, 0x00, 0xe0, 0, 0, 0, 0]);
  assert.equal(
    code(() => parseDataSet(item, explicitLE.uid)),
    'malformed',
  );
  const endlessText = Buffer.from([0x10, 0, 0x00, 0x40, 0x55, 0x54, 0, 0, 0xff, 0xff, 0xff, 0xff]);
  assert.equal(
    code(() => parseDataSet(endlessText, explicitLE.uid)),
    'malformed',
  );
});

test('zero padding after the last element is tolerated, other bytes are not', () => {
  const whole = encodeDataSet(explicitLE, nested);
  for (const size of [1, 7, 8, 512]) {
    assert.doesNotThrow(() => parseDataSet(Buffer.concat([whole, Buffer.alloc(size)]), explicitLE.uid));
    assert.throws(
      () => parseDataSet(Buffer.concat([whole, Buffer.alloc(size, 1)]), explicitLE.uid),
      DicomError,
    );
  }
});

test('untilPixelData stops before pixel data that is not there yet', () => {
  const header = encodeDataSet(explicitLE, mrImage());
  const pixels = nativePixels(
    explicitLE,
    Array.from({ length: 24 }, (_, i) => i),
    16,
  );
  const beginning = Buffer.concat([header, pixels]).subarray(0, header.length + 14);
  const ds = parseDataSet(beginning, explicitLE.uid, { untilPixelData: true });
  assert.equal(number(ds, 'Rows'), 4);
  assert.ok(!ds.elements.has(0x7fe00010));
  assert.equal(
    code(() => parseDataSet(beginning, explicitLE.uid)),
    'truncated',
  );
});

test('deflated data sets inflate, within a limit', () => {
  const uid = '1.2.840.10008.1.2.1.99';
  const body = encodeDataSet(explicitLE, nested);
  assert.equal(number(parseDataSet(deflateRawSync(body), uid), 'Rows'), 256);
  assert.equal(
    code(() => parseDataSet(deflateRawSync(body).subarray(0, 20), uid)),
    'truncated',
  );
  assert.equal(
    code(() => parseDataSet(Buffer.from('this is not deflated at all'), uid)),
    'malformed',
  );
  const bomb = deflateRawSync(Buffer.alloc(64 * 1024 * 1024));
  const repeated = MAX_INFLATED_BYTES / (64 * 1024 * 1024);
  assert.ok(bomb.length * repeated < 1024 * 1024, 'a small file could grow to the limit');
});

test('a VR newer than this program has the long form; placeholders have the short one', () => {
  const future = Buffer.concat([
    Buffer.from([0x09, 0, 0x10, 0, 0x5a, 0x5a, 0, 0, 2, 0, 0, 0, 1, 2]),
    encodeElement(explicitLE, 0x00280010, 'US', 3),
  ]);
  assert.equal(number(parseDataSet(future, explicitLE.uid), 'Rows'), 3);
  const placeholder = Buffer.concat([
    Buffer.from([0x28, 0, 0x20, 1, 0x20, 0x20, 2, 0, 1, 2]),
    encodeElement(explicitLE, 0x00280301, 'CS', 'NO'),
  ]);
  assert.equal(string(parseDataSet(placeholder, explicitLE.uid), 'BurnedInAnnotation'), 'NO');
});

test('padding that DCMTK moved in front of the data set is stepped over, a command set is not', () => {
  const whole = encodeDataSet(explicitLE, nested);
  const moved = encodeElement(explicitLE, 0x00000000, 'UL', [0]);
  const ds = parseDataSet(Buffer.concat([moved, whole]), explicitLE.uid);
  assert.equal(string(ds, 'Modality'), 'MR');
  assert.ok(!ds.elements.has(0));
  const command = encodeElement(explicitLE, 0x00000000, 'UL', [56]);
  assert.equal(
    code(() => parseDataSet(Buffer.concat([command, whole]), explicitLE.uid)),
    'malformed',
  );
});
