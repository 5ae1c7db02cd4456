import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { createRandom, renderPhantom, writeNifti } from '../../data/index.js';
import { matchFactor, searchFactor } from '../../evaluate/index.js';
import { generateTrace } from '../../motion/index.js';

test('the factor is found in a few trials on a curve like the measured one', async () => {
  for (const target of [0.574, 0.715, 0.9]) {
    const meanAt = async (factor: number): Promise<number> => 0.4 + 0.6 * Math.exp(-((factor / 22) ** 0.8));
    const trials = await searchFactor(meanAt, target, { low: 2, high: 80, tolerance: 0.0005 });
    const { factor, ssim } = trials.at(-1)!;
    assert.ok(Math.abs(ssim - target) <= 0.0005);
    assert.ok(Math.abs(factor - 22 * (-Math.log((target - 0.4) / 0.6)) ** 1.25) < 0.1);
    assert.ok(trials.length <= 9, `${trials.length} trials`);
  }
});

test('a target that no factor reaches is said to be so', async () => {
  await assert.rejects(
    searchFactor(async () => 0.95, 0.7),
    /no factor between 4 and 960 brings the mean SSIM to 0\.7/,
  );
});

test('traces much milder or harsher than the measured ones are met beyond the first range', async () => {
  for (const [strength, expected] of [
    [0.05, 440],
    [20, 1.1],
  ] as const) {
    const meanAt = async (factor: number): Promise<number> =>
      0.4 + 0.6 * Math.exp(-((strength * factor) / 22));
    const trials = await searchFactor(meanAt, 0.4 + 0.6 * Math.exp(-1));
    assert.ok(Math.abs(trials.at(-1)!.factor / expected - 1) < 0.01, `${trials.at(-1)!.factor}`);
  }
});

test('on volumes: the mean is met, the answer is the same each time, and nothing else is left in the cache', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'mcnet-match-'));
  const file = join(folder, 'phantom-sub-1.nii.gz');
  writeNifti(file, renderPhantom({ seed: 3, slices: 40, rows: 64, columns: 64, spacing: [4, 3.9, 3.9] }));
  const options = {
    motion: 'rotation+translation' as const,
    target: 0.7,
    volumes: [{ name: 'phantom-sub-1', file, coverage: 'head' as const }],
    traces: [1, 2].map((seed) => ({
      ...generateTrace(createRandom(seed), { pattern: 'mixed' }),
      name: `trace-${seed}`,
    })),
    tracesPerSlice: 1,
    slices: 2,
    workers: 1,
    search: { low: 4, high: 14, tolerance: 0.03 },
  };
  const first = await matchFactor({ ...options, cache: join(folder, 'a') });
  assert.ok(Math.abs(first.ssim - 0.7) <= 0.03);
  assert.ok(first.slices === 2);
  let trials = 0;
  const again = await matchFactor({ ...options, cache: join(folder, 'a'), onTrial: () => trials++ });
  assert.equal(trials, 0);
  assert.deepEqual(again, first);
  assert.deepEqual(await matchFactor({ ...options, cache: join(folder, 'b') }), first);
  assert.equal(readdirSync(join(folder, 'a')).length, 1);
  rmSync(folder, { recursive: true });
});
