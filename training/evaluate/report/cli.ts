/** Writes the report: node dist/training/evaluate/report/cli.js --help */
import { cpus } from 'node:os';
import { basename, relative } from 'node:path';
import cliProgress from 'cli-progress';
import { Command, InvalidArgumentError } from 'commander';
import { SplitError, VolumeError } from '../../data/index.js';
import { readTraces, TraceError } from '../../motion/index.js';
import { DatasetError } from '../../simulation/index.js';
import { EvaluationError, readModelFolder } from '../model.js';
import { runExperiment } from './experiment.js';
import { writeReport } from './write.js';

const values = new Command('report')
  .description(
    'Writes the report: the paper’s table and figures for models that exist. Test sets and figures are kept in the cache: run again with another model, only that one is measured.',
  )
  .requiredOption('--data <folder>', 'NIfTI volumes and DICOM series')
  .requiredOption('--motion <folder>', 'motion traces')
  .requiredOption(
    '--model <[label=]folder...>',
    'models; the labels L1, L1+TV and L1+TV-ft mark the paper’s three, L1-ft the control of the last: L1 trained on for as long; without a label a model has its own name',
  )
  .option('--cache <folder>', 'simulated slices and figures', 'training/cache')
  .option('--out <folder>', 'report.md, results.json and figures', 'training/report')
  .option('--traces-per-slice <count>', 'traces of each test slice (12)', whole)
  .option('--slices <count>', 'slices of each volume (10)', whole)
  .option('--native-samples <count>', 'native matrices of each brain-only volume (20)', whole)
  .option('--volume-traces <count>', 'traces under which every volume moves as a whole (4)', whole)
  .option('--matching-traces <count>', 'traces a slice for matching the severity (16)', whole)
  .option('--seed <number>', 'seed of all draws (1)', whole)
  .option('--threads <count>', 'worker threads, default half of the cores', whole)
  .option('--quick', 'few slices of everything', false)
  .parse()
  .opts<Options>();

interface Options {
  data: string;
  motion: string;
  model: string[];
  cache: string;
  out: string;
  tracesPerSlice?: number;
  slices?: number;
  nativeSamples?: number;
  volumeTraces?: number;
  matchingTraces?: number;
  seed?: number;
  threads?: number;
  quick: boolean;
}

function whole(text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1)
    throw new InvalidArgumentError('a whole number above 0 is needed');
  return value;
}

/** The command for another machine: folders outside the project become placeholders. */
function portableCommand(models: readonly { label: string; folder: string }[]): string {
  const place = (folder: string): string => {
    const inside = relative(process.cwd(), folder);
    return inside.startsWith('..') ? `DIR/${basename(folder)}` : inside;
  };
  const options = Object.entries(values).flatMap(([name, value]) => {
    if (['data', 'motion', 'cache', 'out', 'model', 'threads'].includes(name)) return [];
    const option = `--${name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
    return value === true ? [option] : value === false ? [] : [`${option} ${String(value)}`];
  });
  const list = models.map(({ label, folder }) => `--model ${label}=${place(folder)}`);
  return ['node dist/training/evaluate/report/cli.js --data DIR --motion DIR', ...list, ...options].join(' ');
}

async function main(): Promise<void> {
  const models = values.model.map((text) => {
    const sign = text.indexOf('=');
    const folder = text.slice(sign + 1);
    return { label: sign < 0 ? readModelFolder(folder).name : text.slice(0, sign), folder };
  });
  const { quick } = values;
  const amounts = {
    tracesPerSlice: values.tracesPerSlice ?? (quick ? 1 : 12),
    nativeSamples: values.nativeSamples ?? (quick ? 2 : 20),
    volumeTraces: values.volumeTraces ?? (quick ? 1 : 4),
    matchingTraces: values.matchingTraces ?? (quick ? 3 : 16),
    seed: values.seed ?? 1,
  };
  const slices = values.slices ?? (quick ? 4 : undefined);
  const { threads } = values;
  const interactive = process.stderr.isTTY === true;
  let bar: cliProgress.SingleBar | undefined;
  const begun = performance.now();
  const experiment = await runExperiment({
    data: values.data,
    motion: values.motion,
    cache: values.cache,
    models,
    ...amounts,
    ...(slices === undefined ? {} : { slices }),
    ...(threads === undefined ? {} : { threads }),
    onStage(stage) {
      bar?.stop();
      bar = undefined;
      console.error(`${((performance.now() - begun) / 1000).toFixed(0).padStart(5)} s  ${stage}`);
    },
    onProgress(done, total) {
      if (!interactive) return;
      if (bar === undefined) {
        bar = new cliProgress.SingleBar({
          stream: process.stderr,
          clearOnComplete: true,
          format: '        {bar} {value}/{total} slices, {eta_formatted} left',
        });
        bar.start(total, done);
      } else bar.update(done);
    },
  });
  bar?.stop();
  const processors = cpus();
  const files = await writeReport(values.out, experiment, readTraces(values.motion), {
    command: portableCommand(models),
    date: new Date().toISOString().slice(0, 10),
    machine: `${processors.length} × ${processors[0]?.model.trim() ?? 'processor'}`,
    seconds: (performance.now() - begun) / 1000,
  });
  console.log(`${values.out}: ${files.join(', ')}`);
}

main().catch((error: unknown) => {
  const expected = [EvaluationError, DatasetError, VolumeError, TraceError, SplitError];
  if (!expected.some((kind) => error instanceof kind)) throw error;
  console.error((error as Error).message);
  process.exitCode = 1;
});
