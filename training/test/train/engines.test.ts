import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import * as tf from '@tensorflow/tfjs';
import { adamFactors, defaultAdam } from '../../network/index.js';
import { readBatch } from '../../train/batches.js';
import { createCompiledEngine } from '../../train/compiled.js';
import { createEagerEngine, createTensorflowEngine } from '../../train/eager.js';
import { TrainingError } from '../../train/errors.js';
import { createReplicaEngine } from '../../train/replicas/engine.js';
import { SessionCache } from '../../train/session-cache.js';
import { configOf, syntheticSamples } from './support.js';

tf.enableProdMode();
const network = { width: 4, levels: 2, maximumWidth: 512, stem: 'plain', residual: true } as const;
const config = configOf(network, { loss: { l1: 1, tv: 0.5, tvReduction: 'mean', ssim: 0.1 } });
const size = { rows: 24, columns: 32 };
const batchConfig = { batch: 1, multiple: 2, normalisation: config.normalisation, augment: false };
const batchOf = (...samples: number[]) =>
  readBatch(syntheticSamples(4, 1, [size]), { ...size, samples }, batchConfig, 1, 0);

describe('the eager engine', () => {
  test('does what the compiled one does: steps, averages, validation, and the same checkpoints', async () => {
    const compiled = createCompiledEngine(config, { threads: 1 });
    const eager = await createEagerEngine(config, 'cpu');
    assert.deepEqual(eager.variables, compiled.variables);
    for (const { name } of eager.variables) {
      assert.deepEqual(await eager.read(name), await compiled.read(name), name);
    }
    for (let step = 1; step <= 4; step += 1) {
      const request = { batch: batchOf(step - 1), ...adamFactors(1e-3, step), averageDecay: 0.5 };
      const expected = (await eager.steps([request]))[0]!;
      const actual = (await compiled.steps([request]))[0]!;
      assert.deepEqual(Object.keys(actual).sort(), Object.keys(expected).sort());
      for (const [name, value] of Object.entries(expected)) {
        closeTo(actual[name]!, value, `${name}, step ${step}`);
      }
    }
    const name = 'output/kernel/average';
    assert.ok(
      (await eager.read(name)).some((value) => value !== 0),
      'the averages follow the weights',
    );
    const figures = await eager.validate(batchOf(3));
    for (const [key, value] of Object.entries(await compiled.validate(batchOf(3)))) {
      assert.ok(Math.abs(value - figures[key as keyof typeof figures]) < 1e-4, key);
    }
    eager.write(name, new Float32Array(4).fill(0.25));
    assert.deepEqual(await eager.read(name), new Float32Array(4).fill(0.25));
    await compiled.close();
    await eager.close();
  });

  test('refuses what TensorFlow.js’ cpu backend computes wrongly', async () => {
    const eager = await createEagerEngine(config, 'cpu');
    await assert.rejects(
      eager.steps([{ batch: batchOf(0, 1), rate: 1e-3, epsilon: 1e-8 }]),
      /wrong gradients for more than one slice at once/,
    );
    await eager.close();
  });

  test('on TensorFlow itself works where it is installed; else a sentence says what to install', async (t) => {
    let engine: Awaited<ReturnType<typeof createTensorflowEngine>>;
    try {
      engine = await createTensorflowEngine(config);
    } catch (error) {
      assert.ok(error instanceof TrainingError);
      assert.match(error.message, /tfjs-node-gpu.*tfjs-node.*install one of the two packages/);
      return;
    }
    t.diagnostic(engine.device);
    const [result] = await engine.steps([{ batch: batchOf(0, 1), rate: 1e-3, epsilon: 1e-8 }]);
    assert.ok(Number.isFinite(result!.loss));
    await engine.close();
  });
});

