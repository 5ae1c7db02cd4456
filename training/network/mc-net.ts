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
  /**
   * What stands between a convolution and its ReLU: `batch` (when absent), as published, or `none`, a bias alone, which
   * does not depend on the other slices of a batch nor on statistics gathered over other matrices.
   */
  normalisation?: 'batch' | 'none';
  /**
   * U-Nets one behind the other, 1 when absent, as published: each after the first sees the image beside what those before
   * made of it, and adds to their residual.
   */
  stages?: number;
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
 * normalisation have no bias, which the normalisation would remove; with `normalisation: 'none'` they have one instead.
 *
 * @returns a model from [N, rows, columns, 1] to [N, rows, columns, 1]: the residual when `config.residual`,
 * whose last layer starts at zero so that the first output is the input
 */
export function buildNetwork(config: NetworkConfig, seed: number): tf.LayersModel {
  const kernels = { seed: seed * 1000 };
  const image = tf.input({ shape: [null, null, 1], name: 'image' });
  let output = uNet(config, image, '', kernels);
  for (let stage = 2; stage <= (config.stages ?? 1); stage += 1) {
    const prefix = stagePrefix(stage);
    const join = (name: string, of: tf.SymbolicTensor[]) =>
      tf.layers.add({ name: `${prefix}${name}` }).apply(of) as tf.SymbolicTensor;
    const corrected = config.residual ? join('image', [image, output]) : output;
    const seen = tf.layers.concatenate({ name: `${prefix}input` }).apply([image, corrected]);
    const added = uNet(config, seen as tf.SymbolicTensor, prefix, kernels);
    output = config.residual ? join('sum', [output, added]) : added;
  }
  return tf.model({ inputs: image, outputs: output, name: 'mcnet' });
}

/** What the names of a stage's layers begin with; the first stage is 1. */
export function stagePrefix(stage: number): string {
  return stage === 1 ? '' : `stage${stage}_`;
}

function uNet(
  config: NetworkConfig,
  input: tf.SymbolicTensor,
  prefix: string,
  kernels: { seed: number },
): tf.SymbolicTensor {
  const heNormal = () => tf.initializers.heNormal({ seed: kernels.seed++ });
  const bare = config.normalisation === 'none';
  const convolve = (x: tf.SymbolicTensor, name: string, filters: number, kernelSize = 3, strides = 1) => {
    const convolved = tf.layers
      .conv2d({
        name: `${prefix}${name}_conv`,
        filters,
        kernelSize,
        strides,
        padding: 'same',
        useBias: bare,
        ...(bare ? { activation: 'relu' as const } : {}),
        kernelInitializer: heNormal(),
      })
      .apply(x) as tf.SymbolicTensor;
    if (bare) return convolved;
    const normalised = new BatchNormalisation({ name: `${prefix}${name}_bn` }).apply(
      convolved,
    ) as tf.SymbolicTensor;
    return tf.layers.reLU({ name: `${prefix}${name}_relu` }).apply(normalised) as tf.SymbolicTensor;
  };

  const skips: tf.SymbolicTensor[] = [];
  let x: tf.SymbolicTensor = input;
  for (let level = 0; level < config.levels; level += 1) {
    if (level > 0) {
      skips.push(x);
      x = tf.layers
        .maxPooling2d({ name: `${prefix}down${level}_pool`, poolSize: 2 })
        .apply(x) as tf.SymbolicTensor;
    }
    const channels = channelsOf(config, level);
    const folded = level === 0 && config.stem === 'half';
    x = convolve(x, `down${level}_1`, channels, folded ? 6 : 3, folded ? 2 : 1);
    x = convolve(x, `down${level}_2`, channels);
  }
  for (let level = config.levels - 2; level >= 0; level -= 1) {
    const channels = channelsOf(config, level);
    const upsampled = tf.layers.upSampling2d({ name: `${prefix}up${level}_nearest`, size: [2, 2] }).apply(x);
    const refined = tf.layers
      .conv2d({
        name: `${prefix}up${level}_conv`,
        filters: channels,
        kernelSize: 3,
        padding: 'same',
        activation: 'relu',
        kernelInitializer: heNormal(),
      })
      .apply(upsampled) as tf.SymbolicTensor;
    x = tf.layers
      .concatenate({ name: `${prefix}up${level}_skip` })
      .apply([skips[level]!, refined]) as tf.SymbolicTensor;
    x = convolve(x, `up${level}_1`, channels);
    x = convolve(x, `up${level}_2`, channels);
  }
  const name = `${prefix}output`;
  const kernelInitializer = config.residual ? tf.initializers.zeros() : heNormal();
  const last =
    config.stem === 'half'
      ? tf.layers.conv2dTranspose({
          name,
          filters: 1,
          kernelSize: 2,
          strides: 2,
          padding: 'valid',
          kernelInitializer,
        })
      : tf.layers.conv2d({ name, filters: 1, kernelSize: 1, kernelInitializer });
  return last.apply(x) as tf.SymbolicTensor;
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
