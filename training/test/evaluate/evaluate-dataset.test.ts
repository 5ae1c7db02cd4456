import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, unlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { createRandom, renderPhantom, writeNifti } from '../../data/index.js';
import {
  compareSlice,
  evaluateDataset,
  openCorrector,
  prepareReference,
  readModelFolder,
  summarise,
} from '../../evaluate/index.js';
import { generateTrace } from '../../motion/index.js';
import { type Dataset, makeDataset, paperRecipe } from '../../simulation/index.js';
import { DARKER, NOTHING, SHIFTED, writeFilterModel } from './test-models.js';

const folder = mkdtempSync(join(tmpdir(), 'mcnet-evaluate-'));
const nothing = writeFilterModel(join(folder, 'nothing'), NOTHING, 'nothing');
const darker = writeFilterModel(join(folder, 'darker'), DARKER, 'darker');
const shifted = writeFilterModel(join(folder, 'shifted'), SHIFTED, 'shifted');
let dataset: Dataset;

before(async () => {
  const volumes = [false, true].map((brainOnly, i) => {
    const name = `phantom-sub-${i}`;
    const file = join(folder, `${name}.nii.gz`);
    const size = { slices: 40, rows: 64, columns: 64, spacing: [4, 3.9, 3.9] as const };
    writeNifti(file, renderPhantom({ seed: i + 1, ...size, brainOnly }));
    return { name, file, coverage: brainOnly ? 'brain' : 'head' } as const;
  });
  const traces = [1, 2, 3].map((seed) => ({
    ...generateTrace(createRandom(seed), { pattern: 'mixed' }),
    name: `trace-${seed}`,
  }));
  const recipe = paperRecipe({
    part: 'test',
    traces: 'unseen',
    motion: 'rotation+translation',
    factor: 8,
    slices: 2,
    matrix: 72,
  });
  dataset = await makeDataset({ recipe, volumes, traces, cache: join(folder, 'cache'), workers: 1 });
});

after(() => {
  dataset.close();
  rmSync(folder, { recursive: true });
});

function randomSlice(rows: number, columns: number): Float32Array {
  const random = createRandom(rows, columns);
  return Float32Array.from({ length: rows * columns }, () => 300 * random.uniform());
}

test('a residual is scaled back to the units of the slice, for sizes that need padding', async () => {
  const corrector = await openCorrector(readModelFolder(darker));
  const slices = [randomSlice(45, 38), randomSlice(45, 38).map((value) => 7 * value)];
  const corrected = await corrector.correct(slices, 45, 38);
  slices.forEach((slice, i) => {
    slice.forEach((value, at) => {
      assert.ok(Math.abs(corrected[i]![at]! - 0.75 * value) < 1e-5 * (1 + value));
    });
  });
  await corrector.close();
});

test('the residual lands on the pixels that it belongs to', async () => {
  const corrector = await openCorrector(readModelFolder(shifted));
  const slice = randomSlice(45, 38);
  const [corrected] = await corrector.correct([slice], 45, 38);
  for (let row = 1; row < 45; row++) {
    for (let column = 1; column < 38; column++) {
      const expected = slice[(row - 1) * 38 + column - 1]!;
      assert.ok(Math.abs(corrected![row * 38 + column]! - expected) < 1e-3);
    }
  }
  await corrector.close();
});

test('every slice has its figures, whatever the number of threads and the size of batches', async () => {
  const models = [nothing, darker];
  const one = await evaluateDataset({ models, dataset: dataset.folder, threads: 1, batch: 5 });
  const two = await evaluateDataset({ models, dataset: dataset.folder, threads: 2, batch: 2 });
  assert.deepEqual(one.rows, two.rows);
  assert.equal(one.rows.length, 2 * 2 * 3);
  one.rows.forEach((row, i) => {
    const { clean, corrupted } = dataset.read(i);
    const reference = prepareReference(clean, 72, 72);
    assert.deepEqual(row.corrupted, compareSlice(corrupted, reference));
    assert.deepEqual(row.corrected[0], row.corrupted);
    const expected = compareSlice(
      corrupted.map((value) => 0.75 * value),
      reference,
    );
    assert.ok(Math.abs(row.corrected[1]!.ssim - expected.ssim) < 1e-5);
    assert.ok(Math.abs(row.corrected[1]!.nmse - expected.nmse) < 1e-5);
    assert.equal(row.subject, dataset.samples[i]!.volume);
    assert.equal(row.rotation, dataset.samples[i]!.rotationDeviation);
    assert.equal(row.translation, dataset.samples[i]!.translationDeviation);
  });
});

test('the summary is of the group asked for', async () => {
  const { rows } = await evaluateDataset({ models: [darker], dataset: dataset.folder, threads: 1 });
  const heads = rows.filter((row) => row.coverage === 'head');
  assert.equal(heads.length, 6);
  const mean = heads.reduce((sum, row) => sum + row.corrected[0]!.headSsim, 0) / 6;
  const summary = summarise(rows, 'head', 0);
  assert.equal(summary.slices, 6);
  assert.ok(Math.abs(summary.corrected.headSsim.mean - mean) < 1e-12);
  assert.equal(summarise(rows, 'all', 0).slices, 12);
  assert.deepEqual(summarise(rows, 'brain').corrected, summarise(rows, 'brain').corrupted);
});

test('motion-free slices are each shown once to a model, which may leave them alone or not', async () => {
  const { rows } = await evaluateDataset({
    models: [nothing, darker],
    dataset: dataset.folder,
    input: 'clean',
    threads: 1,
  });
  assert.equal(rows.length, 2 * 2);
  for (const row of rows) {
    assert.equal(row.motion, 'none');
    assert.ok(Math.abs(row.corrected[0]!.ssim - 1) < 1e-9);
    assert.equal(row.corrected[0]!.nmse, 0);
    assert.ok(row.corrected[1]!.ssim < 0.99);
    assert.ok(Math.abs(row.corrected[1]!.nmse - 0.0625) < 1e-5);
  }
});

test('a limit thins the slices evenly', async () => {
  const { rows } = await evaluateDataset({ models: [], dataset: dataset.folder, limit: 4, threads: 1 });
  assert.deepEqual(
    rows.map((row) => row.sample),
    [0, 3, 6, 9],
  );
});

test('a model that cannot be used is named', async () => {
  const empty = join(folder, 'empty');
  assert.throws(() => readModelFolder(empty), /empty\/model\.json: no model manifest/);
  const broken = writeFilterModel(join(folder, 'broken'), NOTHING);
  const run = { dataset: dataset.folder, threads: 2 };
  writeFileSync(join(broken, 'model.onnx'), 'not a model');
  await assert.rejects(
    evaluateDataset({ ...run, models: [broken] }),
    /its SHA-256 is .* export the model again/,
  );
  const manifest = readFileSync(join(broken, 'model.json'), 'utf8');
  writeFileSync(join(broken, 'model.json'), manifest.replace(/"sha256":"[0-9a-f]+",/, ''));
  await assert.rejects(evaluateDataset({ ...run, models: [broken] }), /ONNX Runtime cannot load it/);
  unlinkSync(join(broken, 'model.onnx'));
  await assert.rejects(evaluateDataset({ ...run, models: [broken] }), /broken\/model\.onnx: cannot be read/);
  writeFileSync(join(broken, 'model.json'), '{"name": "x"}');
  await assert.rejects(evaluateDataset({ ...run, models: [broken] }), /broken\/model\.json: not a manifest/);
  await assert.rejects(evaluateDataset({ models: [], dataset: folder }), /not a finished data set/);
});
