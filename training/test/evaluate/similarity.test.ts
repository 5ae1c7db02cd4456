import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { createRandom } from '../../data/index.js';
import {
  compareSlice,
  meanAbsoluteError,
  nmse,
  prepareReference,
  psnr,
  ssimMap,
  totalVariation,
} from '../../evaluate/index.js';

/**
 * SSIM as Wang et al. 2004 write it (equations 13 to 16): for each pixel the weighted mean, variance and covariance about those
 * means over a two-dimensional 11 × 11 window; borders mirrored with the border pixel repeated.
 */
function directSsim(
  x: Float32Array,
  y: Float32Array,
  rows: number,
  columns: number,
  range = 1,
): Float64Array {
  const window: number[] = [];
  for (let a = -5; a <= 5; a++) {
    for (let b = -5; b <= 5; b++) window.push(Math.exp(-(a * a + b * b) / (2 * 1.5 ** 2)));
  }
  const total = window.reduce((sum, weight) => sum + weight, 0);
  const mirrored = (i: number, n: number): number => {
    const within = ((i % (2 * n)) + 2 * n) % (2 * n);
    return within < n ? within : 2 * n - 1 - within;
  };
  const out = new Float64Array(rows * columns);
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) {
      const px: number[] = [];
      const py: number[] = [];
      for (let a = -5; a <= 5; a++) {
        for (let b = -5; b <= 5; b++) {
          const at = mirrored(row + a, rows) * columns + mirrored(column + b, columns);
          px.push(x[at]!);
          py.push(y[at]!);
        }
      }
      const mean = (values: number[]): number =>
        values.reduce((sum, value, i) => sum + (window[i]! / total) * value, 0);
      const mx = mean(px);
      const my = mean(py);
      const vx = mean(px.map((value) => (value - mx) ** 2));
      const vy = mean(py.map((value) => (value - my) ** 2));
      const cov = mean(px.map((value, i) => (value - mx) * (py[i]! - my)));
      const c1 = (0.01 * range) ** 2;
      const c2 = (0.03 * range) ** 2;
      const luminance = (2 * mx * my + c1) / (mx * mx + my * my + c1);
      const structure = (2 * cov + c2) / (vx + vy + c2);
      out[row * columns + column] = luminance * structure;
    }
  }
  return out;
}

function randomPair(rows: number, columns: number, seed: number, size = 1): [Float32Array, Float32Array] {
  const random = createRandom(seed, rows, columns);
  const y = Float32Array.from({ length: rows * columns }, (_, i) =>
    Math.max(0, size * (0.5 + 0.4 * Math.sin(i / 7) + 0.2 * random.normal())),
  );
  const x = y.map((value) => Math.max(0, value + size * 0.15 * random.normal()));
  return [x, y];
}

test('SSIM agrees with the direct two-dimensional windows, borders and small images included', () => {
  for (const [rows, columns, range] of [
    [24, 31, 1],
    [11, 11, 1],
    [7, 16, 1],
    [20, 20, 255],
  ] as const) {
    const [x, y] = randomPair(rows, columns, 3, range);
    const fast = ssimMap(x, y, rows, columns, { dataRange: range });
    const exact = directSsim(x, y, rows, columns, range);
    fast.forEach((value, i) => {
      assert.ok(Math.abs(value - exact[i]!) < 1e-9, `${rows}x${columns} at ${i}: ${value}, ${exact[i]}`);
    });
  }
});

test('SSIM is 1 for equal images, symmetric, and at most 1', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 6, max: 20 }),
      fc.integer({ min: 6, max: 20 }),
      fc.nat(),
      (rows, columns, seed) => {
        const [x, y] = randomPair(rows, columns, seed);
        const forth = ssimMap(x, y, rows, columns);
        const back = ssimMap(y, x, rows, columns);
        forth.forEach((value, i) => {
          assert.ok(value <= 1 + 1e-9 && Math.abs(value - back[i]!) < 1e-12);
        });
        for (const value of ssimMap(x, x, rows, columns)) assert.ok(Math.abs(value - 1) < 1e-9);
      },
    ),
    { numRuns: 25, seed: 1 },
  );
});

test('PSNR and NMSE of known errors', () => {
  const y = Float32Array.of(1, 2, 2, 0);
  const x = Float32Array.of(1, 2, 1.5, 0.5);
  assert.ok(Math.abs(nmse(x, y) - 0.5 / 9) < 1e-12);
  assert.ok(Math.abs(psnr(x, y, 2) - 10 * Math.log10(4 / 0.125)) < 1e-9);
  assert.equal(psnr(y, y), Number.POSITIVE_INFINITY);
});

test("the terms of the paper's loss of a known residual", () => {
  const clean = Float32Array.from({ length: 12 }, (_, i) => i);
  const image = Float32Array.from(clean);
  image[5]! += 3;
  assert.ok(Math.abs(meanAbsoluteError(image, clean) - 0.25) < 1e-12);
  // 3 × 4: the changed pixel (1, 1) is the neighbour of (0, 1) below, of (1, 0) beside, and itself the start of two
  const expected = 9 ** 1.25 + 9 ** 1.25 + 18 ** 1.25;
  assert.ok(Math.abs(totalVariation(image, clean, 3, 4) - expected) < 1e-9);
  assert.equal(totalVariation(clean, clean, 3, 4), 0);
});

test('figures of a slice do not depend on its units, and the head is judged apart from the background', () => {
  const rows = 64;
  const columns = 48;
  const random = createRandom(5);
  const clean = new Float32Array(rows * columns);
  for (let row = 20; row < 44; row++) {
    for (let column = 14; column < 34; column++) clean[row * columns + column] = 1 + 0.3 * random.uniform();
  }
  // faint ghosts in the background, down to a row above the head, which begins in row 20
  const ghostsTo = (end: number) =>
    clean.map((value, i) => value + (Math.floor(i / columns) < end ? 0.05 * random.uniform() : 0));
  const ghosted = ghostsTo(8);
  const figures = compareSlice(ghosted, prepareReference(clean, rows, columns));
  assert.ok(figures.ssim < 0.95, `whole slice ${figures.ssim}`);
  assert.ok(figures.headSsim > 0.9999, `head ${figures.headSsim}`);
  // nearer ghosts lie in the windows of the rim, which the tight mask has less of
  const nearer = compareSlice(ghostsTo(15), prepareReference(clean, rows, columns));
  assert.ok(nearer.headSsim < 0.995, `head ${nearer.headSsim}`);
  assert.ok(1 - nearer.tightHeadSsim < (1 - nearer.headSsim) / 2, `tight head ${nearer.tightHeadSsim}`);
  const scaled = compareSlice(
    ghosted.map((value) => 512 * value),
    prepareReference(
      clean.map((value) => 512 * value),
      rows,
      columns,
    ),
  );
  for (const key of ['ssim', 'headSsim', 'tightHeadSsim', 'psnr', 'nmse'] as const) {
    assert.ok(Math.abs(figures[key] - scaled[key]) < 1e-5 * (1 + Math.abs(figures[key])));
  }
  assert.throws(() => prepareReference(new Float32Array(16), 4, 4), /no signal/);
  assert.throws(() => ssimMap(clean, clean, 3, 3), /SSIM of 3 x 3/);
});
