import assert from 'node:assert/strict';
import { test } from 'node:test';
import { turnsOf } from '../../../src/reader-study/design.js';
import { cohenKappa, signedRankTest, signTest } from '../../../src/reader-study/index.js';

const close = (a: number, b: number, within = 1e-6) => assert.ok(Math.abs(a - b) <= within, `${a} and ${b}`);

test("Cohen's kappa as in textbooks", () => {
  // 20 yes/yes, 5 yes/no, 10 no/yes, 15 no/no: po 0.7, pe 0.5.
  const pairs = [
    ...Array.from({ length: 20 }, () => [1, 1]),
    ...Array.from({ length: 5 }, () => [1, 0]),
    ...Array.from({ length: 10 }, () => [0, 1]),
    ...Array.from({ length: 15 }, () => [0, 0]),
  ];
  const [a, b] = [pairs.map(([one]) => one!), pairs.map(([, other]) => other!)];
  close(cohenKappa(a, b, 2, 'none'), 0.4);
  close(cohenKappa(a, b, 2, 'quadratic'), 0.4);
  close(cohenKappa([0, 1, 2, 3, 4], [0, 1, 2, 3, 4], 5, 'quadratic'), 1);
  close(cohenKappa([0, 1, 2, 3, 4], [4, 3, 2, 1, 0], 5, 'quadratic'), -1);
  // One step off is punished less than four.
  const near = cohenKappa([0, 1, 2, 3, 4], [1, 1, 2, 3, 4], 5, 'quadratic');
  const far = cohenKappa([0, 1, 2, 3, 4], [4, 1, 2, 3, 4], 5, 'quadratic');
  assert.ok(near > 0.9 && far < near);
  assert.ok(Number.isNaN(cohenKappa([], [], 5, 'none')));
  assert.ok(Number.isNaN(cohenKappa([2, 2], [2, 2], 5, 'none')));
});

test("Wilcoxon's signed rank test, exact and normal", () => {
  // All of five positive: 2 / 2^5.
  assert.deepEqual(signedRankTest([1, 2, 3, 4, 5]), { pairs: 5, statistic: 15, p: 0.0625, method: 'exact' });
  assert.deepEqual(signedRankTest([0, 0]), { pairs: 0, statistic: 0, p: 1, method: 'exact' });
  // Hollander and Wolfe, Hamilton depression scale: V = 40, p = 0.03906 two-sided.
  const depression = [0.952, -0.147, 1.022, 0.43, 0.62, 0.59, 0.49, -0.08, 0.01];
  const { statistic, p } = signedRankTest(depression);
  assert.equal(statistic, 40);
  close(p, 0.0390625);
  // Ties: ranks 1.5, 1.5, 3 all positive.
  close(signedRankTest([1, 1, 2]).p, 0.25);
  const many = Array.from({ length: 200 }, (_, i) => (i % 2 === 0 ? i + 1 : -(i + 1)));
  const even = signedRankTest(many);
  assert.equal(even.method, 'normal');
  assert.ok(even.p > 0.8);
  assert.ok(signedRankTest(many.map(Math.abs)).p < 1e-6);
  close(signTest(9, 1), 22 / 1024);
});

test('order and sides differ between readers, come again, and are balanced', () => {
  const cases = Array.from({ length: 20 }, (_, i) => i);
  const one = turnsOf('secret', 'A', cases);
  assert.deepEqual(turnsOf('secret', 'A', cases), one);
  assert.notDeepEqual(
    turnsOf('secret', 'B', cases).map(({ number }) => number),
    one.map(({ number }) => number),
  );
  assert.equal(one.filter(({ correctedSide }) => correctedSide === 'left').length, 10);
  assert.equal(new Set(one.map(({ token }) => token)).size, 20);
  assert.deepEqual(
    one.map(({ number }) => number).sort((a, b) => a - b),
    cases,
  );
});
