import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { createRandom, type Volume } from '../../data/index.js';
import {
  generateTrace,
  inPlanePoses,
  type RigidPose,
  rigidPoses,
  rotationMatrix,
  type Vector3,
} from '../../motion/index.js';
import {
  acquireVolume,
  corruptSlice,
  corruptVolume,
  type Grid3d,
  posesAlongAxes,
  prepareSlice,
  reconstructVolume,
  type VoxelAxis,
} from '../../simulation/index.js';

type Dims = readonly [number, number, number];

function randomGrid(dims: Dims, seed: number, spacing: Dims = [1.1, 0.9, 1.3]): Grid3d {
  const random = createRandom(seed, 'volume');
  const data = Float32Array.from({ length: dims[0] * dims[1] * dims[2] }, () => random.uniform());
  return { dims, spacing, data };
}

function randomPoses(count: number, seed: number): RigidPose[] {
  const random = createRandom(seed, 'poses');
  return Array.from({ length: count }, () => ({
    rotation: rotationMatrix(0.4 * random.normal(), 0.4 * random.normal(), 0.4 * random.normal()),
    translation: [3 * random.normal(), 3 * random.normal(), 3 * random.normal()] as Vector3,
  }));
}

const still = (count: number): RigidPose[] =>
  Array.from({ length: count }, () => ({ rotation: rotationMatrix(0, 0, 0), translation: [0, 0, 0] }));

