import assert from 'node:assert/strict';
import {
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { before, test } from 'node:test';
import { type CatalogueEntry, createRandom, renderPhantom, writeNifti } from '../../data/index.js';
import { generateTrace, type MotionTrace } from '../../motion/index.js';
import {
  type Dataset,
  makeDataset,
  mixedRecipe,
  openDataset,
  paperRecipe,
  samplesByShape,
  simulateVolume,
} from '../../simulation/index.js';

const folder = mkdtempSync(join(tmpdir(), 'mcnet-dataset-'));
const size = { slices: 40, rows: 64, columns: 64, spacing: [4, 3.9, 3.9] as const };
let volumes: CatalogueEntry[] = [];
const traces: MotionTrace[] = [1, 2, 3].map((seed) => ({
  ...generateTrace(createRandom(seed), { pattern: 'mixed' }),
  name: `trace-${seed}`,
}));
const mixed = mixedRecipe({
  part: 'training',
  traces: 'paper',
  samplesPerVolume: 4,
  shapes: [
    { rows: 128, columns: 128, weight: 1 },
    { rows: 144, columns: 128, weight: 1 },
  ],
});

before(() => {
  volumes = [false, true].map((brainOnly, i) => {
    const name = `phantom-sub-${i}`;
    const file = join(folder, `${name}.nii.gz`);
    writeNifti(file, renderPhantom({ seed: i + 1, ...size, brainOnly }));
    return { name, file, coverage: brainOnly ? 'brain' : 'head' } as const;
  });
});

function contents(dataset: Dataset): string[] {
  return readdirSync(dataset.folder)
    .sort()
    .map((file) => `${file} ${readFileSync(join(dataset.folder, file)).toString('base64')}`);
}

test('the same recipe gives the same bytes with any number of workers', async () => {
  const one = await makeDataset({ recipe: mixed, volumes, traces, cache: join(folder, 'one'), workers: 1 });
  const two = await makeDataset({ recipe: mixed, volumes, traces, cache: join(folder, 'two'), workers: 2 });
  assert.equal(one.samples.length, 16 + 4);
  assert.deepEqual(contents(one), contents(two));
  const other = await makeDataset({
    recipe: { ...mixed, seed: 2 },
    volumes,
    traces,
    cache: join(folder, 'two'),
    workers: 2,
  });
  assert.notEqual(other.digest, one.digest);
  let count = 0;
  for (const [shape, list] of samplesByShape(one)) {
    for (const i of list) {
      const { clean, corrupted } = one.read(i);
      const sample = one.samples[i]!;
      assert.equal(`${sample.rows}x${sample.columns}`, shape);
      assert.equal(clean.length, sample.rows * sample.columns);
      if (sample.motion === 'none') assert.deepEqual(corrupted, clean);
      else assert.notDeepEqual(corrupted, clean);
      count++;
    }
  }
  assert.equal(count, one.samples.length);
  one.close();
  two.close();
  other.close();
});

test('stored images are those simulated, to 16 bits', async () => {
  const recipe = paperRecipe({
    part: 'test',
    traces: 'paper',
    motion: 'rotation+translation',
    factor: 8,
    tracesPerSlice: 2,
    slices: 3,
    matrix: 48,
  });
  const dataset = await makeDataset({ recipe, volumes, traces, cache: join(folder, 'stack'), workers: 2 });
  assert.equal(dataset.samples.length, 2 * 3 * 2);
  const { readNifti } = await import('../../data/index.js');
  const made = [...simulateVolume(recipe, readNifti(volumes[0]!.file), 'head', traces)];
  made.forEach((sample, i) => {
    const { clean, corrupted } = dataset.read(i);
    const step = dataset.samples[i]!.corruptedUnit;
    assert.equal(dataset.samples[i]!.trace, sample.facts.trace);
    sample.corrupted.forEach((value, at) => {
      assert.ok(Math.abs(value - corrupted[at]!) <= 0.51 * step);
    });
    assert.ok(Math.abs(sample.clean[1000]! - clean[1000]!) <= 0.51 * dataset.samples[i]!.cleanUnit);
  });
  // two traces of a slice share its clean image on disk
  assert.equal(dataset.samples[0]!.cleanOffset, dataset.samples[1]!.cleanOffset);
  dataset.close();
});

test('an interrupted data set is completed, a damaged one is refused', async () => {
  const cache = join(folder, 'resume');
  const whole = await makeDataset({ recipe: mixed, volumes, traces, cache, workers: 2 });
  whole.close();
  const expected = contents(whole);
  unlinkSync(join(whole.folder, 'index.json'));
  unlinkSync(join(whole.folder, 'shard-0001.json'));
  writeFileSync(join(whole.folder, 'shard-0001.bin'), 'half');
  assert.throws(() => openDataset(whole.folder), /not a finished data set/);
  const steps: number[] = [];
  const again = await makeDataset({
    recipe: mixed,
    volumes,
    traces,
    cache,
    workers: 2,
    onProgress: (done) => steps.push(done),
  });
  assert.deepEqual(steps, [1, 2]);
  assert.deepEqual(contents(again), expected);
  again.close();
  truncateSync(join(whole.folder, 'shard-0000.bin'), 10);
  assert.throws(() => openDataset(whole.folder), /shard-0000\.bin: missing or not whole/);
});

test('a volume that cannot be used stops the simulation by name and leaves no shard behind', async () => {
  const file = join(folder, 'broken.nii');
  writeFileSync(file, 'no volume');
  const cache = join(folder, 'broken');
  await assert.rejects(
    makeDataset({
      recipe: mixed,
      volumes: [{ name: 'broken', file, coverage: null }],
      traces,
      cache,
      workers: 1,
    }),
    /broken\.nii: not a NIfTI file/,
  );
  const left = readdirSync(join(cache, readdirSync(cache)[0]!));
  assert.deepEqual(left, []);
  assert.ok(existsSync(cache));
  rmSync(folder, { recursive: true });
});
