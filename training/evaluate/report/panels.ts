import { type ChartPanel, drawSheet, PALETTE, type Panel } from '../../figures/index.js';
import { inPlanePoses, type MotionTrace } from '../../motion/index.js';
import { phaseEncodeLines, type SampleRecord } from '../../simulation/index.js';
import type { SliceRow } from '../evaluate-dataset.js';
import { openCorrector } from '../model.js';
import type { SliceFigures } from '../similarity.js';
import { GROUP_NAMES } from '../summary.js';
import { type LabelledModel, type MeasuredCondition, openCondition } from './experiment.js';

/**
 * Whether a slice may be printed: skull-stripped, of the publicly defaced data set ds000011, or of the synthetic head. A head with
 * scalp of any other origin may show a face.
 */
export function mayBeShown(row: Pick<SliceRow, 'coverage' | 'subject'>): boolean {
  return row.coverage === 'brain' || /^ds000011-sub-\d+$/.test(row.subject) || /^phantom-/.test(row.subject);
}

/** A brain-only and a scalp-on example: near the middle of the head, the one of median SSIM inside the head. */
export function chooseExamples(rows: readonly SliceRow[]): SliceRow[] {
  return (['brain', 'head'] as const).flatMap((coverage) => {
    const shown = rows.filter((row) => row.coverage === coverage && mayBeShown(row));
    const central = shown.filter((row) => Math.abs(row.position) <= 13);
    const chosen = (central.length > 0 ? central : shown).toSorted(
      (a, b) => a.corrupted.headSsim - b.corrupted.headSsim || a.sample - b.sample,
    );
    const example = chosen[Math.floor((chosen.length - 1) / 2)];
    return example === undefined ? [] : [example];
  });
}

/** The motion of a sample within its plane: rotation in degrees and both translations in mm, over the phase-encode lines. */
export function trajectoryPanel(
  sample: SampleRecord,
  traces: readonly MotionTrace[],
  smoothing: number,
): ChartPanel | null {
  const trace = traces.find((candidate) => candidate.name === sample.trace);
  if (trace === undefined || sample.motion === 'none') return null;
  const poses = inPlanePoses(trace, {
    plane: sample.plane,
    motion: sample.motion === 'rotation' ? 'rotation' : 'rotation+translation',
    factor: sample.factor,
    lines: phaseEncodeLines(sample.rows, sample.columns, sample.direction),
    ...(sample.window === null ? {} : { window: sample.window }),
    smoothing,
  });
  const degrees = poses.angle.map((angle) => (angle * 180) / Math.PI);
  const moves = sample.motion === 'rotation' ? [] : [poses.shiftRows, poses.shiftColumns];
  const all = [degrees, ...moves].flatMap((values) => [...values]);
  const low = Math.min(-1, ...all);
  const high = Math.max(1, ...all);
  const line = (values: Float64Array, colour: string, name: string) => ({
    kind: 'line' as const,
    points: [...values].map((value, i): [number, number] => [i, value]),
    colour,
    width: 1.5,
    name,
  });
  return {
    chart: {
      xLabel: 'phase-encode line',
      yLabel: moves.length === 0 ? '°' : '°, mm',
      x: [0, poses.lines - 1],
      y: [low - 0.06 * (high - low), high + 0.06 * (high - low)],
      series: [
        line(degrees, PALETTE[2], 'rotation'),
        ...moves.map((values, i) =>
          line(values, i === 0 ? PALETTE[6] : PALETTE[3], i === 0 ? 'rows' : 'columns'),
        ),
      ],
    },
    caption: `trace ${sample.trace} × ${sample.factor}`,
  };
}

/**
 * The paper's Figures 2 and 3: clean, corrupted and each model's image; below the trajectory and each image minus the clean one.
 *
 * @returns an SVG document
 */
export async function drawPanels(
  condition: MeasuredCondition,
  models: readonly LabelledModel[],
  traces: readonly MotionTrace[],
  title: string,
): Promise<string> {
  const dataset = openCondition(condition);
  const sheetRows: { label: string; panels: (Panel | ChartPanel | null)[] }[] = [];
  try {
    for (const row of chooseExamples(condition.rows)) {
      const sample = dataset.samples[row.sample]!;
      const { rows, columns, cleanScale } = sample;
      const { clean, corrupted } = dataset.read(row.sample);
      const images: { pixels: Float32Array; figures: SliceFigures }[] = [
        { pixels: corrupted, figures: row.corrupted },
      ];
      for (const [place, model] of models.entries()) {
        const corrector = await openCorrector(model);
        const [pixels] = await corrector.correct([corrupted], rows, columns);
        await corrector.close();
        images.push({ pixels: pixels!, figures: row.corrected[place]! });
      }
      const picture = (pixels: Float32Array, caption: string): Panel => ({
        pixels,
        rows,
        columns,
        low: 0,
        high: cleanScale,
        caption,
      });
      const difference = (pixels: Float32Array): Panel => ({
        pixels: pixels.map((value, i) => value - clean[i]!),
        rows,
        columns,
        low: -0.4 * cleanScale,
        high: 0.4 * cleanScale,
        scale: 'diverging',
      });
      sheetRows.push({
        label: `${GROUP_NAMES[sample.coverage]}\n${sample.volume}\nphase encoding\n${sample.direction}`,
        panels: [
          picture(clean, ''),
          ...images.map(({ pixels, figures }) =>
            picture(pixels, `SSIM ${figures.ssim.toFixed(3)}, head ${figures.headSsim.toFixed(3)}`),
          ),
        ],
      });
      sheetRows.push({
        label: 'motion,\nimage − clean\n(±40 % of the\n99.5th percentile)',
        panels: [
          trajectoryPanel(sample, traces, dataset.recipe.smoothing),
          ...images.map(({ pixels }) => difference(pixels)),
        ],
      });
    }
  } finally {
    dataset.close();
  }
  return drawSheet({
    title,
    subtitle: `${condition.protocol === 'matched' ? 'severity-matched' : 'times eight'} (factor ${condition.factor}), ${condition.traces} traces, test subjects; the slices of median SSIM inside the head`,
    columns: ['clean', 'corrupted', ...models.map((model) => model.label)],
    rows: sheetRows,
    panelWidth: 230,
  });
}
