import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import * as tf from '@tensorflow/tfjs';
import { createRandom } from '../../data/index.js';
import {
  Adam,
  adamFactors,
  buildNetwork,
  channelsOf,
  computeLoss,
  meanSsim,
  paperNetwork,
  sizeMultiple,
  ssimWindow,
  totalVariation,
} from '../../network/index.js';

before(async () => {
  tf.enableProdMode();
  await tf.setBackend('cpu');
});

function randomImage(rows: number, columns: number, seed: number): Float32Array {
  const random = createRandom(seed, 'image');
  return Float32Array.from({ length: rows * columns }, () => random.uniform());
}

describe('MC-Net', () => {
  test('as published: 32 to 512 channels, 8.6 million parameters, inputs in multiples of 16', () => {
    const network = buildNetwork(paperNetwork, 1);
    assert.deepEqual(
      [0, 1, 2, 3, 4].map((level) => channelsOf(paperNetwork, level)),
      [32, 64, 128, 256, 512],
    );
    const millions = network.countParams() / 1e6;
    assert.ok(Math.abs(millions - 8.6) < 0.05, `${millions} million parameters`);
    assert.equal(sizeMultiple(paperNetwork), 16);
    assert.equal(sizeMultiple({ ...paperNetwork, stem: 'half' }), 32);
    network.dispose();
  });

  test('a residual network starts as the identity; the seed decides the weights', () => {
    const config = { width: 4, levels: 3, maximumWidth: 512, stem: 'half', residual: true } as const;
    const [one, same, other] = [buildNetwork(config, 1), buildNetwork(config, 1), buildNetwork(config, 2)];
    tf.tidy(() => {
      const output = one.predict(tf.randomUniform([2, 16, 24, 1])) as tf.Tensor;
      assert.deepEqual(output.shape, [2, 16, 24, 1]);
      assert.ok(output.dataSync<'float32'>().every((value) => value === 0));
      const first = (network: tf.LayersModel) => network.getWeights()[0]!.dataSync();
      assert.deepEqual(first(one), first(same));
      assert.notDeepEqual(first(one), first(other));
    });
  });

  test('the first weights are He-normal as TensorFlow.js draws it: truncated at two deviations', () => {
    const network = buildNetwork({ ...paperNetwork, levels: 2 }, 3);
    const kernel = network.getLayer('down1_2_conv').getWeights()[0]!;
    const values = kernel.dataSync<'float32'>();
    const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
    const variance = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values.length;
    assert.ok(Math.abs(mean) < 1e-3);
    const truncated = 0.7737; // Variance of a standard normal distribution cut off at ±2.
    assert.ok(Math.abs(variance / ((truncated * 2) / (9 * 64)) - 1) < 0.05, `variance ${variance}`);
    network.dispose();
  });
});

describe('Adam', () => {
  test('is TensorFlow.js’ own, step by step', () => {
    const start = [1, -2, 0.5, 3];
    const reference = tf.variable(tf.tensor1d(start));
    const ours = tf.variable(tf.tensor1d(start));
    const optimiser = tf.train.adam(0.01, 0.9, 0.999, 1e-8);
    const adam = new Adam([ours]);
    const objective = (x: tf.Tensor) => tf.sum(tf.add(tf.square(tf.square(x)), tf.sin(x))) as tf.Scalar;
    for (let step = 1; step <= 30; step += 1) {
      optimiser.minimize(() => objective(reference), false, [reference]);
      tf.tidy(() => {
        const { rate, epsilon } = adamFactors(0.01, step);
        const { grads } = tf.variableGrads(() => objective(ours), [ours]);
        adam.apply(grads, tf.scalar(rate), tf.scalar(epsilon));
      });
      const [expected, actual] = [reference.dataSync<'float32'>(), ours.dataSync<'float32'>()];
      for (const [i, value] of actual.entries()) {
        assert.ok(
          Math.abs(value - expected[i]!) < 2e-5,
          `${value} instead of ${expected[i]} at step ${step}`,
        );
      }
    }
  });
});

