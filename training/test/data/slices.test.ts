import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type SlicePlane, sampleSlice, type Volume } from '../../data/index.js';

/** A volume whose value is a known function of the RAS position, on a turned and anisotropic grid. */
function fieldVolume(field: (x: number, y: number, z: number) => number): Volume {
  const dims = [40, 36, 44] as const;
  const turn = 0.3;
  const c = Math.cos(turn);
  const s = Math.sin(turn);
  // i runs to posterior and slightly left, j down, k to the right
  const affine = [-1.1 * s, 0, 1.2 * c, -20, -1.1 * c, 0, -1.2 * s, 30, 0, -0.9, 0, 15];
  const data = new Float32Array(dims[0] * dims[1] * dims[2]);
  for (let k = 0, at = 0; k < dims[2]; k++) {
    for (let j = 0; j < dims[1]; j++) {
      for (let i = 0; i < dims[0]; i++, at++) {
        const world = [0, 1, 2].map(
          (row) =>
            affine[4 * row]! * i + affine[4 * row + 1]! * j + affine[4 * row + 2]! * k + affine[4 * row + 3]!,
        ) as [number, number, number];
        data[at] = field(...world);
      }
    }
  }
  return { name: 'field', dims, data, affine };
}

test('slices are taken by the affine: rows, columns and normal run as a radiologist expects', () => {
  const volume = fieldVolume((x, y, z) => 500 + 3 * x + 5 * y + 7 * z);
  const centre: [number, number, number] = [0.5, 8, -1];
  const expected: Record<SlicePlane, (position: number, down: number, right: number) => number> = {
    sagittal: (p, d, r) => 500 + 3 * (0.5 - p) + 5 * (8 - r) + 7 * (-1 - d),
    axial: (p, d, r) => 500 + 3 * (0.5 - r) + 5 * (8 - d) + 7 * (-1 - p),
    coronal: (p, d, r) => 500 + 3 * (0.5 - r) + 5 * (8 - p) + 7 * (-1 - d),
  };
  for (const plane of ['sagittal', 'axial', 'coronal'] as const) {
    for (const thickness of [1, 3]) {
      const slice = sampleSlice(
        volume,
        { plane, rows: 9, columns: 8, spacing: [1.3, 0.7], thickness, centre },
        2,
      );
      for (let row = 0; row < 9; row++) {
        for (let column = 0; column < 8; column++) {
          const value = expected[plane](2, (row - 4) * 1.3, (column - 4) * 0.7);
          assert.ok(
            Math.abs(slice.pixels[row * 8 + column]! - value) < 0.01,
            `${plane} ${row} ${column}: ${slice.pixels[row * 8 + column]} instead of ${value}`,
          );
        }
      }
    }
  }
});

test('outside the volume a slice is zero', () => {
  const volume = fieldVolume(() => 100);
  const slice = sampleSlice(
    volume,
    { plane: 'axial', rows: 200, columns: 200, spacing: [1, 1], thickness: 1 },
    0,
  );
  assert.equal(slice.pixels[0], 0);
  assert.equal(slice.pixels[200 * 200 - 1], 0);
  assert.equal(slice.pixels[100 * 200 + 100], 100);
});
