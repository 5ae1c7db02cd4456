import type { Random } from '../data/index.js';
import type { InPlanePoses } from '../motion/index.js';
import { fftInPlace, fftPlan } from './fft.js';
import { prepareSpectrum2d, type Spectrum2d, sampleLine } from './spectrum2d.js';

/**
 * The axis of phase encoding as DICOM names it (0018,1312): COL, phase index along the columns of pixels (from row to row);
 * ROW, phase index along the rows (from column to column).
 */
export type PhaseEncodingDirection = 'ROW' | 'COL';

/** One slice, ready to be acquired under any motion. Spacing is [between rows, between columns] in mm. */
export interface Slice2d {
  readonly spectrum: Spectrum2d;
  readonly spacing: readonly [number, number];
}

/**
 * @param image magnitude, row-major, rows × columns, any units
 * @param spacing [between rows, between columns] in mm
 */
export function prepareSlice(
  image: Float32Array | Float64Array,
  rows: number,
  columns: number,
  spacing: readonly [number, number],
): Slice2d {
  if (!(spacing[0] > 0 && spacing[1] > 0)) {
    throw new RangeError(`pixel spacing must be positive, got ${spacing[0]} x ${spacing[1]} mm`);
  }
  return { spectrum: prepareSpectrum2d(image, rows, columns), spacing };
}

/** Number of phase-encode lines of a slice. */
export function phaseEncodeLines(rows: number, columns: number, direction: PhaseEncodingDirection): number {
  return direction === 'COL' ? rows : columns;
}

/**
 * k-space of a slice under in-plane motion, one pose per phase-encode line n:
 * s(k) = exp(−2πi k·tₙ) Σ m(r) exp(−2πi (Rₙᵀk)·r), stored at the *unrotated* Cartesian position. Exact for MP-RAGE-like
 * acquisitions, in which one outer phase-encode step holds one pose, and motion within the plane.
 * Output order is that of an FFT (zero frequency first), row-major, rows × columns.
 */
export function acquireSlice(
  slice: Slice2d,
  poses: InPlanePoses,
  direction: PhaseEncodingDirection,
): { re: Float64Array; im: Float64Array } {
  const { rows, columns } = slice.spectrum;
  const [rowSpacing, columnSpacing] = slice.spacing;
  const lines = phaseEncodeLines(rows, columns, direction);
  if (poses.lines !== lines) {
    throw new RangeError(
      `a slice of ${rows} x ${columns} phase-encoded along ${direction} has ${lines} lines, the motion has ${poses.lines}`,
    );
  }
  const samples = direction === 'COL' ? columns : rows;
  const re = new Float64Array(rows * columns);
  const im = new Float64Array(rows * columns);
  const lineRe = new Float64Array(samples);
  const lineIm = new Float64Array(samples);
  const firstSample = -Math.floor(samples / 2);
  for (let line = 0; line < lines; line++) {
    const p = line - Math.floor(lines / 2);
    const angle = poses.angle[line]!;
    const cos = Math.cos(angle);
    const sin = Math.sin(angle);
    // k and its step along the readout, in cycles per mm
    const kr0 = (direction === 'COL' ? p / rows : firstSample / rows) / rowSpacing;
    const kc0 = (direction === 'COL' ? firstSample / columns : p / columns) / columnSpacing;
    const dkr = direction === 'COL' ? 0 : 1 / (rows * rowSpacing);
    const dkc = direction === 'COL' ? 1 / (columns * columnSpacing) : 0;
    sampleLine(
      slice.spectrum,
      (-sin * kc0 + cos * kr0) * rowSpacing,
      (cos * kc0 + sin * kr0) * columnSpacing,
      (-sin * dkc + cos * dkr) * rowSpacing,
      (cos * dkc + sin * dkr) * columnSpacing,
      samples,
      lineRe,
      lineIm,
    );
    const phase = -2 * Math.PI * (kr0 * poses.shiftRows[line]! + kc0 * poses.shiftColumns[line]!);
    const phaseStep = -2 * Math.PI * (dkr * poses.shiftRows[line]! + dkc * poses.shiftColumns[line]!);
    const turned = phase !== 0 || phaseStep !== 0;
    const outLine = (p + lines) % lines;
    for (let s = 0; s < samples; s++) {
      const outSample = (s + firstSample + samples) % samples;
      const at = direction === 'COL' ? outLine * columns + outSample : outSample * columns + outLine;
      if (turned) {
        const c = Math.cos(phase + s * phaseStep);
        const d = Math.sin(phase + s * phaseStep);
        re[at] = lineRe[s]! * c - lineIm[s]! * d;
        im[at] = lineRe[s]! * d + lineIm[s]! * c;
      } else {
        re[at] = lineRe[s]!;
        im[at] = lineIm[s]!;
      }
    }
  }
  return { re, im };
}

