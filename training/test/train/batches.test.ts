import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { type BatchConfig, batchSize, planEpoch, readBatch } from '../../train/batches.js';
import { learningRateAt } from '../../train/config.js';
import { joinSamples, selectSamples, type TrainingSamples } from '../../train/dataset.js';
import { parseOptions } from '../../train/options.js';
import { configOf, syntheticSamples } from './support.js';

const config: BatchConfig = {
  batch: 4,
  multiple: 16,
  normalisation: { kind: 'percentile', percentile: 99.5 },
  augment: true,
};

describe('batches', () => {
  test('of one epoch: one padded shape each, whole, no sample twice, most samples used', () => {
    const sizes = fc.record({
      rows: fc.integer({ min: 20, max: 200 }),
      columns: fc.integer({ min: 20, max: 200 }),
    });
    fc.assert(
      fc.property(
        fc.array(sizes, { minLength: 1, maxLength: 60 }),
        fc.integer({ min: 0, max: 9 }),
        fc.integer({ min: 0, max: 9 }),
        (shapes, seed, epoch) => {
          const samples = { count: shapes.length, shapeOf: (index: number) => shapes[index]! };
          const plans = planEpoch(samples, config, seed, epoch);
          assert.deepEqual(planEpoch(samples, config, seed, epoch), plans);
          const used = new Set<number>();
          for (const { rows, columns, samples: members } of plans) {
            assert.equal((rows % 16) + (columns % 16), 0);
            const size = batchSize(config, rows, columns);
            assert.equal(members.length, size);
            const distinct = new Set(members);
            const group = shapes.filter(
              (shape) =>
                Math.ceil(shape.rows / 16) * 16 === rows && Math.ceil(shape.columns / 16) * 16 === columns,
            ).length;
            assert.equal(distinct.size, Math.min(size, group));
            for (const member of distinct) {
              assert.ok(!used.has(member), 'no sample is in two batches');
              used.add(member);
              assert.ok(shapes[member]!.rows <= rows && shapes[member]!.rows > rows - 16);
            }
            if (group >= size) {
              const batches = plans.filter((plan) => plan.rows === rows && plan.columns === columns).length;
              assert.equal(batches, Math.floor(group / size));
            }
          }
        },
      ),
      { numRuns: 60 },
    );
  });

  test('another epoch, another order', () => {
    const samples = syntheticSamples(40, 1);
    const order = (epoch: number) => planEpoch(samples, config, 1, epoch).map((plan) => plan.samples.join());
    assert.notDeepEqual(order(0), order(1));
  });

  test('of one shape stay together where the engine takes several at once', () => {
    const shapes = [
      { rows: 64, columns: 64 },
      { rows: 128, columns: 128 },
    ];
    const samples = syntheticSamples(128, 1, shapes);
    const plans = planEpoch(samples, { ...config, together: 4 }, 1, 0);
    const alone = planEpoch(samples, config, 1, 0);
    const members = (list: typeof plans) => list.map((plan) => plan.samples.join()).sort();
    assert.deepEqual(members(plans), members(alone), 'the same batches in another order');
    const small = plans.findIndex(({ rows }) => rows === 64);
    assert.ok(plans.slice(small, small + 4).every(({ rows }) => rows === 64));
    assert.notDeepEqual(
      plans.map(({ rows }) => rows),
      plans.map(({ rows }) => rows).sort((a, b) => a - b),
    );
  });

  test('hold as many pixels as the batch at 128×128', () => {
    assert.equal(batchSize(config, 128, 128), 4);
    assert.equal(batchSize(config, 256, 128), 2);
    assert.equal(batchSize(config, 256, 256), 1);
    assert.equal(batchSize(config, 512, 512), 1);
    assert.equal(batchSize(config, 64, 64), 16);
  });

  test('augmentation treats both images alike, and keeps the values', () => {
    const { rows, columns } = { rows: 32, columns: 32 };
    const samples = syntheticSamples(6, 3, [{ rows, columns }]);
    const difference: TrainingSamples = {
      ...samples,
      read: (index) => {
        const pair = samples.read(index);
        return { ...pair, clean: pair.corrupted.map((value) => 2 * value) };
      },
    };
    const plan = { rows, columns, samples: [0, 1, 2, 3, 4, 5] };
    const plain = readBatch(difference, plan, { ...config, augment: false }, 1, 0);
    const seen = new Set<string>();
    for (let epoch = 0; epoch < 30; epoch += 1) {
      const batch = readBatch(difference, plan, config, 1, epoch);
      assert.deepEqual(readBatch(difference, plan, config, 1, epoch), batch, 'a function of seed and epoch');
      for (const [i, value] of batch.clean.entries()) {
        assert.ok(Math.abs(value - 2 * batch.corrupted[i]!) < 1e-5);
      }
      const size = rows * columns;
      const sorted = (data: Float32Array) => [...data.subarray(0, size)].sort((a, b) => a - b);
      const before = sorted(plain.corrupted);
      const after = sorted(batch.corrupted);
      const gain = after.at(-1)! / before.at(-1)!;
      assert.ok(gain > 0.9 && gain < 1.11, `a gain of ${gain}`);
      for (const [i, value] of after.entries()) assert.ok(Math.abs(value - before[i]! * gain) < 1e-4);
      seen.add(String(batch.corrupted.indexOf(after.at(-1)!)));
    }
    assert.ok(seen.size >= 3, `${seen.size} orientations in 30 epochs`);
  });

  test('an empty slice is zero, not NaN', () => {
    const empty: TrainingSamples = {
      ...syntheticSamples(1, 1, [{ rows: 16, columns: 16 }]),
      read: () => ({
        clean: new Float32Array(256),
        corrupted: new Float32Array(256),
        rows: 16,
        columns: 16,
      }),
    };
    const batch = readBatch(empty, { rows: 16, columns: 16, samples: [0] }, config, 1, 0);
    assert.ok([...batch.clean, ...batch.corrupted].every((value) => value === 0));
  });
});

