import { HEAD_DILATION, TIGHT_DILATION } from '../similarity.js';
import { GROUP_NAMES, spreadOf } from '../summary.js';
import { headline } from './charts.js';
import type { Experiment, LabelledModel, MeasuredCondition } from './experiment.js';
import { PAPER_TABLE } from './paper.js';
import {
  type Comparison,
  type GroupedHarm,
  type GroupFigures,
  groupFigures,
  type ResultRow,
} from './results.js';

/** A table in Markdown, its first column (of `words` all columns) aligned to the left. */
export function markdownTable(
  header: readonly string[],
  rows: readonly (readonly string[])[],
  words = false,
): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`;
  return [
    line(header),
    line(header.map((_, i) => (i === 0 || words ? '---' : '---:'))),
    ...rows.map(line),
  ].join('\n');
}

const fixed = (value: number, digits = 3): string => (Number.isFinite(value) ? value.toFixed(digits) : '–');
const signed = (value: number, digits = 3): string =>
  `${value >= 0 ? '+' : '−'}${fixed(Math.abs(value), digits)}`;
const spread = (mean: number, sd: number): string => `${fixed(mean)} ± ${fixed(sd)}`;
const thousands = (value: number): string =>
  Math.round(value)
    .toString()
    .replace(/\B(?=(\d{3})+$)/g, ' ');

/** p as a number or, below 0.0001, as a power of ten. */
export function shownP(log10P: number): string {
  return log10P > -4 ? (10 ** log10P).toPrecision(2) : `10^${Math.round(log10P)}`;
}

const GROUPS = [
  { key: 'all', of: (row: ResultRow): GroupFigures | null => row },
  { key: 'brain', of: (row: ResultRow): GroupFigures | null => row.brainOnly },
  { key: 'head', of: (row: ResultRow): GroupFigures | null => row.scalpOn },
] as const;

const PROTOCOL_NAMES = { matched: 'severity-matched', x8: 'times eight' } as const;

function conditionName(
  condition: Pick<MeasuredCondition, 'protocol' | 'motion' | 'traces' | 'factor'>,
): string {
  return `${condition.motion}, ${PROTOCOL_NAMES[condition.protocol]} (factor ${condition.factor}), ${condition.traces} traces`;
}

/** The table of Figure 4 for one condition: every model, whole slice and head, all subjects and both kinds. */
function conditionTable(rows: readonly ResultRow[], condition: MeasuredCondition): string {
  const of = rows.filter(
    (row) =>
      row.protocol === condition.protocol &&
      row.motion === condition.motion &&
      row.traces === condition.traces,
  );
  const lines: string[][] = [];
  for (const { key, of: figuresOf } of GROUPS) {
    const first = of.map(figuresOf).find((figures) => figures !== null);
    if (first === undefined || first === null) continue;
    lines.push([
      `**${GROUP_NAMES[key]}** corrupted`,
      String(first.slices),
      spread(first.ssimCorrupted, first.sdCorrupted),
      '',
      spread(first.headSsimCorrupted, first.headSdCorrupted),
      '',
      fixed(first.tightHeadSsimCorrupted),
      '',
      fixed(first.psnrCorrupted, 2),
      fixed(first.nmseCorrupted, 4),
      '',
    ]);
    for (const row of of) {
      const figures = figuresOf(row);
      if (figures === null) continue;
      lines.push([
        `${GROUP_NAMES[key]} ${row.model}`,
        String(figures.slices),
        spread(figures.ssimCorrected, figures.sdCorrected),
        signed(figures.ssimGain),
        spread(figures.headSsimCorrected, figures.headSdCorrected),
        signed(figures.headSsimGain),
        fixed(figures.tightHeadSsimCorrected),
        signed(figures.tightHeadSsimGain),
        fixed(figures.psnrCorrected, 2),
        fixed(figures.nmseCorrected, 4),
        `${(100 * figures.improved).toFixed(0)} %`,
      ]);
    }
  }
  return markdownTable(
    [
      '',
      'slices',
      'SSIM, whole slice',
      'gain',
      'SSIM, head',
      'gain',
      'tight head',
      'gain',
      'PSNR, dB',
      'NMSE',
      'improved',
    ],
    lines,
  );
}

function comparisonCells(comparison: Comparison): string[] {
  const { overSlices, overSubjects } = comparison;
  return [
    signed(comparison.meanDifference, 4),
    `${overSlices.t.statistic.toFixed(1)} (${shownP(overSlices.t.log10P)})`,
    shownP(overSlices.wilcoxon.log10P),
    overSubjects === null ? '–' : `${overSubjects.t.statistic.toFixed(1)} (${shownP(overSubjects.t.log10P)})`,
    overSubjects === null ? '–' : shownP(overSubjects.wilcoxon.log10P),
  ];
}

const COMPARISON_HEADER = [
  '',
  'mean difference',
  't over slices (p)',
  'Wilcoxon, slices, p',
  't over subjects (p)',
  'Wilcoxon, subjects, p',
];

function harmLine(name: string, harm: GroupedHarm): string[] {
  const cell = (figures: GroupedHarm['brainOnly']): string[] =>
    figures === null
      ? ['–', '–']
      : [`${fixed(figures.ssim, 4)} (${fixed(figures.leastSsim, 4)})`, fixed(figures.headSsim, 4)];
  return [name, String(harm.all.slices), ...cell(harm.brainOnly), ...cell(harm.scalpOn)];
}

/** How much of the corrupted figures' spread lies between traces, and how much within one trace and direction. */
export function spreadOrigin(condition: MeasuredCondition): {
  between: number;
  within: number;
  whole: number;
} {
  const groups = new Map<string, number[]>();
  for (const row of condition.rows) {
    const key = `${row.coverage} ${row.trace} ${row.direction}`;
    const list = groups.get(key);
    if (list === undefined) groups.set(key, [row.corrupted.ssim]);
    else list.push(row.corrupted.ssim);
  }
  const spreads = [...groups.values()].map((values) => spreadOf(values));
  return {
    between: spreadOf(spreads.map((group) => group.mean)).sd,
    within: spreadOf(spreads.map((group) => group.sd)).mean,
    whole: spreadOf(condition.rows.map((row) => row.corrupted.ssim)).sd,
  };
}

export interface ReportOptions {
  /** The command that made the report, without paths of the machine. */
  readonly command: string;
  readonly date: string;
  /** What measured it: cores, processor. */
  readonly machine: string;
  readonly seconds: number;
}

/** The report as Markdown; figures are expected beside it as figure-N.png and .svg. */
export function reportMarkdown(
  experiment: Experiment,
  rows: readonly ResultRow[],
  options: ReportOptions,
): string {
  const { models, conditions, factors, split } = experiment;
  const parts: string[] = [];
  const add = (...blocks: string[]): void => {
    parts.push(...blocks);
  };
  add('# MC-Net: results against the paper');
  add(
    `Written by \`${options.command}\` on ${options.date} (${options.machine}; ${options.seconds.toFixed(0)} s, figures measured before are kept). Seed ${experiment.seed}. Every number is in \`results.json\`. The paper: Algorithms 2024, 17(5):215.`,
  );

  add('## In short');
  const paperModel = models.find((model) => model.label === 'L1+TV-ft');
  const headlines = (['rotation', 'rotation+translation'] as const).flatMap((motion) => {
    const condition = headline(experiment, motion);
    return condition === undefined ? [] : [condition];
  });
  add(
    `Severity-matched, unseen subjects${headlines.some((condition) => condition.traces === 'unseen') ? ' and unseen traces' : ''}: SSIM before → after.`,
  );
  const headlineTable = (columns: readonly (readonly [string, (row: ResultRow) => string])[]): string =>
    markdownTable(
      ['', ...headlines.flatMap(({ motion }) => columns.map(([name]) => `${motion}, ${name}`))],
      models.map((model) => [
        model.label,
        ...headlines.flatMap((condition) => {
          const row = rows.find(
            (candidate) =>
              candidate.model === model.label &&
              candidate.protocol === condition.protocol &&
              candidate.motion === condition.motion &&
              candidate.traces === condition.traces,
          )!;
          return columns.map(([, cell]) => cell(row));
        }),
      ]),
    );
  const change = (before: number, after: number): string =>
    `${fixed(before)} → ${fixed(after)} (${signed(after - before)})`;
  const head = (figures: GroupFigures | null): string =>
    figures === null ? '–' : change(figures.headSsimCorrupted, figures.headSsimCorrected);
  const tight = (figures: GroupFigures | null): string =>
    figures === null ? '–' : change(figures.tightHeadSsimCorrupted, figures.tightHeadSsimCorrected);
  add(
    headlineTable([
      ['whole slice', (row) => change(row.ssimCorrupted, row.ssimCorrected)],
      ['head', head],
      ['head, scalp-on', (row) => head(row.scalpOn)],
    ]),
    `The head is that of the clean slice (above a tenth of its 99.5th percentile, largest component, holes filled) dilated by ${HEAD_DILATION} pixels, the radius of SSIM’s window. By a tight mask, of ${TIGHT_DILATION} pixels, which leaves most of the dark rim around the head out:`,
    headlineTable([
      ['head', tight],
      ['head, scalp-on', (row) => tight(row.scalpOn)],
    ]),
  );

  add('## Point by point');
  const paperRows: string[][] = [];
  for (const condition of headlines) {
    const table = PAPER_TABLE[condition.motion];
    const corrupted = spreadOf(condition.rows.map((row) => row.corrupted.ssim));
    paperRows.push([
      `${condition.motion}, corrupted`,
      spread(table.corrupted!.mean, table.corrupted!.sd),
      spread(corrupted.mean, corrupted.sd),
      '',
      '',
    ]);
    models.forEach((model, place) => {
      const paper = table[model.label];
      if (paper === undefined) return;
      const ours = groupFigures(condition.rows, 'all', place)!;
      paperRows.push([
        `${condition.motion}, ${model.label}`,
        spread(paper.mean, paper.sd),
        spread(ours.ssimCorrected, ours.sdCorrected),
        signed(paper.mean - table.corrupted!.mean),
        signed(ours.ssimGain),
      ]);
    });
  }
  add(
    'SSIM over the whole slice, the paper’s Figure 4 beside the same networks trained here (severity-matched):',
    markdownTable(['', 'paper', 'here', 'gain, paper', 'gain, here'], paperRows),
  );
  if (paperModel === undefined) {
    add('No model labelled `L1+TV-ft` was measured: the paper’s network is not in this report.');
  }
  add(
    markdownTable(
      ['What the paper leaves open', 'here'],
      [
        [
          'reduction of the TV term',
          'as each model’s manifest says (below); both `sum` and `mean` can be trained',
        ],
        [
          'window and range of SSIM',
          'Gaussian 11 × 11, σ 1.5; L = 1 on slices divided by their clean 99.5th percentile; border mirrored',
        ],
        [
          'intensity scaling of the input',
          'per slice, by the 99.5th percentile inside the head of the slice as acquired',
        ],
        [
          'axes of the trajectory',
          'sagittal: rotation about left-right, translations posterior-anterior and inferior-superior',
        ],
        ['outer phase-encode direction', 'both, drawn at random for each sample'],
        ['boundary slices', 'head smaller than a quarter of the volume’s largest slice'],
        ['reference of the poses', 'the pose at the centre line of k-space'],
      ],
      true,
    ),
  );

  add('## Test data');
  const first = conditions[0];
  const subjects = [...new Set(first?.rows.map((row) => row.subject) ?? [])];
  add(
    `${split.training.length} volumes for training, ${split.validation.length} for validation, ${split.test.length} for the test; no subject is in two parts. ${subjects.length} test subjects, ${new Set(first?.rows.map((row) => `${row.subject} ${row.position}`)).size} slices of 128 × 128 after boundary slices were removed, ${experiment.tracesPerSlice === null ? 'every trace on every slice' : `for each slice ${experiment.tracesPerSlice} of the traces, drawn at random`}.`,
  );
  add(
    'Severity is matched on validation subjects and `paper` traces, so that the test decides nothing:',
    markdownTable(
      ['motion', 'paper’s corrupted SSIM', 'factor', 'corrupted SSIM there', 'slices', 'trials'],
      factors.map((found) => [
        found.motion,
        fixed(found.target),
        String(found.factor),
        fixed(found.ssim, 4),
        String(found.slices),
        String(found.trials.length),
      ]),
    ),
  );
  const origins = headlines.map((condition) => ({ condition, ...spreadOrigin(condition) }));
  for (const { condition, between, within, whole } of origins) {
    add(
      `Spread of the corrupted SSIM, ${condition.motion}: ± ${fixed(whole)} over slices; between traces (with their phase-encode direction) ± ${fixed(between)}, within one trace and direction ± ${fixed(within)}. What varies is how much the people moved, hardly which slice was taken.`,
    );
  }

  add('## Models');
  add(
    markdownTable(
      ['model', 'loss', 'width', 'parameters', 'steps', 'slices seen', 'seconds', 'device', 'SHA-256'],
      models.map((model) => {
        const { training } = model;
        const loss = training.config?.loss;
        return [
          model.label === model.name ? model.label : `${model.label} (${model.name})`,
          loss === undefined
            ? '–'
            : Object.entries(loss)
                .map(([term, weight]) => `${term} ${weight}`)
                .join(', '),
          model.width === null ? '–' : String(model.width),
          model.parameters === null ? '–' : thousands(model.parameters),
          training.steps === undefined ? '–' : thousands(training.steps),
          training.slicesSeenAt128 === undefined ? '–' : thousands(training.slicesSeenAt128),
          training.seconds === undefined ? '–' : thousands(training.seconds),
          training.device ?? '–',
          `\`${model.sha256.slice(0, 12)}\``,
        ];
      }),
    ),
  );

  add('## Figure 4: SSIM by model');
  add('![SSIM by model](figure-4.png)');
  for (const condition of conditions) {
    add(`### ${conditionName(condition)}`, conditionTable(rows, condition));
  }

  add('## What the width of the head’s mask decides');
  add(
    'A wider mask counts more of the dark rim, which motion fills with ghosts and any network blanks: gains grow with it, and say less about the head. Rotation and translation, every fourth of the headline’s slices:',
    maskTable(models, rows),
  );

  add('## Paired tests');
  add(
    'Two-sided. Slices of one subject are alike, so the tests over the subjects’ means are the ones to believe. Wilcoxon’s is exact for the subjects.',
  );
  for (const [title, of] of [
    ['Corrected against corrupted, SSIM inside the head', (row: ResultRow) => row.versusCorrupted.headSsim],
    [
      'Against the model trained with L1 alone, SSIM over the whole slice',
      (row: ResultRow) => row.versusL1?.ssim,
    ],
    [
      'Against the model trained with L1 alone, SSIM inside the head',
      (row: ResultRow) => row.versusL1?.headSsim,
    ],
    [
      'Against L1-ft, which was trained on for as long without TV, SSIM over the whole slice',
      (row: ResultRow) => row.versusL1Ft?.ssim,
    ],
    [
      'Against L1-ft, which was trained on for as long without TV, SSIM inside the head',
      (row: ResultRow) => row.versusL1Ft?.headSsim,
    ],
  ] as const) {
    const lines = rows.flatMap((row) => {
      const comparison = of(row);
      if (comparison === undefined) return [];
      return [
        [`${row.model}: ${row.motion}, ${row.protocol}, ${row.traces}`, ...comparisonCells(comparison)],
      ];
    });
    if (lines.length > 0) add(`### ${title}`, markdownTable(COMPARISON_HEADER, lines));
  }
  add('### The TV term');
  add(
    'The paper’s L1 (mean) and TV (sum over the slice) of the residual that each model leaves, and TV’s share of their sum: with these reductions a loss of (α, β) = (1, 1) is nearly all TV.',
    markdownTable(
      ['', 'L1', 'TV', 'TV / (L1 + TV)'],
      rows
        .filter((row) =>
          headlines.some(
            (condition) => condition.protocol === row.protocol && condition.traces === row.traces,
          ),
        )
        .map((row) => [
          `${row.model}: ${row.motion}`,
          fixed(row.l1Corrected, 5),
          fixed(row.tvCorrected, 3),
          `${(100 * (row.tvCorrected / (row.l1Corrected + row.tvCorrected))).toFixed(1)} %`,
        ]),
    ),
  );

  add('## Figures 2 and 3: slices');
  for (const condition of headlines) {
    const figure = condition.motion === 'rotation' ? 2 : 3;
    add(`![${condition.motion}](figure-${figure}.png)`);
  }
  add('## Figure 5: SSIM against motion magnitude');
  add('![SSIM against motion magnitude](figure-5.png)');
  add('![gains against motion magnitude](figure-6.png)');

  add('## Clean in, clean out');
  add(
    'SSIM(output, input) on motion-free test slices: mean (lowest slice), and inside the head.',
    markdownTable(
      ['', 'slices', 'brain-only', 'head', 'scalp-on', 'head'],
      models.flatMap((model) => {
        const row = rows.find((candidate) => candidate.model === model.label);
        if (row === undefined) return [];
        return [
          harmLine(`${model.label}, 128 × 128`, row.motionFree),
          harmLine(`${model.label}, native`, row.nativeMatrices.motionFree),
        ];
      }),
    ),
    '![clean in, clean out](figure-7.png)',
  );

  add('## Native matrices');
  add(
    'Test subjects, all three planes, matrices from 128 to 256, noise, a synthetic scalp on half of the brain-only slices, mild to severe motion, measured and synthetic traces: what a server meets.',
    groupTable(models, (model) => {
      const native = rows.find((candidate) => candidate.model === model.label)?.nativeMatrices;
      return native && { ...native, all: native.moving };
    }),
  );

  add('## Six-degree motion of whole volumes');
  const { sixDegree } = experiment;
  add(
    `The same test subjects, resampled to 128³ and moved as a whole by all six parameters of the ${sixDegree.traces} traces times ${sixDegree.factor} (3D NuFFT, one pose for each plane of the outer phase encoding), of which the paper keeps those within the plane. No network was trained on such motion.`,
    groupTable(models, (model) => rows.find((candidate) => candidate.model === model.label)?.sixDegree),
  );

  add('## The estimate of severity');
  const { severity } = experiment;
  add(
    `What the server estimates of a slice without a reference (\`src/inference/severity.ts\`, here with ${severity.model}), against 1 − SSIM with the motion-free slice: ${severity.slices} slices of ${severity.subjects} test subjects, generated traces times the factors below. Inside the head r = ${fixed(severity.head.pearson)} (Spearman ${fixed(severity.head.spearman)}), whole slice r = ${fixed(severity.whole.pearson)} (${fixed(severity.whole.spearman)}); mean error inside the head ${fixed(severity.meanAbsoluteError)}.`,
    markdownTable(
      ['motion times', '1 − SSIM, head', 'estimate'],
      severity.bySeverity.map(({ factor, lostInHead, estimate }) => [
        factor === 0 ? 'none' : String(factor),
        fixed(lostInHead),
        fixed(estimate),
      ]),
    ),
  );
  return `${parts.join('\n\n')}\n`;
}

