import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { CatalogueEntry, SplitPart } from '../data/index.js';
import type { MotionKind, MotionTrace } from '../motion/index.js';
import { datasetDigest, makeDataset, paperRecipe, writeWhole } from '../simulation/index.js';
import { evaluateDataset } from './evaluate-dataset.js';
import { EvaluationError } from './model.js';
import { summarise } from './summary.js';

/** The corrupted slices' mean SSIM in the paper (its Figure 4). */
export const PAPER_CORRUPTED_SSIM: Readonly<Record<MotionKind, number>> = {
  rotation: 0.715,
  'rotation+translation': 0.574,
};

/** One factor that was tried. */
export interface FactorTrial {
  readonly factor: number;
  readonly ssim: number;
}

export interface FactorSearch {
  readonly low?: number;
  readonly high?: number;
  /** The search ends when the mean is as near to the target as this. */
  readonly tolerance?: number;
}

/** The search goes beyond its first range by this factor at most. */
const WIDEST = 16;

/**
 * The factor at which a mean SSIM that falls with it meets a target: false position on the logarithm of the factor, with
 * Illinois steps so that no end stays. Factors are rounded to 0.01.
 *
 * @returns all trials, the last one the result
 * @throws EvaluationError when the target does not lie between the means at `low` / 16 and `high` · 16
 */
export async function searchFactor(
  meanAt: (factor: number) => Promise<number>,
  target: number,
  options: FactorSearch = {},
): Promise<FactorTrial[]> {
  const tolerance = options.tolerance ?? 0.0005;
  const trials: FactorTrial[] = [];
  const measure = async (factor: number): Promise<number> => {
    const ssim = await meanAt(factor);
    trials.push({ factor, ssim });
    return ssim - target;
  };
  let low = options.low ?? 4;
  let high = options.high ?? 60;
  let above = await measure(low);
  if (Math.abs(above) <= tolerance) return trials;
  let below = await measure(high);
  if (Math.abs(below) <= tolerance) return trials;
  // traces milder or harsher than those measured in vivo
  while (below > 0 && high < WIDEST * (options.high ?? 60)) {
    low = high;
    above = below;
    high *= 2;
    below = await measure(high);
    if (Math.abs(below) <= tolerance) return trials;
  }
  while (above < 0 && low * WIDEST > (options.low ?? 4)) {
    high = low;
    below = above;
    low /= 2;
    above = await measure(low);
    if (Math.abs(above) <= tolerance) return trials;
  }
  if (above < 0 || below > 0) {
    const tried = [...trials].sort((a, b) => a.factor - b.factor);
    const [first, last] = [tried[0]!, tried.at(-1)!];
    throw new EvaluationError(
      `no factor between ${first.factor} and ${last.factor} brings the mean SSIM to ${target}: it is ${first.ssim.toFixed(3)} at ${first.factor} and ${last.ssim.toFixed(3)} at ${last.factor}; the traces are much milder or harsher than the measured ones`,
    );
  }
  let side = 0;
  for (let step = 0; step < 30; step++) {
    const share = above / (above - below);
    const factor = Math.round(100 * low * (high / low) ** share) / 100;
    const known = trials.find((trial) => trial.factor === factor);
    if (known !== undefined) {
      trials.push(known);
      return trials;
    }
    const difference = await measure(factor);
    if (Math.abs(difference) <= tolerance) return trials;
    if (difference > 0) {
      low = factor;
      above = difference;
      if (side > 0) below /= 2;
      side = 1;
    } else {
      high = factor;
      below = difference;
      if (side < 0) above /= 2;
      side = -1;
    }
  }
  return trials;
}

export interface MatchFactorOptions {
  readonly motion: MotionKind;
  /** Default the paper's mean for this motion. */
  readonly target?: number;
  /** Validation subjects: the factor must not be chosen on those that are tested. */
  readonly volumes: readonly CatalogueEntry[];
  readonly part?: SplitPart;
  readonly traces: readonly MotionTrace[];
  /** The name of the set of traces; recorded. */
  readonly traceSet?: string;
  readonly cache: string;
  /** Traces a slice; default 16. */
  readonly tracesPerSlice?: number;
  /** Slices of each volume; default the paper's ten. */
  readonly slices?: number;
  readonly seed?: number;
  readonly workers?: number;
  readonly search?: FactorSearch;
  readonly onTrial?: (trial: FactorTrial) => void;
}

export interface MatchedFactor extends FactorTrial {
  readonly motion: MotionKind;
  readonly target: number;
  readonly slices: number;
  readonly trials: readonly FactorTrial[];
}

/**
 * The factor at which the corrupted slices' mean SSIM equals the paper's (severity-matched). Slices, traces and directions are the
 * same for all factors tried, so the result is a function of volumes, traces and seed; it is kept in the cache.
 *
 * @throws EvaluationError when no factor reaches the target, DatasetError when the slices cannot be simulated
 */
export async function matchFactor(options: MatchFactorOptions): Promise<MatchedFactor> {
  const { motion, volumes, traces, cache } = options;
  const target = options.target ?? PAPER_CORRUPTED_SSIM[motion];
  const recipeAt = (factor: number) =>
    paperRecipe({
      part: options.part ?? 'validation',
      traces: options.traceSet ?? 'paper',
      motion,
      factor,
      tracesPerSlice: options.tracesPerSlice ?? 16,
      ...(options.slices === undefined ? {} : { slices: options.slices }),
      seed: options.seed ?? 1,
    });
  const digest = createHash('sha256')
    .update(datasetDigest(recipeAt(0), volumes, traces))
    .update(JSON.stringify([target, options.search ?? {}]))
    .digest('hex')
    .slice(0, 12);
  const file = join(cache, `factor-${motion}-${digest}.json`);
  if (existsSync(file)) return JSON.parse(readFileSync(file, 'utf8')) as MatchedFactor;
  const scratch = join(cache, `factor-${motion}-${digest}`);
  mkdirSync(scratch, { recursive: true });
  let slices = 0;
  const workers = options.workers === undefined ? {} : { workers: options.workers };
  const trials = await searchFactor(
    async (factor) => {
      const dataset = await makeDataset({
        recipe: recipeAt(factor),
        volumes,
        traces,
        cache: scratch,
        ...workers,
      });
      dataset.close();
      const { rows } = await evaluateDataset({
        models: [],
        dataset: dataset.folder,
        ...(options.workers === undefined ? {} : { threads: options.workers }),
      });
      slices = rows.length;
      const ssim = summarise(rows, 'all').corrupted.ssim.mean;
      options.onTrial?.({ factor, ssim });
      return ssim;
    },
    target,
    options.search,
  );
  const found: MatchedFactor = { ...trials.at(-1)!, motion, target, slices, trials };
  writeWhole(file, `${JSON.stringify(found, null, 2)}\n`);
  rmSync(scratch, { recursive: true });
  return found;
}
