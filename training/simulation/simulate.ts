/** Makes the simulated data sets from the command line: node dist/training/simulation/simulate.js --help */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import cliProgress from 'cli-progress';
import { Command, InvalidArgumentError, Option } from 'commander';
import { listVolumes, type SplitPart, splitOfFolder, writeSplit } from '../data/index.js';
import { type MotionKind, readTraceSets } from '../motion/index.js';
import { makeDataset } from './dataset.js';
import { mixedRecipe, paperRecipe, type Recipe, severeRecipe } from './recipe.js';

const values = new Command('simulate')
  .description(
    'Makes a simulated data set and prints its folder; one that is in the cache is not made again.',
  )
  .requiredOption('--data <folder>', 'NIfTI volumes and DICOM series')
  .requiredOption('--motion <folder>', 'motion traces')
  .option('--cache <folder>', 'where data sets are kept', 'training/cache')
  .addOption(
    new Option('--recipe <name>', 'what is simulated')
      .choices(['paper', 'paper-3d', 'mixed', 'severe'])
      .default('paper'),
  )
  .addOption(
    new Option('--part <name>', 'part of the split')
      .choices(['training', 'validation', 'test'])
      .default('training'),
  )
  .option('--traces <set>', 'set of traces', 'paper')
  .addOption(
    new Option('--motion-kind <kind>', 'of the paper’s recipes')
      .choices(['rotation', 'rotation+translation'])
      .default('rotation+translation'),
  )
  .option('--factor <factor>', 'what traces are multiplied by, in the paper’s recipes', numeric, 20)
  .option('--traces-per-slice <count>', 'of the paper’s recipes', numeric)
  .option('--slices <count>', 'slices of each volume, of the paper’s recipes', numeric)
  .option('--samples-per-volume <count>', 'of each brain-only volume, of the others', numeric)
  .option('--seed <number>', 'seed of all draws', numeric, 1)
  .option('--workers <count>', 'worker threads, default all cores', numeric)
  .parse()
  .opts<Options>();

interface Options {
  data: string;
  motion: string;
  cache: string;
  recipe: 'paper' | 'paper-3d' | 'mixed' | 'severe';
  part: SplitPart;
  traces: string;
  motionKind: MotionKind;
  factor: number;
  tracesPerSlice?: number;
  slices?: number;
  samplesPerVolume?: number;
  seed: number;
  workers?: number;
}

function numeric(text: string): number {
  const value = Number(text);
  if (text.trim() === '' || !Number.isFinite(value)) throw new InvalidArgumentError('a number is needed');
  return value;
}

async function main(): Promise<void> {
  const { part, motionKind: motion, tracesPerSlice, slices, samplesPerVolume, seed, workers } = values;
  const entries = listVolumes(values.data);
  const split = splitOfFolder(
    values.data,
    entries.map((entry) => entry.name),
  );
  mkdirSync(values.cache, { recursive: true });
  writeSplit(join(values.cache, 'split.json'), split);
  const sets = readTraceSets(values.motion);
  const traces = sets.get(values.traces);
  if (traces === undefined) {
    throw new RangeError(
      `--traces: no set "${values.traces}" in ${values.motion}, there is ${[...sets.keys()].join(', ')}`,
    );
  }
  const common = { part, traces: values.traces, seed };
  const makeRecipe = (): Recipe => {
    if (values.recipe === 'mixed')
      return mixedRecipe({ ...common, ...(samplesPerVolume === undefined ? {} : { samplesPerVolume }) });
    if (values.recipe === 'severe') {
      const brain = samplesPerVolume ?? 500;
      return severeRecipe({ ...common, samplesPerVolume: { brain, head: 5 * brain } });
    }
    return paperRecipe({
      ...common,
      motion,
      rigid: values.recipe === 'paper-3d',
      factor: values.factor,
      ...(tracesPerSlice === undefined ? {} : { tracesPerSlice }),
      ...(slices === undefined ? {} : { slices }),
    });
  };
  const recipe = makeRecipe();
  const bar = new cliProgress.SingleBar({
    format: 'simulating {bar} {value}/{total} volumes, {samples} slices, {eta_formatted} left',
  });
  bar.start(1, 0, { samples: 0 });
  const begun = performance.now();
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
