/**
 * Writes the report: the paper's table and figures for models that exist.
 *   node dist/training/evaluate/report/cli.js --data DIR --motion DIR [--cache training/cache] [--out training/report]
 *     --model [LABEL=]DIR ... [--traces-per-slice 12] [--slices 10] [--native-samples 20] [--matching-traces 16] [--seed 1]
 *     [--threads N] [--quick]
 * Labels L1, L1+TV and L1+TV-ft mark the paper's three; without a label a model has its own name. Test sets and figures are
 * kept in the cache: run again with another model, only that one is measured. --quick takes few slices of everything.
 */
import { cpus } from 'node:os';
import { basename, relative } from 'node:path';
import { parseArgs } from 'node:util';
import cliProgress from 'cli-progress';
import { SplitError, VolumeError } from '../../data/index.js';
import { readTraces, TraceError } from '../../motion/index.js';
import { DatasetError } from '../../simulation/index.js';
import { EvaluationError, readModelFolder } from '../model.js';
import { runExperiment } from './experiment.js';
import { writeReport } from './write.js';

const { values } = parseArgs({
  options: {
    data: { type: 'string' },
    motion: { type: 'string' },
    cache: { type: 'string', default: 'training/cache' },
    out: { type: 'string', default: 'training/report' },
    model: { type: 'string', multiple: true, default: [] },
    'traces-per-slice': { type: 'string' },
    slices: { type: 'string' },
    'native-samples': { type: 'string' },
    'matching-traces': { type: 'string' },
    seed: { type: 'string' },
    threads: { type: 'string' },
    quick: { type: 'boolean', default: false },
  },
});

function whole(name: keyof typeof values, otherwise: number | undefined): number | undefined {
  const text = values[name];
  if (typeof text !== 'string') return otherwise;
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1) {
    throw new EvaluationError(`--${name}: "${text}" is not a whole number above 0`);
  }
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
    return value === true ? [`--${name}`] : value === false ? [] : [`--${name} ${String(value)}`];
  });
  const list = models.map(({ label, folder }) => `--model ${label}=${place(folder)}`);
  return ['node dist/training/evaluate/report/cli.js --data DIR --motion DIR', ...list, ...options].join(' ');
}

async function main(): Promise<void> {
  if (values.data === undefined || values.motion === undefined) {
    throw new EvaluationError(
      'give --data (a folder of NIfTI volumes) and --motion (a folder of motion traces)',
    );
  }
  if (values.model.length === 0) throw new EvaluationError('give at least one --model [LABEL=]DIR');
  const models = values.model.map((text) => {
    const sign = text.indexOf('=');
    const folder = text.slice(sign + 1);
    return { label: sign < 0 ? readModelFolder(folder).name : text.slice(0, sign), folder };
  });
  const { quick } = values;
  const amounts = {
    tracesPerSlice: whole('traces-per-slice', quick ? 1 : 12)!,
    nativeSamples: whole('native-samples', quick ? 2 : 20)!,
    matchingTraces: whole('matching-traces', quick ? 3 : 16)!,
    seed: whole('seed', 1)!,
  };
  const slices = whole('slices', quick ? 4 : undefined);
  const threads = whole('threads', undefined);
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
