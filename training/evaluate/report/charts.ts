import { type Chart, drawCharts, PALETTE, type Series } from '../../figures/index.js';
import type { MotionKind } from '../../motion/index.js';
import type { SliceRow } from '../evaluate-dataset.js';
import { COVERAGE_GROUPS, GROUP_NAMES, inGroup, spreadOf } from '../summary.js';
import type { Experiment, MeasuredCondition } from './experiment.js';
import { PAPER_TABLE } from './paper.js';

const MEASURE_NAMES = { ssim: 'SSIM, whole slice', headSsim: 'SSIM, head' } as const;

function conditionOf(
  experiment: Experiment,
  protocol: 'matched' | 'x8',
  motion: MotionKind,
): MeasuredCondition | undefined {
  const found = experiment.conditions.filter(
    (condition) => condition.protocol === protocol && condition.motion === motion,
  );
  return found.find((condition) => condition.traces === 'unseen') ?? found[0];
}

/** The condition that headlines and pictures are of: severity-matched, unseen traces where there are some. */
export function headline(experiment: Experiment, motion: MotionKind): MeasuredCondition | undefined {
  return conditionOf(experiment, 'matched', motion);
}

/** The paper's Figure 4 as a picture: means ± sd before and after each model, with the paper's own means as black points. */
export function drawTable(experiment: Experiment): string {
  const names = ['corrupted', ...experiment.models.map((model) => model.label)];
  const charts: Chart[] = [];
  for (const motion of ['rotation', 'rotation+translation'] as const) {
    const condition = headline(experiment, motion);
    if (condition === undefined) continue;
    for (const measure of ['ssim', 'headSsim'] as const) {
      const series: Series[] = COVERAGE_GROUPS.map((group, g) => {
        const rows = condition.rows.filter((row) => inGroup(group, row.coverage));
        return {
          kind: 'spread',
          name: GROUP_NAMES[group],
          colour: [PALETTE[1], PALETTE[5], PALETTE[0]][g]!,
          points:
            rows.length === 0
              ? []
              : names.map((_, i) => {
                  const figures = rows.map(
                    (row) => (i === 0 ? row.corrupted : row.corrected[i - 1]!)[measure],
                  );
                  const { mean, sd } = spreadOf(figures);
                  return { x: i + (g - 1) * 0.2, mean, sd };
                }),
        };
      });
      if (measure === 'ssim') {
        const paper = names.flatMap((name, i): [number, number][] => {
          const value = PAPER_TABLE[motion][name];
          return value === undefined ? [] : [[i + 0.4, value.mean]];
        });
        series.push({
          kind: 'points',
          points: paper,
          colour: '#000000',
          radius: 3,
          opacity: 1,
          name: 'paper',
        });
      }
      charts.push({
        title: `${motion}, ${condition.traces} traces`,
        xLabel: '',
        yLabel: MEASURE_NAMES[measure],
        x: [-0.6, names.length - 0.4],
        y: [0.3, 1],
        xTicks: names.map((label, at) => ({ at, label })),
        series,
      });
    }
  }
  return drawCharts(charts, { title: 'SSIM, mean ± sd, severity-matched', perRow: 2 });
}

/** Means of y in groups of equal size along x. */
export function binned(points: readonly (readonly [number, number])[], bins = 8): [number, number][] {
  const sorted = points.toSorted((a, b) => a[0] - b[0]);
  const count = Math.min(bins, sorted.length);
  return Array.from({ length: count }, (_, i) => {
    const part = sorted.slice(
      Math.floor((i * sorted.length) / count),
      Math.floor(((i + 1) * sorted.length) / count),
    );
    return [spreadOf(part.map((p) => p[0])).mean, spreadOf(part.map((p) => p[1])).mean];
  });
}

function thinned<T>(list: readonly T[], most: number): T[] {
  if (list.length <= most) return [...list];
  return Array.from({ length: most }, (_, i) => list[Math.floor((i * list.length) / most)]!);
}

const MAGNITUDES = [
  { motion: 'rotation', of: (row: SliceRow) => row.rotation, label: 'sd of rotation, degrees' },
  { motion: 'rotation+translation', of: (row: SliceRow) => row.rotation, label: 'sd of rotation, degrees' },
  { motion: 'rotation+translation', of: (row: SliceRow) => row.translation, label: 'sd of translation, mm' },
] as const;

/** 98 % of the values lie below. */
function almostAll(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.floor(0.98 * (sorted.length - 1))] ?? 1;
}