describe('the loss', () => {
  test('total variation as the paper writes it, by hand', () => {
    const image = tf.tensor4d([0, 1, 3, 2, 2, 2, 5, 1, 0], [1, 3, 3, 1]);
    // Differences (below, beside) at the four pixels that have both neighbours.
    const energy = [
      [2, 1],
      [1, 2],
      [3, 0],
      [-1, 0],
    ].reduce((sum, [below, beside]) => sum + (below! ** 2 + beside! ** 2) ** 1.25, 0);
    const close = (actual: tf.Scalar, expected: number) =>
      assert.ok(Math.abs(actual.dataSync()[0]! - expected) < 1e-4 * expected);
    close(totalVariation(image, 'sum'), energy);
    close(totalVariation(image, 'mean'), energy / 4);
    close(totalVariation(tf.concat([image, tf.zerosLike(image)]) as tf.Tensor4D, 'sum'), energy / 2);
  });

  test('SSIM as Wang et al. 2004, against the definition written out', () => {
    const [rows, columns] = [14, 13];
    const a = randomImage(rows, columns, 1);
    const b = a.map((value, i) => 0.7 * value + 0.3 * randomImage(rows, columns, 2)[i]!);
    const taps = Array.from({ length: 11 }, (_, i) => Math.exp(-((i - 5) ** 2) / 4.5));
    const whole = taps.reduce((sum, tap) => sum + tap, 0);
    let expected = 0;
    for (let top = 0; top + 11 <= rows; top += 1) {
      for (let left = 0; left + 11 <= columns; left += 1) {
        const mean = (of: (i: number) => number): number => {
          let sum = 0;
          for (let y = 0; y < 11; y += 1) {
            for (let x = 0; x < 11; x += 1) {
              sum += (taps[y]! * taps[x]! * of((top + y) * columns + left + x)) / whole ** 2;
            }
          }
          return sum;
        };
        const [meanA, meanB] = [mean((i) => a[i]!), mean((i) => b[i]!)];
        const varianceA = mean((i) => (a[i]! - meanA) ** 2);
        const varianceB = mean((i) => (b[i]! - meanB) ** 2);
        const covariance = mean((i) => (a[i]! - meanA) * (b[i]! - meanB));
        expected +=
          ((2 * meanA * meanB + 1e-4) * (2 * covariance + 9e-4)) /
          ((meanA ** 2 + meanB ** 2 + 1e-4) * (varianceA + varianceB + 9e-4));
      }
    }
    expected /= (rows - 10) * (columns - 10);
    const actual = meanSsim(
      tf.tensor4d(a, [1, rows, columns, 1]),
      tf.tensor4d(b, [1, rows, columns, 1]),
      ssimWindow(),
    ).dataSync()[0]!;
    assert.ok(Math.abs(actual - expected) < 1e-5, `${actual} instead of ${expected}`);
  });

  test('is the weighted sum of its terms, and 0 for equal images', () => {
    const clean = tf.tensor4d(randomImage(16, 16, 1), [1, 16, 16, 1]);
    const output = tf.add<tf.Tensor4D>(clean, tf.tensor4d(randomImage(16, 16, 2), [1, 16, 16, 1]));
    const config = { l1: 2, tv: 0.5, tvReduction: 'mean', ssim: 0.25 } as const;
    const value = (tensor: tf.Scalar | undefined) => tensor!.dataSync()[0]!;
    const { loss, terms } = computeLoss(output, clean, config, ssimWindow());
    const expected = 2 * value(terms.l1) + 0.5 * value(terms.tv) + 0.25 * (1 - value(terms.ssim));
    assert.ok(Math.abs(value(loss) - expected) < 1e-5);
    assert.ok(Math.abs(value(computeLoss(clean, clean, config, ssimWindow()).loss)) < 1e-6);
  });
});
