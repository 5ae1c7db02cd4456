import { type Affine, invertAffine, type Volume, volumeCentre, voxelSize } from '../data/index.js';
import { apply3, type Matrix3, movePivot, multiply3, type RigidPose, type Vector3 } from '../motion/index.js';
import { fftInPlace, fftPlan } from './fft.js';
import { KERNEL_WIDTH } from './kernel.js';
import { makeSlab, planeBytes, prepareSpectrum3d, sampleSlab, tapPlanes } from './spectrum3d.js';

/** An axis of a volume's voxels: 0 is the fastest. */
export type VoxelAxis = 0 | 1 | 2;

/** A real volume; voxel i stands at (i − ⌊n/2⌋) · spacing mm along each of its own axes. */
export interface Grid3d {
  readonly dims: readonly [number, number, number];
  /** mm */
  readonly spacing: readonly [number, number, number];
  /** x fastest. */
  readonly data: Float32Array;
}

/** k-space in FFT order (zero frequency first), x fastest, unscaled. */
export interface Kspace3d {
  readonly dims: readonly [number, number, number];
  readonly re: Float32Array;
  readonly im: Float32Array;
}

export interface RigidAcquisitionOptions {
  /** The axis of the outer phase encoding: one pose holds for each plane of k-space across it (MP-RAGE). */
  readonly outerAxis: VoxelAxis;
  /** About how much of the oversampled spectrum is in memory at once; default 256 MiB. Less costs time only. */
  readonly slabBytes?: number;
}

const DEFAULT_SLAB_BYTES = 256 * 2 ** 20;

/**
 * k-space of a volume under six-degree rigid motion, one pose per outer phase-encode plane n: s(k) = exp(−2πi k·tₙ) Σ m(r)
 * exp(−2πi (Rₙᵀk)·r), stored at the *unrotated* Cartesian position; a type-2 non-uniform FFT of relative error 1e-6.
 * Poses are along the voxel axes, in mm from the voxel at ⌊n/2⌋. Its memory is the volume's spectrum along one axis (8 bytes for
 * each voxel, twice as long), the k-space, and one slab.
 *
 * @throws RangeError when there are not as many poses as planes, or a voxel size is not positive
 */
export function acquireVolume(
  volume: Grid3d,
  poses: readonly RigidPose[],
  options: RigidAcquisitionOptions,
): Kspace3d {
  const { dims, spacing, data } = volume;
  const { outerAxis } = options;
  if (poses.length !== dims[outerAxis]) {
    throw new RangeError(
      `a volume of ${dims.join(' x ')} has ${dims[outerAxis]} outer phase-encode planes along axis ${outerAxis}, the motion has ${poses.length}`,
    );
  }
  if (!spacing.every((size) => size > 0)) {
    throw new RangeError(`voxel sizes must be positive, got ${spacing.join(' x ')} mm`);
  }
  const spectrum = prepareSpectrum3d(data, dims);
  const [nx, ny, nz] = dims;
  const re = new Float32Array(nx * ny * nz);
  const im = new Float32Array(nx * ny * nz);
  const value = new Float64Array(2);
  // for each pose: cycles per voxel along the volume's axes from the k-space indices, and mm to phase
  const [sx, sy, sz] = spacing;
  const turns = poses.map(({ rotation: r, translation: t }) => ({
    // (Rᵀ k)·spacing with k = index / (n · spacing)
    matrix: [
      r[0] / nx,
      (r[3] * sx) / (ny * sy),
      (r[6] * sx) / (nz * sz),
      (r[1] * sy) / (nx * sx),
      r[4] / ny,
      (r[7] * sy) / (nz * sz),
      (r[2] * sz) / (nx * sx),
      (r[5] * sz) / (ny * sy),
      r[8] / nz,
    ] as const,
    shift: [t[0] / (nx * sx), t[1] / (ny * sy), t[2] / (nz * sz)] as const,
  }));
  const { first, last } = tapPlanes(spectrum);
  const fitting = Math.floor((options.slabBytes ?? DEFAULT_SLAB_BYTES) / planeBytes(spectrum));
  const step = Math.max(1, fitting - (KERNEL_WIDTH - 1));
  for (let from = first; from <= last; from += step) {
    const to = Math.min(last + 1, from + step);
    const slab = makeSlab(spectrum, from, to - from + KERNEL_WIDTH - 1);
    for (let z = 0; z < nz; z++) {
      const w = z - Math.floor(nz / 2);
      for (let y = 0; y < ny; y++) {
        const v = y - Math.floor(ny / 2);
        const row = (((w + nz) % nz) * ny + ((v + ny) % ny)) * nx;
        for (let x = 0; x < nx; x++) {
          const u = x - Math.floor(nx / 2);
          const { matrix, shift } = turns[outerAxis === 0 ? x : outerAxis === 1 ? y : z]!;
          const mine = sampleSlab(
            spectrum,
            slab,
            from,
            to,
            matrix[0] * u + matrix[1] * v + matrix[2] * w,
            matrix[3] * u + matrix[4] * v + matrix[5] * w,
            matrix[6] * u + matrix[7] * v + matrix[8] * w,
            value,
          );
          if (!mine) continue;
          const phase = -2 * Math.PI * (u * shift[0] + v * shift[1] + w * shift[2]);
          const cos = Math.cos(phase);
          const sin = Math.sin(phase);
          const at = row + ((u + nx) % nx);
          re[at] = value[0]! * cos - value[1]! * sin;
          im[at] = value[0]! * sin + value[1]! * cos;
        }
      }
    }
  }
  return { dims, re, im };
}

