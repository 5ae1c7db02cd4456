import * as tf from '@tensorflow/tfjs';

export interface AdamConfig {
  beta1: number;
  beta2: number;
  epsilon: number;
  /**
   * Gradients whose norm over all weights is larger are shortened to it (Pascanu et al. 2013, algorithm 1); missing:
   * none are. A network without normalisation can die of a single one.
   */
  clip?: number;
}

export const defaultAdam: AdamConfig = { beta1: 0.9, beta2: 0.999, epsilon: 1e-8 };

/**
 * Adam (Kingma & Ba 2015, algorithm 1) whose learning rate is a tensor, so that a traced step takes it as an
 * input. The moments are kept without their factors 1 − β, which `adamFactors` puts into the rate and ε: the
 * same algorithm in fewer passes over the weights.
 */
export class Adam {
  /** First and second moment of each variable, in the order of the variables. */
  readonly slots: readonly { m: tf.Variable; v: tf.Variable }[];

  constructor(
    private readonly variables: readonly tf.Variable[],
    private readonly config: AdamConfig = defaultAdam,
  ) {
    this.slots = variables.map((variable) => ({
      m: tf.variable(tf.zeros(variable.shape), false),
      v: tf.variable(tf.zeros(variable.shape), false),
    }));
  }

  /** One update by gradients in the order of the variables. `rate` and `epsilon` are those of `adamFactors`. */
  apply(gradients: readonly tf.Tensor[], rate: tf.Scalar, epsilon: tf.Scalar): void {
    const { beta1, beta2, clip } = this.config;
    const shortened = clip === undefined ? gradients : shorten(gradients, clip);
    this.variables.forEach((variable, index) => {
      const { m, v } = this.slots[index]!;
      const gradient = shortened[index]!;
      m.assign(tf.add(tf.mul(m, beta1), gradient));
      v.assign(tf.add(tf.mul(v, beta2), tf.square(gradient)));
      variable.assign(tf.sub(variable, tf.div(tf.mul(m, rate), tf.add(tf.sqrt(v), epsilon))));
    });
  }
}

function shorten(gradients: readonly tf.Tensor[], longest: number): tf.Tensor[] {
  const norm = tf.sqrt(tf.addN(gradients.map((gradient) => tf.sum(tf.square(gradient)))));
  const factor = tf.div(longest, tf.maximum(norm, longest));
  return gradients.map((gradient) => tf.mul(gradient, factor));
}

/**
 * The rate and ε of step t (from 1), with the bias corrections and the factors 1 − β that `Adam` leaves out.
 */
export function adamFactors(
  learningRate: number,
  step: number,
  config: AdamConfig = defaultAdam,
): { rate: number; epsilon: number } {
  const { beta1, beta2, epsilon } = config;
  const first = (1 - beta1) / (1 - beta1 ** step);
  const second = Math.sqrt((1 - beta2) / (1 - beta2 ** step));
  return { rate: (learningRate * first) / second, epsilon: epsilon / second };
}
