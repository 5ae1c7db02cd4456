/**
 * How alike two slices are. All take row-major images of the same size; `reference` is the clean one.
 */
import { headMask, type Mask, percentile } from '../data/index.js';

export interface SsimOptions {
  /** L of Wang et al.; default 1, for intensities scaled so that the clean slice's 99.5th percentile is 1. */
  readonly dataRange?: number;
  /** Gaussian window; default 11 taps, σ 1.5. */
  readonly taps?: number;
  readonly sigma?: number;
  readonly k1?: number;
  readonly k2?: number;
}

function gaussian(taps: number, sigma: number): Float64Array {
  const centre = (taps - 1) / 2;
  const weights = Float64Array.from({ length: taps }, (_, i) =>
    Math.exp(-((i - centre) ** 2) / (2 * sigma * sigma)),
  );
  const sum = weights.reduce((total, weight) => total + weight, 0);
  return weights.map((weight) => weight / sum);
}

/** Separable filter; beyond the border the image is mirrored with the border pixel repeated (as SciPy's `reflect`). */
function filter(
  image: Float64Array,
  rows: number,
  columns: number,
  weights: Float64Array,
  scratch: Float64Array,
): Float64Array {
  const radius = (weights.length - 1) / 2;
  const mirror = (i: number, count: number): number => {
    let at = i;
    while (at < 0 || at >= count) at = at < 0 ? -at - 1 : 2 * count - 1 - at;
    return at;
  };
  for (let row = 0; row < rows; row++) {
    const line = row * columns;
    for (let column = 0; column < columns; column++) {
      let sum = 0;
      if (column >= radius && column < columns - radius) {
        const from = line + column - radius;
        for (let t = 0; t < weights.length; t++) sum += weights[t]! * image[from + t]!;
      } else {
        for (let t = 0; t < weights.length; t++) {
          sum += weights[t]! * image[line + mirror(column + t - radius, columns)]!;
        }
      }
      scratch[line + column] = sum;
    }
  }
  const out = new Float64Array(rows * columns);
  for (let row = 0; row < rows; row++) {
    const to = row * columns;
    for (let t = 0; t < weights.length; t++) {
      const weight = weights[t]!;
      const from = mirror(row + t - radius, rows) * columns;
      for (let column = 0; column < columns; column++) {
        out[to + column]! += weight * scratch[from + column]!;
      }
    }
  }
  return out;
}

/**
 * The map of structural similarity of Wang, Bovik, Sheikh and Simoncelli (IEEE Trans. Image Process. 13(4), 2004), one
 * value a pixel: Gaussian window 11 × 11, σ 1.5, K1 = 0.01, K2 = 0.03, population covariance.
 *
 * @throws RangeError when the images' lengths are not rows × columns
 */
export function ssimMap(
  image: Float32Array,
  reference: Float32Array,
  rows: number,
  columns: number,
  options: SsimOptions = {},
): Float64Array {
  const count = rows * columns;
  if (image.length !== count || reference.length !== count) {
    throw new RangeError(
      `SSIM of ${rows} x ${columns} images: got ${image.length} and ${reference.length} values`,
    );
  }
  const range = options.dataRange ?? 1;
  const c1 = ((options.k1 ?? 0.01) * range) ** 2;
  const c2 = ((options.k2 ?? 0.03) * range) ** 2;
  const weights = gaussian(options.taps ?? 11, options.sigma ?? 1.5);
  const scratch = new Float64Array(count);
  const x = Float64Array.from(image);
  const y = Float64Array.from(reference);
  const xx = x.map((value) => value * value);
  const yy = y.map((value) => value * value);
  const xy = x.map((value, i) => value * y[i]!);
  const mx = filter(x, rows, columns, weights, scratch);
  const my = filter(y, rows, columns, weights, scratch);
  const mxx = filter(xx, rows, columns, weights, scratch);
  const myy = filter(yy, rows, columns, weights, scratch);
  const mxy = filter(xy, rows, columns, weights, scratch);
  for (let i = 0; i < count; i++) {
    const a = mx[i]!;
    const b = my[i]!;
    const varianceX = mxx[i]! - a * a;
    const varianceY = myy[i]! - b * b;
    const covariance = mxy[i]! - a * b;
    mxx[i] =
      ((2 * a * b + c1) * (2 * covariance + c2)) / ((a * a + b * b + c1) * (varianceX + varianceY + c2));
  }
  return mxx;
}

/** Mean over all pixels, or over those of a mask (NaN when it is empty). */
export function meanOver(values: ArrayLike<number>, mask?: Mask): number {
  let sum = 0;
  let count = 0;
  for (let i = 0; i < values.length; i++) {
    if (mask !== undefined && mask[i] === 0) continue;
    sum += values[i]!;
    count++;
  }
  return sum / count;
}

