/** Agreement between readers, and tests of paired ratings. */

/**
 * Cohen's kappa of two readers (Educ. Psychol. Meas. 1960;20:37), with quadratic weights where the categories have an
 * order (Psychol. Bull. 1968;70:213).
 * @param a category of each case, 0 to `categories` − 1
 * @returns 1 for full agreement, 0 for that of chance; NaN where it is not defined (no case, or one category only)
 */
export function cohenKappa(
  a: readonly number[],
  b: readonly number[],
  categories: number,
  weights: 'none' | 'quadratic',
): number {
  const n = a.length;
  if (n === 0 || n !== b.length) return Number.NaN;
  const weight = (i: number, j: number) =>
    weights === 'none' ? Number(i !== j) : ((i - j) / (categories - 1)) ** 2;
  const shareOf = (values: readonly number[]) => {
    const shares = new Array<number>(categories).fill(0);
    for (const value of values) shares[value]! += 1 / n;
    return shares;
  };
  const [sharesA, sharesB] = [shareOf(a), shareOf(b)];
  let observed = 0;
  for (let i = 0; i < n; i += 1) observed += weight(a[i]!, b[i]!) / n;
  let expected = 0;
  for (let i = 0; i < categories; i += 1) {
    for (let j = 0; j < categories; j += 1) expected += weight(i, j) * sharesA[i]! * sharesB[j]!;
  }
  return expected === 0 ? Number.NaN : 1 - observed / expected;
}

export interface SignedRank {
  /** Pairs that differ; the others say nothing. */
  pairs: number;
  /** Sum of the ranks of the positive differences. */
  statistic: number;
  /** Two-sided. */
  p: number;
  method: 'exact' | 'normal';
}

/** Most pairs for which the distribution is counted out. */
const EXACT_PAIRS = 60;

/** ranks of absolute values, equal ones sharing their mean rank, times two so that they are whole. */
function doubledRanks(absolute: readonly number[]): number[] {
  const order = absolute.map((_, index) => index).sort((a, b) => absolute[a]! - absolute[b]!);
  const ranks = new Array<number>(absolute.length);
  for (let from = 0; from < order.length; ) {
    let to = from;
    while (to + 1 < order.length && absolute[order[to + 1]!] === absolute[order[from]!]) to += 1;
    for (let i = from; i <= to; i += 1) ranks[order[i]!] = from + to + 2;
    from = to + 1;
  }
  return ranks;
}

/** P(|Z| ≥ |z|) of the standard normal distribution; Abramowitz and Stegun 7.1.26, to 1.5e-7. */
function normalTail(z: number): number {
  const x = Math.abs(z) / Math.SQRT2;
  const t = 1 / (1 + 0.3275911 * x);
  const poly =
    t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))));
  return Math.min(1, poly * Math.exp(-x * x));
}

/**
 * Wilcoxon's signed rank test of paired differences (Biometrics Bull. 1945;1:80). Differences of 0 are left out; with
 * ties the distribution is that of the ranks as they are.
 */
export function signedRankTest(differences: readonly number[]): SignedRank {
  const there = differences.filter((difference) => difference !== 0);
  const n = there.length;
  const ranks = doubledRanks(there.map(Math.abs));
  const positive = ranks.reduce((sum, rank, i) => sum + (there[i]! > 0 ? rank : 0), 0);
  const statistic = positive / 2;
  if (n === 0) return { pairs: 0, statistic, p: 1, method: 'exact' };
  const total = ranks.reduce((sum, rank) => sum + rank, 0);
  const least = Math.min(positive, total - positive);
  if (n <= EXACT_PAIRS) {
    // How likely each sum of ranks is when every sign is a coin's.
    let chances = new Float64Array(total + 1);
    chances[0] = 1;
    for (const rank of ranks) {
      const next = new Float64Array(total + 1);
      for (let sum = 0; sum <= total; sum += 1) {
        next[sum] = chances[sum]! / 2 + (sum >= rank ? chances[sum - rank]! / 2 : 0);
      }
      chances = next;
    }
    let tail = 0;
    for (let sum = 0; sum <= least; sum += 1) tail += chances[sum]!;
    return { pairs: n, statistic, p: Math.min(1, 2 * tail), method: 'exact' };
  }
  const mean = total / 2;
  const deviation = Math.sqrt(ranks.reduce((sum, rank) => sum + (rank / 2) ** 2, 0));
  // In doubled ranks the variance is Σ rank² / 4; half a rank is the correction for continuity.
  const z = Math.max(0, Math.abs(positive - mean) - 1) / deviation;
  return { pairs: n, statistic, p: normalTail(z), method: 'normal' };
}

/** Two-sided sign test: how likely so uneven a split of `a` and `b` is by chance. */
export function signTest(a: number, b: number): number {
  const n = a + b;
  if (n === 0) return 1;
  let logChance = n * Math.log(0.5);
  let tail = 0;
  for (let k = 0; k <= Math.min(a, b); k += 1) {
    tail += Math.exp(logChance);
    logChance += Math.log(n - k) - Math.log(k + 1);
  }
  return Math.min(1, 2 * tail);
}
