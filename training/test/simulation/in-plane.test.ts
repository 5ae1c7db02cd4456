import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { createRandom } from '../../data/index.js';
import { type InPlanePoses, stillPoses } from '../../motion/index.js';
import { acquireSlice, corruptSlice, prepareSlice, reconstruct } from '../../simulation/index.js';

function randomImage(rows: number, columns: number, seed: number): Float32Array {
  const random = createRandom(seed, 'image');
  return Float32Array.from({ length: rows * columns }, () => random.uniform());
}

function constantPoses(lines: number, angle: number, shiftRows: number, shiftColumns: number): InPlanePoses {
  return {
    lines,
    angle: new Float64Array(lines).fill(angle),
    shiftRows: new Float64Array(lines).fill(shiftRows),
    shiftColumns: new Float64Array(lines).fill(shiftColumns),
  };
}

function randomPoses(lines: number, seed: number): InPlanePoses {
  const random = createRandom(seed, 'poses');
  const draw = (size: number) => Float64Array.from({ length: lines }, () => size * random.normal());
  return { lines, angle: draw(0.5), shiftRows: draw(5), shiftColumns: draw(5) };
}

/** The forward model of the paper as it is written, sample by sample. */
function directKspace(
  image: Float32Array,
  rows: number,
  columns: number,
  spacing: [number, number],
  poses: InPlanePoses,
  direction: 'ROW' | 'COL',
): { re: Float64Array; im: Float64Array } {
  const re = new Float64Array(rows * columns);
  const im = new Float64Array(rows * columns);
  for (let u = 0; u < rows; u++) {
    for (let v = 0; v < columns; v++) {
      const line = direction === 'COL' ? u : v;
      const kr = (u - Math.floor(rows / 2)) / (rows * spacing[0]);
      const kc = (v - Math.floor(columns / 2)) / (columns * spacing[1]);
      const cos = Math.cos(poses.angle[line]!);
      const sin = Math.sin(poses.angle[line]!);
      const turnedColumn = cos * kc + sin * kr;
      const turnedRow = -sin * kc + cos * kr;
      let x = 0;
      let y = 0;
      for (let i = 0; i < rows; i++) {
        for (let j = 0; j < columns; j++) {
          const phase =
            -2 *
            Math.PI *
            (turnedRow * (i - Math.floor(rows / 2)) * spacing[0] +
              turnedColumn * (j - Math.floor(columns / 2)) * spacing[1]);
          x += image[i * columns + j]! * Math.cos(phase);
          y += image[i * columns + j]! * Math.sin(phase);
        }
      }
      const moved = -2 * Math.PI * (kr * poses.shiftRows[line]! + kc * poses.shiftColumns[line]!);
      const at =
        ((u - Math.floor(rows / 2) + rows) % rows) * columns +
        ((v - Math.floor(columns / 2) + columns) % columns);
      re[at] = x * Math.cos(moved) - y * Math.sin(moved);
      im[at] = x * Math.sin(moved) + y * Math.cos(moved);
    }
  }
  return { re, im };
}

function relativeError(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let error = 0;
  let power = 0;
  for (let i = 0; i < b.length; i++) {
    error += (a[i]! - b[i]!) ** 2;
    power += b[i]! ** 2;
  }
  return Math.sqrt(error / power);
}

test('the NuFFT agrees with the direct sum to 1e-6 relative, for odd and non-square matrices and both directions', () => {
  for (const [rows, columns] of [
    [24, 24],
    [21, 30],
    [32, 17],
  ] as const) {
    for (const direction of ['ROW', 'COL'] as const) {
      const image = randomImage(rows, columns, rows);
      const poses = randomPoses(direction === 'COL' ? rows : columns, columns);
      const fast = acquireSlice(prepareSlice(image, rows, columns, [1.1, 0.9]), poses, direction);
      const exact = directKspace(image, rows, columns, [1.1, 0.9], poses, direction);
      const error = Math.hypot(relativeError(fast.re, exact.re), relativeError(fast.im, exact.im));
      assert.ok(error < 1e-6, `${rows}x${columns} ${direction}: relative error ${error}`);
    }
  }
});

test('zero motion is the identity', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 8, max: 45 }),
      fc.integer({ min: 8, max: 45 }),
      fc.constantFrom('ROW', 'COL'),
      fc.integer(),
      (rows, columns, direction, seed) => {
        const image = randomImage(rows, columns, seed);
        const lines = direction === 'COL' ? rows : columns;
        const out = corruptSlice(
          prepareSlice(image, rows, columns, [1, 1]),
          stillPoses(lines),
          direction as 'ROW' | 'COL',
        );
        assert.ok(relativeError(out, image) < 1e-6);
      },
    ),
    { numRuns: 30, seed: 1 },
  );
});

