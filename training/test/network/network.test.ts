import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import * as tf from '@tensorflow/tfjs';
import { createRandom } from '../../data/index.js';
import {
  Adam,
  adamFactors,
  buildNetwork,
  canGrow,
  channelsOf,
  computeLoss,
  growWeights,
  meanSsim,
  type NetworkConfig,
  networkVariables,
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

function shaken(config: NetworkConfig, seed: number): tf.LayersModel {
  const network = buildNetwork(config, seed);
  const random = createRandom(seed, 'weights');
  for (const variable of Object.values(networkVariables(network))) {
    const values = variable.dataSync<'float32'>().map((value) => value + 0.1 * random.between(0.1, 1));
    tf.tidy(() => variable.assign(tf.tensor(values, variable.shape)));
  }
  return network;
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

  test('without a normalisation: a bias instead, and a slice by itself is what it is in a batch', () => {
    const config = { width: 4, levels: 3, maximumWidth: 512, stem: 'plain', residual: false } as const;
    const network = buildNetwork({ ...config, normalisation: 'none' }, 1);
    assert.ok(network.layers.every((layer) => !layer.getClassName().includes('Normalization')));
    assert.ok(network.getLayer('down0_1_conv').getWeights().length === 2);
    tf.tidy(() => {
      const images = tf.randomUniform([3, 16, 16, 1], 0, 1, 'float32', 5) as tf.Tensor4D;
      const together = network.apply(images, { training: true }) as tf.Tensor4D;
      const alone = network.apply(images.slice([1], [1]), { training: true }) as tf.Tensor4D;
      const difference = together.slice([1], [1]).sub(alone).abs().max().dataSync()[0]!;
      assert.ok(difference < 1e-6, `${difference}`);
    });
    network.dispose();
  });

  test('a second U-Net sees the image beside the first one’s correction, and adds to it', () => {
    const config = { width: 4, levels: 2, maximumWidth: 512, stem: 'plain', residual: true } as const;
    const network = shaken({ ...config, stages: 2 }, 1);
    const first = tf.model({ inputs: network.inputs, outputs: network.getLayer('output').output });
    tf.tidy(() => {
      const image = tf.randomUniform([1, 8, 8, 1], 0, 1, 'float32', 5);
      const residual = first.predict(image) as tf.Tensor;
      const seen = network.getLayer('stage2_input').output as tf.SymbolicTensor;
      const given = tf.model({ inputs: network.inputs, outputs: seen }).predict(image) as tf.Tensor;
      const expected = tf.concat([image, image.add(residual)], 3);
      assert.ok(given.sub(expected).abs().max().dataSync()[0]! < 1e-6);
      const added = tf.model({
        inputs: network.inputs,
        outputs: network.getLayer('stage2_output').output,
      });
      const sum = residual.add(added.predict(image) as tf.Tensor);
      const output = network.predict(image) as tf.Tensor;
      assert.ok(output.sub(sum).abs().max().dataSync()[0]! < 1e-6);
      assert.ok(output.sub(residual).abs().max().dataSync()[0]! > 1e-3);
    });
  });

  const small: NetworkConfig = { width: 4, levels: 3, maximumWidth: 512, stem: 'plain', residual: true };
  const growths: Record<string, [NetworkConfig, NetworkConfig]> = {
    'twice as wide': [small, { ...small, width: 8 }],
    'three times as wide, without normalisation': [
      { ...small, normalisation: 'none' },
      { ...small, normalisation: 'none', width: 12 },
    ],
    'twice as wide, half stem': [
      { ...small, stem: 'half' },
      { ...small, stem: 'half', width: 8 },
    ],
    'one stage more': [small, { ...small, stages: 2 }],
    'a wider network of two stages': [
      { ...small, stages: 2 },
      { ...small, stages: 2, width: 8 },
    ],
    'both at once': [
      { ...small, normalisation: 'none' },
      { ...small, normalisation: 'none', stages: 3, width: 8 },
    ],
  };
  for (const [title, [from, to]] of Object.entries(growths)) {
    test(`grown, it computes what it did: ${title}`, () => {
      assert.ok(canGrow(from, to));
      const [network, larger] = [shaken(from, 1), buildNetwork(to, 2)];
      const values = new Map(
        Object.entries(networkVariables(network)).map(([name, variable]) => [
          name,
          variable.dataSync<'float32'>(),
        ]),
      );
      const variables = networkVariables(larger);
      const shapes = Object.entries(variables).map(([name, { shape }]) => ({ name, shape }));
      for (const [name, weights] of growWeights(from, values, to, shapes, 3)) {
        assert.ok(weights, name);
        tf.tidy(() => variables[name]!.assign(tf.tensor(weights, variables[name]!.shape)));
      }
      tf.tidy(() => {
        const images = tf.randomUniform([2, 16, 24, 1], 0, 1, 'float32', 5) as tf.Tensor4D;
        const [before, after] = [network.predict(images), larger.predict(images)] as [tf.Tensor, tf.Tensor];
        const scale = before.abs().max().dataSync()[0]!;
        assert.ok(scale > 0.01);
        assert.ok(after.sub(before).abs().max().dataSync()[0]! < 1e-5 * scale);
      });
      // Copies that what follows reads alike would stay alike.
      if (to.width > from.width) {
        const kernel = larger.getLayer('down0_2_conv').getWeights()[0]!.dataSync();
        const reads = (input: number) => kernel[input * to.width]!;
        assert.notEqual(reads(0), reads(from.width));
      }
    });
  }

  test('what is no larger network of the same kind is not grown into', () => {
    const refused: NetworkConfig[] = [
      { ...small, width: 6 },
      { ...small, width: 2 },
      { ...small, levels: 4 },
      { ...small, normalisation: 'none' },
      { ...small, width: 8, maximumWidth: 16 },
      { ...small, residual: false },
    ];
    for (const to of refused) assert.ok(!canGrow(small, to), JSON.stringify(to));
    assert.ok(!canGrow({ ...small, stages: 2 }, small));
    assert.ok(!canGrow({ ...small, residual: false }, { ...small, residual: false, stages: 2 }));
    assert.ok(canGrow(small, small));
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
        adam.apply([grads[ours.name]!], tf.scalar(rate), tf.scalar(epsilon));
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
