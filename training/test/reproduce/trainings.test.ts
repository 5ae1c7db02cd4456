import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { type Coverage, createRandom } from '../../data/index.js';
import { generateTrace } from '../../motion/index.js';
import { duration, estimateLines } from '../../reproduce/estimate.js';
import { imagesOf } from '../../reproduce/models.js';
import { parseReproduceOptions } from '../../reproduce/options.js';
import { fullPlan, quickPlan } from '../../reproduce/plan.js';
import { sizeOf, trainingSets } from '../../reproduce/sets.js';
import { finishedStage, keyOf, recordStage } from '../../reproduce/stage-record.js';
import { planRuns, secondsTrained } from '../../reproduce/trainings.js';
import { writeCheckpoint } from '../../train/index.js';

const folder = mkdtempSync(join(tmpdir(), 'mcnet-trainings-'));
after(() => rmSync(folder, { recursive: true }));

const file = join(folder, 'volume.nii');
writeFileSync(file, 'a volume');
const entry = (name: string) => ({ name, file, coverage: null });
const inputs = {
  volumes: {
    training: [entry('a'), entry('b')],
    validation: [entry('c')],
    test: [entry('d')],
  },
  traces: {
    paper: [
      { ...generateTrace(createRandom(1), { pattern: 'drift' }), name: 't1' },
      { ...generateTrace(createRandom(2), { pattern: 'nod' }), name: 't2' },
    ],
    unseen: [],
  },
  heads: [entry('phantom-1500')],
  coverage: new Map<string, Coverage>([
    ['a', 'brain'],
    ['b', 'head'],
  ]),
};
const factors = { rotation: 20, 'rotation+translation': 18 };
const runsOf = (plan = fullPlan(), found: typeof factors = factors) =>
  planRuns(plan, trainingSets(plan, inputs, found), folder);

test('the plan holds the paper’s variants and the product’s network', () => {
  const [l1, tv, fine, control, beginning, product] = runsOf();
  assert.deepEqual(l1!.config.network, {
    width: 32,
    levels: 5,
    maximumWidth: 512,
    stem: 'plain',
    residual: true,
  });
  assert.deepEqual(tv!.config.network, l1!.config.network);
  assert.equal(l1!.config.loss.tv, 0);
  assert.equal(tv!.config.loss.tv, 1);
  assert.equal(fine!.config.loss.tv, 1);
  assert.equal(fine!.from, l1);
  assert.equal(control!.from, l1);
  assert.deepEqual(
    { ...control!.config, loss: { ...control!.config.loss, tv: 1 } },
    fine!.config,
    'but for TV the control is trained as the second stage is',
  );
  assert.equal(tv!.from, undefined);
  assert.equal(product!.config.network.width, 16);
  assert.equal(product!.from, beginning);
  assert.deepEqual({ ...beginning!.config.network, stages: 2 }, product!.config.network);
  assert.deepEqual([beginning!.plan.beginning, product!.plan.beginning], [true, undefined]);
  assert.deepEqual(
    product!.sets.training.map(({ recipe, volumes }) => `${recipe.name} ${volumes.map(({ name }) => name)}`),
    ['mixed a,b', 'mixed phantom-1500', 'paper a,b', 'paper a,b', 'severe a,b'],
  );
  assert.equal(l1!.config.epochs, 100);
});

test('a model’s manifest says on which matrices and planes it was trained', () => {
  const [paper, , , , , product] = runsOf();
  const images = (run: typeof paper) => imagesOf(run!.sets.training.map(({ recipe }) => recipe));
  assert.deepEqual(images(paper), { matrix: [128, 128], planes: ['sagittal'] });
  assert.deepEqual(images(product), { matrix: [128, 256], planes: ['axial', 'coronal', 'sagittal'] });
});

test('a run is another one for other data, another seed or another start; more minutes go on with the same', () => {
  const folders = (runs: ReturnType<typeof runsOf>) => runs.map((run) => run.folder);
  const base = runsOf();
  assert.deepEqual(folders(runsOf()), folders(base));
  assert.notEqual(runsOf(fullPlan({ seed: 2 }))[0]!.folder, base[0]!.folder);
  assert.notEqual(runsOf(fullPlan(), { ...factors, rotation: 21 })[0]!.folder, base[0]!.folder);
  const longer = runsOf(fullPlan({ minutes: 60 }));
  assert.equal(longer[0]!.folder, base[0]!.folder);
  assert.notEqual(longer[0]!.key, base[0]!.key);
  // fine-tuning starts from other weights then
  assert.notEqual(longer[2]!.folder, base[2]!.folder);
  const shares = fullPlan().trainings.reduce((sum, training) => sum + training.share, 0);
  assert.equal(shares, 1);
});

