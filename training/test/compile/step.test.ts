import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import * as tf from '@tensorflow/tfjs';
import { createTrainer, type LossConfig, type NetworkConfig } from '../../network/index.js';
import { assertSteps, compile, eagerSteps, randomImages, randomStart, stepInputs } from './steps.js';

const networks: Record<string, NetworkConfig> = {
  plain: { width: 4, levels: 3, maximumWidth: 512, stem: 'plain', residual: true },
  direct: { width: 4, levels: 3, maximumWidth: 8, stem: 'plain', residual: false },
  half: { width: 4, levels: 3, maximumWidth: 512, stem: 'half', residual: true },
  bare: { width: 4, levels: 3, maximumWidth: 512, stem: 'plain', normalisation: 'none', residual: true },
  'two-stage': { width: 4, levels: 2, maximumWidth: 512, stem: 'plain', stages: 2, residual: true },
};
const losses: Record<string, LossConfig> = {
  L1: { l1: 1, tv: 0, tvReduction: 'mean', ssim: 0 },
  'L1 + TV + SSIM': { l1: 1, tv: 0.5, tvReduction: 'sum', ssim: 0.2 },
  'L1 + SSIM, mostly of the head': { l1: 1, tv: 0, tvReduction: 'mean', ssim: 0.2, outside: 0.1 },
};
const steps = 5;

for (const [networkName, network] of Object.entries(networks)) {
  for (const [lossName, loss] of Object.entries(losses)) {
    test(`${networkName} network, ${lossName}: ${steps} compiled steps agree with TensorFlow.js' cpu backend`, async () => {
      const expected = await eagerSteps(network, loss, steps);
      for (const lowering of ['cpu', 'gpu'] as const) {
        const compiled = await compile(network, loss, 1, expected.start, { lowering });
        await assertSteps(compiled, expected);
        await compiled.session.release();
      }
    });
  }
}

/** Large enough for channels in blocks on the first level. */
const blocked: Record<string, NetworkConfig> = {
  'with batch normalisation': { width: 16, levels: 2, maximumWidth: 32, stem: 'plain', residual: true },
  bare: { width: 16, levels: 2, maximumWidth: 32, stem: 'plain', normalisation: 'none', residual: true },
};

for (const [name, network] of Object.entries(blocked)) {
  test(`channels in blocks, ${name}: compiled steps agree with TensorFlow.js' cpu backend`, async () => {
    const size = { rows: 32, columns: 32 };
    const expected = await eagerSteps(network, losses.L1!, 1, size);
    const compiled = await compile(network, losses.L1!, 1, expected.start, { size });
    await assertSteps(compiled, expected);
    await compiled.session.release();
  });
}

describe('steps in a loop', () => {
  const [network, loss] = [networks.plain!, losses['L1 + TV + SSIM']!];

  for (const lowering of ['cpu', 'gpu'] as const) {
    test(`are bit for bit the same as one by one, lowered for a ${lowering}`, async () => {
      await tf.setBackend('cpu');
      const start = randomStart(createTrainer(network, 7));
      const batches = [1, 2, 3, 4, 5].map((step) => stepInputs(randomImages(2, step), step));
      const single = await compile(network, loss, 2, start, { lowering });
      const loop = await compile(network, loss, 2, start, { lowering, repeated: true });
      for (const part of [batches.slice(0, 3), batches.slice(3)]) {
        const expected = [];
        for (const batch of part) expected.push(await single.session.run(single.state, batch));
        const stacked = Object.fromEntries(
          Object.keys(part[0]!).map((name) => [
            name,
            Float32Array.from(part.flatMap((batch) => [...batch[name as keyof typeof batch]])),
          ]),
        );
        const results = await loop.session.run(loop.state, stacked);
        for (const name of Object.keys(results)) {
          assert.deepEqual(
            [...results[name]!],
            expected.map((one) => one[name]![0]),
            name,
          );
        }
        for (const name of single.state.names()) {
          assert.deepEqual(await loop.state.read(name), await single.state.read(name), name);
        }
      }
      assert.notDeepEqual(await loop.state.read('output/kernel'), start.get('output/kernel'));
      await single.session.release();
      await loop.session.release();
    });
  }
});
