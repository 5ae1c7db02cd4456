import assert from 'node:assert/strict';
import { test } from 'node:test';
import { deflateRawSync } from 'node:zlib';
import { DicomError, openLarge, parsePart10, readHeader, verifyWhole } from '../../../src/dicom/index.js';
import {
  encapsulate,
  encodeDataSet,
  encodeElement,
  explicitBE,
  explicitLE,
  implicitLE,
  mrImage,
  part10,
} from './encode.js';

const MEGABYTE = 1024 * 1024;
const noise = Buffer.alloc(3 * MEGABYTE, 'not all zero');

/** How often, and how much of the file was read. */
function inMemory(bytes: Buffer) {
  const reads = { most: 0 };
  const read = async (offset: number, length: number) => {
    reads.most = Math.max(reads.most, length);
    return bytes.subarray(offset, offset + length);
  };
  return { file: { size: bytes.length, read }, reads };
}

const trailing = encodeElement(explicitLE, 0xfffcfffc, 'OB', Buffer.alloc(64, 1));
const wide = { undefinedLength: [[[0x00080100, 'SH', 'x'.repeat(3000)]]] } as const;
/** Functional groups of two megabytes before the pixel data. */
const groups = { undefinedLength: Array.from({ length: 700 }, () => [...wide.undefinedLength[0]!]) };

const objects: Record<string, Buffer> = {
  'explicit little endian': part10(
    explicitLE,
    Buffer.concat([
      encodeDataSet(explicitLE, mrImage()),
      encodeElement(explicitLE, 0x7fe00010, 'OW', noise),
      trailing,
    ]),
  ),
  'implicit little endian': part10(
    implicitLE,
    Buffer.concat([encodeDataSet(implicitLE, mrImage()), encodeElement(implicitLE, 0x7fe00010, 'OW', noise)]),
  ),
  'explicit big endian': part10(
    explicitBE,
    Buffer.concat([encodeDataSet(explicitBE, mrImage()), encodeElement(explicitBE, 0x7fe00010, 'OW', noise)]),
  ),
  encapsulated: part10(
    { uid: '1.2.840.10008.1.2.4.90' },
    Buffer.concat([
      encodeDataSet(explicitLE, mrImage()),
      encapsulate(Array.from({ length: 40 }, () => noise.subarray(0, 100_000))),
      trailing,
    ]),
  ),
  'a header of two megabytes': part10(
    explicitLE,
    Buffer.concat([
      encodeDataSet(
        explicitLE,
        mrImage({ extra: [[0x52009230, 'SQ', { undefinedLength: groups.undefinedLength as never }]] }),
      ),
      encodeElement(explicitLE, 0x7fe00010, 'OW', noise),
    ]),
  ),
  'no pixel data': part10(
    explicitLE,
    encodeDataSet(explicitLE, mrImage({ extra: [[0x00420011, 'OB', noise]] })),
  ),
  deflated: part10(
    { uid: '1.2.840.10008.1.2.1.99' },
    deflateRawSync(
      Buffer.concat([
        encodeDataSet(explicitLE, mrImage()),
        encodeElement(explicitLE, 0x7fe00010, 'OW', noise),
      ]),
      { level: 0 },
    ),
  ),
};

async function verdictOf(bytes: Buffer): Promise<string> {
  try {
    await (await openLarge(inMemory(bytes).file)).verify();
    return 'whole';
  } catch (error) {
    assert.ok(error instanceof DicomError, String(error));
    return error.code;
  }
}

function verdictInMemory(bytes: Buffer): string {
  try {
    readHeader(bytes);
    verifyWhole(bytes);
    return 'whole';
  } catch (error) {
    assert.ok(error instanceof DicomError, String(error));
    return error.code;
  }
}

for (const [name, bytes] of Object.entries(objects)) {
  test(`${name}: identified and verified in the file as in memory, wherever it is cut off`, async () => {
    const { file, reads } = inMemory(bytes);
    const large = await openLarge(file);
    await large.verify();
    const header = readHeader(bytes);
    assert.equal(large.sopInstanceUid, header.sopInstanceUid);
    assert.equal(large.transferSyntaxUid, header.transferSyntaxUid);
    assert.equal(large.dataSetOffset, parsePart10(bytes).dataSetOffset);
    if (name.includes('endian') || name === 'encapsulated') {
      assert.ok(reads.most <= MEGABYTE, 'no more than its beginning is read at once');
    }
    const step = Math.floor(bytes.length / 12);
    for (let cut = bytes.length - 2; cut > 200; cut -= step) {
      const short = bytes.subarray(0, cut);
      assert.equal(await verdictOf(short), verdictInMemory(short), `cut off at ${cut} of ${bytes.length}`);
    }
    const broken = Buffer.from(bytes);
    broken.fill(0xab, broken.length - 60, broken.length - 50);
    assert.equal(await verdictOf(broken), verdictInMemory(broken), 'with other bytes near its end');
  });
}

test('a fragment of the pixel data that is none is malformed', async () => {
  const bytes = Buffer.from(objects.encapsulated!);
  const second = bytes.indexOf(Buffer.from([0xfe, 0xff, 0x00, 0xe0]), bytes.length - 250_000);
  bytes[second] = 0x11;
  assert.equal(await verdictOf(bytes), 'malformed');
});
