import { fftInPlace, fftPlan, smoothEvenLength } from './fft.js';
import { deapodisation, KERNEL_WIDTH, kernelWeights, OVERSAMPLING } from './kernel.js';

const PAD = KERNEL_WIDTH / 2;

/**
 * The spectrum of one real image on a grid twice as fine as its own k-space, from which any non-integer frequency is
 * read: the type-2 non-uniform FFT, prepared once per image and sampled once per motion.
 */
export interface Spectrum2d {
  readonly rows: number;
  readonly columns: number;
  readonly gridRows: number;
  readonly gridColumns: number;
  /** Padded by half a kernel on each side, periodic: (gridRows + 8) × (gridColumns + 8). */
  readonly re: Float64Array;
  readonly im: Float64Array;
}

const weightCache = new Map<string, Float64Array>();

function cachedDeapodisation(length: number, gridLength: number): Float64Array {
  const key = `${length}/${gridLength}`;
  let weights = weightCache.get(key);
  if (weights === undefined) {
    weights = deapodisation(length, gridLength);
    weightCache.set(key, weights);
  }
  return weights;
}

/**
 * @param image row-major, rows × columns, real; pixel (i, j) stands at (i − ⌊rows/2⌋, j − ⌊columns/2⌋)
 * @throws RangeError when the image's length is not rows × columns
 */
export function prepareSpectrum2d(
  image: Float32Array | Float64Array,
  rows: number,
  columns: number,
): Spectrum2d {
  if (image.length !== rows * columns) {
    throw new RangeError(
      `an image of ${rows} x ${columns} needs ${rows * columns} values, got ${image.length}`,
    );
  }
  const gridRows = smoothEvenLength(OVERSAMPLING * Math.max(rows, KERNEL_WIDTH));
  const gridColumns = smoothEvenLength(OVERSAMPLING * Math.max(columns, KERNEL_WIDTH));
  const rowWeights = cachedDeapodisation(rows, gridRows);
  const columnWeights = cachedDeapodisation(columns, gridColumns);
  const half = gridColumns / 2 + 1;
  const halfRe = new Float64Array(gridRows * half);
  const halfIm = new Float64Array(gridRows * half);
  const lineRe = new Float64Array(gridColumns);
  const lineIm = new Float64Array(gridColumns);
  const rowPlan = fftPlan(gridColumns);
  const originRow = Math.floor(rows / 2);
  const originColumn = Math.floor(columns / 2);
  for (let row = 0; row < rows; row += 2) {
    const pair = row + 1 < rows;
    lineRe.fill(0);
    lineIm.fill(0);
    for (let column = 0; column < columns; column++) {
      const at = (column - originColumn + gridColumns) % gridColumns;
      const weight = columnWeights[column]!;
      lineRe[at] = image[row * columns + column]! * weight * rowWeights[row]!;
      if (pair) lineIm[at] = image[(row + 1) * columns + column]! * weight * rowWeights[row + 1]!;
    }
    fftInPlace(rowPlan, lineRe, lineIm);
    const first = ((row - originRow + gridRows) % gridRows) * half;
    const second = ((row + 1 - originRow + gridRows) % gridRows) * half;
    for (let l = 0; l < half; l++) {
      const mirror = l === 0 ? 0 : gridColumns - l;
      halfRe[first + l] = 0.5 * (lineRe[l]! + lineRe[mirror]!);
      halfIm[first + l] = 0.5 * (lineIm[l]! - lineIm[mirror]!);
      if (pair) {
        halfRe[second + l] = 0.5 * (lineIm[l]! + lineIm[mirror]!);
        halfIm[second + l] = 0.5 * (lineRe[mirror]! - lineRe[l]!);
      }
    }
  }
  fftInPlace(fftPlan(gridRows), halfRe, halfIm, 0, half);

  const stride = gridColumns + 2 * PAD;
  const re = new Float64Array((gridRows + 2 * PAD) * stride);
  const im = new Float64Array((gridRows + 2 * PAD) * stride);
  for (let y = 0; y < gridRows + 2 * PAD; y++) {
    const row = (y - PAD + gridRows) % gridRows;
    const mirrorRow = (gridRows - row) % gridRows;
    const to = y * stride;
    for (let x = 0; x < stride; x++) {
      const column = (x - PAD + gridColumns) % gridColumns;
      if (column < half) {
        re[to + x] = halfRe[row * half + column]!;
        im[to + x] = halfIm[row * half + column]!;
      } else {
        const from = mirrorRow * half + gridColumns - column;
        re[to + x] = halfRe[from]!;
        im[to + x] = -halfIm[from]!;
      }
    }
  }
  return { rows, columns, gridRows, gridColumns, re, im };
}

const rowTaps = new Float64Array(KERNEL_WIDTH);
const columnTaps = new Float64Array(KERNEL_WIDTH);

/**
 * Reads the spectrum along a straight line: sample s is Σ m(r) exp(−2πi (kr·i + kc·j)) at kr = startRow + s·stepRow,
 * kc = startColumn + s·stepColumn, in cycles per pixel (any value: the spectrum is periodic with period 1).
 */
export function sampleLine(
  spectrum: Spectrum2d,
  startRow: number,
  startColumn: number,
  stepRow: number,
  stepColumn: number,
  samples: number,
  outRe: Float64Array,
  outIm: Float64Array,
): void {
  const { gridRows, gridColumns, re, im } = spectrum;
  const stride = gridColumns + 2 * PAD;
  const a = rowTaps;
  const b = columnTaps;
  for (let s = 0; s < samples; s++) {
    let kr = startRow + s * stepRow;
    let kc = startColumn + s * stepColumn;
    kr -= Math.floor(kr);
    kc -= Math.floor(kc);
    const firstRow = kernelWeights(kr * gridRows, a, 0) + PAD;
    const firstColumn = kernelWeights(kc * gridColumns, b, 0) + PAD;
    const b0 = b[0]!;
    const b1 = b[1]!;
    const b2 = b[2]!;
    const b3 = b[3]!;
    const b4 = b[4]!;
    const b5 = b[5]!;
    const b6 = b[6]!;
    const b7 = b[7]!;
    let sumRe = 0;
    let sumIm = 0;
    let at = firstRow * stride + firstColumn;
    for (let tap = 0; tap < KERNEL_WIDTH; tap++) {
      const weight = a[tap]!;
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
    outRe[s] = sumRe;
    outIm[s] = sumIm;
  }
}