/** Figures of all subjects and of both kinds apart, a line each, for every model. */
function groupTable(
  models: readonly LabelledModel[],
  figuresOf: (
    model: LabelledModel,
  ) =>
    | Readonly<Record<'all', GroupFigures> & Record<'brainOnly' | 'scalpOn', GroupFigures | null>>
    | undefined,
): string {
  return markdownTable(
    ['', 'slices', 'SSIM before', 'after', 'head before', 'after', 'gain, head', 'tight head', 'improved'],
    models.flatMap((model) => {
      const groups = figuresOf(model);
      if (groups === undefined) return [];
      return (
        [
          ['all', groups.all],
          ['brain-only', groups.brainOnly],
          ['scalp-on', groups.scalpOn],
        ] as const
      ).flatMap(([name, figures]) =>
        figures === null
          ? []
          : [
              [
                `${model.label}, ${name}`,
                String(figures.slices),
                spread(figures.ssimCorrupted, figures.sdCorrupted),
                spread(figures.ssimCorrected, figures.sdCorrected),
                spread(figures.headSsimCorrupted, figures.headSdCorrupted),
                spread(figures.headSsimCorrected, figures.headSdCorrected),
                signed(figures.headSsimGain),
                signed(figures.tightHeadSsimGain),
                `${(100 * figures.improved).toFixed(0)} %`,
              ],
            ],
      );
    }),
  );
}

function maskTable(models: readonly LabelledModel[], rows: readonly ResultRow[]): string {
  const lines = models.flatMap((model) => {
    const masks = rows.find((candidate) => candidate.model === model.label)?.headMasks;
    if (masks === undefined) return [];
    return (['all', 'brainOnly', 'scalpOn'] as const).flatMap((group) => {
      const figures = masks[group];
      if (figures === null) return [];
      const name = { all: 'all', brainOnly: 'brain-only', scalpOn: 'scalp-on' }[group];
      return [
        [
          `${model.label}, ${name}`,
          ...figures.map(
            ({ headSsimCorrupted: before, headSsimCorrected: after, headSsimGain }) =>
              `${fixed(before)} → ${fixed(after)} (${signed(headSsimGain)})`,
          ),
        ],
      ];
    });
  });
  const first = rows[0]?.headMasks.all ?? [];
  return markdownTable(
    [
      '',
      ...first.map(({ dilation, share }) => `${dilation} pixels, ${(100 * share).toFixed(0)} % of the slice`),
    ],
    lines,
  );
}