describe('the compiled engine lowered for a GPU', () => {
  const requests = [1, 2, 3, 4, 5].map((step) => ({
    batch: batchOf(step % 4, (step + 1) % 4),
    ...adamFactors(1e-3, step),
    ...(step === 2 ? { averageDecay: 0.75 } : {}),
  }));
  const gpu = { threads: 1, lowering: 'gpu' } as const;

  test('agrees with the one for the CPU, with averages and validation', async () => {
    const plain = createCompiledEngine(config, { threads: 1 });
    const lowered = createCompiledEngine(config, gpu);
    assert.deepEqual(lowered.variables, plain.variables);
    for (const request of requests) {
      const [expected] = await plain.steps([request]);
      const [actual] = await lowered.steps([request]);
      for (const [name, value] of Object.entries(expected!)) closeTo(actual![name]!, value, name);
    }
    for (const { name } of plain.variables) {
      const expected = await plain.read(name);
      for (const [i, value] of (await lowered.read(name)).entries()) closeTo(value, expected[i]!, name);
    }
    const figures = await plain.validate(batchOf(3));
    for (const [key, value] of Object.entries(await lowered.validate(batchOf(3)))) {
      closeTo(value, figures[key as keyof typeof figures], key);
    }
    await plain.close();
    await lowered.close();
  });

  test('does several steps in one run bit for bit as one by one, averages included', async () => {
    const single = createCompiledEngine(config, gpu);
    const several = createCompiledEngine(config, { ...gpu, stepsAtOnce: 3 });
    assert.equal(several.stepsAtOnce, 3);
    const expected = [];
    for (const request of requests) expected.push(...(await single.steps([request])));
    assert.deepEqual(await several.steps(requests), expected);
    for (const { name } of single.variables) {
      assert.deepEqual(await several.read(name), await single.read(name), name);
    }
    await single.close();
    await several.close();
  });

  test('keeps the averages as they are without a decay, and makes them the weights with one of 0', async () => {
    const engine = createCompiledEngine(config, gpu);
    const first = await engine.read('output/kernel/average');
    await engine.steps([requests[0]!]);
    assert.deepEqual(await engine.read('output/kernel/average'), first);
    await engine.steps([{ ...requests[1]!, averageDecay: 0 }]);
    assert.deepEqual(await engine.read('output/kernel/average'), await engine.read('output/kernel'));
    assert.notDeepEqual(await engine.read('output/kernel'), first);
    await engine.close();
  });
});

describe('training by replicas', () => {
  const bare = configOf(
    { ...network, normalisation: 'none' },
    { loss: { l1: 1, tv: 0.5, tvReduction: 'mean', ssim: 0.1 } },
  );
  const requests = [[0, 1, 2, 3], [3, 2, 1], [1], [2, 0]].map((samples, at) => ({
    batch: batchOf(...samples),
    ...adamFactors(1e-3, at + 1),
    ...(at === 1 ? {} : { averageDecay: 0.75 }),
  }));

  const agree = async (adam: typeof bare.adam) => {
    const plain = createCompiledEngine({ ...bare, adam }, { threads: 1 });
    const replicas = createReplicaEngine({ ...bare, adam }, { replicas: 3 });
    try {
      assert.deepEqual(replicas.variables, plain.variables);
      for (const request of requests) {
        const [expected] = await plain.steps([request]);
        const [actual] = await replicas.steps([request]);
        assert.ok(actual!.gradient! > 0);
        for (const [name, value] of Object.entries(expected!)) closeTo(actual![name]!, value, name);
      }
      for (const { name } of plain.variables) {
        const expected = await plain.read(name);
        for (const [i, value] of (await replicas.read(name)).entries()) closeTo(value, expected[i]!, name);
      }
      const figures = await plain.validate(batchOf(3));
      for (const [key, value] of Object.entries(await replicas.validate(batchOf(3)))) {
        closeTo(value, figures[key as keyof typeof figures], key);
      }
    } finally {
      await plain.close();
      await replicas.close();
    }
  };

  test('does what one step on the whole batch does, with more slices than replicas and with fewer', () =>
    agree(defaultAdam));
  test('shortens long gradients as one step does', () => agree({ ...defaultAdam, clip: 0.05 }));

  test('is the same bit for bit each time, and goes on from what was read', async () => {
    const first = createReplicaEngine(bare, { replicas: 2 });
    const second = createReplicaEngine(bare, { replicas: 2 });
    await first.steps(requests.slice(0, 2));
    for (const { name } of first.variables) second.write(name, await first.read(name));
    await first.steps(requests.slice(2));
    await second.steps(requests.slice(2));
    for (const { name } of first.variables) {
      assert.deepEqual(await second.read(name), await first.read(name), name);
    }
    await first.close();
    await second.close();
  });

  test('a replica that fails ends the step with its reason, and does not hold the others', async () => {
    const engine = createReplicaEngine(bare, { replicas: 2 });
    const odd = { ...batchOf(0, 1), rows: 23 };
    await assert.rejects(
      engine.steps([{ batch: odd, rate: 1e-3, epsilon: 1e-8 }]),
      /replica [01] of the training failed: (?!another)./,
    );
    await engine.close();
  });

  test('each normalises over its own slices; moving statistics are the mean of theirs', async () => {
    const normalised = { ...bare, network };
    const plain = createCompiledEngine(normalised, { threads: 1 });
    const replicas = createReplicaEngine(normalised, { replicas: 2 });
    const half = createReplicaEngine(normalised, { replicas: 1 });
    const others = createReplicaEngine(normalised, { replicas: 1 });
    const request = { ...requests[0]!, averageDecay: 0.75 };
    try {
      assert.deepEqual(replicas.variables, plain.variables);
      // Two halves that are alike have the statistics of the whole.
      const twice = { ...request, batch: batchOf(0, 1, 0, 1) };
      const [expected] = await plain.steps([twice]);
      const [actual] = await replicas.steps([twice]);
      closeTo(actual!.loss!, expected!.loss!, 'loss');
      for (const { name } of plain.variables) {
        const values = await plain.read(name);
        for (const [i, value] of (await replicas.read(name)).entries()) closeTo(value, values[i]!, name);
      }
      for (const engine of [half, others]) {
        for (const { name } of plain.variables) engine.write(name, await replicas.read(name));
      }
      await half.steps([{ ...request, batch: batchOf(0, 1) }]);
      await others.steps([{ ...request, batch: batchOf(2, 3) }]);
      await replicas.steps([{ ...request, batch: batchOf(0, 1, 2, 3) }]);
      for (const statistic of ['moving_mean', 'moving_variance']) {
        const name = `down0_1_bn/${statistic}`;
        const [one, two] = [await half.read(name), await others.read(name)];
        assert.notDeepEqual(one, two);
        for (const [i, value] of (await replicas.read(name)).entries())
          closeTo(value, (one[i]! + two[i]!) / 2, name);
      }
    } finally {
      for (const engine of [plain, replicas, half, others]) await engine.close();
    }
  });
});

