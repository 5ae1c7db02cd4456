import * as tf from '@tensorflow/tfjs';
import { buildNetwork, networkVariables } from '../../network/index.js';
import type { Checkpoint } from '../checkpoint.js';
import { averageName } from '../engine.js';
import { TrainingError } from '../errors.js';

/**
 * The trained network of a checkpoint, with its averaged weights, on the active TensorFlow.js backend: from
 * [N, rows, columns, 1] to the residual, also where the network was trained to predict the image itself.
 *
 * @param file the checkpoint's name, for the error
 * @throws TrainingError when the checkpoint lacks a weight of its network
 */
export function residualModel(checkpoint: Checkpoint, file: string): tf.LayersModel {
  const { network: config, seed } = checkpoint.config;
  const network = buildNetwork(config, seed);
  for (const [name, variable] of Object.entries(networkVariables(network))) {
    const stored = checkpoint.variables.get(averageName(name));
    if (stored === undefined || stored.shape.join() !== variable.shape.join()) {
      throw new TrainingError(
        `${file} is damaged or of another version: the averaged weight ${name} is ${stored?.shape.join('×') ?? 'missing'}, expected ${variable.shape.join('×')}`,
      );
    }
    tf.tidy(() => variable.assign(tf.tensor(stored.values, variable.shape)));
  }
  return config.residual ? network : minusInput(network);
}

/** The network's output minus its input: a 1×1 convolution of weight −1 is a layer that every Keras knows. */
function minusInput(network: tf.LayersModel): tf.LayersModel {
  const image = network.inputs[0]!;
  const negative = tf.layers
    .conv2d({ name: 'minus_image', filters: 1, kernelSize: 1, useBias: false, trainable: false })
    .apply(image) as tf.SymbolicTensor;
  const residual = tf.layers.add({ name: 'residual' }).apply([network.outputs[0]!, negative]);
  const model = tf.model({ inputs: image, outputs: residual as tf.SymbolicTensor, name: 'mcnet' });
  tf.tidy(() => model.getLayer('minus_image').setWeights([tf.tensor4d([-1], [1, 1, 1, 1])]));
  return model;
}
