import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { createRandom, renderPhantom, writeNifti } from '../../training/data/index.js';
import { type ResultRow, runExperiment, writeReport } from '../../training/evaluate/report/index.js';
import { generateTrace } from '../../training/motion/index.js';
import { ERASED, NOTHING, writeFilterModel } from '../../training/test/evaluate/test-models.js';

const folder = mkdtempSync(join(tmpdir(), 'mcnet-report-'));

/** Three synthetic heads and two traces, one of each set, on disk. */
function writeInputs(): { data: string; motion: string } {
  const data = join(folder, 't1');
  const motion = join(folder, 'motion');
  mkdirSync(data);
  mkdirSync(motion);
  for (let i = 0; i < 3; i++) {
    const size = { slices: 30, rows: 48, columns: 48, spacing: [5.4, 5.2, 5.2] as const };
    writeNifti(
      join(data, `phantom-sub-${i}.nii.gz`),
      renderPhantom({ seed: i, ...size, brainOnly: i === 0 }),
    );
  }
  const header = 'trans_x\ttrans_y\ttrans_z\trot_x\trot_y\trot_z';
  for (const seed of [1, 2]) {
    const trace = generateTrace(createRandom(seed), { pattern: 'mixed' });
    const lines = Array.from({ length: trace.points }, (_, i) =>
      [...trace.parameters.subarray(6 * i, 6 * i + 6)].join('\t'),
    );
    writeFileSync(join(motion, `run-${seed}.tsv`), [header, ...lines].join('\n'));
  }
  writeFileSync(join(motion, 'runs.tsv'), 'run\tset\nrun-1\tpaper\nrun-2\tunseen\n');
  return { data, motion };
}

test('from volumes, traces and models to the report; a second run measures only what is new', async () => {
  const inputs = writeInputs();
  const nothing = { label: 'L1', folder: writeFilterModel(join(folder, 'nothing'), NOTHING) };
  const erased = { label: 'L1+TV-ft', folder: writeFilterModel(join(folder, 'erased'), ERASED) };
  const amounts = { tracesPerSlice: 1, slices: 2, nativeSamples: 1, matchingTraces: 1, threads: 1 };
  const options = { ...inputs, ...amounts, cache: join(folder, 'cache') };
  await runExperiment({ ...options, models: [nothing] });
  let measured = 0;
  const experiment = await runExperiment({
    ...options,
    models: [nothing, erased],
    onProgress: (done) => {
      measured = Math.max(measured, done);
    },
  });
  assert.ok(measured > 0);
  const out = join(folder, 'report');
  const traces = [1, 2].map((seed) => ({
    ...generateTrace(createRandom(seed), { pattern: 'mixed' }),
    name: `run-${seed}`,
  }));
  const written = await writeReport(out, experiment, traces, {
    command: 'the command',
    date: '2026-01-01',
    machine: 'a machine',
    seconds: 1,
  });
  assert.deepEqual(readdirSync(out).sort(), written.toSorted());
  const rows = JSON.parse(readFileSync(join(out, 'results.json'), 'utf8')) as ResultRow[];
  // two models, two protocols, two motions, two sets of traces
  assert.equal(rows.length, 16);
  assert.equal(
    new Set(rows.map((row) => `${row.model} ${row.protocol} ${row.motion} ${row.traces}`)).size,
    16,
  );
  for (const row of rows) {
    assert.equal(row.slices, 2);
    assert.equal(row.factor === 8, row.protocol === 'x8');
    if (row.model === 'L1') {
      assert.equal(row.ssimCorrected, row.ssimCorrupted);
      assert.equal(row.versusCorrupted.ssim.overSlices.t.p, 1);
      assert.ok(row.motionFree.all.leastSsim > 1 - 1e-9);
      assert.equal(row.versusL1, null);
      assert.equal(row.versusL1Ft, null);
    } else {
      assert.ok(row.headSsimCorrected < row.headSsimCorrupted);
      assert.ok(Math.abs(row.versusL1!.ssim.meanDifference - row.ssimGain) < 1e-9);
      assert.ok(row.motionFree.all.ssim < 0.99);
    }
  }
  const report = readFileSync(join(out, 'report.md'), 'utf8');
  const row = rows.find((candidate) => candidate.model === 'L1+TV-ft' && candidate.protocol === 'matched')!;
  assert.ok(report.includes(`${row.ssimCorrected.toFixed(3)} ± ${row.sdCorrected.toFixed(3)}`));
  for (const [, figure] of report.matchAll(/\]\((figure-\d\.png)\)/g)) assert.ok(written.includes(figure!));
  assert.ok(!report.includes(folder), 'no path of this machine');
  let again = 0;
  const same = await runExperiment({
    ...options,
    models: [nothing, erased],
    onProgress: () => {
      again++;
    },
  });
  assert.equal(again, 0);
  assert.deepEqual(same, experiment);
  await assert.rejects(
    runExperiment({ ...options, models: [nothing, { ...erased, label: 'L1' }] }),
    /the same label/,
  );
  rmSync(folder, { recursive: true });
});
