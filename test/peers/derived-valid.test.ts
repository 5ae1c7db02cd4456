/** dciodvfy (dicom3tools) finds nothing wrong with a derived instance that it does not find wrong with the source. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { type Derivation, decodeFrames, deriveInstance, parsePart10 } from '../../src/dicom/index.js';
import { readShared, sharedDataMissing, sharedFiles } from '../unit/dicom/shared-data.js';

const folder = mkdtempSync(join(tmpdir(), 'mcnet-derived-'));
after(() => rmSync(folder, { recursive: true, force: true }));

const installed = spawnSync('dciodvfy', ['-help']).error === undefined;
const skip = installed ? sharedDataMissing() : 'dciodvfy (dicom3tools) is not installed';

const derivation: Derivation = {
  model: { name: 'mcnet', version: '0.1.0', sha256: 'ab'.repeat(32) },
  configurationDigest: 'cd'.repeat(32),
  softwareVersion: '0.1.0',
  manufacturer: 'MC-Net',
  deviceUid: '2.25.329800735698586629295641978511506172918',
  at: new Date('2026-01-02T03:04:05Z'),
  flags: ['residual energy above its usual range'],
};

/** Error lines; a complaint about a UID's value counts as the same wherever that UID is written. */
function errorsOf(path: string): Set<string> {
  const result = spawnSync('dciodvfy', [path], {
    encoding: 'latin1',
    maxBuffer: 256 * 1024 * 1024,
    timeout: 60_000,
  });
  assert.equal(result.error, undefined);
  const lines = `${result.stdout}${result.stderr}`.split('\n').filter((line) => line.startsWith('Error'));
  return new Set(lines.map((line) => line.replace(/^(Error - Illegal root for UID - "[^"]*") in .*$/, '$1')));
}

async function derivedErrors(path: string): Promise<{ source: Set<string>; derived: Set<string> }> {
  const source = parsePart10(readShared(path));
  const { frames } = await decodeFrames(source);
  const derived = join(folder, 'derived.dcm');
  writeFileSync(derived, deriveInstance(source, frames, derivation));
  return { source: errorsOf(path), derived: errorsOf(derived) };
}

/** How many files of each folder; a few where all are alike. */
const folders: [string, number][] = [
  ['a01', 3],
  ['a02', 35],
  ['a03', 3],
  ['a04', 3],
  ['a05', 3],
  ['a06', 3],
  ['a07', 1],
  ['a08', 1],
  ['a09', 4],
  ['a10', 52],
  ['a11', 9],
  ['a12', 20],
  ['a13', 3],
  ['a14', 16],
];
for (const [name, count] of folders) {
  test(`derived instances of ${name} have no error that their source has not`, { skip }, async () => {
    const files = sharedFiles(name).slice(0, count);
    assert.equal(files.length, count);
    for (const [file, path] of files) {
      const { source, derived } = await derivedErrors(path);
      assert.deepEqual(
        [...derived].filter((line) => !source.has(line)),
        [],
        file,
      );
      if (name === 'a02' || name === 'a10') assert.deepEqual([...derived], [], file);
    }
  });
}

test('big endian, implicit and deflated sources give objects without new errors', { skip }, async () => {
  // dciodvfy does not read deflated files: the errors of the same slice in explicit little endian are the measure.
  for (const syntax of ['EBE', 'ILE', 'DEFL', 'RLE', 'J2KR']) {
    const [encoded] = sharedFiles(`a15_philips_mprage_transcoded_10_syntaxes_x4/${syntax}/`);
    const [plain] = sharedFiles('a15_philips_mprage_transcoded_10_syntaxes_x4/ELE/');
    const { derived } = await derivedErrors(encoded![1]);
    const source = errorsOf(plain![1]);
    assert.deepEqual(
      [...derived].filter((line) => !source.has(line)),
      [],
      syntax,
    );
  }
});