test('a gradient shorter than the longest allowed is left as it is', async () => {
  const results = await Promise.all(
    [undefined, 1e6].map(async (clip) => {
      const engine = createCompiledEngine(
        { ...config, adam: { ...defaultAdam, ...(clip === undefined ? {} : { clip }) } },
        { threads: 1 },
      );
      await engine.steps([{ batch: batchOf(0, 1), ...adamFactors(1e-3, 1) }]);
      const values = await engine.read('output/kernel');
      await engine.close();
      return values;
    }),
  );
  assert.deepEqual(results[1], results[0]);
});

function closeTo(actual: number, expected: number, what: string): void {
  const difference = Math.abs(actual - expected);
  assert.ok(difference < 1e-4 * Math.max(1, Math.abs(expected)), `${what}: ${actual}, not ${expected}`);
}

describe('sessions', () => {
  const made: string[] = [];
  const released: string[] = [];
  const create = (name: string) => async () => {
    made.push(name);
    return {
      name,
      release: async () => {
        released.push(name);
      },
    };
  };

  test('the ones used last are kept, the others released', async () => {
    const cache = new SessionCache<Awaited<ReturnType<ReturnType<typeof create>>>>(2);
    for (const name of ['a', 'b', 'a', 'c', 'a', 'b'])
      assert.equal((await cache.get(name, create(name))).name, name);
    assert.deepEqual(made, ['a', 'b', 'c', 'b']);
    assert.deepEqual(released, ['b', 'c']);
    await assert.rejects(
      cache.get('d', () => Promise.reject(new Error('no memory'))),
      /no memory/,
    );
    assert.equal((await cache.get('d', create('d'))).name, 'd');
    await cache.releaseAll();
    assert.equal(cache.size, 0);
    assert.deepEqual([...released].sort(), [...made].sort());
  });

  test('an engine with one session at a time goes on with the same weights', async () => {
    const few = createCompiledEngine(config, { threads: 1, sessions: 1 });
    const many = createCompiledEngine(config, { threads: 1 });
    for (let step = 1; step <= 4; step += 1) {
      const batch = step % 2 === 0 ? batchOf(0, 1) : batchOf(2);
      const request = { batch, ...adamFactors(1e-3, step) };
      assert.deepEqual(await few.steps([request]), await many.steps([request]));
    }
    await few.close();
    await many.close();
  });
});
