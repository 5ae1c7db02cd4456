import type { Coverage } from '../data/index.js';
import type { SliceRow } from './evaluate-dataset.js';
import type { SliceFigures } from './similarity.js';

/** Mean and sample standard deviation of the finite values. */
export interface Spread {
  readonly mean: number;
  readonly sd: number;
  readonly count: number;
}

export function spreadOf(values: Iterable<number>): Spread {
  let count = 0;
  let mean = 0;
  let power = 0;
  for (const value of values) {
    if (!Number.isFinite(value)) continue;
    count++;
    const before = value - mean;
    mean += before / count;
    power += before * (value - mean);
  }
  return {
    mean: count > 0 ? mean : Number.NaN,
    sd: count > 1 ? Math.sqrt(power / (count - 1)) : Number.NaN,
    count,
  };
}

/** Subjects by what their volumes show. */
export type CoverageGroup = 'brain' | 'head' | 'all';
export const COVERAGE_GROUPS: readonly CoverageGroup[] = ['brain', 'head', 'all'];
export const GROUP_NAMES: Readonly<Record<CoverageGroup, string>> = {
  brain: 'brain-only',
  head: 'scalp-on',
  all: 'all',
};

export function inGroup(group: CoverageGroup, coverage: Coverage): boolean {
  return group === 'all' || group === coverage;
}

export const MEASURES = [
  'ssim',
  'headSsim',
  'tightHeadSsim',
  'psnr',
  'nmse',
  'l1',
  'tv',
] as const satisfies (keyof SliceFigures)[];
export type Measure = (typeof MEASURES)[number];

/** Every measure before and after one model over the slices of a group. */
export interface GroupSummary {
  readonly slices: number;
  readonly corrupted: Readonly<Record<Measure, Spread>>;
  readonly corrected: Readonly<Record<Measure, Spread>>;
}

/** @param model place of the model in the evaluation; corrected figures are those of the corrupted images without one */
export function summarise(rows: readonly SliceRow[], group: CoverageGroup, model?: number): GroupSummary {
  const chosen = rows.filter((row) => inGroup(group, row.coverage));
  const spreads = (figures: (row: SliceRow) => SliceFigures): Record<Measure, Spread> => {
    const of = (measure: Measure): Spread => spreadOf(chosen.map((row) => figures(row)[measure]));
    return Object.fromEntries(MEASURES.map((measure) => [measure, of(measure)])) as Record<Measure, Spread>;
  };
  return {
    slices: chosen.length,
    corrupted: spreads((row) => row.corrupted),
    corrected: spreads((row) => (model === undefined ? row.corrupted : row.corrected[model]!)),
  };
}
