/**
 * How much a slice suffers from motion, estimated from the slice and what the network would change about it: there is
 * no motion-free slice to compare with.
 */
/** Of the brightest values, what counts as signal: the rest is background, with the ghosts in it. */
const SIGNAL_SHARE = 0.12;
const SAMPLES = 8192;
/** Used for one slice after the other: their number divided by a whole step is below twice the number wanted. */
const samples = new Float64Array(2 * SAMPLES);

// Loops over pixels stand in functions of their own, with nothing behind them: V8 replaces a running loop by compiled
// code that knows nothing of what follows, and would fall out of it at every slice.
function sampleOf(pixels: ArrayLike<number>, step: number): Float64Array {
  const sample = samples.subarray(0, Math.ceil(pixels.length / step));
  for (let i = 0; i < sample.length; i += 1) sample[i] = Math.abs(pixels[i * step]!);
  return sample;
}

function brightest(pixels: ArrayLike<number>): number {
  const sample = sampleOf(pixels, Math.max(1, Math.floor(pixels.length / SAMPLES)));
  return sample.length === 0 ? 0 : nthSmallest(sample, Math.floor(0.99 * (sample.length - 1)));
}

/** The value that would stand at this place if they were sorted; changes their order (Hoare 1961, algorithm 65). */
function nthSmallest(values: Float64Array, place: number): number {
  let low = 0;
  let high = values.length - 1;
  while (low < high) {
    const pivot = values[(low + high) >> 1]!;
    let left = low;
    let right = high;
    while (left <= right) {
      while (values[left]! < pivot) left += 1;
      while (values[right]! > pivot) right -= 1;
      if (left > right) break;
      const value = values[left]!;
      values[left] = values[right]!;
      values[right] = value;
      left += 1;
      right -= 1;
    }
    if (place <= right) high = right;
    else if (place >= left) low = left;
    else break;
  }
  return values[place]!;
}

/**
 * Energy of the ghosts beside the head: the mean square of the background relative to that of the signal. Motion
 * during the acquisition moves energy out of the head, along the phase-encode direction, where nothing should be
 * (PS3.3 C.8.3.1, InPlanePhaseEncodingDirection).
 * @param along `ROW`: the phase is encoded along the rows, ghosts lie left and right; `COL`: above and below; without
 *   it the stronger of the two counts
 * @returns 0 (none) to 1 at most
 */
export function backgroundGhosts(
  pixels: ArrayLike<number>,
  rows: number,
  columns: number,
  along?: 'ROW' | 'COL',
): number {
  const threshold = SIGNAL_SHARE * brightest(pixels);
  if (!(threshold > 0)) return 0;
  const row = along === 'COL' ? 0 : besideSignal(pixels, threshold, [rows, columns], [columns, 1]);
  const column = along === 'ROW' ? 0 : besideSignal(pixels, threshold, [columns, rows], [1, columns]);
  return Math.min(1, Math.max(row, column));
}

/**
 * Mean square of what lies outside the outermost signal of each line, relative to that of what lies between: inside the
 * head dark pixels are anatomy. Lines with hardly any signal do not count.
 */
function besideSignal(
  pixels: ArrayLike<number>,
  threshold: number,
  [lines, length]: readonly [number, number],
  [lineStep, placeStep]: readonly [number, number],
): number {
  let outside = 0;
  let outsideCount = 0;
  let inside = 0;
  let insideCount = 0;
  for (let line = 0; line < lines; line += 1) {
    const start = line * lineStep;
    const end = start + length * placeStep;
    const first = signalFrom(pixels, threshold, start, end, placeStep);
    if (first === end) continue;
    const last = signalFrom(pixels, threshold, end - placeStep, start - placeStep, -placeStep);
    const width = (last - first) / placeStep + 1;
    if (width <= length / 8) continue;
    outside += energyOf(pixels, start, first, placeStep) + energyOf(pixels, last + placeStep, end, placeStep);
    inside += energyOf(pixels, first, last + placeStep, placeStep);
    insideCount += width;
    outsideCount += length - width;
  }
  return outsideCount === 0 || inside === 0 ? 0 : outside / outsideCount / (inside / insideCount);
}

/** Where the first value of a line is that is not below the threshold; its end when none is. */
function signalFrom(
  pixels: ArrayLike<number>,
  threshold: number,
  start: number,
  end: number,
  step: number,
): number {
  let at = start;
  while (at !== end && Math.abs(pixels[at]!) < threshold) at += step;
  return at;
}

function energyOf(pixels: ArrayLike<number>, start: number, end: number, step: number): number {
  let sum = 0;
  for (let at = start; at < end; at += step) sum += pixels[at]! * pixels[at]!;
  return sum;
}

/** Weights of the estimate: `residual` · √residual energy + `ghosts` · √ghosts + `offset`. */
export interface SeverityWeights {
  residual: number;
  ghosts: number;
  offset: number;
}

/**
 * Fitted to 1 − SSIM inside the head of simulated slices, validated on other subjects:
 * `training/evaluate/severity-cli.ts` prints both. A model may bring its own in its manifest.
 */
export const DEFAULT_SEVERITY: SeverityWeights = { residual: 5.9, ghosts: 0.76, offset: -0.065 };

/**
 * Estimates 1 − SSIM with the slice as it would be without motion.
 * @param residualEnergy what the network would change, relative to the energy of the slice
 * @param ghosts of {@link backgroundGhosts}
 * @returns 0 (no motion) to 1
 */
export function severityOf(
  residualEnergy: number,
  ghosts: number,
  weights: SeverityWeights = DEFAULT_SEVERITY,
): number {
  const { residual, ghosts: ghost, offset } = weights;
  const estimate = residual * Math.sqrt(residualEnergy) + ghost * Math.sqrt(ghosts) + offset;
  return Math.max(0, Math.min(1, estimate));
}
