import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createRandom } from '../../../data/index.js';
import type { SliceFigures, SliceRow } from '../../../evaluate/index.js';
import { binned } from '../../../evaluate/report/charts.js';
import { shownP, spreadOrigin } from '../../../evaluate/report/markdown.js';
import { chooseExamples, mayBeShown } from '../../../evaluate/report/panels.js';
import { compare, groupFigures, harmFigures } from '../../../evaluate/report/results.js';

const random = createRandom(4);

function figures(ssim: number, headSsim: number): SliceFigures {
  return {
    ssim,
    headSsim,
    tightHeadSsim: headSsim + 0.1 * ssim,
    psnr: 20 + 10 * ssim,
    nmse: 1 - ssim,
    l1: 0.02,
    tv: 0.9,
  };
}

function row(subject: string, coverage: 'brain' | 'head', values: Partial<SliceRow>): SliceRow {
  return {
    sample: 0,
    subject,
    coverage,
    plane: 'sagittal',
    position: 0,
    trace: 'trace-1',
    factor: 20,
    motion: 'rotation',
    direction: 'ROW',
    rotation: 2,
    translation: 0,
    corrupted: figures(0.6, 0.7),
    corrected: [figures(0.8, 0.75)],
    ...values,
  };
}

test('figures of a group are means over its slices', () => {
  const rows = [
    row('a', 'brain', {}),
    row('a', 'brain', { corrected: [figures(0.9, 0.6)] }),
    row('b', 'head', { corrupted: figures(0.5, 0.5), corrected: [figures(0.5, 0.65)] }),
  ];
  const brain = groupFigures(rows, 'brain', 0)!;
  assert.equal(brain.slices, 2);
  assert.equal(brain.subjects, 1);
  assert.ok(Math.abs(brain.ssimCorrected - 0.85) < 1e-12);
  assert.ok(Math.abs(brain.sdCorrected - Math.SQRT1_2 / 10) < 1e-12);
  assert.ok(Math.abs(brain.ssimGain - 0.25) < 1e-12);
  assert.equal(brain.improved, 0.5);
  const head = groupFigures(rows, 'head', 0)!;
  assert.ok(Math.abs(head.headSsimGain - 0.15) < 1e-12);
  assert.ok(Math.abs(brain.tightHeadSsimGain) < 1e-12);
  const all = groupFigures(rows, 'all', 0)!;
  assert.equal(all.slices, 3);
  assert.ok(Math.abs(all.ssimCorrupted - 1.7 / 3) < 1e-12);
  assert.equal(groupFigures(rows.slice(0, 2), 'head', 0), null);
});

test('the lowest slice of the do-no-harm measure is the lowest', () => {
  const rows = [0.999, 0.97, 0.99].map((ssim) => row('a', 'brain', { corrected: [figures(ssim, ssim)] }));
  const harm = harmFigures(rows, 'all', 0)!;
  assert.equal(harm.leastSsim, 0.97);
  assert.ok(Math.abs(harm.ssim - 2.959 / 3) < 1e-12);
  assert.equal(harmFigures(rows, 'head', 0), null);
});

test('tests over subjects take one value of each subject', () => {
  const subjects = ['a', 'b', 'c', 'd', 'e', 'f'];
  const rows = subjects.flatMap((subject) => Array.from({ length: 40 }, () => row(subject, 'brain', {})));
  const before = rows.map(() => random.uniform());
  // one subject gains much, the others lose a little: over slices and over subjects alike, the means are of all slices
  const after = before.map((value, i) => value + (rows[i]!.subject === 'a' ? 0.5 : -0.1));
  const { overSlices, overSubjects, meanDifference } = compare(rows, after, before);
  assert.ok(Math.abs(meanDifference) < 1e-9);
  assert.equal(overSlices.t.count, 240);
  assert.equal(overSubjects!.t.count, 6);
  // five of six subjects fall by the same amount: ties, unless rounding makes them differ
  assert.equal(overSubjects!.wilcoxon.count, 6);
  assert.equal(overSubjects!.wilcoxon.statistic, 6);
  assert.equal(compare(rows.slice(0, 40), after.slice(0, 40), before.slice(0, 40)).overSubjects, null);
});

test('no head that may have a face is shown', () => {
  const shown = (subject: string, coverage: 'brain' | 'head'): boolean => mayBeShown({ subject, coverage });
  assert.ok(shown('anyone', 'brain'));
  assert.ok(shown('ds000011-sub-09', 'head'));
  assert.ok(shown('phantom-sub-3', 'head'));
  assert.ok(!shown('patient-7', 'head'));
  assert.ok(!shown('brainchop-t1crop', 'head'));
  assert.ok(!shown('my-ds000011-sub-09', 'head'));
  const rows = [
    row('patient', 'head', { corrupted: figures(0.6, 0.7) }),
    row('ds000011-sub-10', 'head', { sample: 1, position: 40, corrupted: figures(0.6, 0.2) }),
    row('x', 'brain', { sample: 2, corrupted: figures(0.6, 0.3) }),
    row('x', 'brain', { sample: 3, corrupted: figures(0.6, 0.5) }),
    row('x', 'brain', { sample: 4, corrupted: figures(0.6, 0.9) }),
    row('x', 'brain', { sample: 5, position: 22, corrupted: figures(0.6, 0.4) }),
  ];
  assert.deepEqual(
    chooseExamples(rows).map((chosen) => chosen.sample),
    [3, 1],
  );
});

test('means along the magnitude are of groups of equal size', () => {
  const points = Array.from({ length: 100 }, (_, i): [number, number] => [99 - i, 2 * (99 - i) + 1]);
  const means = binned(points, 4);
  assert.deepEqual(means, [
    [12, 25],
    [37, 75],
    [62, 125],
    [87, 175],
  ]);
  assert.equal(binned(points.slice(0, 3), 8).length, 3);
});

test('the origin of the spread is told apart', () => {
  const rows = Array.from({ length: 200 }, (_, i) =>
    row('a', 'brain', {
      trace: `trace-${i % 20}`,
      corrupted: figures(0.4 + 0.02 * (i % 20) + 0.001 * random.normal(), 0.7),
    }),
  );
  const origin = spreadOrigin({
    protocol: 'matched',
    motion: 'rotation',
    traces: 'unseen',
    factor: 20,
    dataset: '',
    digest: '',
    rows,
  });
  assert.ok(origin.between > 0.1 && origin.within < 0.002 && Math.abs(origin.whole - origin.between) < 0.01);
});

test('p is printed as a number while it is one', () => {
  assert.equal(shownP(Math.log10(0.00049)), '0.00049');
  assert.equal(shownP(Math.log10(0.5)), '0.50');
  assert.equal(shownP(-1234.4), '10^-1234');
});
