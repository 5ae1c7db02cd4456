/** How a slice's intensities are brought to the network's range. */
export interface Normalisation {
  kind: 'percentile';
  /** Percentile of the foreground that becomes 1, in (0, 100]. */
  percentile: number;
}

/** What the released models use: the 99.5th percentile inside the head. */
export const defaultNormalisation: Normalisation = { kind: 'percentile', percentile: 99.5 };

/** A pixel belongs to the head when it is above this share of the 99th percentile of all pixels above zero. */
const foregroundShare = 0.1;
const referencePercentile = 99;

/**
 * The intensity, above the slice's zero level, that the network sees as 1: a percentile over the pixels of the
 * head. The head is every pixel brighter than a tenth of the 99th percentile of all pixels above the zero level.
 * That leaves out an exactly black background (brain-only images) as well as the noise of air, and one very
 * bright pixel does not move it.
 *
 * The zero level (`zeroLevel`) is 0, or the slice's minimum where pixels are negative (signed pixels, a negative
 * rescale intercept), so that the scale does not depend on such an offset. Non-finite pixels are ignored.
 *
 * @param pixels row-major, rows × columns; stored values or rescaled ones (the scale is in the same unit)
 * @returns the scale, above 0; or 0 for a slice without any pixel above its zero level: leave such a slice alone
 * @throws RangeError when `pixels` does not hold rows × columns values or the percentile is outside (0, 100]
 */
export function robustScale(
  pixels: ArrayLike<number>,
  rows: number,
  columns: number,
  normalisation: Normalisation = defaultNormalisation,
): number {
  if (pixels.length !== rows * columns) {
    throw new RangeError(`${rows}×${columns} pixels expected, got ${pixels.length}`);
  }
  const { percentile } = normalisation;
  if (!(percentile > 0 && percentile <= 100)) {
    throw new RangeError(`a percentile is above 0 and at most 100, got ${percentile}`);
  }
  const zero = zeroLevel(pixels);
  const above = isSmallInteger(pixels) ? countedPercentiles(pixels) : soughtPercentiles(pixels);
  const reference = above(zero, referencePercentile);
  if (reference === undefined) return 0;
  const foreground = above(zero + foregroundShare * (reference - zero), percentile);
  return foreground === undefined ? 0 : foreground - zero;
}

/**
 * The nearest-rank percentile of the finite pixels above a threshold: always one of the pixels, so that the
 * same slice as integers or as floating-point numbers has the same scale. Undefined when no pixel is above.
 */
type PercentileAbove = (threshold: number, percentile: number) => number | undefined;

type SmallIntegers = Uint8Array | Int8Array | Uint16Array | Int16Array;

function isSmallInteger(pixels: ArrayLike<number>): pixels is SmallIntegers {
  return (
    pixels instanceof Uint16Array ||
    pixels instanceof Int16Array ||
    pixels instanceof Uint8Array ||
    pixels instanceof Int8Array
  );
}

/** Smallest value of an Int16Array. */
const lowest = -32768;

/** A bin for every value from the smallest Int16 to the largest Uint16; used for one slice after the other. */
const histogram = new Uint32Array(2 ** 16 - lowest);

/** One histogram serves every threshold; the answers hold until the next slice is counted. */
function countedPercentiles(pixels: SmallIntegers): PercentileAbove {
  histogram.fill(0);
  let last = 0;
  for (let i = 0; i < pixels.length; i += 1) {
    const bin = pixels[i]! - lowest;
    histogram[bin]! += 1;
    if (bin > last) last = bin;
  }
  return (threshold, percentile) => {
    const first = Math.floor(threshold) + 1 - lowest;
    let count = 0;
    for (let bin = first; bin <= last; bin += 1) count += histogram[bin]!;
    if (count === 0) return undefined;
    let rank = Math.max(1, Math.ceil((percentile / 100) * count));
    let bin = first;
    while (rank > histogram[bin]!) rank -= histogram[bin++]!;
    return bin + lowest;
  };
}

function soughtPercentiles(pixels: ArrayLike<number>): PercentileAbove {
  return (threshold, percentile) => percentileAbove(pixels, threshold, percentile);
}

/** The intensity that stands for "no signal": 0, or the smallest finite pixel where that is negative. */
export function zeroLevel(pixels: ArrayLike<number>): number {
  // Pixels without a sign have no negative values.
  if (pixels instanceof Uint16Array || pixels instanceof Uint8Array) return 0;
  let minimum = 0;
  for (let i = 0; i < pixels.length; i += 1) {
    const value = pixels[i]!;
    if (value < minimum && value !== Number.NEGATIVE_INFINITY) minimum = value;
  }
  return minimum;
}

const bins = 1024;
const fewEnoughToSort = 512;

/** By histograms that close in on the value. */
function percentileAbove(
  pixels: ArrayLike<number>,
  threshold: number,
  percentile: number,
): number | undefined {
  let count = 0;
  let low = Number.POSITIVE_INFINITY;
  let high = Number.NEGATIVE_INFINITY;
  for (let i = 0; i < pixels.length; i += 1) {
    const value = pixels[i]!;
    if (!(value > threshold) || value === Number.POSITIVE_INFINITY) continue;
    count += 1;
    if (value < low) low = value;
    if (value > high) high = value;
  }
  if (count === 0) return undefined;
  let rank = Math.max(1, Math.ceil((percentile / 100) * count));
  const histogram = new Uint32Array(bins);
  while (count > fewEnoughToSort && low < high) {
    const perUnit = (bins - 1) / (high - low);
    histogram.fill(0);
    for (let i = 0; i < pixels.length; i += 1) {
      const value = pixels[i]!;
      if (value >= low && value <= high) histogram[Math.floor((value - low) * perUnit)]! += 1;
    }
    let bin = 0;
    while (rank > histogram[bin]!) rank -= histogram[bin++]!;
    count = histogram[bin]!;
    [low, high] = extremesOfBin(pixels, low, high, perUnit, bin);
  }
  if (low === high) return low;
  const values: number[] = [];
  for (let i = 0; i < pixels.length; i += 1) {
    const value = pixels[i]!;
    if (value >= low && value <= high) values.push(value);
  }
  return values.sort((a, b) => a - b)[rank - 1];
}

/** The smallest and largest pixel in one bin, so that the next histogram covers no empty range. */
function extremesOfBin(
  pixels: ArrayLike<number>,
  low: number,
  high: number,
  perUnit: number,
  bin: number,
): [number, number] {
  let least = Number.POSITIVE_INFINITY;
  let most = Number.NEGATIVE_INFINITY;
  for (let i = 0; i < pixels.length; i += 1) {
    const value = pixels[i]!;
    if (!(value >= low && value <= high) || Math.floor((value - low) * perUnit) !== bin) continue;
    if (value < least) least = value;
    if (value > most) most = value;
  }
  return [least, most];
}