/** The paper's Figure 5: SSIM against motion magnitude, slices as points and means along the magnitude as lines. */
export function drawMagnitude(experiment: Experiment): string {
  const charts: Chart[] = [];
  for (const measure of ['ssim', 'headSsim'] as const) {
    for (const { motion, of, label } of MAGNITUDES) {
      const condition = headline(experiment, motion);
      if (condition === undefined) continue;
      const { rows } = condition;
      const series: Series[] = [null, ...experiment.models.map((_, i) => i)].flatMap((place, i): Series[] => {
        const colour = PALETTE[i % PALETTE.length]!;
        const points = rows.map((row): [number, number] => [
          of(row),
          (place === null ? row.corrupted : row.corrected[place]!)[measure],
        ]);
        return [
          { kind: 'points', points: thinned(points, 300), colour, radius: 1.6, opacity: 0.25 },
          {
            kind: 'line',
            points: binned(points),
            colour,
            name: place === null ? 'corrupted' : experiment.models[place]!.label,
          },
        ];
      });
      charts.push({
        title: motion,
        xLabel: label,
        yLabel: MEASURE_NAMES[measure],
        x: [0, almostAll(rows.map(of))],
        y: [0.2, 1],
        series,
      });
    }
  }
  return drawCharts(charts, { title: 'SSIM against motion magnitude', perRow: 3, width: 420 });
}

/** What each model adds to SSIM inside the head, by motion magnitude and kind of subject. */
export function drawGains(experiment: Experiment): string {
  const charts: Chart[] = [];
  for (const group of ['brain', 'head'] as const) {
    for (const { motion, of, label } of MAGNITUDES) {
      const condition = headline(experiment, motion);
      const rows = condition?.rows.filter((row) => inGroup(group, row.coverage)) ?? [];
      if (rows.length === 0) continue;
      const lines = experiment.models.map((model, place): Series & { kind: 'line' } => ({
        kind: 'line',
        name: model.label,
        colour: PALETTE[(place + 1) % PALETTE.length]!,
        points: binned(rows.map((row) => [of(row), row.corrected[place]!.headSsim - row.corrupted.headSsim])),
      }));
      const gains = lines.flatMap((line) => line.points.map((point) => point[1]));
      charts.push({
        title: `${motion}, ${GROUP_NAMES[group]}`,
        xLabel: label,
        yLabel: 'gain of SSIM, head',
        x: [0, almostAll(rows.map(of))],
        y: [Math.min(-0.02, ...gains), Math.max(0.05, ...gains) * 1.1],
        series: [
          {
            kind: 'line',
            points: [
              [0, 0],
              [1e3, 0],
            ],
            colour: PALETTE[0],
            width: 1,
            dash: '4 3',
          },
          ...lines,
        ],
      });
    }
  }
  return drawCharts(charts, { title: 'Gains against motion magnitude', perRow: 3, width: 420 });
}

/** SSIM of output to input on motion-free slices: mean and lowest slice of each model. */
export function drawHarm(experiment: Experiment): string {
  const sets = [
    { title: 'motion-free slices, 128 × 128', rows: experiment.clean },
    { title: 'motion-free slices, native matrices', rows: experiment.native.clean },
  ];
  const charts = sets.map(({ title, rows }): Chart => {
    const series = (['brain', 'head'] as const).flatMap((group, g): Series[] => {
      const chosen = rows.filter((row) => inGroup(group, row.coverage));
      if (chosen.length === 0) return [];
      const colour = [PALETTE[1], PALETTE[5]][g]!;
      const x = (place: number): number => place + (g - 0.5) * 0.24;
      return [
        {
          kind: 'spread',
          name: `${GROUP_NAMES[group]}, mean`,
          colour,
          points: experiment.models.map((_, place) => ({
            x: x(place),
            mean: spreadOf(chosen.map((row) => row.corrected[place]!.ssim)).mean,
            sd: 0,
          })),
        },
        {
          kind: 'points',
          colour,
          radius: 1.5,
          opacity: 0.35,
          points: experiment.models.flatMap((_, place) =>
            thinned(chosen, 150).map((row): [number, number] => [x(place), row.corrected[place]!.ssim]),
          ),
        },
      ];
    });
    const all = rows.flatMap((row) => row.corrected.map((figures) => figures.ssim));
    return {
      title,
      xLabel: '',
      yLabel: 'SSIM(output, input)',
      x: [-0.6, Math.max(0, experiment.models.length - 1) + 0.6],
      y: [Math.min(0.98, ...all) - 0.005, 1.001],
      xTicks: experiment.models.map((model, at) => ({ at, label: model.label })),
      series,
    };
  });
  return drawCharts(charts, { title: 'Clean in, clean out', perRow: 2 });
}
