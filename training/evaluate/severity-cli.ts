/** Validates the server's estimate of severity: node dist/training/evaluate/severity-cli.js --help */
import { Command } from 'commander';
import { DatasetError, openDataset } from '../simulation/index.js';
import { EvaluationError, openCorrector, readModelFolder } from './model.js';
import { leastSquares, severityRows, summariseSeverity } from './severity.js';

interface Options {
  dataset: string;
  model: string;
  limit: string;
  fit?: boolean;
  json?: boolean;
}

const values = new Command('severity')
  .description(
    'Validates the estimate of severity that the server makes without a reference: motion-free slices of a data set are corrupted by motion from none to severe; printed are the correlations of the estimate with 1 − SSIM to the motion-free slice.',
  )
  .requiredOption('--dataset <folder>', 'a data set made by the simulation')
  .requiredOption('--model <folder>', 'the model, such as models/mcnet')
  .option('--limit <count>', 'slices of the data set', '60')
  .option('--fit', 'print the weights that fit this data set best, too')
  .option('--json', 'print JSON')
  .parse()
  .opts<Options>();

async function main(): Promise<void> {
  const limit = Number(values.limit);
  if (!Number.isInteger(limit) || limit < 1)
    throw new EvaluationError(`--limit: "${values.limit}" is not a whole number above 0`);
  const dataset = openDataset(values.dataset);
  const corrector = await openCorrector(readModelFolder(values.model));
  const rows = await severityRows(dataset, corrector, limit);
  await corrector.close();
  dataset.close();
  const summary = summariseSeverity(rows);
  const fit = values.fit
    ? leastSquares(
        rows.map((row) => [Math.sqrt(row.residualEnergy), Math.sqrt(row.ghosts)]),
        rows.map(({ lostInHead }) => lostInHead),
      )
    : undefined;
  if (values.json) {
    console.log(JSON.stringify({ ...summary, ...(fit && { fit }) }, null, 2));
    return;
  }
  const two = (value: number) => value.toFixed(3);
  console.log(`${summary.slices} slices of ${summary.subjects} subjects, motion from none to severe
estimate against 1 − SSIM inside the head: r ${two(summary.head.pearson)}, Spearman ${two(summary.head.spearman)}, mean error ${two(summary.meanAbsoluteError)}
estimate against 1 − SSIM, whole slice:    r ${two(summary.whole.pearson)}, Spearman ${two(summary.whole.spearman)}
largest residual energy ${summary.largestResidualEnergy.toFixed(4)}`);
  for (const { factor, lostInHead, estimate: estimated } of summary.bySeverity)
    console.log(
      `  motion × ${String(factor).padStart(2)}: 1 − SSIM ${two(lostInHead)}, estimated ${two(estimated)}`,
    );
  if (fit)
    console.log(
      `best weights here: residual ${two(fit[0]!)}, ghosts ${two(fit[1]!)}, offset ${two(fit[2]!)}`,
    );
}

main().catch((error: unknown) => {
  if (!(error instanceof EvaluationError || error instanceof DatasetError)) throw error;
  console.error(error.message);
  process.exitCode = 1;
});
