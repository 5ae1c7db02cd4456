import type { MotionKind } from '../../motion/index.js';
import type { SliceRow } from '../evaluate-dataset.js';
import { type MaskFigures, maskFigures } from '../head-masks.js';
import { type PairedTTest, pairedTTest, type TestResult, wilcoxonSignedRank } from '../paired-tests.js';
import type { SeveritySummary } from '../severity.js';
import { type CoverageGroup, inGroup, type Measure, spreadOf, summarise } from '../summary.js';
import type { Experiment, MeasuredCondition, Protocol, TraceSet } from './experiment.js';

/** Means and standard deviations over the slices of a group of subjects, before and after a model. */
export interface GroupFigures {
  readonly slices: number;
  readonly subjects: number;
  readonly ssimCorrupted: number;
  readonly sdCorrupted: number;
  readonly ssimCorrected: number;
  readonly sdCorrected: number;
  readonly ssimGain: number;
  readonly headSsimCorrupted: number;
  readonly headSdCorrupted: number;
  readonly headSsimCorrected: number;
  readonly headSdCorrected: number;
  readonly headSsimGain: number;
  /** Inside the mask that leaves most of the dark rim out. */
  readonly tightHeadSsimCorrupted: number;
  readonly tightHeadSsimCorrected: number;
  readonly tightHeadSsimGain: number;
  readonly psnrCorrupted: number;
  readonly psnrCorrected: number;
  readonly nmseCorrupted: number;
  readonly nmseCorrected: number;
  /** The paper's loss terms of the residual, as it writes them: mean |·|, and Σ of its total variation over a slice. */
  readonly l1Corrected: number;
  readonly tvCorrected: number;
  /** Share of slices whose SSIM inside the head became higher. */
  readonly improved: number;
}

/** One comparison of two lists of figures of the same slices. */
export interface Comparison {
  readonly meanDifference: number;
  readonly overSlices: { readonly t: PairedTTest; readonly wilcoxon: TestResult };
  /**
   * The same over the subjects' means: slices of one subject are alike, so their number overstates the evidence; null for fewer than
   * two subjects.
   */
  readonly overSubjects: { readonly t: PairedTTest; readonly wilcoxon: TestResult } | null;
}

/** How a model leaves motion-free slices alone. */
export interface HarmFigures {
  readonly slices: number;
  /** SSIM(output, input), whole slice and inside the head. */
  readonly ssim: number;
  readonly headSsim: number;
  readonly leastSsim: number;
  readonly leastHeadSsim: number;
}

export interface GroupedHarm {
  readonly all: HarmFigures;
  readonly brainOnly: HarmFigures | null;
  readonly scalpOn: HarmFigures | null;
}

/** A row of results.json: one model in one condition, over all test subjects, and for both kinds of subjects apart. */
export interface ResultRow extends GroupFigures {
  readonly model: string;
  readonly protocol: Protocol;
  readonly motion: MotionKind;
  readonly traces: TraceSet;
  readonly factor: number;
  readonly brainOnly: GroupFigures | null;
  readonly scalpOn: GroupFigures | null;
  /** Corrected against corrupted. */
  readonly versusCorrupted: { readonly ssim: Comparison; readonly headSsim: Comparison };
  /** This model against the one labelled L1; null for L1 itself and when there is none. */
  readonly versusL1: { readonly ssim: Comparison; readonly headSsim: Comparison } | null;
  /**
   * Against the one labelled L1-ft, the control of L1+TV-ft: L1 trained on for as long, from the same weights and on the same slices,
   * without TV. Null as above.
   */
  readonly versusL1Ft: { readonly ssim: Comparison; readonly headSsim: Comparison } | null;
  /** Of the model, the same in all its rows. */
  readonly motionFree: GroupedHarm;
  readonly nativeMatrices: {
    readonly moving: GroupFigures;
    readonly brainOnly: GroupFigures | null;
    readonly scalpOn: GroupFigures | null;
    readonly motionFree: GroupedHarm;
  };
  /** Whole volumes moved by all six degrees of freedom, times the factor of rotation and translation. */
  readonly sixDegree: {
    readonly traces: TraceSet;
    readonly factor: number;
    readonly all: GroupFigures;
    readonly brainOnly: GroupFigures | null;
    readonly scalpOn: GroupFigures | null;
    readonly datasetSha256: string;
  };
  /** The head's SSIM by how wide its mask is, of the headline of rotation and translation. */
  readonly headMasks: {
    readonly all: readonly MaskFigures[];
    readonly brainOnly: readonly MaskFigures[] | null;
    readonly scalpOn: readonly MaskFigures[] | null;
  };
  /** The server's estimate of severity with this model against the truth; null for models that it was not tried with. */
  readonly severityEstimate: SeveritySummary | null;
  readonly modelSha256: string;
  readonly datasetSha256: string;
}