/** Peak signal-to-noise ratio in dB, 10 log10(L² / MSE); infinite for equal images. */
export function psnr(image: Float32Array, reference: Float32Array, dataRange = 1): number {
  let error = 0;
  for (let i = 0; i < image.length; i++) error += (image[i]! - reference[i]!) ** 2;
  return 10 * Math.log10((dataRange * dataRange * image.length) / error);
}

/** Normalised mean squared error Σ (x − y)² / Σ y²; 0 for equal images. */
export function nmse(image: Float32Array, reference: Float32Array): number {
  let error = 0;
  let power = 0;
  for (let i = 0; i < image.length; i++) {
    error += (image[i]! - reference[i]!) ** 2;
    power += reference[i]! ** 2;
  }
  return error / power;
}

/** Mean absolute error. */
export function meanAbsoluteError(image: Float32Array, reference: Float32Array): number {
  let sum = 0;
  for (let i = 0; i < image.length; i++) sum += Math.abs(image[i]! - reference[i]!);
  return sum / image.length;
}

/**
 * The paper's total variation of a residual (Algorithms 2024, 17(5):215): Σ ((I(i+1,j) − I(i,j))² + (I(i,j+1) − I(i,j))²)^1.25,
 * summed over the slice, of I = image − reference.
 */
export function totalVariation(
  image: Float32Array,
  reference: Float32Array,
  rows: number,
  columns: number,
): number {
  let sum = 0;
  for (let row = 0; row + 1 < rows; row++) {
    for (let column = 0; column + 1 < columns; column++) {
      const at = row * columns + column;
      const here = image[at]! - reference[at]!;
      const below = image[at + columns]! - reference[at + columns]! - here;
      const beside = image[at + 1]! - reference[at + 1]! - here;
      sum += (below * below + beside * beside) ** 1.25;
    }
  }
  return sum;
}

/**
 * Pixels by which the head's mask is dilated: the radius of SSIM's window, so that it holds every pixel whose SSIM the head has a
 * part in.
 */
export const HEAD_DILATION = 5;

/** A stricter mask with little of the dark rim, which motion fills with ghosts and a network easily blanks. */
export const TIGHT_DILATION = 3;

/** The figures of one slice. SSIM and PSNR are of intensities divided by `scale`, with L = 1. */
export interface SliceFigures {
  /** Mean over the whole slice, as in the paper. */
  readonly ssim: number;
  /** Mean inside the clean slice's head, dilated by {@link HEAD_DILATION}. */
  readonly headSsim: number;
  /** The same with {@link TIGHT_DILATION}. */
  readonly tightHeadSsim: number;
  readonly psnr: number;
  readonly nmse: number;
  /** The two terms of the paper's loss as it writes them: mean of |image − clean|, and {@link totalVariation} of it. */
  readonly l1: number;
  readonly tv: number;
}

/** What a clean slice's images are compared with: its intensity scale and head mask, found once per clean slice. */
export interface Reference {
  readonly rows: number;
  readonly columns: number;
  /** The 99.5th percentile of the clean slice. */
  readonly scale: number;
  readonly scaled: Float32Array;
  readonly head: Mask;
  readonly tightHead: Mask;
}

/** @throws RangeError for a clean slice without any signal */
export function prepareReference(clean: Float32Array, rows: number, columns: number): Reference {
  const scale = percentile(clean, 0.995);
  if (!(scale > 0)) throw new RangeError('the clean slice holds no signal, nothing can be compared with it');
  return {
    rows,
    columns,
    scale,
    scaled: clean.map((value) => value / scale),
    head: headMask(clean, rows, columns, { dilation: HEAD_DILATION }),
    tightHead: headMask(clean, rows, columns, { dilation: TIGHT_DILATION }),
  };
}

/** Compares an image (in the clean slice's units) with the clean slice. */
export function compareSlice(image: Float32Array, reference: Reference): SliceFigures {
  const scaled = image.map((value) => value / reference.scale);
  const map = ssimMap(scaled, reference.scaled, reference.rows, reference.columns);
  return {
    ssim: meanOver(map),
    headSsim: meanOver(map, reference.head),
    tightHeadSsim: meanOver(map, reference.tightHead),
    psnr: psnr(scaled, reference.scaled),
    nmse: nmse(scaled, reference.scaled),
    l1: meanAbsoluteError(scaled, reference.scaled),
    tv: totalVariation(scaled, reference.scaled, reference.rows, reference.columns),
  };
}
