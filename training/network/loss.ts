import * as tf from '@tensorflow/tfjs';

/** The weights of the loss's terms and their reductions. */
export interface LossConfig {
  /** α: weight of the mean absolute error. */
  l1: number;
  /** β: weight of the total variation of the residual. */
  tv: number;
  /** Whether the total variation is summed over a slice (as the paper writes it) or averaged over its pixels. */
  tvReduction: 'sum' | 'mean';
  /** Weight of 1 − SSIM, a term of ours. */
  ssim: number;
  /**
   * Weight of what lies outside the head in L1 and SSIM, 0 to 1; absent: 1, as published. The head is where the
   * reference's local mean (the window of SSIM) is above a tenth of the robust scale; between, the weight rises with it.
   */
  outside?: number;
}

/**
 * L = α·mean|output − reference| + β·TV(output − reference) + γ·(1 − SSIM(output, reference)), averaged over the
 * batch; TV(I) = Σ ((I(i+1,j) − I(i,j))² + (I(i,j+1) − I(i,j))²)^1.25 (Algorithms 2024, 17(5):215).
 *
 * @param output corrected images, [N, rows, columns, 1], in units of the slice's robust scale
 * @param reference motion-free images of the same shape
 * @returns the loss and each term before it is weighted; a term of weight 0 is not computed
 */
export function computeLoss(
  output: tf.Tensor4D,
  reference: tf.Tensor4D,
  config: LossConfig,
  window: SsimWindow,
): { loss: tf.Scalar; terms: Record<string, tf.Scalar> } {
  const residual = tf.sub<tf.Tensor4D>(output, reference);
  const weightOf = (mean: () => tf.Tensor4D) =>
    config.outside === undefined ? undefined : headWeight(mean(), config.outside);
  const weight = weightOf(() => blur(reference, window, 'same'));
  const terms: Record<string, tf.Scalar> = { l1: weightedMean(tf.abs(residual), weight) };
  let loss: tf.Scalar = tf.mul(terms.l1!, config.l1);
  if (config.tv !== 0) {
    terms.tv = totalVariation(residual, config.tvReduction);
    loss = tf.add(loss, tf.mul(terms.tv, config.tv));
  }
  if (config.ssim !== 0) {
    const inside = weightOf(() => blur(reference, window, 'valid'));
    terms.ssim = weightedMean(ssimMap(output, reference, window), inside);
    loss = tf.add(loss, tf.mul(tf.sub(1, terms.ssim), config.ssim));
  }
  return { loss, terms };
}

/** Total variation of [N, rows, columns, 1], with the paper's power of 1.25, averaged over the batch. */
export function totalVariation(image: tf.Tensor4D, reduction: 'sum' | 'mean'): tf.Scalar {
  const [batch, rows, columns] = image.shape;
  const size: [number, number, number, number] = [batch, rows - 1, columns - 1, 1];
  const here = tf.slice(image, [0, 0, 0, 0], size);
  const below = tf.slice(image, [0, 1, 0, 0], size);
  const beside = tf.slice(image, [0, 0, 1, 0], size);
  const squared = tf.add(tf.square(tf.sub(below, here)), tf.square(tf.sub(beside, here)));
  const energy = tf.pow(squared, 1.25);
  return reduction === 'mean' ? tf.mean(energy) : tf.div(tf.sum(energy), batch);
}

/** The Gaussian window of SSIM as two filters, one along the columns and one along the rows. */
export interface SsimWindow {
  vertical: tf.Variable<tf.Rank.R4>;
  horizontal: tf.Variable<tf.Rank.R4>;
}

/** The window of Wang et al. 2004: Gaussian, 11×11, σ = 1.5. Variables, so that a traced step can hold them. */
export function ssimWindow(): SsimWindow {
  const taps = Array.from({ length: 11 }, (_, index) => Math.exp(-((index - 5) ** 2) / (2 * 1.5 ** 2)));
  const sum = taps.reduce((whole, tap) => whole + tap, 0);
  const weights = taps.map((tap) => tap / sum);
  return {
    vertical: tf.variable(tf.tensor4d(weights, [11, 1, 1, 1]), false),
    horizontal: tf.variable(tf.tensor4d(weights, [1, 11, 1, 1]), false),
  };
}

function blur(image: tf.Tensor4D, window: SsimWindow, padding: 'valid' | 'same'): tf.Tensor4D {
  return tf.conv2d(tf.conv2d(image, window.vertical, 1, padding), window.horizontal, 1, padding);
}

/** Mean SSIM of Wang et al. 2004 with a data range of 1, over the window positions inside the image. */
export function meanSsim(a: tf.Tensor4D, b: tf.Tensor4D, window: SsimWindow): tf.Scalar {
  return tf.mean(ssimMap(a, b, window));
}

function ssimMap(a: tf.Tensor4D, b: tf.Tensor4D, window: SsimWindow): tf.Tensor4D {
  const c1 = 0.01 ** 2;
  const c2 = 0.03 ** 2;
  const meanA = blur(a, window, 'valid');
  const meanB = blur(b, window, 'valid');
  const product = tf.mul(meanA, meanB);
  const squares = tf.add(tf.square(meanA), tf.square(meanB));
  const covariance = tf.sub(blur(tf.mul(a, b), window, 'valid'), product);
  const variances = tf.sub(blur(tf.add(tf.square(a), tf.square(b)), window, 'valid'), squares);
  const numerator = tf.mul(tf.add(tf.mul(product, 2), c1), tf.add(tf.mul(covariance, 2), c2));
  const denominator = tf.mul(tf.add(squares, c1), tf.add(variances, c2));
  return tf.div(numerator, denominator);
}

/** A local mean of this and more is the head. */
const HEAD_MEAN = 0.1;

function headWeight(localMean: tf.Tensor4D, outside: number): tf.Tensor4D {
  const head = tf.minimum(tf.relu(tf.div(localMean, HEAD_MEAN)), 1);
  return tf.add(tf.mul(head, 1 - outside), outside);
}

function weightedMean(values: tf.Tensor, weight: tf.Tensor | undefined): tf.Scalar {
  return weight === undefined ? tf.mean(values) : tf.div(tf.sum(tf.mul(values, weight)), tf.sum(weight));
}