export function groupFigures(
  rows: readonly SliceRow[],
  group: CoverageGroup,
  model: number,
): GroupFigures | null {
  const chosen = rows.filter((row) => inGroup(group, row.coverage));
  if (chosen.length === 0) return null;
  const { corrupted, corrected } = summarise(rows, group, model);
  const better = chosen.filter((row) => row.corrected[model]!.headSsim > row.corrupted.headSsim);
  return {
    slices: chosen.length,
    subjects: new Set(chosen.map((row) => row.subject)).size,
    ssimCorrupted: corrupted.ssim.mean,
    sdCorrupted: corrupted.ssim.sd,
    ssimCorrected: corrected.ssim.mean,
    sdCorrected: corrected.ssim.sd,
    ssimGain: corrected.ssim.mean - corrupted.ssim.mean,
    headSsimCorrupted: corrupted.headSsim.mean,
    headSdCorrupted: corrupted.headSsim.sd,
    headSsimCorrected: corrected.headSsim.mean,
    headSdCorrected: corrected.headSsim.sd,
    headSsimGain: corrected.headSsim.mean - corrupted.headSsim.mean,
    tightHeadSsimCorrupted: corrupted.tightHeadSsim.mean,
    tightHeadSsimCorrected: corrected.tightHeadSsim.mean,
    tightHeadSsimGain: corrected.tightHeadSsim.mean - corrupted.tightHeadSsim.mean,
    psnrCorrupted: corrupted.psnr.mean,
    psnrCorrected: corrected.psnr.mean,
    nmseCorrupted: corrupted.nmse.mean,
    nmseCorrected: corrected.nmse.mean,
    l1Corrected: corrected.l1.mean,
    tvCorrected: corrected.tv.mean,
    improved: better.length / chosen.length,
  };
}

/** Paired tests of `after` against `before`, over slices and over subjects' means. */
export function compare(
  rows: readonly SliceRow[],
  after: readonly number[],
  before: readonly number[],
): Comparison {
  const test = (a: readonly number[], b: readonly number[]) => ({
    t: pairedTTest(a, b),
    wilcoxon: wilcoxonSignedRank(a, b),
  });
  const subjects = [...new Set(rows.map((row) => row.subject))];
  const meansOf = (values: readonly number[]): number[] =>
    subjects.map((subject) => spreadOf(values.filter((_, i) => rows[i]!.subject === subject)).mean);
  return {
    meanDifference: spreadOf(after.map((value, i) => value - before[i]!)).mean,
    overSlices: test(after, before),
    overSubjects: subjects.length < 2 ? null : test(meansOf(after), meansOf(before)),
  };
}

function comparisons(
  condition: MeasuredCondition,
  model: number,
  other: number | null,
): { ssim: Comparison; headSsim: Comparison } {
  const { rows } = condition;
  const valuesOf = (place: number | null, measure: Measure): number[] =>
    rows.map((row) => (place === null ? row.corrupted : row.corrected[place]!)[measure]);
  const of = (measure: Measure): Comparison =>
    compare(rows, valuesOf(model, measure), valuesOf(other, measure));
  return { ssim: of('ssim'), headSsim: of('headSsim') };
}

export function harmFigures(
  rows: readonly SliceRow[],
  group: CoverageGroup,
  model: number,
): HarmFigures | null {
  const figures = rows.filter((row) => inGroup(group, row.coverage)).map((row) => row.corrected[model]!);
  if (figures.length === 0) return null;
  return {
    slices: figures.length,
    ssim: spreadOf(figures.map((figure) => figure.ssim)).mean,
    headSsim: spreadOf(figures.map((figure) => figure.headSsim)).mean,
    leastSsim: figures.reduce((least, figure) => Math.min(least, figure.ssim), 1),
    leastHeadSsim: figures.reduce((least, figure) => Math.min(least, figure.headSsim), 1),
  };
}

function groupedHarm(rows: readonly SliceRow[], model: number): GroupedHarm {
  return {
    all: harmFigures(rows, 'all', model)!,
    brainOnly: harmFigures(rows, 'brain', model),
    scalpOn: harmFigures(rows, 'head', model),
  };
}

/** Every model in every condition. */
export function resultRows(experiment: Experiment): ResultRow[] {
  const { models, conditions, native, sixDegree: volumes } = experiment;
  const placeOf = (label: string): number => models.findIndex((model) => model.label === label);
  const [l1, l1Ft] = [placeOf('L1'), placeOf('L1-ft')];
  return models.flatMap((model, place) => {
    const motionFree = groupedHarm(experiment.clean, place);
    const nativeMatrices = {
      moving: groupFigures(native.rows, 'all', place)!,
      brainOnly: groupFigures(native.rows, 'brain', place),
      scalpOn: groupFigures(native.rows, 'head', place),
      motionFree: groupedHarm(native.clean, place),
    };
    const sixDegree = {
      traces: volumes.traces,
      factor: volumes.factor,
      all: groupFigures(volumes.rows, 'all', place)!,
      brainOnly: groupFigures(volumes.rows, 'brain', place),
      scalpOn: groupFigures(volumes.rows, 'head', place),
      datasetSha256: volumes.digest,
    };
    const masked = experiment.headMasks[place]!;
    const headMasks = {
      all: maskFigures(masked, 'all')!,
      brainOnly: maskFigures(masked, 'brain'),
      scalpOn: maskFigures(masked, 'head'),
    };
    const { model: tried, ...summary } = experiment.severity;
    const severityEstimate = tried === model.label ? summary : null;
    const versus = (condition: MeasuredCondition, other: number) =>
      other < 0 || other === place ? null : comparisons(condition, place, other);
    return conditions.map(
      (condition): ResultRow => ({
        model: model.label,
        protocol: condition.protocol,
        motion: condition.motion,
        traces: condition.traces,
        factor: condition.factor,
        ...groupFigures(condition.rows, 'all', place)!,
        brainOnly: groupFigures(condition.rows, 'brain', place),
        scalpOn: groupFigures(condition.rows, 'head', place),
        versusCorrupted: comparisons(condition, place, null),
        versusL1: versus(condition, l1),
        versusL1Ft: versus(condition, l1Ft),
        motionFree,
        nativeMatrices,
        sixDegree,
        headMasks,
        severityEstimate,
        modelSha256: model.sha256,
        datasetSha256: condition.digest,
      }),
    );
  });
}