test('a checkpoint of another configuration, or a damaged one, is named before anything is trained', () => {
  const run = runsOf(quickPlan())[0]!;
  assert.equal(secondsTrained(run), 0);
  const progress = { epoch: 1, batch: 0, step: 5, seconds: 12 };
  const { config, dataDigest } = run;
  writeCheckpoint(run.checkpoint, { config, dataDigest, progress, variables: new Map() });
  assert.equal(secondsTrained(run), 12);
  const longer = { ...config, epochs: 7, minutes: 3 };
  writeCheckpoint(run.checkpoint, { config: longer, dataDigest, progress, variables: new Map() });
  assert.equal(secondsTrained(run), 12);
  const other = { ...config, network: { ...config.network, width: 64 } };
  writeCheckpoint(run.checkpoint, { config: other, dataDigest, progress, variables: new Map() });
  assert.throws(() => secondsTrained(run), /checkpoint\.bin is of another configuration/);
  writeCheckpoint(run.checkpoint, { config, dataDigest: 'other', progress, variables: new Map() });
  assert.throws(() => secondsTrained(run), /other data than paper-l1/);
  writeFileSync(run.checkpoint, 'half');
  assert.throws(() => secondsTrained(run), /not a checkpoint.*remove it to train paper-l1/);
});

test('a stage is finished for its key only, and only while its files are as it left them', () => {
  const output = join(folder, 'output');
  writeFileSync(output, 'weights');
  const stages = join(folder, 'stages');
  const key = keyOf('a', 1);
  assert.equal(finishedStage(stages, 'train', key), undefined);
  recordStage(stages, 'train', key, [output], 3);
  assert.equal(finishedStage(stages, 'train', key)?.seconds, 3);
  assert.equal(finishedStage(stages, 'train', keyOf('a', 2)), undefined);
  writeFileSync(output, 'weightz');
  assert.equal(finishedStage(stages, 'train', key), undefined);
  rmSync(output);
  assert.equal(finishedStage(stages, 'train', key), undefined);
  writeFileSync(join(stages, 'train.json'), '{"key":');
  assert.equal(finishedStage(stages, 'train', key), undefined);
});

test('sizes of data sets: the paper’s slices by count, native matrices by their pixels', () => {
  const sets = trainingSets(fullPlan(), inputs, factors);
  const { coverage } = inputs;
  const stack = sizeOf(sets.paper.training[0]!, coverage);
  assert.equal(stack.slices, 2 * 10 * 2);
  assert.equal(stack.slicesAt128, stack.slices);
  assert.ok(stack.bytes >= 2 * 128 * 128 * (40 + 20));
  const mixed = sizeOf(sets.product.training[0]!, coverage);
  assert.equal(mixed.slices, 100 + 400);
  assert.ok(mixed.slicesAt128 > 1.5 * mixed.slices && mixed.slicesAt128 < 2.5 * mixed.slices);
});

test('times are said as people say them', () => {
  assert.deepEqual([3, 100, 3600, 12_000, 300_000].map(duration), [
    '3 s',
    '2 min',
    '60 min',
    '3 h 20 min',
    '3 d 11 h',
  ]);
  const lines = estimateLines([
    { stage: 'slices', work: '10 slices', seconds: 30 },
    { stage: 'training', work: '1 epoch', seconds: 90 },
  ]);
  assert.match(lines[2]!, /together\s+2 min\s+until about/);
});

test('the command line: folders from where npm was called, and no place of this machine in the report', () => {
  const options = parseReproduceOptions(
    ['--data', 't1', '--motion', '/m', '--quick', '--minutes', '3'],
    '/u',
  );
  assert.equal(options.data, '/u/t1');
  assert.equal(options.motion, '/m');
  assert.equal(options.plan.name, 'quick');
  assert.equal(options.plan.minutes, 3);
  assert.equal(
    options.command,
    'npm run reproduce -w training -- --data DIR --motion DIR --quick --minutes 3',
  );
  assert.equal(parseReproduceOptions([], '/u').data, undefined);
});