test('a constant shift by whole pixels is a circular shift', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 8, max: 40 }),
      fc.integer({ min: 8, max: 40 }),
      fc.integer({ min: -5, max: 5 }),
      fc.integer({ min: -5, max: 5 }),
      fc.constantFrom('ROW', 'COL'),
      (rows, columns, down, right, direction) => {
        const image = randomImage(rows, columns, rows * columns);
        const poses = constantPoses(direction === 'COL' ? rows : columns, 0, down * 2, right * 1.5);
        const out = corruptSlice(
          prepareSlice(image, rows, columns, [2, 1.5]),
          poses,
          direction as 'ROW' | 'COL',
        );
        const shifted = new Float32Array(image.length);
        for (let i = 0; i < rows; i++) {
          for (let j = 0; j < columns; j++) {
            const to = ((i + down + rows) % rows) * columns + ((j + right + columns) % columns);
            shifted[to] = image[i * columns + j]!;
          }
        }
        assert.ok(relativeError(out, shifted) < 1e-6);
      },
    ),
    { numRuns: 30, seed: 2 },
  );
});

test('a constant turn of 90 degrees is exact', () => {
  for (const size of [24, 27]) {
    const image = randomImage(size, size, 5);
    const out = corruptSlice(
      prepareSlice(image, size, size, [1, 1]),
      constantPoses(size, Math.PI / 2, 0, 0),
      'COL',
    );
    const turned = new Float32Array(image.length);
    const centre = Math.floor(size / 2);
    for (let i = 0; i < size; i++) {
      for (let j = 0; j < size; j++) {
        // column' = -row, row' = column, about the centre pixel
        const row = (j - centre + centre + size) % size;
        const column = (centre - (i - centre) + size) % size;
        turned[row * size + column] = image[i * size + j]!;
      }
    }
    assert.ok(relativeError(out, turned) < 1e-6, `${size}`);
  }
});

test('k = 0 is unchanged by rotation', () => {
  const image = randomImage(20, 22, 8);
  const slice = prepareSlice(image, 20, 22, [1, 1]);
  const poses = { ...stillPoses(20), angle: randomPoses(20, 3).angle };
  const turned = acquireSlice(slice, poses, 'COL');
  const sum = image.reduce((total, value) => total + value, 0);
  assert.ok(Math.abs(turned.re[0]! / sum - 1) < 1e-6);
  assert.ok(Math.abs(turned.im[0]! / sum) < 1e-6);
});

test('an energy check: in-plane translation changes phases only', () => {
  const image = randomImage(32, 32, 9);
  const slice = prepareSlice(image, 32, 32, [1, 1]);
  const poses = { ...randomPoses(32, 4), angle: new Float64Array(32) };
  const moved = acquireSlice(slice, poses, 'ROW');
  const still = acquireSlice(slice, stillPoses(32), 'ROW');
  for (let i = 0; i < moved.re.length; i++) {
    const difference = Math.abs(
      Math.hypot(moved.re[i]!, moved.im[i]!) - Math.hypot(still.re[i]!, still.im[i]!),
    );
    assert.ok(difference < 1e-6);
  }
});

test('a motion with another number of lines is refused', () => {
  const slice = prepareSlice(randomImage(16, 20, 1), 16, 20, [1, 1]);
  assert.throws(() => acquireSlice(slice, stillPoses(16), 'ROW'), /20 lines, the motion has 16/);
});

test('reconstruction with noise is deterministic and Rician in the background', () => {
  const rows = 64;
  const slice = prepareSlice(new Float32Array(rows * rows), rows, rows, [1, 1]);
  const random = createRandom(7);
  const noise = {
    re: Float32Array.from({ length: rows * rows }, () => random.normal()),
    im: Float32Array.from({ length: rows * rows }, () => random.normal()),
  };
  const image = reconstruct(acquireSlice(slice, stillPoses(rows), 'COL'), rows, rows, {
    noise,
    deviation: 0.1,
  });
  const mean = image.reduce((sum, value) => sum + value, 0) / image.length;
  assert.ok(Math.abs(mean / (0.1 * Math.sqrt(Math.PI / 2)) - 1) < 0.03, `Rayleigh mean ${mean}`);
});
