import assert from 'node:assert/strict';
import { test } from 'node:test';
import { logGamma, logNormalTail, logStudentTail } from '../../evaluate/distributions.js';
import { pairedTTest, wilcoxonSignedRank } from '../../evaluate/index.js';

function close(value: number, expected: number, relative: number): void {
  assert.ok(Math.abs(value - expected) <= relative * Math.abs(expected), `${value} is not ${expected}`);
}

/** Two-sided tail of Student's t by Simpson's rule: with T = √ν tan θ the density is proportional to cos(θ)^(ν−1). */
function integratedTail(t: number, degreesOfFreedom: number): number {
  const power = (low: number, high: number): number => {
    const intervals = 200_000;
    const h = (high - low) / intervals;
    let sum = 0;
    for (let i = 0; i <= intervals; i++) {
      const weight = i === 0 || i === intervals ? 1 : i % 2 === 1 ? 4 : 2;
      sum += weight * Math.abs(Math.cos(low + i * h)) ** (degreesOfFreedom - 1);
    }
    return (sum * h) / 3;
  };
  const from = Math.atan(t / Math.sqrt(degreesOfFreedom));
  return power(from, Math.PI / 2) / power(0, Math.PI / 2);
}

test('ln Γ at whole and half numbers', () => {
  let factorial = 1;
  for (let n = 1; n <= 20; n++) {
    close(Math.exp(logGamma(n)), factorial, 1e-12);
    factorial *= n;
  }
  close(Math.exp(logGamma(0.5)), Math.sqrt(Math.PI), 1e-13);
  close(Math.exp(logGamma(5.5)), (945 / 32) * Math.sqrt(Math.PI), 1e-13);
});

test("the tail of Student's t agrees with its closed forms, with integration and with printed tables", () => {
  for (const t of [0.1, 1, 3, 20]) {
    close(Math.exp(logStudentTail(t, 1)), 1 - (2 / Math.PI) * Math.atan(t), 1e-12);
    close(Math.exp(logStudentTail(t, 2)), 1 - t / Math.sqrt(2 + t * t), 1e-11);
    for (const degrees of [5, 30, 719]) {
      close(Math.exp(logStudentTail(t, degrees)), integratedTail(t, degrees), 1e-8);
    }
  }
  // two-sided 5 %, 1 % and 0.1 % points as in every table
  for (const [t, degrees, p] of [
    [2.570582, 5, 0.05],
    [2.228139, 10, 0.05],
    [2.84534, 20, 0.01],
    [3.645959, 30, 0.001],
    [1.983972, 100, 0.05],
  ] as const) {
    close(Math.exp(logStudentTail(t, degrees)), p, 2e-6);
  }
});

test('the normal tail agrees with printed values, also far out', () => {
  close(Math.exp(logNormalTail(1.959963984540054)), 0.05, 1e-12);
  close(Math.exp(logNormalTail(-2.5758293035489004)), 0.01, 1e-12);
  close(Math.exp(logNormalTail(3.290526731491906)), 0.001, 1e-12);
  // on both sides of the change of method, 2√2
  close(Math.exp(logNormalTail(2.8284)), Math.exp(logNormalTail(2.82843)), 1e-4);
  // erfc(10) = 2.0884875837625446e-45
  close(logNormalTail(10 * Math.SQRT2), Math.log(2.0884875837625446e-45), 1e-13);
  // far beyond what a number can hold: the asymptotic series
  const x = 100;
  const asymptotic =
    -x * x - Math.log(x * Math.sqrt(Math.PI)) + Math.log1p(-1 / (2 * x * x) + 3 / (4 * x ** 4));
  close(logNormalTail(x * Math.SQRT2), asymptotic, 1e-12);
});

test("Student's sleep data, as in his paper of 1908", () => {
  const first = [0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0];
  const second = [1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4];
  const result = pairedTTest(second, first);
  close(result.meanDifference, 1.58, 1e-12);
  close(result.statistic, 4.062128, 1e-6);
  close(result.p, 0.002833, 2e-4);
  assert.equal(result.degreesOfFreedom, 9);
  close(result.effectSize, 1.284558, 1e-5);
});

test("Wilcoxon's test of Darwin's maize, exact", () => {
  // heights in eighths of an inch of crossed and self-fertilised pairs: differences as in Fisher's Design of Experiments
  const differences = [49, -67, 8, 16, 6, 23, 28, 41, 14, 29, 56, 24, 75, 60, -48];
  const result = wilcoxonSignedRank(
    differences,
    differences.map(() => 0),
  );
  assert.equal(result.count, 15);
  assert.equal(result.statistic, 96);
  close(result.p, 0.04126, 1e-3);
});

test('the exact distribution is that of all signs, one by one', () => {
  const sizes = [0.3, 1.1, 2.7, 3.1, 4.4, 5.9, 7.2, 8.8, 9.6];
  const observed = [1, -1, 1, 1, -1, 1, 1, 1, 1];
  const rankSum = (signs: readonly number[]): number =>
    signs.reduce((sum, sign, i) => sum + (sign > 0 ? i + 1 : 0), 0);
  const middle = (sizes.length * (sizes.length + 1)) / 4;
  const distance = Math.abs(rankSum(observed) - middle);
  let extreme = 0;
  for (let code = 0; code < 1 << sizes.length; code++) {
    const signs = sizes.map((_, i) => ((code >> i) & 1 ? 1 : -1));
    if (Math.abs(rankSum(signs) - middle) >= distance - 1e-9) extreme++;
  }
  const result = wilcoxonSignedRank(
    sizes.map((size, i) => size * observed[i]!),
    sizes.map(() => 0),
  );
  close(result.p, extreme / 2 ** sizes.length, 1e-12);
});

test('ties and pairs without a difference: the normal approximation with corrected variance', () => {
  const a = [5, 3, 8, 1, 7, 7, 2, 9, 4, 6];
  const b = [3, 3, 6, 3, 5, 4, 2, 5, 3, 9];
  // differences 2 0 2 −2 2 3 0 4 1 −3: ranks of sizes 1: 1; four of 2: 3.5; two of 3: 6.5; 4: 8
  const result = wilcoxonSignedRank(a, b);
  assert.equal(result.count, 8);
  assert.equal(result.statistic, 1 + 3 * 3.5 + 6.5 + 8);
  const variance = (8 * 9 * 17) / 24 - (60 + 6) / 48;
  close(result.p, Math.exp(logNormalTail((26 - 18) / Math.sqrt(variance))), 1e-12);
});

test('thousands of pairs: p stays meaningful where it underflows', () => {
  const a = Array.from({ length: 5000 }, (_, i) => 1 + 0.1 * Math.sin(i) + 0.05 * Math.cos(3 * i));
  const b = a.map((value, i) => value - 0.1 - 0.02 * Math.sin(7 * i));
  const t = pairedTTest(a, b);
  assert.equal(t.p, 0);
  assert.ok(Number.isFinite(t.log10P) && t.log10P < -1000);
  const w = wilcoxonSignedRank(a, b);
  assert.ok(Number.isFinite(w.log10P) && w.log10P < -300);
  const none = pairedTTest(a, a);
  assert.deepEqual([none.statistic, none.p], [0, 1]);
  assert.equal(wilcoxonSignedRank(a, a).p, 1);
});

test('what is no pairs is refused', () => {
  assert.throws(() => pairedTTest([1, 2], [1]), /needs pairs/);
  assert.throws(() => pairedTTest([1], [1]), /at least two/);
  assert.throws(() => wilcoxonSignedRank([1, Number.NaN], [1, 2]), /finite/);
});
