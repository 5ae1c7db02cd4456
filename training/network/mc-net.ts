import * as tf from '@tensorflow/tfjs';
import { BatchNormalisation } from './batch-normalisation.js';

/** The shape of an MC-Net. */
export interface NetworkConfig {
  /** Channels of the first level; every deeper level has twice as many. The paper's network: 32. */
  width: number;
  /** Resolution levels: one more than there are 2×2 max-pools. The paper's network: 5. */
  levels: number;
  /** No level has more channels than this. */
  maximumWidth: number;
  /**
   * `plain`: the first level works at full resolution, as published. `half`: a strided convolution over 6×6
   * pixels (the same as 3×3 over pixels folded 2×2 into channels) brings the first level to half the resolution,
   * and a transposed convolution of 2×2 brings the result back: four times cheaper at the same width.
   */
  stem: 'plain' | 'half';
  /** The network's output is what is added to its input (true), or the corrected image itself. */
  residual: boolean;
}

/** MC-Net as published: 32-64-128-256-512 channels. */
export const paperNetwork: NetworkConfig = {
  width: 32,
  levels: 5,
  maximumWidth: 512,
  stem: 'plain',
  residual: true,
};

/** Rows and columns of an input must be multiples of this. */
export function sizeMultiple(config: NetworkConfig): number {
  return 2 ** (config.levels - 1) * (config.stem === 'half' ? 2 : 1);
}

/** Channels of a level, 0 being the finest. */
export function channelsOf(config: NetworkConfig, level: number): number {
  return Math.min(config.width * 2 ** level, config.maximumWidth);
}

/**
 * Builds MC-Net on the active TensorFlow.js backend: a U-Net with (3×3 convolution, batch normalisation, ReLU)
 * twice a level, 2×2 max-pools, nearest-neighbour upsampling followed by a 3×3 convolution, concatenated skips
 * and a 1×1 output (Algorithms 2024, 17(5):215; layers as in the authors' public code). Convolutions before a
 * normalisation have no bias, which the normalisation would remove.
 *
 * @returns a model from [N, rows, columns, 1] to [N, rows, columns, 1]: the residual when `config.residual`,
 * whose last layer starts at zero so that the first output is the input
 */
export function buildNetwork(config: NetworkConfig, seed: number): tf.LayersModel {
  let layerSeed = seed * 1000;
  const heNormal = () => tf.initializers.heNormal({ seed: layerSeed++ });

  const convolve = (x: tf.SymbolicTensor, name: string, filters: number, kernelSize = 3, strides = 1) => {
    const convolved = tf.layers
      .conv2d({
        name: `${name}_conv`,
        filters,
        kernelSize,
        strides,
        padding: 'same',
        useBias: false,
        kernelInitializer: heNormal(),
      })
      .apply(x) as tf.SymbolicTensor;
    const normalised = new BatchNormalisation({ name: `${name}_bn` }).apply(convolved) as tf.SymbolicTensor;
    return tf.layers.reLU({ name: `${name}_relu` }).apply(normalised) as tf.SymbolicTensor;
  };

  const input = tf.input({ shape: [null, null, 1], name: 'image' });
  const skips: tf.SymbolicTensor[] = [];
  let x: tf.SymbolicTensor = input;
  for (let level = 0; level < config.levels; level += 1) {
    if (level > 0) {
      skips.push(x);
      x = tf.layers.maxPooling2d({ name: `down${level}_pool`, poolSize: 2 }).apply(x) as tf.SymbolicTensor;
    }
    const channels = channelsOf(config, level);
    const folded = level === 0 && config.stem === 'half';
    x = convolve(x, `down${level}_1`, channels, folded ? 6 : 3, folded ? 2 : 1);
    x = convolve(x, `down${level}_2`, channels);
  }
  for (let level = config.levels - 2; level >= 0; level -= 1) {
    const channels = channelsOf(config, level);
    const upsampled = tf.layers.upSampling2d({ name: `up${level}_nearest`, size: [2, 2] }).apply(x);
    const refined = tf.layers
      .conv2d({
        name: `up${level}_conv`,
        filters: channels,
        kernelSize: 3,
        padding: 'same',
        activation: 'relu',
        kernelInitializer: heNormal(),
      })
      .apply(upsampled) as tf.SymbolicTensor;
    x = tf.layers
      .concatenate({ name: `up${level}_skip` })
      .apply([skips[level]!, refined]) as tf.SymbolicTensor;
    x = convolve(x, `up${level}_1`, channels);
    x = convolve(x, `up${level}_2`, channels);
  }
  const kernelInitializer = config.residual ? tf.initializers.zeros() : heNormal();
  const last =
    config.stem === 'half'
      ? tf.layers.conv2dTranspose({
          name: 'output',
          filters: 1,
          kernelSize: 2,
          strides: 2,
          padding: 'valid',
          kernelInitializer,
        })
      : tf.layers.conv2d({ name: 'output', filters: 1, kernelSize: 1, kernelInitializer });
  return tf.model({ inputs: input, outputs: last.apply(x) as tf.SymbolicTensor, name: 'mcnet' });
}

/** Applies the network and returns the corrected image, [N, rows, columns, 1]. */
export function correct(
  network: tf.LayersModel,
  config: NetworkConfig,
  image: tf.Tensor4D,
  training: boolean,
): tf.Tensor4D {
  const output = network.apply(image, { training }) as tf.Tensor4D;
  return config.residual ? tf.add(image, output) : output;
}
