/** The reference way from raw data to models and report: npm run reproduce -w training -- --help */
import { readFileSync } from 'node:fs';
import * as tf from '@tensorflow/tfjs';
import { SplitError, VolumeError } from '../data/index.js';
import { EvaluationError } from '../evaluate/index.js';
import { TraceError } from '../motion/index.js';
import { DatasetError } from '../simulation/index.js';
import { TrainingError } from '../train/index.js';
import { interruptChildren } from './child.js';
import { ReproduceError } from './error.js';
import { duration } from './estimate.js';
import { parseReproduceOptions } from './options.js';
import { createProgress } from './progress.js';
import { reproduce } from './reproduce.js';
import { Interrupted } from './trainings.js';

tf.enableProdMode();
const goOn = 'stopped; the same command goes on from here';
let interrupts = 0;
const interrupt = (): void => {
  interrupts += 1;
  if (interrupts > 2 || !interruptChildren()) {
    console.error(`\n${goOn}`);
    process.exit(130);
  }
};
process.on('SIGINT', interrupt);
process.on('SIGTERM', interrupt);

const options = parseReproduceOptions(process.argv.slice(2), process.env.INIT_CWD ?? process.cwd());
const manifest = JSON.parse(
  readFileSync(new URL('../../../training/package.json', import.meta.url), 'utf8'),
) as { version: string };
const begun = performance.now();
const elapsed = (): string => duration((performance.now() - begun) / 1000);
const progress = createProgress(
  (line) => console.log(`${elapsed().padStart(10)}  ${line}`),
  process.stdout.isTTY === true,
);
const expected = [
  ReproduceError,
  VolumeError,
  TraceError,
  SplitError,
  DatasetError,
  EvaluationError,
  TrainingError,
];
try {
  const { worked } = await reproduce({ ...options, version: manifest.version, progress });
  progress.say(worked.length === 0 ? 'everything was there already' : `done in ${elapsed()}`);
} catch (error) {
  if (error instanceof Interrupted) {
    console.error(goOn);
    process.exitCode = 130;
  } else if (expected.some((kind) => error instanceof kind)) {
    console.error((error as Error).message);
    process.exitCode = 1;
  } else throw error;
}
