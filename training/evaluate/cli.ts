/**
 * Measures models on a simulated data set:
 *   node dist/training/evaluate/cli.js --dataset DIR [--model DIR]... [--clean] [--limit N] [--threads N] [--json] [--rows FILE]
 * prints SSIM (whole slice and inside the head), PSNR and NMSE, mean ± sd, for brain-only subjects, scalp-on subjects and
 * all. With --clean the models get the motion-free slices instead: how much they change what needs no change.
 * --rows writes every slice's figures as JSON.
 */
import { writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import cliProgress from 'cli-progress';
import { DatasetError } from '../simulation/index.js';
import { evaluateDataset } from './evaluate-dataset.js';
import { EvaluationError } from './model.js';
import { COVERAGE_GROUPS, GROUP_NAMES, type Spread, summarise } from './summary.js';

const { values } = parseArgs({
  options: {
    dataset: { type: 'string' },
    model: { type: 'string', multiple: true, default: [] },
    clean: { type: 'boolean', default: false },
    limit: { type: 'string' },
    threads: { type: 'string' },
    json: { type: 'boolean', default: false },
    rows: { type: 'string' },
  },
});

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
  if (values.dataset === undefined)
    throw new EvaluationError('give --dataset (a folder made by the simulation)');
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
    input: values.clean ? 'clean' : 'corrupted',
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
