/**
 * Makes the simulated data sets from the command line:
 *   node dist/training/simulation/simulate.js --data DIR --motion DIR --cache DIR --recipe paper|mixed
 *     [--part training|validation|test] [--traces paper|unseen] [--motion-kind rotation|rotation+translation]
 *     [--factor 20] [--traces-per-slice N] [--slices N] [--samples-per-volume N] [--seed N] [--workers N]
 * and prints the data set's folder.
 */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import cliProgress from 'cli-progress';
import { listVolumes, makeSplit, type SplitPart, writeSplit } from '../data/index.js';
import { type MotionKind, readTraceSets } from '../motion/index.js';
import { makeDataset } from './dataset.js';
import { mixedRecipe, paperRecipe } from './recipe.js';

const { values } = parseArgs({
  options: {
    data: { type: 'string' },
    motion: { type: 'string' },
    cache: { type: 'string', default: 'training/cache' },
    recipe: { type: 'string', default: 'paper' },
    part: { type: 'string', default: 'training' },
    traces: { type: 'string', default: 'paper' },
    'motion-kind': { type: 'string', default: 'rotation+translation' },
    factor: { type: 'string', default: '20' },
    'traces-per-slice': { type: 'string' },
    slices: { type: 'string' },
    'samples-per-volume': { type: 'string' },
    seed: { type: 'string', default: '1' },
    workers: { type: 'string' },
  },
});

function numeric(name: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const value = Number(text);
  if (!Number.isFinite(value)) throw new RangeError(`--${name}: "${text}" is not a number`);
  return value;
}

async function main(): Promise<void> {
  if (values.data === undefined || values.motion === undefined) {
    throw new RangeError('give --data (a folder of NIfTI volumes) and --motion (a folder of motion traces)');
  }
  const part = values.part as SplitPart;
  if (!['training', 'validation', 'test'].includes(part))
    throw new RangeError(`--part: unknown part "${part}"`);
  const motion = values['motion-kind'] as MotionKind;
  if (!['rotation', 'rotation+translation'].includes(motion)) {
    throw new RangeError(`--motion-kind: unknown motion "${motion}"`);
  }
  const entries = listVolumes(values.data);
  const split = makeSplit(entries.map((entry) => entry.name));
  mkdirSync(values.cache, { recursive: true });
  writeSplit(join(values.cache, 'split.json'), split);
  const sets = readTraceSets(values.motion);
  const traces = sets.get(values.traces);
  if (traces === undefined) {
    throw new RangeError(
      `--traces: no set "${values.traces}" in ${values.motion}, there is ${[...sets.keys()].join(', ')}`,
    );
  }
  const seed = numeric('seed', values.seed)!;
  const common = { part, traces: values.traces, seed };
  if (values.recipe !== 'paper' && values.recipe !== 'mixed') {
    throw new RangeError(`--recipe: unknown recipe "${values.recipe}" (paper, mixed)`);
  }
  const tracesPerSlice = numeric('traces-per-slice', values['traces-per-slice']);
  const slices = numeric('slices', values.slices);
  const samplesPerVolume = numeric('samples-per-volume', values['samples-per-volume']);
  const recipe =
    values.recipe === 'paper'
      ? paperRecipe({
          ...common,
          motion,
          factor: numeric('factor', values.factor)!,
          ...(tracesPerSlice === undefined ? {} : { tracesPerSlice }),
          ...(slices === undefined ? {} : { slices }),
        })
      : mixedRecipe({ ...common, ...(samplesPerVolume === undefined ? {} : { samplesPerVolume }) });
  const bar = new cliProgress.SingleBar({
    format: 'simulating {bar} {value}/{total} volumes, {samples} slices, {eta_formatted} left',
  });
  bar.start(1, 0, { samples: 0 });
  const begun = performance.now();
  const workers = numeric('workers', values.workers);
  const dataset = await makeDataset({
    recipe,
    volumes: entries.filter((entry) => split[part].includes(entry.name)),
    traces,
    cache: values.cache,
    ...(workers === undefined ? {} : { workers }),
    onProgress(done, total, samples) {
      bar.setTotal(total);
      bar.update(done, { samples });
    },
  });
  bar.stop();
  const seconds = (performance.now() - begun) / 1000;
  console.log(`${dataset.folder}: ${dataset.samples.length} slices in ${seconds.toFixed(1)} s`);
  dataset.close();
}

main().catch((error: unknown) => {
  console.error(error instanceof Error ? error.message : String(error));
  process.exitCode = 1;
});
