import assert from 'node:assert/strict';
import { basename } from 'node:path';
import { test } from 'node:test';
import {
  type Derivation,
  decodeFrames,
  deriveInstance,
  type Frames,
  parsePart10,
  string,
  verifyWhole,
} from '../../../src/dicom/index.js';
import { readShared, sharedDataMissing, sharedFiles } from './shared-data.js';

const skip = sharedDataMissing();
const derivation: Derivation = {
  model: { name: 'mcnet', version: '0.0.0', sha256: '00'.repeat(32) },
  configurationDigest: '00'.repeat(32),
  softwareVersion: '0.0.0',
  manufacturer: 'MC-Net',
  deviceUid: '2.25.1',
  at: new Date('2026-01-01T00:00:00Z'),
};

async function decode(path: string): Promise<Frames> {
  return decodeFrames(parsePart10(readShared(path)));
}

/** Derives with unchanged frames and reads back. */
async function unchanged(
  path: string,
): Promise<{ source: Frames; derived: Frames; lossy: string | undefined }> {
  const part10 = parsePart10(readShared(path));
  const source = await decodeFrames(part10);
  const file = deriveInstance(part10, source.frames, derivation);
  verifyWhole(file);
  const read = parsePart10(file);
  return { source, derived: await decodeFrames(read), lossy: string(read.dataSet, 'LossyImageCompression') };
}

const folders: [string, number][] = [
  ['a11', 9],
  ['a13', 3],
  ['a14', 16],
  ['a15', 40],
  ['a05', 24],
  ['a07', 1],
  ['a08', 1],
  ['a09', 4],
];
for (const [folder, count] of folders) {
  test(`${folder}: a zero residual leaves every stored pixel as it was`, { skip }, async () => {
    const files = sharedFiles(folder);
    assert.equal(files.length, count);
    for (const [name, path] of files) {
      const { source, derived, lossy } = await unchanged(path);
      assert.deepEqual(derived.frames, source.frames, name);
      assert.deepEqual(derived.storedRange, source.storedRange, name);
      assert.equal(derived.signed, source.signed, name);
      assert.equal(derived.rescaleSlope, source.rescaleSlope, name);
      assert.equal(derived.rescaleIntercept, source.rescaleIntercept, name);
      assert.equal(lossy === '01', source.lossy, name);
    }
  });
}

test('a11: one mosaic in nine encodings is one image', { skip }, async () => {
  const [first, ...others] = sharedFiles('a11');
  const { frames } = await decode(first![1]);
  for (const [name, path] of others) assert.deepEqual((await decode(path)).frames, frames, name);
});

test('a15: every encoding decodes to the pixels of the series that it was made of', { skip }, async () => {
  for (const [name, path] of sharedFiles('a15')) {
    const [[, original] = []] = sharedFiles(`a01_philips_ingenia_mprage_sag_170/${basename(path)}`);
    assert.ok(original !== undefined, `${name} has no original`);
    assert.deepEqual((await decode(path)).frames, (await decode(original)).frames, name);
  }
});

test('a14: lossless encodings equal the uncompressed image, lossy ones come close', { skip }, async () => {
  for (const image of ['MR1', 'MR4']) {
    const files = sharedFiles('a14').filter(([name]) => basename(name).startsWith(image));
    const reference = (await decode(files.find(([name]) => name.includes('UNC'))![1])).frames[0]!;
    for (const [name, path] of files) {
      const read = await decode(path);
      const lossy = /J2KI|JLSN|JPLY/.test(name);
      assert.equal(read.lossy, lossy, name);
      if (!lossy) assert.deepEqual(read.frames[0], reference, name);
      else {
        let error = 0;
        for (const [i, value] of reference.entries()) error += Math.abs(read.frames[0]![i]! - value);
        error /= reference.length;
        assert.ok(error > 0 && error < 40, `${name}: mean error ${error}`);
      }
    }
  }
});

test('a13: bits above Bits Stored do not reach the image', { skip }, async () => {
  for (const [name, path] of sharedFiles('a13')) {
    const { frames, storedRange } = await decode(path);
    const values = frames[0]!;
    assert.ok(
      values.every((v) => v >= storedRange.min && v <= storedRange.max),
      name,
    );
  }
});
