/** Turns a checkpoint into a model folder: node dist/training/train/export-cli.js --help */
import * as tf from '@tensorflow/tfjs';
import { Command, InvalidArgumentError, Option } from 'commander';
import type { SlicePlane } from '../data/index.js';
import { messageOf, TrainingError } from './errors.js';
import { releaseModel } from './export/index.js';

tf.enableProdMode();
const options = new Command('export')
  .description('Turns a checkpoint into a model folder: model.onnx, tfjs/ and the manifest model.json.')
  .requiredOption('--checkpoint <file>', 'checkpoint.bin of a run, which may still be training')
  .requiredOption('--out <folder>', 'folder of the model, such as models/mcnet')
  .requiredOption('--name <name>', 'the model’s name')
  .requiredOption('--version <version>', 'the model’s version')
  .option('--evaluation <file>', 'JSON file with the figures of the evaluation, kept in the manifest')
  .option(
    '--mean-with <checkpoint or model...>',
    'other checkpoints or model folders of the same network: the mean of all weights is exported',
  )
  .option('--matrix <least-most>', 'rows and columns that it is made for, such as 128-256', matrixRange)
  .addOption(
    new Option('--planes <plane...>', 'planes that it is made for').choices(['sagittal', 'coronal', 'axial']),
  )
  .parse()
  .opts<{
    checkpoint: string;
    out: string;
    name: string;
    version: string;
    evaluation?: string;
    meanWith?: string[];
    matrix?: [number, number];
    planes?: SlicePlane[];
  }>();

try {
  const { manifest, difference } = await releaseModel({
    ...options,
    intended: {
      ...(options.matrix === undefined ? {} : { matrix: options.matrix }),
      ...(options.planes === undefined ? {} : { planes: options.planes }),
    },
  });
  const { training, network } = manifest;
  console.log(
    `${options.out}: ${manifest.name} ${manifest.version}, ${(network.parameters / 1e6).toFixed(2)} million parameters, ${training.steps} steps, ${training.slicesSeenAt128} slices of 128×128; ONNX against TensorFlow.js: ${difference.toExponential(1)}`,
  );
} catch (error) {
  if (!(error instanceof TrainingError)) throw error;
  console.error(messageOf(error));
  process.exitCode = 1;
}

function matrixRange(text: string): [number, number] {
  const [least, most] = text.split('-').map(Number);
  if (!(/^\d+-\d+$/.test(text) && least! > 0 && least! <= most!))
    throw new InvalidArgumentError('two numbers are needed, such as 128-256');
  return [least!, most!];
}