/** Complex noise of a slice, one standard normal value for each pixel's real and imaginary part. */
export interface ComplexNoise {
  readonly re: Float32Array;
  readonly im: Float32Array;
}

/** Draws complex white noise of unit standard deviation for `pixels` pixels (white in k-space is white in the image). */
export function drawNoise(pixels: number, random: Random): ComplexNoise {
  const re = new Float32Array(pixels);
  const im = new Float32Array(pixels);
  for (let i = 0; i < pixels; i++) {
    re[i] = random.normal();
    im[i] = random.normal();
  }
  return { re, im };
}

/**
 * Inverse FFT and magnitude of a k-space in FFT order. The image's origin is at (⌊rows/2⌋, ⌊columns/2⌋). With noise of
 * standard deviation `deviation` (the image's units) in each of the two channels the magnitude is Rician.
 */
export function reconstruct(
  kspace: { re: Float64Array; im: Float64Array },
  rows: number,
  columns: number,
  noise?: { readonly noise: ComplexNoise; readonly deviation: number },
): Float32Array {
  const { re, im } = kspace;
  const rowPlan = fftPlan(columns);
  // exchanged arguments: the inverse transform
  for (let row = 0; row < rows; row++) fftInPlace(rowPlan, im, re, row * columns, 1);
  fftInPlace(fftPlan(rows), im, re, 0, columns);
  const scale = 1 / (rows * columns);
  const image = new Float32Array(rows * columns);
  const rowShift = rows - Math.floor(rows / 2);
  const columnShift = columns - Math.floor(columns / 2);
  for (let row = 0; row < rows; row++) {
    const from = ((row + rowShift) % rows) * columns;
    for (let column = 0; column < columns; column++) {
      const at = from + ((column + columnShift) % columns);
      const to = row * columns + column;
      let x = re[at]! * scale;
      let y = im[at]! * scale;
      if (noise !== undefined) {
        x += noise.deviation * noise.noise.re[to]!;
        y += noise.deviation * noise.noise.im[to]!;
      }
      image[to] = Math.sqrt(x * x + y * y);
    }
  }
  return image;
}

/** The magnitude image of a slice acquired under motion: {@link acquireSlice}, then {@link reconstruct}. */
export function corruptSlice(
  slice: Slice2d,
  poses: InPlanePoses,
  direction: PhaseEncodingDirection,
  noise?: { readonly noise: ComplexNoise; readonly deviation: number },
): Float32Array {
  return reconstruct(
    acquireSlice(slice, poses, direction),
    slice.spectrum.rows,
    slice.spectrum.columns,
    noise,
  );
}

/** Magnitude of an image with the same noise but no motion: what {@link corruptSlice} gives for zero motion. */
export function addRicianNoise(image: Float32Array, noise: ComplexNoise, deviation: number): Float32Array {
  const out = new Float32Array(image.length);
  for (let i = 0; i < image.length; i++) {
    const x = image[i]! + deviation * noise.re[i]!;
    const y = deviation * noise.im[i]!;
    out[i] = Math.sqrt(x * x + y * y);
  }
  return out;
}
