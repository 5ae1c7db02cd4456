import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MASK_DILATIONS, maskFigures, measureHeadMasks } from '../../evaluate/head-masks.js';
import type { SampleRecord } from '../../simulation/index.js';

const [rows, columns, radius] = [64, 64, 18];

/** A striped disc on black; `rim` is what lies outside of it. */
function disc(rim: number): Float32Array {
  return Float32Array.from({ length: rows * columns }, (_, at) => {
    const [row, column] = [Math.floor(at / columns) - 32, (at % columns) - 32];
    return Math.hypot(row, column) <= radius ? 100 + 40 * (column % 3) : rim * ((row + column) & 1);
  });
}

const sample = { rows, columns, coverage: 'brain', motion: 'rotation' } as SampleRecord;
const samples = [sample, { ...sample, coverage: 'head' } as SampleRecord];

test('a network that only blanks the rim gains nothing within the head, and more the wider its mask is', async () => {
  const dataset = { samples, read: () => ({ clean: disc(0), corrupted: disc(15) }) };
  const corrector = { correct: async () => [disc(0)] };
  const measured = await measureHeadMasks(dataset as never, corrector, 10);
  const all = maskFigures(measured, 'all')!;
  assert.deepEqual(
    all.map(({ dilation }) => dilation),
    [...MASK_DILATIONS],
  );
  assert.equal(all[0]!.slices, 2);
  const area = (Math.PI * radius ** 2) / (rows * columns);
  assert.ok(Math.abs(all[0]!.share - area) < 0.01, `${all[0]!.share} of ${area}`);
  for (const [at, { headSsimCorrected, headSsimGain, share }] of all.entries()) {
    assert.ok(Math.abs(headSsimCorrected - 1) < 1e-9);
    if (at === 0) continue;
    assert.ok(headSsimGain > all[at - 1]!.headSsimGain + 0.02);
    assert.ok(share > all[at - 1]!.share);
  }
  assert.deepEqual(maskFigures(measured, 'head'), maskFigures(measured.slice(1), 'all'));
  assert.equal(maskFigures(measured.slice(0, 1), 'head'), null);
});

test('slices are spread evenly over the data set', async () => {
  const asked: number[] = [];
  const many = Array.from({ length: 30 }, () => sample);
  const dataset = {
    samples: many,
    read: (place: number) => {
      asked.push(place);
      return { clean: disc(0), corrupted: disc(5) };
    },
  };
  await measureHeadMasks(dataset as never, { correct: async (images) => [...images] }, 3);
  assert.deepEqual(asked, [0, 10, 20]);
});