/** The forward model as it is written, sample by sample. */
function directKspace(grid: Grid3d, poses: readonly RigidPose[], outerAxis: VoxelAxis) {
  const { dims, spacing, data } = grid;
  const [nx, ny, nz] = dims;
  const re = new Float64Array(data.length);
  const im = new Float64Array(data.length);
  const centred = (i: number, n: number): number => i - Math.floor(n / 2);
  for (let w = 0; w < nz; w++) {
    for (let v = 0; v < ny; v++) {
      for (let u = 0; u < nx; u++) {
        const { rotation: r, translation: t } = poses[[u, v, w][outerAxis]!]!;
        const k = [
          centred(u, nx) / (nx * spacing[0]),
          centred(v, ny) / (ny * spacing[1]),
          centred(w, nz) / (nz * spacing[2]),
        ] as const;
        const turned = [0, 1, 2].map((i) => r[i]! * k[0] + r[3 + i]! * k[1] + r[6 + i]! * k[2]);
        let x = 0;
        let y = 0;
        for (let l = 0; l < nz; l++) {
          for (let j = 0; j < ny; j++) {
            for (let i = 0; i < nx; i++) {
              const phase =
                -2 *
                Math.PI *
                (turned[0]! * centred(i, nx) * spacing[0] +
                  turned[1]! * centred(j, ny) * spacing[1] +
                  turned[2]! * centred(l, nz) * spacing[2]);
              const value = data[(l * ny + j) * nx + i]!;
              x += value * Math.cos(phase);
              y += value * Math.sin(phase);
            }
          }
        }
        const moved = -2 * Math.PI * (k[0] * t[0] + k[1] * t[1] + k[2] * t[2]);
        const at =
          (((centred(w, nz) + nz) % nz) * ny + ((centred(v, ny) + ny) % ny)) * nx +
          ((centred(u, nx) + nx) % nx);
        re[at] = x * Math.cos(moved) - y * Math.sin(moved);
        im[at] = x * Math.sin(moved) + y * Math.cos(moved);
      }
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

test('the 3D NuFFT agrees with the direct sum to 1e-6 relative, for odd and unequal dimensions and every outer axis', () => {
  for (const [dims, outerAxis] of [
    [[10, 9, 12], 0],
    [[7, 12, 10], 1],
    [[12, 8, 9], 2],
  ] as const) {
    const grid = randomGrid(dims, dims[0]);
    const poses = randomPoses(dims[outerAxis], dims[1]);
    const fast = acquireVolume(grid, poses, { outerAxis });
    const exact = directKspace(grid, poses, outerAxis);
    const error = Math.hypot(relativeError(fast.re, exact.re), relativeError(fast.im, exact.im));
    assert.ok(error < 1e-6, `${dims.join('x')} along ${outerAxis}: relative error ${error}`);
  }
});

test('slabs of any size give the same k-space', () => {
  const grid = randomGrid([12, 11, 14], 5);
  const poses = randomPoses(14, 6);
  const whole = acquireVolume(grid, poses, { outerAxis: 2 });
  for (const slabBytes of [1, 100_000]) {
    const parts = acquireVolume(grid, poses, { outerAxis: 2, slabBytes });
    assert.deepEqual(parts.re, whole.re);
    assert.deepEqual(parts.im, whole.im);
  }
});

test('no motion is the identity; a constant shift by whole voxels is a circular shift', () => {
  fc.assert(
    fc.property(
      fc.tuple(
        fc.integer({ min: 5, max: 13 }),
        fc.integer({ min: 5, max: 13 }),
        fc.integer({ min: 5, max: 13 }),
      ),
      fc.constantFrom(0, 1, 2),
      fc.tuple(
        fc.integer({ min: -3, max: 3 }),
        fc.integer({ min: -3, max: 3 }),
        fc.integer({ min: -3, max: 3 }),
      ),
      (dims, outerAxis, shift) => {
        const grid = randomGrid(dims, 3);
        const axis = outerAxis as VoxelAxis;
        const same = reconstructVolume(acquireVolume(grid, still(dims[axis]), { outerAxis: axis }));
        assert.ok(relativeError(same, grid.data) < 1e-6);
        const translation = shift.map((count, i) => count * grid.spacing[i]!) as unknown as Vector3;
        const poses = still(dims[axis]).map((pose) => ({ ...pose, translation }));
        const moved = reconstructVolume(acquireVolume(grid, poses, { outerAxis: axis }));
        const [nx, ny, nz] = dims;
        const expected = new Float32Array(moved.length);
        for (let k = 0; k < nz; k++) {
          for (let j = 0; j < ny; j++) {
            for (let i = 0; i < nx; i++) {
              const to =
                (((k + shift[2] + nz) % nz) * ny + ((j + shift[1] + ny) % ny)) * nx +
                ((i + shift[0] + nx) % nx);
              expected[to] = grid.data[(k * ny + j) * nx + i]!;
            }
          }
        }
        // the highest frequency of an even length has no conjugate partner: only whole voxels keep it real
        assert.ok(relativeError(moved, expected) < 1e-6);
      },
    ),
    { numRuns: 15 },
  );
});

test('a constant turn of 90 degrees about an axis is exact', () => {
  const n = 11;
  const grid = randomGrid([n, n, n], 8, [1, 1, 1]);
  const poses = still(n).map((pose) => ({ ...pose, rotation: rotationMatrix(0, 0, Math.PI / 2) }));
  const turned = reconstructVolume(acquireVolume(grid, poses, { outerAxis: 1 }));
  const expected = new Float32Array(n ** 3);
  for (let k = 0; k < n; k++) {
    for (let j = 0; j < n; j++) {
      // (x, y) moves to (−y, x)
      for (let i = 0; i < n; i++) expected[(k * n + i) * n + (n - 1 - j)] = grid.data[(k * n + j) * n + i]!;
    }
  }
  assert.ok(relativeError(turned, expected) < 1e-6);
});

/** A volume whose voxel axes are those of sagittal slices: columns to posterior, rows down, slices to the left. */
function sagittalVolume(dims: Dims, spacing: Dims, seed: number): Volume {
  const { data } = randomGrid(dims, seed);
  const affine = [0, 0, -spacing[2], 11, -spacing[0], 0, 0, 7, 0, -spacing[1], 0, -3];
  return { name: 'volume', dims, data, affine };
}

test('motion within the sagittal plane gives every slice what the 2D path gives', () => {
  const [columns, rows, slices] = [20, 18, 5];
  const spacing: Dims = [1.2, 1, 3];
  const volume = sagittalVolume([columns, rows, slices], spacing, 4);
  const trace = generateTrace(createRandom(9), { pattern: 'mixed' });
  // only what moves within the plane: y, z, and the rotation about x
  const within = {
    ...trace,
    parameters: trace.parameters.map((value, i) => ([1, 2, 3].includes(i % 6) ? value : 0)),
  };
  for (const direction of ['COL', 'ROW'] as const) {
    const outerAxis = direction === 'COL' ? 1 : 0;
    const lines = direction === 'COL' ? rows : columns;
    const flat = inPlanePoses(within, {
      plane: 'sagittal',
      motion: 'rotation+translation',
      factor: 20,
      lines,
    });
    const poses = rigidPoses(within, { factor: 20, lines });
    // the pivot of the 2D path is the slice's centre pixel
    const { affine } = volume;
    const pivot = [0, 1, 2].map(
      (axis) =>
        affine[4 * axis]! * Math.floor(columns / 2) +
        affine[4 * axis + 1]! * Math.floor(rows / 2) +
        affine[4 * axis + 2]! * Math.floor(slices / 2) +
        affine[4 * axis + 3]!,
    ) as unknown as Vector3;
    const kspace = acquireVolume(
      { dims: volume.dims, spacing, data: volume.data },
      posesAlongAxes(poses, volume, pivot),
      { outerAxis },
    );
    const corrupted = reconstructVolume(kspace);
    for (let slice = 0; slice < slices; slice++) {
      const part = (data: Float32Array) =>
        data.subarray(slice * rows * columns, (slice + 1) * rows * columns);
      const expected = corruptSlice(
        prepareSlice(Float32Array.from(part(volume.data)), rows, columns, [spacing[1], spacing[0]]),
        flat,
        direction,
      );
      const error = relativeError(part(corrupted), expected);
      assert.ok(error < 2e-6, `${direction}, slice ${slice}: ${error}`);
      assert.ok(relativeError(part(volume.data), expected) > 0.05, 'the motion is not negligible');
    }
  }
});

test('the pose at the k-space centre is the reference, so the image stays where it was', () => {
  const volume = sagittalVolume([16, 14, 12], [1, 1, 1], 2);
  const trace = generateTrace(createRandom(3), { pattern: 'drift' });
  const poses = rigidPoses(trace, { factor: 10, lines: 12 });
  const centre = posesAlongAxes(poses, volume)[6]!;
  centre.rotation.forEach((value, i) => {
    assert.ok(Math.abs(value - (i % 4 === 0 ? 1 : 0)) < 1e-12);
  });
  assert.ok(Math.hypot(...centre.translation) < 1e-12);
  const kspace = acquireVolume(
    { dims: volume.dims, spacing: [1, 1, 1], data: volume.data },
    posesAlongAxes(poses, volume),
    { outerAxis: 2 },
  );
  const sum = volume.data.reduce((total, value) => total + value, 0);
  assert.ok(Math.abs(kspace.re[0]! / sum - 1) < 1e-6, 'k = 0 is the sum of the volume');
  assert.equal(corruptVolume(volume, poses, { outerAxis: 2 }).data.length, volume.data.length);
});

test('what cannot be acquired is refused', () => {
  const grid = randomGrid([8, 9, 10], 1);
  assert.throws(
    () => acquireVolume(grid, still(8), { outerAxis: 1 }),
    /has 9 outer phase-encode planes along axis 1/,
  );
  assert.throws(
    () => acquireVolume({ ...grid, spacing: [1, 0, 1] }, still(9), { outerAxis: 1 }),
    /voxel sizes/,
  );
  assert.throws(
    () => acquireVolume({ ...grid, data: new Float32Array(5) }, still(9), { outerAxis: 1 }),
    /needs 720 values, got 5/,
  );
  const skew = { dims: [8, 8, 8] as const, affine: [1, 0.2, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0] };
  assert.throws(() => posesAlongAxes(still(8), skew), /not at right angles/);
});
