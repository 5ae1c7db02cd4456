import { qualityOf } from '../../src/inference/index.js';
import { createRandom } from '../data/index.js';
import { generateTrace, inPlanePoses } from '../motion/index.js';
import {
  corruptSlice,
  type Dataset,
  type PhaseEncodingDirection,
  prepareSlice,
} from '../simulation/index.js';
import type { SliceCorrector } from './model.js';
import { compareSlice, prepareReference } from './similarity.js';

/** One simulated slice: what the server would estimate of it, and the truth. */
export interface SeverityRow {
  subject: string;
  /** Severity with which the motion trace was multiplied; 0: no motion. */
  factor: number;
  /** The estimate, 0 to 1. */
  severity: number;
  residualEnergy: number;
  ghosts: number;
  /** 1 − SSIM with the motion-free slice, whole and inside the head, before correction. */
  lost: number;
  lostInHead: number;
}

/** From no motion to the severest. */
export const SEVERITY_FACTORS = [0, 2, 4, 7, 12] as const;
/** Stored values of the brightest tissue: the estimate is made of integers, as in the server. */
const STORED_WHITE = 2000;

/** Rounds an image to stored values. */
function stored(image: Float32Array, scale: number): Float32Array {
  return image.map((value) => Math.max(0, Math.round(value * scale)));
}

/**
 * Corrupts motion-free slices of a data set by motion of several severities, and measures estimate and truth.
 * @param limit motion-free slices at most, evenly spread
 */
export async function severityRows(
  dataset: Dataset,
  corrector: SliceCorrector,
  limit: number,
): Promise<SeverityRow[]> {
  const first = new Map(
    dataset.samples
      .map((sample, index) => [`${sample.shard}:${sample.cleanOffset}`, index] as const)
      .reverse(),
  );
  const every = Math.max(1, Math.floor(first.size / limit));
  const chosen = [...first.values()].sort((a, b) => a - b).filter((_, index) => index % every === 0);
  const rows: SeverityRow[] = [];
  for (const index of chosen) {
    const sample = dataset.samples[index]!;
    const { clean } = dataset.read(index);
    const reference = prepareReference(clean, sample.rows, sample.columns);
    const slice = prepareSlice(clean, sample.rows, sample.columns, [sample.pixel, sample.pixel]);
    const images = SEVERITY_FACTORS.map((factor, at) => {
      const direction: PhaseEncodingDirection = (index + at) % 2 === 0 ? 'ROW' : 'COL';
      if (factor === 0) return { factor, direction, image: clean };
      const trace = generateTrace(createRandom(index, `severity ${factor}`), { pattern: 'mixed' });
      const lines = direction === 'ROW' ? sample.columns : sample.rows;
      const motion = 'rotation+translation';
      const poses = inPlanePoses(trace, { plane: sample.plane, motion, factor, lines });
      return { factor, direction, image: corruptSlice(slice, poses, direction) };
    });
    const scale = STORED_WHITE / reference.scale;
    const before = images.map(({ image }) => stored(image, scale));
    const after = await corrector.correct(before, sample.rows, sample.columns);
    for (const [at, { factor, direction, image }] of images.entries()) {
      const quality = qualityOf(before[at]!, stored(after[at]!, 1), sample.rows, sample.columns, {
        along: direction,
      });
      const { ssim, tightHeadSsim } = compareSlice(image, reference);
      rows.push({
        subject: sample.volume,
        factor,
        severity: quality.severity,
        residualEnergy: quality.residualEnergy,
        ghosts: quality.ghosts,
        lost: 1 - ssim,
        lostInHead: 1 - tightHeadSsim,
      });
    }
  }
  return rows;
}

