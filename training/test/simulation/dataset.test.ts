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
import { type CatalogueEntry, createRandom, readNifti, renderPhantom, writeNifti } from '../../data/index.js';
import { generateTrace, inPlanePoses, type MotionTrace } from '../../motion/index.js';
import {
  corruptSlice,
  type Dataset,
  makeDataset,
  mixedRecipe,
  openDataset,
  paperRecipe,
  prepareSlice,
  samplesByShape,
  severeRecipe,
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

test('severe slices: none twice, as strong as the paper’s, more of heads', () => {
  const recipe = severeRecipe({
    part: 'training',
    traces: 'paper',
    samplesPerVolume: { brain: 6, head: 30 },
    seed: 5,
  });
  const facts = (['brain', 'head'] as const).map((coverage) => {
    const volume = {
      ...renderPhantom({ seed: 1, ...size, brainOnly: coverage === 'brain' }),
      name: coverage,
    };
    return [...simulateVolume(recipe, volume, coverage, traces)].map((sample) => sample.facts);
  });
  assert.deepEqual(
    facts.map((all) => all.length),
    [6, 30],
  );
  const all = facts.flat();
  assert.equal(new Set(all.map(({ position }) => position)).size, all.length);
  assert.ok(all.every(({ rows, columns }) => rows === 128 && columns === 128));
  const moved = all.filter(({ motion }) => motion !== 'none');
  assert.ok(moved.length > 30);
  assert.ok(moved.every(({ factor }) => Math.abs(factor) >= 12 && Math.abs(factor) <= 27));
  assert.ok(all.filter(({ plane }) => plane === 'sagittal').length > all.length / 2);
});

test('six-degree motion of whole volumes: slices of the moved cube', async () => {
  const recipe = paperRecipe({
    part: 'test',
    traces: 'paper',
    motion: 'rotation+translation',
    factor: 12,
    matrix: 32,
    slices: 3,
    tracesPerSlice: 2,
    rigid: true,
  });
  const volume = { ...renderPhantom({ seed: 1, ...size, brainOnly: false }), name: 'phantom' };
  const samples = (own: readonly MotionTrace[]) => [...simulateVolume(recipe, volume, 'head', own)];
  const all = samples(traces);
  assert.equal(all.length, 6);
  assert.deepEqual(new Set(all.map(({ facts }) => facts.motion)), new Set(['six-degree']));
  assert.equal(new Set(all.map(({ clean }) => clean)).size, 3, 'each slice has all traces');
  assert.deepEqual(
    samples(traces).map(({ corrupted }) => corrupted),
    all.map(({ corrupted }) => corrupted),
  );

  // What moves within the plane alone is what the simulation of single slices makes of it.
  const within = traces.map((trace) => ({
    ...trace,
    parameters: trace.parameters.map((value, i) => ([1, 2, 3].includes(i % 6) ? value : 0)),
  }));
  for (const { clean, corrupted, facts } of samples(within)) {
    const { rows, columns, pixel, direction } = facts;
    const poses = inPlanePoses(within.find(({ name }) => name === facts.trace)!, {
      plane: 'sagittal',
      motion: 'rotation+translation',
      factor: 12,
      lines: 32,
      smoothing: recipe.smoothing,
    });
    const expected = corruptSlice(prepareSlice(clean, rows, columns, [pixel, pixel]), poses, direction);
    const distance = (other: Float32Array) =>
      Math.hypot(...corrupted.map((value, i) => value - other[i]!)) / Math.hypot(...corrupted);
    assert.ok(distance(expected) < 1e-5, `${distance(expected)}`);
    assert.ok(distance(clean) > 0.05, 'the motion is not negligible');
  }
  assert.ok(
    all.some(({ corrupted }, i) =>
      corrupted.some((value, at) => value !== samples(within)[i]!.corrupted[at]),
    ),
    'the other three degrees of freedom do something',
  );
});
