import * as tf from '@tensorflow/tfjs';
import { Adam, type AdamConfig } from './adam.js';
import { computeLoss, type LossConfig, ssimWindow } from './loss.js';
import { buildNetwork, correct, type NetworkConfig } from './mc-net.js';

/** What one training step takes. */
export interface StepInputs {
  /** Corrupted images, [N, rows, columns, 1], divided by their robust scale. */
  corrupted: tf.Tensor4D;
  /** Motion-free images divided by the same scale. */
  clean: tf.Tensor4D;
  /** See `adamFactors`. */
  rate: tf.Scalar;
  epsilon: tf.Scalar;
}

export interface Losses {
  loss: tf.Scalar;
  terms: Record<string, tf.Scalar>;
}

/** A network with its optimiser on the active backend. */
export interface Trainer {
  network: tf.LayersModel;
  /** Every variable that a step reads or assigns: weights, Adam's moments (`…/m`, `…/v`), SSIM's window. */
  variables: Readonly<Record<string, tf.Variable>>;
  /** The names of the network's weights in `variables`, in the order of `network.getWeights()`. */
  weights: readonly string[];
  /** The names of those weights that training changes by their gradient. */
  trainable: readonly string[];
  /** Computes the loss and its gradient with respect to each trainable weight, by the weight's name. */
  gradients(
    inputs: Pick<StepInputs, 'corrupted' | 'clean'>,
    loss: LossConfig,
  ): Losses & { gradients: Readonly<Record<string, tf.Tensor>> };
  /** Computes the loss, its gradient, and one update of the weights. */
  step(inputs: StepInputs, loss: LossConfig): Losses;
}

/** Builds network, loss and optimiser with first weights drawn from `seed`. */
export function createTrainer(config: NetworkConfig, seed: number, adamConfig?: AdamConfig): Trainer {
  const network = buildNetwork(config, seed);
  const weights = networkVariables(network);
  const names = Object.keys(weights);
  const trainable = names.filter((name) => weights[name]!.trainable);
  const learned = trainable.map((name) => weights[name]!);
  const adam = new Adam(learned, adamConfig);
  const window = ssimWindow();
  const variables: Record<string, tf.Variable> = { ...weights };
  trainable.forEach((name, index) => {
    variables[`${name}/m`] = adam.slots[index]!.m;
    variables[`${name}/v`] = adam.slots[index]!.v;
  });
  variables['ssim_window/vertical'] = window.vertical;
  variables['ssim_window/horizontal'] = window.horizontal;
  const gradients: Trainer['gradients'] = ({ corrupted, clean }, lossConfig) => {
    let terms: Record<string, tf.Scalar> = {};
    const { value, grads } = tf.variableGrads(() => {
      const result = computeLoss(correct(network, config, corrupted, true), clean, lossConfig, window);
      terms = result.terms;
      for (const term of Object.values(terms)) tf.keep(term);
      return result.loss;
    }, learned);
    return {
      loss: value,
      terms,
      gradients: Object.fromEntries(trainable.map((name) => [name, grads[weights[name]!.name]!])),
    };
  };
  return {
    network,
    variables,
    weights: names,
    trainable,
    gradients,
    step(inputs, lossConfig) {
      const { loss, terms, gradients: found } = gradients(inputs, lossConfig);
      adam.apply(
        trainable.map((name) => found[name]!),
        inputs.rate,
        inputs.epsilon,
      );
      return { loss, terms };
    },
  };
}

/** The variables behind a model's weights by their layer's name (`down0_1_conv/kernel`), in the model's order. */
export function networkVariables(network: tf.LayersModel): Record<string, tf.Variable> {
  return Object.fromEntries(
    network.weights.map((weight) => [weight.originalName, weight.read() as tf.Variable]),
  );
}