function meanOf(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

/** Pearson's product-moment correlation. */
export function pearson(a: readonly number[], b: readonly number[]): number {
  const [meanA, meanB] = [meanOf(a), meanOf(b)];
  let product = 0;
  let squaresA = 0;
  let squaresB = 0;
  for (let i = 0; i < a.length; i += 1) {
    const [x, y] = [a[i]! - meanA, b[i]! - meanB];
    product += x * y;
    squaresA += x * x;
    squaresB += y * y;
  }
  return product / Math.sqrt(squaresA * squaresB);
}

/** Ranks from 1, equal values sharing their mean rank. */
function ranks(values: readonly number[]): number[] {
  const order = values.map((_, index) => index).sort((a, b) => values[a]! - values[b]!);
  const found = new Array<number>(values.length);
  for (let from = 0; from < order.length; ) {
    let to = from;
    while (to + 1 < order.length && values[order[to + 1]!] === values[order[from]!]) to += 1;
    for (let i = from; i <= to; i += 1) found[order[i]!] = (from + to) / 2 + 1;
    from = to + 1;
  }
  return found;
}

/** Spearman's rank correlation. */
export function spearman(a: readonly number[], b: readonly number[]): number {
  return pearson(ranks(a), ranks(b));
}

/** Least squares of y on the columns of x and a constant, by the normal equations; the constant comes last. */
export function leastSquares(x: readonly (readonly number[])[], y: readonly number[]): number[] {
  const columns = x[0]!.length + 1;
  const rows = x.map((row) => [...row, 1]);
  const system = Array.from({ length: columns }, (_, i) => [
    ...Array.from({ length: columns }, (_, j) => rows.reduce((sum, row) => sum + row[i]! * row[j]!, 0)),
    rows.reduce((sum, row, at) => sum + row[i]! * y[at]!, 0),
  ]);
  for (let pivot = 0; pivot < columns; pivot += 1) {
    const best = system.reduce(
      (at, row, i) => (i >= pivot && Math.abs(row[pivot]!) > Math.abs(system[at]![pivot]!) ? i : at),
      pivot,
    );
    [system[pivot], system[best]] = [system[best]!, system[pivot]!];
    for (let i = 0; i < columns; i += 1) {
      if (i === pivot) continue;
      const factor = system[i]![pivot]! / system[pivot]![pivot]!;
      for (let j = pivot; j <= columns; j += 1) system[i]![j]! -= factor * system[pivot]![j]!;
    }
  }
  return system.map((row, i) => row[columns]! / row[i]!);
}

/** How an estimate goes with the truth. */
export interface SeverityAgreement {
  readonly pearson: number;
  readonly spearman: number;
}

export interface SeveritySummary {
  readonly slices: number;
  readonly subjects: number;
  /** The estimate against 1 − SSIM with the motion-free slice. */
  readonly head: SeverityAgreement;
  readonly whole: SeverityAgreement;
  /** Of the estimate, against 1 − SSIM inside the head. */
  readonly meanAbsoluteError: number;
  readonly largestResidualEnergy: number;
  readonly bySeverity: readonly {
    readonly factor: number;
    readonly lostInHead: number;
    readonly estimate: number;
  }[];
}

/** @param rows at least one */
export function summariseSeverity(rows: readonly SeverityRow[]): SeveritySummary {
  const estimate = rows.map(({ severity }) => severity);
  const head = rows.map(({ lostInHead }) => lostInHead);
  const agreement = (truth: readonly number[]): SeverityAgreement => ({
    pearson: pearson(estimate, truth),
    spearman: spearman(estimate, truth),
  });
  return {
    slices: rows.length,
    subjects: new Set(rows.map(({ subject }) => subject)).size,
    head: agreement(head),
    whole: agreement(rows.map(({ lost }) => lost)),
    meanAbsoluteError: meanOf(estimate.map((value, i) => Math.abs(value - head[i]!))),
    largestResidualEnergy: Math.max(...rows.map(({ residualEnergy }) => residualEnergy)),
    bySeverity: SEVERITY_FACTORS.map((factor) => {
      const some = rows.filter((row) => row.factor === factor);
      return {
        factor,
        lostInHead: meanOf(some.map((row) => row.lostInHead)),
        estimate: meanOf(some.map((row) => row.severity)),
      };
    }),
  };
}
