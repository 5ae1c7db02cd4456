import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Command, InvalidArgumentError, Option } from 'commander';
import { type DeviceChoice, deviceChoices } from '../train/index.js';
import { fullPlan, quickPlan, type ReproducePlan } from './plan.js';

/** What the command line of the reproduction asks for. */
export interface ReproduceOptions {
  plan: ReproducePlan;
  data?: string;
  motion?: string;
  cache: string;
  runs: string;
  out: string;
  threads: number;
  backend: 'compiled' | 'tensorflow';
  device: DeviceChoice;
  deviceId: number;
  /** The command without the places of this machine. */
  command: string;
}

function amount(value: string): number {
  const number = Number(value);
  if (!(Number.isFinite(number) && number > 0)) throw new InvalidArgumentError('a number above 0 is needed');
  return number;
}

function whole(value: string): number {
  const number = Number(value);
  if (!(Number.isInteger(number) && number >= 0)) {
    throw new InvalidArgumentError('a whole number from 0 is needed');
  }
  return number;
}

/** The folder training/ of the project, whose dist/ this file is in. */
const training = fileURLToPath(new URL('../../../training', import.meta.url));

/**
 * Parses the command line.
 *
 * @param from where relative folders start: where the user called npm
 */
export function parseReproduceOptions(argv: readonly string[], from: string): ReproduceOptions {
  const options = new Command('npm run reproduce -w training --')
    .description(
      'From T1 volumes and motion traces to trained networks, exported models and the report. The same command goes on where it was interrupted.',
    )
    .option('--data <folder>', 'NIfTI volumes and folders of DICOM series; without it, synthetic heads')
    .option('--motion <folder>', 'motion traces (.tsv, .par, rp_*.txt); without it, generated ones')
    .option('--quick', 'small networks on few slices, in about five minutes', false)
    .option('--minutes <count>', 'time for all trainings together, instead of 100 epochs each', amount)
    .option('--cache <folder>', 'simulated slices; can be removed at any time (default: training/cache)')
    .option('--runs <folder>', 'checkpoints and curves (default: training/runs/full or quick)')
    .option('--out <folder>', 'gets models/ and report/ (default: out/ in the runs folder)')
    .option('--threads <count>', 'threads of a step and workers, 0 for all cores', whole, 0)
    .addOption(
      new Option('--backend <kind>', 'steps compiled to ONNX, or TensorFlow by tfjs-node-gpu or tfjs-node')
        .choices(['compiled', 'tensorflow'])
        .default('compiled'),
    )
    .addOption(
      new Option(
        '--device <kind>',
        'what runs compiled steps; auto: the first of cuda, webgpu and cpu that works here',
      )
        .choices([...deviceChoices])
        .default('auto'),
    )
    .option('--device-id <number>', 'which CUDA device, counted from 0', whole, 0)
    .option('--seed <number>', 'seed of split, simulation and training', whole, 1)
    .addOption(
      new Option('--tv-reduction <kind>', 'total variation of a slice beside the mean L1')
        .choices(['mean', 'sum'])
        .default('mean'),
    )
    .parse([...argv], { from: 'user' })
    .opts<{
      data?: string;
      motion?: string;
      quick: boolean;
      minutes?: number;
      cache?: string;
      runs?: string;
      out?: string;
      threads: number;
      backend: 'compiled' | 'tensorflow';
      device: DeviceChoice;
      deviceId: number;
      seed: number;
      tvReduction: 'mean' | 'sum';
    }>();
  const choices = {
    seed: options.seed,
    tvReduction: options.tvReduction,
    ...(options.minutes === undefined ? {} : { minutes: options.minutes }),
  };
  const plan = options.quick ? quickPlan(choices) : fullPlan(choices);
  const at = (folder: string): string => resolve(from, folder);
  const runs = options.runs === undefined ? join(training, 'runs', plan.name) : at(options.runs);
  const told = [
    ...(options.data === undefined ? [] : ['--data DIR']),
    ...(options.motion === undefined ? [] : ['--motion DIR']),
    ...(options.quick ? ['--quick'] : []),
    ...(options.minutes === undefined ? [] : [`--minutes ${options.minutes}`]),
    ...(options.seed === 1 ? [] : [`--seed ${options.seed}`]),
    ...(options.tvReduction === 'mean' ? [] : [`--tv-reduction ${options.tvReduction}`]),
  ];
  return {
    plan,
    ...(options.data === undefined ? {} : { data: at(options.data) }),
    ...(options.motion === undefined ? {} : { motion: at(options.motion) }),
    cache: options.cache === undefined ? join(training, 'cache') : at(options.cache),
    runs,
    out: options.out === undefined ? join(runs, 'out') : at(options.out),
    threads: options.threads,
    backend: options.backend,
    device: options.device,
    deviceId: options.deviceId,
    command: ['npm run reproduce -w training --', ...told].join(' '),
  };
}
