import { logNormalTail, logStudentTail } from './distributions.js';
import { spreadOf } from './summary.js';

/** What a paired test found; two-sided. */
export interface TestResult {
  /** t, or the signed-rank statistic W⁺ (the sum of ranks of positive differences). */
  readonly statistic: number;
  /** Probability of a statistic at least as far from its expectation if the two did not differ; 0 where it underflows. */
  readonly p: number;
  /** log10 of p, finite also for the smallest p. */
  readonly log10P: number;
  /** Pairs that took part. */
  readonly count: number;
}

/** Student's paired t-test of the mean of `a − b`. */
export interface PairedTTest extends TestResult {
  readonly meanDifference: number;
  readonly sdDifference: number;
  readonly degreesOfFreedom: number;
  /** Mean of the differences in units of their standard deviation (Cohen's d of paired samples). */
  readonly effectSize: number;
}

function differencesOf(a: readonly number[], b: readonly number[]): number[] {
  if (a.length !== b.length) {
    throw new RangeError(`a paired test needs pairs: got ${a.length} and ${b.length} values`);
  }
  const differences = a.map((value, i) => value - b[i]!);
  if (differences.some((value) => !Number.isFinite(value))) {
    throw new RangeError('a paired test needs finite values');
  }
  return differences;
}

/**
 * Student's paired t-test, two-sided.
 *
 * @throws RangeError for lists of different lengths, fewer than two pairs, or values that are not finite
 */
export function pairedTTest(a: readonly number[], b: readonly number[]): PairedTTest {
  const differences = differencesOf(a, b);
  if (differences.length < 2) throw new RangeError('a paired t-test needs at least two pairs');
  const { mean, sd, count } = spreadOf(differences);
  const error = sd / Math.sqrt(count);
  const statistic = mean === 0 ? 0 : mean / error;
  const degreesOfFreedom = count - 1;
  const logP = logStudentTail(statistic, degreesOfFreedom);
  return {
    statistic,
    p: Math.exp(logP),
    log10P: logP / Math.LN10,
    count,
    meanDifference: mean,
    sdDifference: sd,
    degreesOfFreedom,
    effectSize: sd > 0 ? mean / sd : mean === 0 ? 0 : Number.POSITIVE_INFINITY * Math.sign(mean),
  };
}

/** Up to this many pairs without ties the distribution of the signed-rank statistic is counted out. */
const EXACT_PAIRS = 50;

/**
 * Wilcoxon's signed-rank test, two-sided. Pairs without a difference are left out (Wilcoxon 1945), equal differences share their mean
 * rank. Exact for up to 50 pairs without ties, otherwise by the normal approximation with the variance corrected for ties and
 * without a continuity correction.
 *
 * @throws RangeError for lists of different lengths or values that are not finite
 */
export function wilcoxonSignedRank(a: readonly number[], b: readonly number[]): TestResult {
  const differences = differencesOf(a, b).filter((value) => value !== 0);
  const count = differences.length;
  if (count === 0) return { statistic: 0, p: 1, log10P: 0, count };
  const order = differences.map((value, i) => ({ size: Math.abs(value), i })).sort((x, y) => x.size - y.size);
  let positive = 0;
  let tieCorrection = 0;
  for (let from = 0; from < count; ) {
    let to = from + 1;
    while (to < count && order[to]!.size === order[from]!.size) to++;
    const rank = (from + 1 + to) / 2;
    for (let at = from; at < to; at++) if (differences[order[at]!.i]! > 0) positive += rank;
    const tied = to - from;
    tieCorrection += tied * tied * tied - tied;
    from = to;
  }
  if (count <= EXACT_PAIRS && tieCorrection === 0) {
    const p = exactSignedRankTail(positive, count);
    return { statistic: positive, p, log10P: Math.log10(p), count };
  }
  const mean = (count * (count + 1)) / 4;
  const variance = (count * (count + 1) * (2 * count + 1)) / 24 - tieCorrection / 48;
  const logP = logNormalTail((positive - mean) / Math.sqrt(variance));
  return { statistic: positive, p: Math.exp(logP), log10P: logP / Math.LN10, count };
}

/** P(W⁺ at least as far from its mean as `statistic`) over all 2ⁿ signs of the ranks 1 … n. */
function exactSignedRankTail(statistic: number, count: number): number {
  const total = (count * (count + 1)) / 2;
  // ways[s]: in how many ways a subset of the ranks sums to s
  const ways = new Float64Array(total + 1);
  ways[0] = 1;
  for (let rank = 1; rank <= count; rank++) {
    for (let sum = total; sum >= rank; sum--) ways[sum]! += ways[sum - rank]!;
  }
  const low = Math.min(statistic, total - statistic);
  let below = 0;
  for (let sum = 0; sum <= low; sum++) below += ways[sum]!;
  return Math.min(1, (2 * below) / 2 ** count);
}
