import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  DicomError,
  openWhole,
  parsePart10,
  readHeader,
  string,
  verifyWhole,
  writeMetaHeader,
} from '../../../src/dicom/index.js';
import {
  encodeDataSet,
  encodeElement,
  explicitBE,
  explicitLE,
  implicitLE,
  MR,
  mrImage,
  nativePixels,
  part10,
} from './encode.js';

const pixels = nativePixels(
  explicitLE,
  Array.from({ length: 24 }, (_, i) => i),
  16,
);
const body = Buffer.concat([encodeDataSet(explicitLE, mrImage()), pixels]);
const file = part10(explicitLE, body);

function error(of: () => unknown): DicomError {
  try {
    of();
  } catch (thrown) {
    assert.ok(thrown instanceof DicomError, String(thrown));
    return thrown;
  }
  assert.fail('expected a DicomError');
}

test('readHeader names the instance, in every data set encoding', () => {
  for (const syntax of [explicitLE, implicitLE, explicitBE]) {
    const header = readHeader(part10(syntax, encodeDataSet(syntax, mrImage())));
    assert.equal(header.studyInstanceUid, '1.2.3.4');
    assert.equal(header.seriesInstanceUid, '1.2.3.4.5');
    assert.equal(header.sopInstanceUid, '1.2.3.4.5.6');
    assert.equal(header.sopClassUid, MR);
    assert.equal(header.transferSyntaxUid, syntax.uid);
  }
});

test('the data set lies where dataSetOffset says, and survives byte for byte', () => {
  const read = parsePart10(file);
  assert.ok(file.subarray(read.dataSetOffset).equals(body));
  for (const element of read.dataSet.elements.values()) {
    if (element.items === undefined) assert.ok(body.includes(element.bytes));
  }
});

test('files without preamble, without group length and without any meta header open', () => {
  const meta = encodeDataSet(explicitLE, [[0x00020010, 'UI', explicitLE.uid]]);
  assert.equal(readHeader(Buffer.concat([meta, body])).sopInstanceUid, '1.2.3.4.5.6');
  assert.equal(
    readHeader(Buffer.concat([Buffer.alloc(128), Buffer.from('DICM'), meta, body])).sopInstanceUid,
    '1.2.3.4.5.6',
  );
  const wrongLength = Buffer.concat([encodeElement(explicitLE, 0x00020000, 'UL', 4000), meta, body]);
  assert.equal(readHeader(wrongLength).sopInstanceUid, '1.2.3.4.5.6');
  assert.equal(readHeader(body).transferSyntaxUid, explicitLE.uid);
  assert.equal(readHeader(encodeDataSet(implicitLE, mrImage())).transferSyntaxUid, implicitLE.uid);
});

test('what is no DICOM is not taken for it', () => {
  assert.equal(error(() => readHeader(Buffer.alloc(0))).code, 'not-dicom');
  assert.equal(error(() => readHeader(Buffer.alloc(4096))).code, 'not-dicom');
  assert.equal(error(() => readHeader(Buffer.from('%PDF-1.7 '.repeat(100)))).code, 'not-dicom');
  assert.equal(
    error(() => parsePart10(Buffer.concat([Buffer.alloc(128), Buffer.from('DICM')]))).code,
    'truncated',
  );
  assert.equal(
    error(() => parsePart10(Buffer.concat([Buffer.alloc(128), Buffer.from('DICM'), body]))).code,
    'malformed',
  );
});

test('missing and unsafe identifiers are refused by name, without their values', () => {
  const cases: [number, string, string, RegExp][] = [
    [0x0020000d, 'UI', '', /StudyInstanceUID \(0020,000D\) is absent/],
    [0x0020000e, 'UI', '../../etc/passwd', /SeriesInstanceUID .* no valid UID/],
    [0x00080018, 'UI', '1..2', /SOPInstanceUID .* no valid UID/],
    [0x00080018, 'UI', '1.2.'.repeat(20), /SOPInstanceUID .* no valid UID/],
    [0x00080016, 'UI', '1.2 3', /SOPClassUID .* no valid UID/],
  ];
  for (const [tag, vr, value, message] of cases) {
    const thrown = error(() =>
      readHeader(part10(explicitLE, encodeDataSet(explicitLE, mrImage({ extra: [[tag, vr, value]] })))),
    );
    assert.equal(thrown.code, 'malformed');
    assert.match(thrown.message, message);
    assert.ok(!thrown.message.includes('passwd'));
  }
});

test('verifyWhole finds a file that was cut anywhere', () => {
  verifyWhole(file);
  for (let end = file.length - 1; end > file.length - pixels.length; end -= 1) {
    assert.equal(error(() => verifyWhole(file.subarray(0, end))).code, 'truncated', `cut at ${end}`);
  }
  assert.equal(error(() => verifyWhole(file.subarray(0, 140))).code, 'truncated');
});

test('openWhole says what readHeader and verifyWhole say', () => {
  const { verify, ...header } = openWhole(file);
  assert.deepEqual(header, readHeader(file));
  verify();
  const outcome = (work: () => void): string => {
    try {
      work();
      return 'whole';
    } catch (thrown) {
      assert.ok(thrown instanceof DicomError);
      return `${thrown.code}: ${thrown.message}`;
    }
  };
  for (let end = 132; end < file.length; end += 1) {
    const cut = file.subarray(0, end);
    assert.equal(
      outcome(() => openWhole(cut).verify()),
      outcome(() => {
        readHeader(cut);
        verifyWhole(cut);
      }),
      `cut at ${end}`,
    );
  }
});

test('writeMetaHeader makes a file of a data set as it was received', () => {
  const meta = writeMetaHeader({
    sopClassUid: MR,
    sopInstanceUid: '1.2.3.4.5.6',
    transferSyntaxUid: explicitLE.uid,
    sourceAeTitle: 'SCANNER_1',
  });
  const read = parsePart10(Buffer.concat([meta, body]));
  assert.equal(read.dataSetOffset, meta.length);
  assert.equal(meta.readUInt32LE(140), meta.length - 144);
  assert.equal(string(read.meta, 'MediaStorageSOPClassUID'), MR);
  assert.equal(string(read.meta, 'MediaStorageSOPInstanceUID'), '1.2.3.4.5.6');
  assert.equal(string(read.meta, 'SourceApplicationEntityTitle'), 'SCANNER_1');
  assert.throws(
    () => writeMetaHeader({ sopClassUid: 'x', sopInstanceUid: '1', transferSyntaxUid: '1' }),
    DicomError,
  );
});
