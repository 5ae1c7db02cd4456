import assert from 'node:assert/strict';
import {
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { renderPhantom, writeNifti } from '../../data/index.js';
import { readTraces } from '../../motion/index.js';
import { checkRoom } from '../../reproduce/disk.js';
import { checkInputs, thin } from '../../reproduce/inputs.js';
import { quickPlan } from '../../reproduce/plan.js';
import { syntheticTraces } from '../../reproduce/synthetic.js';

const folder = mkdtempSync(join(tmpdir(), 'mcnet-inputs-'));
after(() => rmSync(folder, { recursive: true }));
const plan = { ...quickPlan(), volumes: { training: 9, validation: 9, test: 9 } };
const motion = syntheticTraces(folder, {
  ...plan,
  synthetic: { ...plan.synthetic, traces: { paper: 3, unseen: 2 } },
});
const heads = [1, 2, 3, 4].map((seed) =>
  renderPhantom({ seed, slices: 24, rows: 32, columns: 32, spacing: [7, 8, 8], brainOnly: seed % 2 === 0 }),
);

function volumes(name: string): string {
  const at = join(folder, name);
  mkdirSync(at);
  for (const head of heads) writeNifti(join(at, `${head.name}.nii`), head);
  return at;
}

const check = (data: string, traces = motion) => checkInputs(data, traces, join(folder, 'cache'), plan);

test('good inputs: every volume is in one part, its coverage known, both sets of traces read', async () => {
  const inputs = await check(volumes('good'));
  const names = Object.values(inputs.volumes).flatMap((part) => part.map((entry) => entry.name));
  assert.deepEqual(names.sort(), ['phantom-1', 'phantom-2', 'phantom-3', 'phantom-4']);
  assert.equal(inputs.coverage.get('phantom-1'), 'head');
  assert.equal(inputs.coverage.get('phantom-2'), 'brain');
  assert.equal(inputs.traces.paper.length, 3);
  assert.equal(inputs.traces.unseen.length, 2);
});

test('folders that are missing or empty, and all bad volumes at once, are named', async () => {
  await assert.rejects(check(join(folder, 'nowhere')), /--data .*nowhere: there is no such folder/);
  const empty = join(folder, 'empty');
  mkdirSync(empty);
  await assert.rejects(check(empty), /empty: no .*volumes/);
  const data = volumes('bad');
  writeFileSync(join(data, 'phantom-2.nii'), 'not a volume');
  writeNifti(join(data, 'phantom-4.nii'), { ...heads[3]!, data: new Float32Array(heads[3]!.data.length) });
  await assert.rejects(check(data), (error: Error) => {
    assert.match(error.message, /phantom-2\.nii/);
    assert.match(error.message, /phantom-4\.nii/);
    return true;
  });
});

test('a leak is found: one volume under two names, a split with a subject twice, a trace in both sets', async () => {
  const data = volumes('twins');
  for (const name of ['a', 'b', 'c', 'd']) {
    copyFileSync(join(data, 'phantom-1.nii'), join(data, `twin-${name}.nii`));
  }
  await assert.rejects(check(data), /are the same volume; results would be worthless/);

  const split = volumes('split');
  const write = (parts: Record<string, string[]>) =>
    writeFileSync(join(split, 'split.json'), JSON.stringify(parts));
  write({
    training: ['phantom-1', 'phantom-2'],
    validation: ['phantom-3'],
    test: ['phantom-1', 'phantom-4'],
  });
  await assert.rejects(check(split), /phantom-1/);
  write({ training: ['phantom-1'], validation: ['phantom-3'], test: ['phantom-4'] });
  await assert.rejects(check(split), /the volume phantom-2 is in no part/);
  write({ training: ['phantom-1', 'phantom-2'], validation: ['phantom-3'], test: ['phantom-4'] });
  const inputs = await check(split);
  assert.deepEqual(
    inputs.volumes.test.map((entry) => entry.name),
    ['phantom-4'],
  );

  const traces = join(folder, 'traces');
  mkdirSync(traces);
  for (const file of readdirSync(motion)) copyFileSync(join(motion, file), join(traces, file));
  copyFileSync(join(traces, 'generated-001.tsv'), join(traces, 'generated-005.tsv'));
  await assert.rejects(
    check(split, traces),
    /generated-001 \(paper\) and generated-005 \(unseen\) are the same/,
  );
});

test('a thinned split keeps both coverages and never moves a volume', () => {
  const entries = ['b1', 'b2', 'b3', 'h1', 'h2', 'b4', 'b5'].map((name) => ({
    name,
    file: name,
    coverage: name.startsWith('h') ? ('head' as const) : ('brain' as const),
  }));
  const split = { training: ['b1', 'b2', 'b3', 'h1', 'h2'], validation: ['b4'], test: ['b5'] };
  const small = thin(split, entries, { training: 3, validation: 2, test: 1 });
  assert.deepEqual(small.training, ['b1', 'b2', 'h1']);
  assert.deepEqual(small.validation, ['b4']);
  assert.deepEqual(small.test, ['b5']);
});

test('generated traces are the same for a seed, and within what a head does in a scanner', () => {
  const again = syntheticTraces(join(folder, 'again'), {
    ...plan,
    synthetic: { ...plan.synthetic, traces: { paper: 3, unseen: 2 } },
  });
  assert.equal(readdirSync(again).length, 6);
  for (const file of readdirSync(again)) {
    assert.deepEqual(readFileSync(join(again, file)), readFileSync(join(motion, file)));
  }
  for (const trace of readTraces(again)) {
    assert.ok(trace.points >= 64);
    assert.ok(trace.parameters.every((value, i) => Math.abs(value) < (i % 6 < 3 ? 10 : 0.2)));
  }
});

test('a disk without room is refused before anything is made, folders on one disk together', () => {
  const need = (cache: number, runs: number) => [
    { option: '--cache', folder: '/a', bytes: cache },
    { option: '--runs', folder: '/b', bytes: runs },
  ];
  const gigabyte = 2 ** 30;
  const oneDisk = () => ({ bytes: 3 * gigabyte, disk: 'x' });
  const twoDisks = (at: string) => ({ bytes: 3 * gigabyte, disk: at });
  checkRoom(need(gigabyte, gigabyte), oneDisk);
  assert.throws(
    () => checkRoom(need(2 * gigabyte, gigabyte), oneDisk),
    /--cache \/a and --runs \/b has 3\.0 GiB free, about 3\.3 GiB are needed/,
  );
  checkRoom(need(2 * gigabyte, gigabyte), twoDisks);
  checkRoom(need(1000, 1000));
  assert.throws(() => checkRoom([{ option: '--cache', folder: tmpdir(), bytes: 1e18 }]), /make room/);
});
