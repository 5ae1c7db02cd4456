import { backgroundGhosts, type SeverityWeights, severityOf } from './severity.js';

/** Quality of a correction without a reference, from the slice before and after it. */
export interface Quality {
  /** Energy of the change relative to that of the slice: Σ (after − before)² / Σ before². 0 when nothing changed. */
  residualEnergy: number;
  /** Largest change of a pixel, in stored values. */
  maxResidual: number;
  /** Pixels that changed, as a share of all. */
  changed: number;
  /** Variance of the Laplacian divided by the variance of the pixels: high for sharp edges, scale-free. */
  sharpnessBefore: number;
  sharpnessAfter: number;
  /**
   * Entropy of the normalised gradient magnitude, in bits, relative to that of a flat gradient (0 to 1): motion smears
   * edges over more pixels and raises it (the focus criterion of McGee et al., JMRI 2000;11:174).
   */
  gradientEntropyBefore: number;
  gradientEntropyAfter: number;
  /** Energy beside the head relative to that of the head, before correction: ghosts of motion. */
  ghosts: number;
  /** Estimate of 1 − SSIM with the slice as it would be without motion, from 0 (none) to 1. */
  severity: number;
}

export interface Sharpness {
  sharpness: number;
  gradientEntropy: number;
}

const MANTISSA_BITS = 12;
const mantissaLog2 = Float64Array.from({ length: 2 ** MANTISSA_BITS }, (_, i) =>
  Math.log2(1 + (i + 0.5) / 2 ** MANTISSA_BITS),
);
const single = new Float32Array(1);
const singleBits = new Int32Array(single.buffer);

/** log₂ of a positive normal float32, to 2e-4: Math.log2 for every pixel would cost more than all else here. */
function roughLog2(value: number): number {
  single[0] = value;
  const bits = singleBits[0]!;
  return (bits >>> 23) - 127 + mantissaLog2[(bits >>> (23 - MANTISSA_BITS)) & (2 ** MANTISSA_BITS - 1)]!;
}

/** Of slices with at least so many rows, every fourth row is enough: the figures are means over all of it. */
const MANY_ROWS = 128;

/** Sharpness figures of one slice of rows × columns values; 0 for slices without contrast or below 3 × 3. */
export function sharpnessOf(pixels: ArrayLike<number>, rows: number, columns: number): Sharpness {
  if (rows < 3 || columns < 3) return { sharpness: 0, gradientEntropy: 0 };
  let sum = 0;
  let squares = 0;
  let laplacianSum = 0;
  let laplacianSquares = 0;
  let gradientSum = 0;
  let gradientLog = 0;
  const step = rows >= MANY_ROWS ? 4 : 1;
  for (let r = 1; r < rows - 1; r += step) {
    for (let c = 1; c < columns - 1; c += 1) {
      const i = r * columns + c;
      const here = pixels[i]!;
      const up = pixels[i - columns]!;
      const down = pixels[i + columns]!;
      const left = pixels[i - 1]!;
      const right = pixels[i + 1]!;
      const laplacian = up + down + left + right - 4 * here;
      const dy = (down - up) / 2;
      const dx = (right - left) / 2;
      const steepness = dx * dx + dy * dy;
      sum += here;
      squares += here * here;
      laplacianSum += laplacian;
      laplacianSquares += laplacian * laplacian;
      if (steepness > 0) {
        const gradient = Math.sqrt(steepness);
        gradientSum += gradient;
        gradientLog += gradient * (roughLog2(steepness) / 2);
      }
    }
  }
  const count = Math.ceil((rows - 2) / step) * (columns - 2);
  const variance = squares / count - (sum / count) ** 2;
  if (variance <= 0 || gradientSum <= 0) return { sharpness: 0, gradientEntropy: 0 };
  const laplacianVariance = laplacianSquares / count - (laplacianSum / count) ** 2;
  // With p = g / Σg, −Σ p log₂ p = log₂ Σg − (Σ g log₂ g) / Σg.
  const entropy = Math.log2(gradientSum) - gradientLog / gradientSum;
  return {
    sharpness: laplacianVariance / variance,
    gradientEntropy: count > 1 ? entropy / Math.log2(count) : 0,
  };
}

/** Compares one slice before and after correction, both rows × columns stored values. */
export function qualityOf(
  before: ArrayLike<number>,
  after: ArrayLike<number>,
  rows: number,
  columns: number,
  severity: { weights?: SeverityWeights | undefined; along?: 'ROW' | 'COL' | undefined } = {},
): Quality {
  let energy = 0;
  let residual = 0;
  let maxResidual = 0;
  let changed = 0;
  for (let i = 0; i < rows * columns; i += 1) {
    const difference = after[i]! - before[i]!;
    energy += before[i]! * before[i]!;
    if (difference !== 0) {
      changed += 1;
      residual += difference * difference;
      maxResidual = Math.max(maxResidual, Math.abs(difference));
    }
  }
  const sharpBefore = sharpnessOf(before, rows, columns);
  const residualEnergy = energy > 0 ? residual / energy : 0;
  const ghosts = backgroundGhosts(before, rows, columns, severity.along);
  const sharpAfter = changed === 0 ? sharpBefore : sharpnessOf(after, rows, columns);
  return {
    residualEnergy,
    maxResidual,
    changed: changed / Math.max(1, rows * columns),
    sharpnessBefore: sharpBefore.sharpness,
    sharpnessAfter: sharpAfter.sharpness,
    gradientEntropyBefore: sharpBefore.gradientEntropy,
    gradientEntropyAfter: sharpAfter.gradientEntropy,
    ghosts,
    severity: severityOf(residualEnergy, ghosts, severity.weights),
  };
}

/** The figures of several slices as one: means, and the largest of the largest changes. */
export function meanQuality(slices: readonly Quality[]): Quality {
  const mean = (of: (quality: Quality) => number): number =>
    slices.length === 0 ? 0 : slices.reduce((sum, one) => sum + of(one), 0) / slices.length;
  return {
    residualEnergy: mean((one) => one.residualEnergy),
    maxResidual: slices.reduce((max, one) => Math.max(max, one.maxResidual), 0),
    changed: mean((one) => one.changed),
    sharpnessBefore: mean((one) => one.sharpnessBefore),
    sharpnessAfter: mean((one) => one.sharpnessAfter),
    gradientEntropyBefore: mean((one) => one.gradientEntropyBefore),
    gradientEntropyAfter: mean((one) => one.gradientEntropyAfter),
    ghosts: mean((one) => one.ghosts),
    severity: mean((one) => one.severity),
  };
}
