import { Command, InvalidArgumentError } from 'commander';
import { defaultNormalisation } from '../../src/inference/preprocess/index.js';
import { defaultAdam } from '../network/index.js';
import type { TrainingConfig } from './config.js';
import { type DeviceChoice, deviceChoices } from './device.js';

/** What the command line of training asks for. */
export interface TrainingOptions {
  dataset: string[];
  validation: string[];
  run: string;
  from?: string;
  config: TrainingConfig;
  backend: 'compiled' | 'tensorflow';
  device: DeviceChoice;
  deviceId: number;
  threads: number;
  checkpointSeconds: number;
  validationSlices: number;
  maxSlices: number;
}

/** The loss of each of the paper's variants; L1+TV-ft is L1+TV started from the run of L1 (`--from`). */
const variants = {
  L1: { l1: 1, tv: 0, ssim: 0 },
  'L1+TV': { l1: 1, tv: 1, ssim: 0 },
  'L1+SSIM': { l1: 1, tv: 0, ssim: 0.1 },
} as const;

/** Parses the command line of training. */
export function parseOptions(argv: readonly string[]): TrainingOptions {
  const command = new Command('train')
    .description('Trains MC-Net on simulated slices, resuming a run folder that exists.')
    .requiredOption('--dataset <folder...>', 'simulated training sets')
    .requiredOption('--validation <folder...>', 'simulated validation sets, of other subjects')
    .requiredOption('--run <folder>', 'run folder: config.json, curves.csv, checkpoint.bin')
    .option(
      '--from <checkpoint or model>',
      'checkpoint of another run, or folder of a released model, whose averaged weights to start from; a narrower network, or one of fewer stages, is grown',
    )
    .option('--width <channels>', 'channels of the first level', positive, 32)
    .option('--levels <count>', 'resolution levels', positive, 5)
    .option('--maximum-width <channels>', 'no level has more channels', positive, 512)
    .option(
      '--stem <plain|half>',
      'first level at full or at half resolution',
      choice('plain', 'half'),
      'plain',
    )
    .option(
      '--network-normalisation <batch|none>',
      'between a convolution and its ReLU',
      choice('batch', 'none'),
      'batch',
    )
    .option('--stages <count>', 'U-Nets one behind the other', positive, 1)
    .option('--direct', 'predict the image instead of the residual', false)
    .option(
      '--variant <name>',
      `loss: ${Object.keys(variants).join(', ')}`,
      choice(...Object.keys(variants)),
      'L1',
    )
    .option('--l1 <weight>', 'weight of L1 instead of the variant’s', weight)
    .option('--tv <weight>', 'weight of the total variation instead of the variant’s', weight)
    .option('--tv-reduction <sum|mean>', 'total variation over a slice', choice('sum', 'mean'), 'mean')
    .option('--ssim <weight>', 'weight of 1 − SSIM instead of the variant’s', weight)
    .option('--outside <weight>', 'weight of what lies outside the head in L1 and SSIM, 0 to 1', weight, 1)
    .option('--epochs <count>', 'passes over the data', positive, 100)
    .option('--minutes <minutes>', 'time budget that the schedule follows', weight, 0)
    .option('--batch <slices>', 'slices of a batch at 128×128', positive, 8)
    .option('--learning-rate <rate>', 'highest learning rate', weight, 1e-3)
    .option(
      '--schedule <constant|cosine>',
      'learning rate over the run',
      choice('constant', 'cosine'),
      'cosine',
    )
    .option('--warm-up <steps>', 'steps of rising learning rate', weight, 100)
    .option('--clip <norm>', 'longest gradient, over all weights; 0: of any length', weight, 0)
    .option('--average <decay>', 'decay of the averaged weights, 0 for none', weight, 0.998)
    .option('--no-augment', 'no flips, transpositions and gains')
    .option('--seed <number>', 'seed of weights, order and augmentation', weight, 1)
    .option(
      '--backend <compiled|tensorflow>',
      'steps compiled to ONNX, or TensorFlow run eagerly by tfjs-node-gpu or tfjs-node',
      choice('compiled', 'tensorflow'),
      'compiled',
    )
    .option(
      `--device <${deviceChoices.join('|')}>`,
      'what runs compiled steps; auto: the first of cuda, webgpu and cpu that works here',
      choice(...deviceChoices),
      'auto',
    )
    .option('--device-id <number>', 'which CUDA device, counted from 0', whole, 0)
    .option('--threads <count>', 'threads of a step on the CPU, 0 for all cores', weight, 0)
    .option('--checkpoint-seconds <seconds>', 'time between checkpoints', positive, 300)
    .option('--validation-slices <count>', 'slices of a validation', positive, 128)
    .option('--max-slices <count>', 'train on a part of the slices only, 0 for all', weight, 0);
  command.parse([...argv], { from: 'user' });
  const options = command.opts<Parsed>();
  const loss = variants[options.variant];
  return {
    dataset: options.dataset,
    validation: options.validation,
    run: options.run,
    ...(options.from === undefined ? {} : { from: options.from }),
    backend: options.backend,
    device: options.device,
    deviceId: options.deviceId,
    threads: options.threads,
    checkpointSeconds: options.checkpointSeconds,
    validationSlices: options.validationSlices,
    maxSlices: options.maxSlices,
    config: {
      network: {
        width: options.width,
        levels: options.levels,
        maximumWidth: options.maximumWidth,
        stem: options.stem,
        ...(options.networkNormalisation === 'none' ? { normalisation: 'none' } : {}),
        ...(options.stages === 1 ? {} : { stages: options.stages }),
        residual: !options.direct,
      },
      loss: {
        l1: options.l1 ?? loss.l1,
        tv: options.tv ?? loss.tv,
        tvReduction: options.tvReduction,
        ssim: options.ssim ?? loss.ssim,
        ...(options.outside === 1 ? {} : { outside: options.outside }),
      },
      adam: options.clip > 0 ? { ...defaultAdam, clip: options.clip } : defaultAdam,
      normalisation: defaultNormalisation,
      seed: options.seed,
      batch: options.batch,
      augment: options.augment,
      epochs: options.epochs,
      minutes: options.minutes,
      learningRate: options.learningRate,
      schedule: options.schedule,
      warmUpSteps: options.warmUp,
      averageDecay: options.average,
    },
  };
}

