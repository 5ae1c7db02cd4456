/**
 * How much a slice suffers from motion, estimated from the slice and what the network would change about it: there is
 * no motion-free slice to compare with.
 */
/** Of the brightest values, what counts as signal: the rest is background, with the ghosts in it. */
const SIGNAL_SHARE = 0.12;
const SAMPLES = 8192;

function brightest(pixels: ArrayLike<number>): number {
  const step = Math.max(1, Math.floor(pixels.length / SAMPLES));
  const sample: number[] = [];
  for (let i = 0; i < pixels.length; i += step) sample.push(Math.abs(pixels[i]!));
  sample.sort((a, b) => a - b);
  return sample[Math.floor(0.99 * (sample.length - 1))] ?? 0;
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
  // Of each line, what lies outside the outermost signal: inside the head dark pixels are anatomy.
  const beside = (lines: number, length: number, at: (line: number, place: number) => number): number => {
    let sum = 0;
    let count = 0;
    let signal = 0;
    let signalCount = 0;
    for (let line = 0; line < lines; line += 1) {
      let first = -1;
      let last = -1;
      for (let place = 0; place < length; place += 1) {
        if (Math.abs(at(line, place)) < threshold) continue;
        if (first < 0) first = place;
        last = place;
      }
      if (last - first < length / 8) continue;
      for (let place = 0; place < length; place += 1) {
        const value = at(line, place);
        if (place < first || place > last) {
          sum += value * value;
          count += 1;
        } else {
          signal += value * value;
          signalCount += 1;
        }
      }
    }
    return count === 0 || signal === 0 ? 0 : sum / count / (signal / signalCount);
  };
  const row = along === 'COL' ? 0 : beside(rows, columns, (line, place) => pixels[line * columns + place]!);
  const column =
    along === 'ROW' ? 0 : beside(columns, rows, (line, place) => pixels[place * columns + line]!);
  return Math.min(1, Math.max(row, column));
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