/**
 * Inverse FFT and magnitude of a k-space, whose memory it uses as scratch. The image's origin is at ⌊n/2⌋ along each axis.
 */
export function reconstructVolume(kspace: Kspace3d): Float32Array {
  const { dims, re, im } = kspace;
  const [nx, ny, nz] = dims;
  const plane = nx * ny;
  const planeRe = new Float64Array(plane);
  const planeIm = new Float64Array(plane);
  for (let z = 0; z < nz; z++) {
    planeRe.set(re.subarray(z * plane, (z + 1) * plane));
    planeIm.set(im.subarray(z * plane, (z + 1) * plane));
    // exchanged arguments: the inverse transform
    for (let y = 0; y < ny; y++) fftInPlace(fftPlan(nx), planeIm, planeRe, y * nx, 1);
    fftInPlace(fftPlan(ny), planeIm, planeRe, 0, nx);
    re.set(planeRe, z * plane);
    im.set(planeIm, z * plane);
  }
  const out = new Float32Array(plane * nz);
  const scale = 1 / (plane * nz);
  const blockRe = new Float64Array(nz * nx);
  const blockIm = new Float64Array(nz * nx);
  for (let y = 0; y < ny; y++) {
    for (let z = 0; z < nz; z++) {
      const from = (z * ny + y) * nx;
      blockRe.set(re.subarray(from, from + nx), z * nx);
      blockIm.set(im.subarray(from, from + nx), z * nx);
    }
    fftInPlace(fftPlan(nz), blockIm, blockRe, 0, nx);
    const toY = (y + Math.floor(ny / 2)) % ny;
    for (let z = 0; z < nz; z++) {
      const toZ = (z + Math.floor(nz / 2)) % nz;
      for (let x = 0; x < nx; x++) {
        const to = (toZ * ny + toY) * nx + ((x + Math.floor(nx / 2)) % nx);
        out[to] = scale * Math.hypot(blockRe[z * nx + x]!, blockIm[z * nx + x]!);
      }
    }
  }
  return out;
}

function transpose3(a: Matrix3): Matrix3 {
  return [a[0], a[3], a[6], a[1], a[4], a[7], a[2], a[5], a[8]];
}

/**
 * Poses in RAS mm (about the point `pivot`, default the middle of the volume) as poses along a volume's own voxel axes about its
 * voxel at ⌊n/2⌋: R' = DᵀRD, t' = Dᵀt with the axes' directions D.
 *
 * @throws RangeError when the voxel axes are not at right angles
 */
export function posesAlongAxes(
  poses: readonly RigidPose[],
  volume: Pick<Volume, 'dims' | 'affine'>,
  pivot: Vector3 = volumeCentre(volume),
): RigidPose[] {
  const { affine, dims } = volume;
  const directions = axisDirections(affine);
  const back = transpose3(directions);
  const [i, j, k] = dims.map((count) => Math.floor(count / 2)) as [number, number, number];
  const row = (at: number): number =>
    affine[4 * at]! * i + affine[4 * at + 1]! * j + affine[4 * at + 2]! * k + affine[4 * at + 3]!;
  const middle: Vector3 = [row(0), row(1), row(2)];
  return poses.map((pose) => {
    const moved = movePivot(pose, pivot, middle);
    return {
      rotation: multiply3(multiply3(back, moved.rotation), directions),
      translation: apply3(back, moved.translation),
    };
  });
}

/** Unit vectors of the voxel axes as columns; a left-handed set is as good as a right-handed one. */
function axisDirections(affine: Affine): Matrix3 {
  invertAffine(affine);
  const size = voxelSize(affine);
  const at = (row: number, column: 0 | 1 | 2): number => affine[4 * row + column]! / size[column];
  for (const [a, b] of [
    [0, 1],
    [0, 2],
    [1, 2],
  ] as const) {
    const cosine = at(0, a) * at(0, b) + at(1, a) * at(1, b) + at(2, a) * at(2, b);
    if (Math.abs(cosine) > 1e-3) {
      throw new RangeError('the volume’s voxel axes are not at right angles; resample it first');
    }
  }
  return [at(0, 0), at(0, 1), at(0, 2), at(1, 0), at(1, 1), at(1, 2), at(2, 0), at(2, 1), at(2, 2)];
}

/**
 * The magnitude image of a volume acquired under six-degree motion.
 *
 * @param poses one for each plane across the outer axis, in RAS mm about `pivot` (default the middle of the volume), as rigidPoses
 * gives them
 */
export function corruptVolume(
  volume: Volume,
  poses: readonly RigidPose[],
  options: RigidAcquisitionOptions & { readonly pivot?: Vector3 },
): Volume {
  const grid: Grid3d = { dims: volume.dims, spacing: voxelSize(volume.affine), data: volume.data };
  const kspace = acquireVolume(grid, posesAlongAxes(poses, volume, options.pivot), options);
  return { ...volume, data: reconstructVolume(kspace) };
}
