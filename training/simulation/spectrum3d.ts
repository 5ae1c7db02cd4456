import { fftInPlace, fftPlan, smoothEvenLength } from './fft.js';
import { deapodisation, KERNEL_WIDTH, kernelWeights, OVERSAMPLING } from './kernel.js';

const PAD = KERNEL_WIDTH / 2;

/**
 * The spectrum of a real volume on a grid twice as fine as its own k-space, of which only a slab of planes is ever in memory: the
 * three-dimensional counterpart of the two-dimensional spectrum. The volume is real, so half of its spectrum
 * suffices; the planes of a slab are made from transforms along the last axis, which are kept.
 */
export interface Spectrum3d {
  readonly dims: readonly [number, number, number];
  readonly grid: readonly [number, number, number];
  /** Transforms along the last axis, [gridZ/2 + 1][ny][nx], deapodised. */
  readonly re: Float32Array;
  readonly im: Float32Array;
}

/** Consecutive planes of a spectrum, padded by half a kernel in the plane: [count][gridY + 8][gridX + 8]. */
export interface Slab {
  /** Index of the first plane along the last axis; from −4 on. */
  readonly first: number;
  readonly count: number;
  readonly re: Float32Array;
  readonly im: Float32Array;
}

/**
 * @param data nx × ny × nz, real, x fastest; voxel i stands at i − ⌊n/2⌋ along each axis
 * @throws RangeError when the data's length is not the product of the dimensions
 */
export function prepareSpectrum3d(
  data: Float32Array | Float64Array,
  dims: readonly [number, number, number],
): Spectrum3d {
  const [nx, ny, nz] = dims;
  if (data.length !== nx * ny * nz) {
    throw new RangeError(`a volume of ${dims.join(' x ')} needs ${nx * ny * nz} values, got ${data.length}`);
  }
  const gridOf = (length: number): number => smoothEvenLength(OVERSAMPLING * Math.max(length, KERNEL_WIDTH));
  const grid = [gridOf(nx), gridOf(ny), gridOf(nz)] as const;
  const half = grid[2] / 2 + 1;
  const weights = dims.map((length, axis) => deapodisation(length, grid[axis]!));
  const [weightX, weightY, weightZ] = weights as [Float64Array, Float64Array, Float64Array];
  const plan = fftPlan(grid[2]);
  const lineRe = new Float64Array(grid[2] * nx);
  const lineIm = new Float64Array(grid[2] * nx);
  const re = new Float32Array(half * ny * nx);
  const im = new Float32Array(half * ny * nx);
  const origin = Math.floor(nz / 2);
  for (let y = 0; y < ny; y++) {
    lineRe.fill(0);
    lineIm.fill(0);
    for (let z = 0; z < nz; z++) {
      const to = ((z - origin + grid[2]) % grid[2]) * nx;
      const from = (z * ny + y) * nx;
      const weight = weightZ[z]! * weightY[y]!;
      for (let x = 0; x < nx; x++) lineRe[to + x] = data[from + x]! * weight * weightX[x]!;
    }
    fftInPlace(plan, lineRe, lineIm, 0, nx);
    for (let q = 0; q < half; q++) {
      const to = (q * ny + y) * nx;
      for (let x = 0; x < nx; x++) {
        re[to + x] = lineRe[q * nx + x]!;
        im[to + x] = lineIm[q * nx + x]!;
      }
    }
  }
  return { dims, grid, re, im };
}

/** Bytes of one plane of a slab. */
export function planeBytes({ grid }: Pick<Spectrum3d, 'grid'>): number {
  return 8 * (grid[0] + 2 * PAD) * (grid[1] + 2 * PAD);
}

/** First taps of samples lie in planes −4 … gridZ/2 − 4 + 1; a slab of `count` planes serves `count` − 7 of them. */
export function tapPlanes({ grid }: Pick<Spectrum3d, 'grid'>): { first: number; last: number } {
  return { first: -PAD, last: grid[2] / 2 - PAD + 1 };
}

