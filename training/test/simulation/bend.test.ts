import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createRandom, headMask, maskArea, renderPhantom, sampleSlice } from '../../data/index.js';
import { randomBend } from '../../simulation/index.js';

const head = renderPhantom({ seed: 3, slices: 60, rows: 80, columns: 80, spacing: [3, 3, 3] });
const geometry = { plane: 'sagittal', rows: 64, columns: 64, spacing: [4, 4], thickness: 3 } as const;
const still = sampleSlice(head, geometry, 6).pixels;

test('a bend of no strength leaves the slice where it is', () => {
  const bend = randomBend({ turn: 0, stretch: 0, wave: 0 }, createRandom(1));
  assert.deepEqual(sampleSlice(head, { ...geometry, bend }, 6).pixels, still);
});

test('a slice that is displaced as a whole is the slice from there', () => {
  const bend = () => [9, 0, 0] as const;
  assert.deepEqual(
    sampleSlice(head, { ...geometry, bend }, 6).pixels,
    sampleSlice(head, geometry, 15).pixels,
  );
  const down = sampleSlice(head, { ...geometry, bend: () => [0, 8, 4] as const }, 6).pixels;
  for (let row = 0; row < 62; row++) {
    for (let column = 0; column < 63; column++) {
      assert.equal(down[64 * row + column], still[64 * (row + 2) + column + 1]);
    }
  }
});

test('bent heads differ from each other, are still heads, and are the seed’s alone', () => {
  const area = maskArea(headMask(still, 64, 64));
  const slices = Array.from({ length: 12 }, (_, seed) => {
    const bend = randomBend({ turn: 5, stretch: 0.06, wave: 2.5 }, createRandom(seed));
    return sampleSlice(head, { ...geometry, bend }, 6).pixels;
  });
  for (const [i, pixels] of slices.entries()) {
    const ratio = maskArea(headMask(pixels, 64, 64)) / area;
    assert.ok(ratio > 0.7 && ratio < 1.4, `${ratio} of the head’s area`);
    for (const other of slices.slice(0, i)) assert.notDeepEqual(pixels, other);
  }
  const again = randomBend({ turn: 5, stretch: 0.06, wave: 2.5 }, createRandom(4));
  assert.deepEqual(sampleSlice(head, { ...geometry, bend: again }, 6).pixels, slices[4]);
});

test('no displacement is far from what was asked for', () => {
  let sum = 0;
  let count = 0;
  for (let seed = 0; seed < 200; seed++) {
    const bend = randomBend({ turn: 0, stretch: 0, wave: 2 }, createRandom(seed));
    for (const [down, across] of [
      [0, 0],
      [60, -40],
    ] as const) {
      for (const mm of bend(down, across)) {
        sum += mm * mm;
        count++;
      }
    }
  }
  const deviation = Math.sqrt(sum / count);
  assert.ok(Math.abs(deviation - 2) < 0.3, `${deviation} mm`);
});