describe('samples', () => {
  test('joined and selected samples are the ones meant', () => {
    const [a, b] = [syntheticSamples(3, 1), syntheticSamples(2, 2)];
    const joined = joinSamples([a, b]);
    assert.equal(joined.count, 5);
    assert.deepEqual(joined.read(2), a.read(2));
    assert.deepEqual(joined.read(3), b.read(0));
    assert.deepEqual(selectSamples(joined, [4, 0]).read(0), b.read(1));
    assert.throws(() => joined.read(5), /there is no sample 5 of 5/);
    assert.throws(() => selectSamples(joined, [4]).read(1), /there is no sample 1 of 1/);
  });
});

describe('the learning rate', () => {
  const network = { width: 4, levels: 2, maximumWidth: 8, stem: 'plain', residual: true } as const;
  test('rises over the warm-up, then falls by a half cosine', () => {
    const cosine = configOf(network, { learningRate: 2, warmUpSteps: 10 });
    assert.equal(learningRateAt(cosine, 0, 0), 0.2);
    assert.equal(learningRateAt(cosine, 9, 0), 2);
    assert.ok(Math.abs(learningRateAt(cosine, 100, 0.5) - 1) < 1e-12);
    assert.equal(learningRateAt(cosine, 100, 1), 0.02);
    assert.equal(learningRateAt({ ...cosine, schedule: 'constant' }, 100, 0.5), 2);
  });
});

describe('the command line', () => {
  const needed = ['--dataset', 'a', 'b', '--validation', 'c', '--run', 'r'];
  test('without options: the paper’s network and L1', () => {
    const { config: parsed, dataset } = parseOptions(needed);
    assert.deepEqual(dataset, ['a', 'b']);
    assert.deepEqual(parsed.network, {
      width: 32,
      levels: 5,
      maximumWidth: 512,
      stem: 'plain',
      residual: true,
    });
    assert.deepEqual(parsed.loss, { l1: 1, tv: 0, tvReduction: 'mean', ssim: 0 });
    assert.equal(parsed.epochs, 100);
  });
  test('a variant sets the loss, an option changes one weight of it', () => {
    const { config: parsed } = parseOptions([
      ...needed,
      '--variant',
      'L1+TV',
      '--tv',
      '0.5',
      '--tv-reduction',
      'sum',
    ]);
    assert.deepEqual(parsed.loss, { l1: 1, tv: 0.5, tvReduction: 'sum', ssim: 0 });
  });
});
