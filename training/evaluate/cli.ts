/** Measures models on a simulated data set: node dist/training/evaluate/cli.js --help */
import { writeFileSync } from 'node:fs';
import cliProgress from 'cli-progress';
import { Command } from 'commander';
import { DatasetError } from '../simulation/index.js';
import { evaluateDataset } from './evaluate-dataset.js';
import { EvaluationError } from './model.js';
import { COVERAGE_GROUPS, GROUP_NAMES, type Spread, summarise } from './summary.js';

interface Options {
  dataset: string;
  model: string[];
  clean?: boolean;
  limit?: string;
  threads?: string;
  json?: boolean;
  rows?: string;
}

const values = new Command('evaluate')
  .description(
    'Measures models on a simulated data set: SSIM (whole slice and inside the head), PSNR and NMSE, mean ± sd, for brain-only subjects, scalp-on subjects and all.',
  )
  .requiredOption('--dataset <folder>', 'a data set made by the simulation')
  .option('--model <folder...>', 'models, such as models/mcnet; without one only the corrupted slices', [])
  .option('--clean', 'give the models the motion-free slices: how much they change what needs no change')
  .option('--limit <count>', 'slices of the data set, evenly chosen')
  .option('--threads <count>', 'threads of a model, all cores by default')
  .option('--json', 'print JSON')
  .option('--rows <file>', 'write every slice’s figures as JSON')
  .parse()
  .opts<Options>();

function whole(name: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1) {
    throw new EvaluationError(`--${name}: "${text}" is not a whole number above 0`);
  }
  return value;
}

function shown(spread: Spread, digits: number): string {
  return `${spread.mean.toFixed(digits)} ± ${spread.sd.toFixed(digits)}`;
}

async function main(): Promise<void> {
  const limit = whole('limit', values.limit);
  const threads = whole('threads', values.threads);
  const bar =
    process.stderr.isTTY === true
      ? new cliProgress.SingleBar({
          stream: process.stderr,
          clearOnComplete: true,
          format: 'evaluating {bar} {value}/{total} slices, {eta_formatted} left',
        })
      : undefined;
  const begun = performance.now();
  const evaluation = await evaluateDataset({
    models: values.model,
    dataset: values.dataset,
    input: values.clean === true ? 'clean' : 'corrupted',
    ...(limit === undefined ? {} : { limit }),
    ...(threads === undefined ? {} : { threads }),
    onProgress(done, total) {
      if (done === 0) bar?.start(total, 0);
      else bar?.update(done);
    },
  });
  bar?.stop();
  const seconds = (performance.now() - begun) / 1000;
  const { rows, models } = evaluation;
  if (values.rows !== undefined) writeFileSync(values.rows, JSON.stringify(rows));
  const places = models.length === 0 ? [undefined] : models.map((_, i) => i);
  const summaries = places.map((place) => ({
    model: place === undefined ? null : models[place]!.name,
    groups: Object.fromEntries(COVERAGE_GROUPS.map((group) => [group, summarise(rows, group, place)])),
  }));
  if (values.json) {
    console.log(JSON.stringify({ dataset: values.dataset, seconds, summaries }, null, 2));
    return;
  }
  for (const { model, groups } of summaries) {
    console.log(
      `${model ?? 'no model'}: ${rows.length} ${values.clean ? 'motion-free ' : ''}slices, ${seconds.toFixed(1)} s`,
    );
    for (const group of COVERAGE_GROUPS) {
      const { slices, corrupted, corrected } = groups[group]!;
      if (slices === 0) continue;
      const line = (name: string, measure: keyof typeof corrupted, digits: number): void => {
        const change = corrected[measure].mean - corrupted[measure].mean;
        const after = model === null ? '' : ` → ${shown(corrected[measure], digits)}`;
        const gain = model === null ? '' : `  (${change >= 0 ? '+' : ''}${change.toFixed(digits)})`;
        const before = values.clean ? '' : shown(corrupted[measure], digits);
        console.log(`    ${name} ${before}${after}${values.clean ? '' : gain}`);
      };
      console.log(`  ${GROUP_NAMES[group]}, ${slices} slices`);
      line('SSIM, whole slice', 'ssim', 4);
      line('SSIM, head       ', 'headSsim', 4);
      line('SSIM, tight head ', 'tightHeadSsim', 4);
      line('PSNR, dB         ', 'psnr', 2);
      line('NMSE             ', 'nmse', 4);
    }
  }
}

main().catch((error: unknown) => {
  if (!(error instanceof EvaluationError || error instanceof DatasetError)) throw error;
  console.error(error.message);
  process.exitCode = 1;
});