/** Computes the planes `first` … `first + count − 1` (they may be negative, or beyond the highest frequency). */
export function makeSlab(spectrum: Spectrum3d, first: number, count: number): Slab {
  const { dims, grid } = spectrum;
  const [nx, ny] = dims;
  const [gx, gy, gz] = grid;
  const stride = gx + 2 * PAD;
  const size = stride * (gy + 2 * PAD);
  const re = new Float32Array(count * size);
  const im = new Float32Array(count * size);
  const planeRe = new Float64Array(gx * gy);
  const planeIm = new Float64Array(gx * gy);
  const originX = Math.floor(nx / 2);
  const originY = Math.floor(ny / 2);
  const rowPlan = fftPlan(gx);
  const columnPlan = fftPlan(gy);
  for (let p = 0; p < count; p++) {
    // the spectrum is periodic, and that of a real volume conjugate for opposite frequencies
    const q = (((first + p) % gz) + gz) % gz;
    const opposite = q > gz / 2;
    const source = (opposite ? gz - q : q) * ny * nx;
    planeRe.fill(0);
    planeIm.fill(0);
    for (let y = 0; y < ny; y++) {
      const row = ((y - originY + gy) % gy) * gx;
      for (let x = 0; x < nx; x++) {
        const to = row + ((x - originX + gx) % gx);
        const from = source + y * nx + x;
        planeRe[to] = spectrum.re[from]!;
        planeIm[to] = opposite ? -spectrum.im[from]! : spectrum.im[from]!;
      }
      fftInPlace(rowPlan, planeRe, planeIm, row, 1);
    }
    fftInPlace(columnPlan, planeRe, planeIm, 0, gx);
    for (let y = 0; y < gy + 2 * PAD; y++) {
      const from = ((y - PAD + gy) % gy) * gx;
      const to = p * size + y * stride;
      for (let x = 0; x < stride; x++) {
        const at = from + ((x - PAD + gx) % gx);
        re[to + x] = planeRe[at]!;
        im[to + x] = planeIm[at]!;
      }
    }
  }
  return { first, count, re, im };
}

const taps = new Float64Array(3 * KERNEL_WIDTH);

/**
 * Reads the spectrum at one frequency, Σ m(r) exp(−2πi (kx·i + ky·j + kz·l)) with k in cycles per voxel (any values: the spectrum is
 * periodic), into `out` [re, im].
 *
 * @param from first taps in planes `from` … `to` − 1 belong to this slab
 * @returns false, and nothing read, when the frequency belongs to another slab
 */
export function sampleSlab(
  spectrum: Pick<Spectrum3d, 'grid'>,
  slab: Slab,
  from: number,
  to: number,
  kx: number,
  ky: number,
  kz: number,
  out: Float64Array,
): boolean {
  const [gx, gy, gz] = spectrum.grid;
  let z = kz - Math.floor(kz);
  const opposite = z > 0.5;
  if (opposite) z = 1 - z;
  const firstZ = kernelWeights(z * gz, taps, 2 * KERNEL_WIDTH);
  if (firstZ < from || firstZ >= to) return false;
  let x = opposite ? -kx : kx;
  let y = opposite ? -ky : ky;
  x -= Math.floor(x);
  y -= Math.floor(y);
  const firstX = kernelWeights(x * gx, taps, 0) + PAD;
  const firstY = kernelWeights(y * gy, taps, KERNEL_WIDTH) + PAD;
  const stride = gx + 2 * PAD;
  const size = stride * (gy + 2 * PAD);
  const { re, im } = slab;
  const b0 = taps[0]!;
  const b1 = taps[1]!;
  const b2 = taps[2]!;
  const b3 = taps[3]!;
  const b4 = taps[4]!;
  const b5 = taps[5]!;
  const b6 = taps[6]!;
  const b7 = taps[7]!;
  let sumRe = 0;
  let sumIm = 0;
  for (let c = 0; c < KERNEL_WIDTH; c++) {
    const weightZ = taps[2 * KERNEL_WIDTH + c]!;
    let at = (firstZ - slab.first + c) * size + firstY * stride + firstX;
    for (let b = 0; b < KERNEL_WIDTH; b++) {
      const weight = weightZ * taps[KERNEL_WIDTH + b]!;
      sumRe +=
        weight *
        (b0 * re[at]! +
          b1 * re[at + 1]! +
          b2 * re[at + 2]! +
          b3 * re[at + 3]! +
          b4 * re[at + 4]! +
          b5 * re[at + 5]! +
          b6 * re[at + 6]! +
          b7 * re[at + 7]!);
      sumIm +=
        weight *
        (b0 * im[at]! +
          b1 * im[at + 1]! +
          b2 * im[at + 2]! +
          b3 * im[at + 3]! +
          b4 * im[at + 4]! +
          b5 * im[at + 5]! +
          b6 * im[at + 6]! +
          b7 * im[at + 7]!);
      at += stride;
    }
  }
  out[0] = sumRe;
  out[1] = opposite ? -sumIm : sumIm;
  return true;
}
