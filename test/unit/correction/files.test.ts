import assert from 'node:assert/strict';
import { cp, mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { type TestContext, test } from 'node:test';
import { correctFiles, createCorrector } from '../../../src/correction/index.js';
import { readHeader, verifyWhole } from '../../../src/dicom/index.js';
import { blurNetwork, modelFolder } from '../inference/tiny-onnx.js';
import { derivation } from './derivation.js';
import { headSlice, syntheticPart10 } from './syntheticPart10.js';

function slice(number: number, seed = number): Buffer {
  return syntheticPart10({
    rows: 48,
    columns: 40,
    bitsAllocated: 16,
    bitsStored: 12,
    signed: false,
    frames: [headSlice(48, 40, { min: 0, max: 4095 }, seed)],
    number,
  });
}

async function setUp(t: TestContext, manifest: Record<string, unknown> = {}) {
  const folder = await mkdtemp(join(tmpdir(), 'mcnet-files-'));
  t.after(() => rm(folder, { recursive: true, force: true }));
  const corrector = await createCorrector({
    model: await modelFolder(t, blurNetwork(), manifest),
    engine: 'cpu',
    engineOptions: { threads: 1 },
    workers: 1,
  });
  t.after(() => corrector.close());
  return { folder, corrector, out: join(folder, 'out') };
}

async function written(out: string): Promise<string[]> {
  return (await readdir(out, { recursive: true, withFileTypes: true }))
    .filter((one) => one.isFile())
    .map((one) => join(one.parentPath, one.name))
    .sort();
}

test('every file has its result, and a bad one does not stop the others', async (t) => {
  const { folder, corrector, out } = await setUp(t);
  const series = join(folder, 'in', 'series');
  await mkdir(series, { recursive: true });
  for (const number of [1, 2, 3]) await writeFile(join(series, `${number}.dcm`), slice(number));
  await writeFile(join(series, 'notes.txt'), 'no DICOM object, and nobody said that it is one'.repeat(9));
  await writeFile(join(series, 'short.dcm'), slice(4).subarray(0, 900));
  await symlink(join(folder, 'in'), join(series, 'loop'));
  const named = join(folder, 'named.txt');
  await writeFile(named, 'named by the caller as if it were an image'.repeat(9));
  const progress: number[] = [];
  const summary = await correctFiles({
    paths: [join(folder, 'in'), named, join(folder, 'missing.dcm'), join(series, '1.dcm')],
    out,
    corrector,
    derivation,
    onProgress: (done, total) => {
      assert.equal(total, 7);
      progress.push(done);
    },
  });
  assert.deepEqual(progress, [1, 2, 3, 4, 5, 6, 7]);
  assert.deepEqual(
    summary.results.map((one) => [one.path.slice(folder.length + 1), one.outcome]),
    [
      ['in/series/1.dcm', 'corrected'],
      ['in/series/2.dcm', 'corrected'],
      ['in/series/3.dcm', 'corrected'],
      ['in/series/notes.txt', 'left-alone'],
      ['in/series/short.dcm', 'failed'],
      ['named.txt', 'failed'],
      ['missing.dcm', 'failed'],
    ],
  );
  const { files, corrected, leftAlone, failed, frames } = summary;
  assert.deepEqual(
    { files, corrected, leftAlone, failed, frames },
    { files: 7, corrected: 3, leftAlone: 1, failed: 3, frames: 3 },
  );
  for (const one of summary.results)
    if (one.outcome !== 'corrected')
      assert.ok(one.reason.length > 0 && !one.reason.includes(one.path), one.reason);
  const outputs = summary.results.flatMap((one) =>
    one.outcome === 'corrected' ? [resolve(one.output)] : [],
  );
  assert.deepEqual(await written(out), outputs.sort());
  for (const path of outputs) {
    const file = await readFile(path);
    verifyWhole(file);
    const header = readHeader(file);
    assert.equal(path, join(out, header.seriesInstanceUid, `${header.sopInstanceUid}.dcm`));
  }
});

test('the same input again writes the same files; own output is not corrected again', async (t) => {
  const { folder, corrector, out } = await setUp(t);
  await writeFile(join(folder, '1.dcm'), slice(1));
  const once = await correctFiles({ paths: [join(folder, '1.dcm')], out, corrector, derivation });
  const [path] = await written(out);
  const bytes = await readFile(path!);
  await cp(out, join(folder, 'copy'), { recursive: true });
  const twice = await correctFiles({ paths: [folder], out, corrector, derivation });
  assert.equal(once.corrected, 1);
  assert.deepEqual(
    { corrected: twice.corrected, leftAlone: twice.leftAlone },
    { corrected: 1, leftAlone: 2 },
  );
  assert.deepEqual(await written(out), [path]);
  assert.ok((await readFile(path!)).equals(bytes));
});

test('two images that carry one SOP Instance UID both get a derived file', async (t) => {
  const { folder, corrector, out } = await setUp(t);
  await writeFile(join(folder, 'a.dcm'), slice(1, 1));
  await writeFile(join(folder, 'b.dcm'), slice(1, 2));
  await writeFile(join(folder, 'copy-of-a.dcm'), slice(1, 1));
  const summary = await correctFiles({ paths: [folder], out, corrector, derivation });
  assert.equal(summary.corrected, 3);
  const files = await written(out);
  assert.equal(files.length, 2);
  assert.ok(files.some((path) => path.endsWith('-2.dcm')));
});

test('nothing to do is no failure', async (t) => {
  const { folder, corrector, out } = await setUp(t);
  await mkdir(join(folder, 'empty'));
  const summary = await correctFiles({ paths: [join(folder, 'empty')], out, corrector, derivation });
  assert.equal(summary.files, 0);
  assert.equal(summary.failed, 0);
});

test('what the model is not made for is flagged, in the result and in the derived object', async (t) => {
  const intended = { modality: 'MR', bodyPart: ['BRAIN'], contrast: 'T1', matrix: [128, 256] };
  const { folder, corrector, out } = await setUp(t, { intended });
  const path = join(folder, 'small.dcm');
  await writeFile(path, slice(1));
  const remarks = /matrix is 48 x 40, the model is made for 128 to 256/;
  const summary = await correctFiles({ paths: [path], out, corrector, derivation });
  assert.equal(summary.flagged, 1);
  const [result] = summary.results;
  assert.ok(result?.outcome === 'corrected');
  assert.match(result.flags.join(), remarks);
  assert.match((await readFile(result.output)).toString('latin1'), remarks);

  const off = { maxResidual: 1, domain: 'off', onFlag: 'deliver' } as const;
  const unchecked = await correctFiles({
    paths: [path],
    out: join(folder, 'off'),
    corrector,
    derivation,
    safeguards: off,
  });
  assert.equal(unchecked.flagged, 0);
});