interface Parsed {
  dataset: string[];
  validation: string[];
  run: string;
  from?: string;
  width: number;
  levels: number;
  maximumWidth: number;
  stem: 'plain' | 'half';
  networkNormalisation: 'batch' | 'none';
  stages: number;
  direct: boolean;
  variant: keyof typeof variants;
  l1?: number;
  tv?: number;
  tvReduction: 'sum' | 'mean';
  ssim?: number;
  outside: number;
  epochs: number;
  minutes: number;
  batch: number;
  learningRate: number;
  schedule: 'constant' | 'cosine';
  warmUp: number;
  clip: number;
  average: number;
  augment: boolean;
  seed: number;
  backend: TrainingOptions['backend'];
  device: DeviceChoice;
  deviceId: number;
  threads: number;
  checkpointSeconds: number;
  validationSlices: number;
  maxSlices: number;
}

function positive(value: string): number {
  const number = Number(value);
  if (!(Number.isInteger(number) && number > 0))
    throw new InvalidArgumentError('a whole number above 0 is needed');
  return number;
}

function whole(value: string): number {
  const number = Number(value);
  if (!(Number.isInteger(number) && number >= 0))
    throw new InvalidArgumentError('a whole number from 0 is needed');
  return number;
}

function weight(value: string): number {
  const number = Number(value);
  if (!(Number.isFinite(number) && number >= 0)) throw new InvalidArgumentError('a number from 0 is needed');
  return number;
}

function choice(...allowed: string[]): (value: string) => string {
  return (value) => {
    if (!allowed.includes(value)) throw new InvalidArgumentError(`one of ${allowed.join(', ')} is needed`);
    return value;
  };
}
