import * as tf from '@tensorflow/tfjs';

interface BatchNormalisationConfig {
  name: string;
  /**
   * Of the moving statistics. Keras' 0.99 needs a thousand steps to forget their first values; the network's
   * averaged weights smooth the statistics as well.
   */
  momentum?: number;
  epsilon?: number;
}

/**
 * Batch normalisation over the last dimension of a [N, H, W, C] tensor, with the weights, configuration and class
 * name of Keras' BatchNormalization, so that a saved model loads with TensorFlow.js alone. In training its
 * gradient is the closed form in per-channel sums (Ioffe & Szegedy 2015, section 3) instead of the chain through
 * mean and variance, which takes three times as many passes over the activations.
 */
export class BatchNormalisation extends tf.layers.Layer {
  static readonly className = 'BatchNormalization';
  private readonly momentum: number;
  private readonly epsilon: number;
  private gamma!: tf.LayerVariable;
  private beta!: tf.LayerVariable;
  private movingMean!: tf.LayerVariable;
  private movingVariance!: tf.LayerVariable;

  constructor(config: BatchNormalisationConfig) {
    super({ name: config.name });
    this.momentum = config.momentum ?? 0.95;
    this.epsilon = config.epsilon ?? 1e-3;
    this.supportsMasking = true;
  }

  override build(inputShape: tf.Shape): void {
    const channels = [inputShape.at(-1)!];
    this.gamma = this.addWeight('gamma', channels, 'float32', tf.initializers.ones());
    this.beta = this.addWeight('beta', channels, 'float32', tf.initializers.zeros());
    this.movingMean = this.addWeight(
      'moving_mean',
      channels,
      'float32',
      tf.initializers.zeros(),
      undefined,
      false,
    );
    this.movingVariance = this.addWeight(
      'moving_variance',
      channels,
      'float32',
      tf.initializers.ones(),
      undefined,
      false,
    );
    this.built = true;
  }

  override computeOutputShape(inputShape: tf.Shape): tf.Shape {
    return inputShape;
  }

  override call(inputs: tf.Tensor | tf.Tensor[], kwargs: { training?: boolean }): tf.Tensor {
    const x = (Array.isArray(inputs) ? inputs[0] : inputs) as tf.Tensor4D;
    const gamma = this.gamma.read() as tf.Tensor1D;
    const beta = this.beta.read() as tf.Tensor1D;
    if (kwargs.training !== true) {
      const mean = this.movingMean.read() as tf.Tensor1D;
      const variance = this.movingVariance.read() as tf.Tensor1D;
      return tf.batchNorm(x, mean, variance, beta, gamma, this.epsilon);
    }
    return normaliseBatch(x, gamma, beta, this.epsilon, (mean, variance) => {
      this.movingMean.write(movingAverage(this.movingMean.read(), mean, this.momentum));
      this.movingVariance.write(movingAverage(this.movingVariance.read(), variance, this.momentum));
    });
  }

  override getConfig(): tf.serialization.ConfigDict {
    return {
      ...super.getConfig(),
      axis: -1,
      momentum: this.momentum,
      epsilon: this.epsilon,
      center: true,
      scale: true,
    };
  }
}

const spatial = [0, 1, 2];

function normaliseBatch(
  x: tf.Tensor4D,
  gamma: tf.Tensor1D,
  beta: tf.Tensor1D,
  epsilon: number,
  observe: (mean: tf.Tensor, variance: tf.Tensor) => void,
): tf.Tensor {
  const count = x.size / x.shape[3];
  const normalise = tf.customGrad((...args) => {
    const [input, scale, shift] = args.slice(0, 3) as [tf.Tensor4D, tf.Tensor1D, tf.Tensor1D];
    const save = args[3] as unknown as tf.GradSaveFunc;
    const mean = tf.mean(input, spatial);
    const variance = tf.relu(tf.sub(tf.mean(tf.square(input), spatial), tf.square(mean)));
    observe(mean, variance);
    const inverseDeviation = tf.rsqrt(tf.add(variance, epsilon));
    const slope = tf.mul(scale, inverseDeviation);
    const value = affine(input, slope, tf.sub(shift, tf.mul(mean, slope)));
    save([input, mean, inverseDeviation, slope]);
    return {
      value,
      gradFunc: (dy: tf.Tensor, saved: tf.Tensor[]) => {
        const [keptInput, keptMean, keptInverse, keptSlope] = saved as [
          tf.Tensor,
          tf.Tensor,
          tf.Tensor,
          tf.Tensor,
        ];
        const sum = tf.sum(dy, spatial);
        const moment = tf.sum(tf.mul(dy, keptInput), spatial);
        const scaleGradient = tf.mul(tf.sub(moment, tf.mul(keptMean, sum)), keptInverse);
        const curvature = tf.mul(tf.mul(keptInverse, scaleGradient), -1 / count);
        const offset = tf.sub(tf.mul(sum, -1 / count), tf.mul(curvature, keptMean));
        const correction = affine(keptInput, tf.mul(curvature, keptSlope), tf.mul(offset, keptSlope));
        return [tf.add(tf.mul(dy, keptSlope), correction), scaleGradient, sum];
      },
    };
  });
  return normalise(x, gamma, beta);
}

/** x · slope + shift for each channel, in one pass where multiplying and adding would be two. */
function affine(x: tf.Tensor, slope: tf.Tensor, shift: tf.Tensor): tf.Tensor {
  const [mean, variance] = [tf.zerosLike(slope), tf.onesLike(slope)];
  return tf.batchNorm(x as tf.Tensor4D, ...([mean, variance, shift, slope] as Four), 0);
}

type Four = [tf.Tensor1D, tf.Tensor1D, tf.Tensor1D, tf.Tensor1D];

function movingAverage(before: tf.Tensor, now: tf.Tensor, momentum: number): tf.Tensor {
  return tf.add(tf.mul(before, momentum), tf.mul(now, 1 - momentum));
}
