import assert from 'node:assert/strict';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import * as tf from '@tensorflow/tfjs';
import type { NetworkConfig } from '../../network/index.js';
import { readCheckpoint, writeCheckpoint } from '../../train/checkpoint.js';
import { createCompiledEngine } from '../../train/compiled.js';
import type { TrainingConfig } from '../../train/config.js';
import { averageName, type TrainingEngine } from '../../train/engine.js';
import { TrainingError } from '../../train/errors.js';
import { type TrainingOutcome, type TrainingRun, train } from '../../train/train.js';
import { checkpointOf, configOf, syntheticSamples } from './support.js';

const network: NetworkConfig = { width: 4, levels: 2, maximumWidth: 512, stem: 'plain', residual: true };
/** Two shapes, so that two sessions share the weights. */
const shapes = [
  { rows: 32, columns: 32 },
  { rows: 32, columns: 48 },
];
const training = syntheticSamples(12, 1, shapes);
const validation = syntheticSamples(4, 2, shapes);

let folder: string;
before(() => {
  tf.enableProdMode();
  folder = mkdtempSync(join(tmpdir(), 'mcnet-train-'));
});
after(() => rmSync(folder, { recursive: true, force: true }));

async function runOf(
  name: string,
  config: TrainingConfig,
  change: Partial<TrainingRun> = {},
): Promise<TrainingOutcome> {
  const engine = change.engine ?? createCompiledEngine(config, { threads: 1 });
  try {
    return await train({
      config,
      training,
      validation,
      folder: join(folder, name),
      checkpointSeconds: 1e6,
      validationSlices: 4,
      ...change,
      engine,
    });
  } finally {
    await engine.close();
  }
}

/** An eighth of a slice at 128² are two slices of 32², or one of 32×48. */
const config = configOf(network, { batch: 1 / 8, epochs: 40 });

describe('training end to end', () => {
  test('the network learns, and the run folder tells how', async () => {
    const outcome = await runOf('learns', config);
    assert.ok(outcome.finished);
    assert.equal(outcome.progress.epoch, 40);
    const { l1, inputL1, ssim, inputSsim } = outcome.validation!;
    assert.ok(l1 < 0.6 * inputL1, `L1 ${inputL1} → ${l1} on samples that it has not seen`);
    assert.ok(ssim > inputSsim, `SSIM ${inputSsim} → ${ssim}`);
    const at = join(folder, 'learns');
    assert.deepEqual(readdirSync(at).sort(), ['checkpoint.bin', 'config.json', 'curves.csv']);
    const lines = readFileSync(join(at, 'curves.csv'), 'utf8').trim().split('\n');
    assert.equal(lines.length, 41);
    const columns = lines[0]!.split(',');
    const loss = lines.slice(1).map((line) => Number(line.split(',')[columns.indexOf('loss')]));
    assert.ok(loss.at(-1)! < 0.6 * loss[0]!, `the loss falls: ${loss[0]} → ${loss.at(-1)}`);
    const record = JSON.parse(readFileSync(join(at, 'config.json'), 'utf8')) as Record<string, unknown>;
    assert.deepEqual(record.config, config);
    assert.match(record.device as string, /onnxruntime-node on the CPU with 1 thread/);
    assert.deepEqual(record.data, {
      training: training.digest,
      slices: 12,
      validation: validation.digest,
    });
    assert.equal(outcome.progress.slices, 40 * 12);
  });

  test('stage two starts from the averaged weights of stage one, with a new optimiser', async () => {
    const file = join(folder, 'learns', 'checkpoint.bin');
    const second = configOf(network, { batch: 1 / 8, epochs: 1, loss: { ...config.loss, tv: 1 } });
    const stop = new AbortController();
    stop.abort();
    await runOf('stage-two', second, { startFrom: file, signal: stop.signal });
    const before = readCheckpoint(file);
    const start = readCheckpoint(join(folder, 'stage-two', 'checkpoint.bin'));
    const name = 'down0_1_conv/kernel';
    const average = before.variables.get(averageName(name))!.values;
    assert.deepEqual(start.variables.get(name)!.values, average);
    assert.deepEqual(start.variables.get(averageName(name))!.values, average);
    assert.ok(start.variables.get(`${name}/m`)!.values.every((value) => value === 0));
    assert.equal(start.progress.step, 0);
    const outcome = await runOf('stage-two', second);
    assert.ok(outcome.finished);
    assert.match(readFileSync(join(folder, 'stage-two', 'curves.csv'), 'utf8'), /tv/);
  });

  test('a wider network of two stages starts where the narrow one ended', async () => {
    const figures: string[] = [];
    for (const [name, larger] of [
      ['narrow', network],
      ['grown', { ...network, width: 8, stages: 2 }],
    ] as const) {
      const still = configOf(larger, { batch: 1 / 8, epochs: 1, learningRate: 1e-12, averageDecay: 0 });
      await runOf(name, still, {
        startFrom: join(folder, 'learns', 'checkpoint.bin'),
        onEpoch: ({ validation: { l1, ssim } }) => figures.push(`${l1.toFixed(4)} ${ssim.toFixed(4)}`),
      });
    }
    assert.equal(figures[1], figures[0]);
  });
});

describe('resuming', () => {
  for (const averageDecay of [0.9, 0]) {
    test(`a run that was stopped twice ends bit by bit like one that was not (average ${averageDecay})`, async () => {
      const short = configOf(network, { batch: 1 / 8, epochs: 3, averageDecay });
      const whole = await runOf(`whole-${averageDecay}`, short);
      assert.ok(whole.finished);
      for (const stopAt of [3, 10, undefined]) {
        const stop = new AbortController();
        const outcome = await runOf(`stopped-${averageDecay}`, short, {
          signal: stop.signal,
          onStep: ({ progress }) => {
            if (progress.step === stopAt) stop.abort();
          },
        });
        assert.equal(outcome.finished, stopAt === undefined);
        if (stopAt !== undefined) assert.equal(outcome.progress.step, stopAt);
      }
      const one = readCheckpoint(join(folder, `whole-${averageDecay}`, 'checkpoint.bin'));
      const other = readCheckpoint(join(folder, `stopped-${averageDecay}`, 'checkpoint.bin'));
      assert.deepEqual({ ...other.progress, seconds: 0 }, { ...one.progress, seconds: 0 });
      for (const [name, { values }] of one.variables) {
        assert.deepEqual(other.variables.get(name)!.values, values, name);
      }
    });
  }

  test('slices are counted again for a checkpoint that did not count them', async () => {
    const name = 'uncounted';
    const file = join(folder, name, 'checkpoint.bin');
    const short = configOf(network, { batch: 1 / 8, epochs: 2 });
    const stop = new AbortController();
    await runOf(name, short, {
      signal: stop.signal,
      onStep: ({ progress }) => {
        if (progress.step === 4) stop.abort();
      },
    });
    const checkpoint = readCheckpoint(file);
    const { slices, ...progress } = checkpoint.progress;
    writeCheckpoint(file, { ...checkpoint, progress });
    await runOf(name, short, { signal: stop.signal });
    assert.equal(readCheckpoint(file).progress.slices, slices);
  });
});

describe('what stops a run', () => {
  const refused = async (promise: Promise<unknown>, sentence: RegExp): Promise<void> => {
    await assert.rejects(promise, (error: unknown) => {
      assert.ok(error instanceof TrainingError, String(error));
      assert.match(error.message, sentence);
      return true;
    });
  };
  const short = configOf(network, { batch: 1 / 8, epochs: 1 });

  test('another configuration, other data, another network in the same folder', async () => {
    await runOf('taken', short);
    const longer = await runOf('taken', { ...short, epochs: 2 });
    assert.ok(longer.finished, 'more epochs are no other configuration');
    const other = { ...short, learningRate: 1 };
    await refused(
      runOf('taken', other),
      /taken\/checkpoint\.bin is of another configuration: learningRate was 0\.003, now 1; choose another run folder/,
    );
    await refused(
      runOf('taken', short, { training: syntheticSamples(12, 9, shapes) }),
      /taken\/checkpoint\.bin was trained on other data \(synthetic 1 .*, now synthetic 9/,
    );
    const wider = configOf({ ...network, width: 6 }, { batch: 1 / 8 });
    await refused(
      runOf('from-other', wider, { startFrom: join(folder, 'taken', 'checkpoint.bin') }),
      /taken\/checkpoint\.bin holds another network/,
    );
  });

  test('no samples', async () => {
    await refused(
      runOf('empty', short, { training: syntheticSamples(0, 1) }),
      /there are no training samples: check the data set/,
    );
    await refused(
      runOf('empty', short, { validation: syntheticSamples(0, 1) }),
      /there are no validation samples: check the data set/,
    );
    assert.ok(!existsSync(join(folder, 'empty')));
  });

  test('an engine that takes several steps at once: the same run, and the same devices on record', async () => {
    const mixed = configOf(network, { batch: 1 / 8, epochs: 3 });
    const engineOf = (stepsAtOnce: number) =>
      createCompiledEngine(mixed, { threads: 1, lowering: 'gpu', stepsAtOnce });
    const steps: number[][] = [];
    for (const stepsAtOnce of [1, 4]) {
      const losses: number[] = [];
      await runOf(`at once ${stepsAtOnce}`, mixed, {
        // Asked for as many steps, one of the engines does them one by one.
        engine: { ...engineOf(stepsAtOnce), stepsAtOnce: 4 },
        onStep: ({ loss }) => losses.push(loss),
      });
      steps.push(losses);
    }
    assert.deepEqual(steps[1], steps[0]);
    const [single, several] = [1, 4].map((count) =>
      readCheckpoint(join(folder, `at once ${count}`, 'checkpoint.bin')),
    );
    assert.equal(several!.progress.step, single!.progress.step);
    assert.deepEqual(several!.variables, single!.variables);

    const longer = { ...mixed, epochs: 4 };
    await runOf('at once 4', longer, { engine: { ...engineOf(4), device: 'another' } });
    const record = JSON.parse(readFileSync(join(folder, 'at once 4', 'config.json'), 'utf8')) as {
      device: string;
    };
    assert.match(record.device, /on the CPU with 1 threads; then another$/);
  });

  test('a loss that is no number: the last good checkpoint stays', async () => {
    const engine = createCompiledEngine(short, { threads: 1 });
    let steps = 0;
    const failing: TrainingEngine = {
      ...engine,
      steps: async (requests) => {
        const results = await engine.steps(requests);
        return ++steps === 3 ? [{ ...results[0], loss: Number.NaN }] : results;
      },
    };
    await refused(
      runOf('diverged', short, { engine: failing }),
      /the loss of step 3 is NaN: resume .*diverged\/checkpoint\.bin with a lower learning rate/,
    );
    const { progress, variables } = readCheckpoint(join(folder, 'diverged', 'checkpoint.bin'));
    assert.equal(progress.step, 0);
    for (const [name, { values }] of variables) assert.ok(values.every(Number.isFinite), name);
  });

  test('a checkpoint in the middle that cannot be written costs the checkpoint, not the run', async () => {
    const blocked = join(folder, 'blocked', 'checkpoint.bin.partial');
    const notices: string[] = [];
    const outcome = await runOf('blocked', short, {
      checkpointSeconds: 0,
      onNotice: (sentence) => notices.push(sentence),
      onStep: ({ progress }) => {
        if (progress.step === 1) mkdirSync(blocked);
        if (progress.step === 2) rmSync(blocked, { recursive: true, force: true });
      },
    });
    assert.ok(outcome.finished);
    assert.match(
      notices.join(),
      /checkpoint\.bin cannot be written: .*make room or choose another folder; training goes on without this checkpoint/,
    );
  });

  test('a folder that cannot be made', async () => {
    writeFileSync(join(folder, 'a-file'), '');
    await refused(runOf('a-file/run', short), /a-file\/run/);
  });
});

describe('checkpoints', () => {
  test('what was written is read back bit by bit', () => {
    const file = join(folder, 'new', 'folder', 'checkpoint.bin');
    const checkpoint = checkpointOf(network, 1);
    writeCheckpoint(file, checkpoint);
    assert.deepEqual(readCheckpoint(file), checkpoint);
  });

  test('a write that fails leaves the old checkpoint and nothing else', () => {
    const file = join(folder, 'kept', 'checkpoint.bin');
    writeCheckpoint(file, checkpointOf(network, 1));
    const before = readFileSync(file);
    const endless = new Float32Array(4);
    Object.defineProperty(endless, 'byteLength', { value: 2 ** 31 });
    const variables = new Map([['x', { shape: [4], values: endless }]]);
    assert.throws(() => writeCheckpoint(file, { ...checkpointOf(network, 2), variables }));
    assert.deepEqual(readFileSync(file), before);
    assert.deepEqual(readdirSync(join(folder, 'kept')), ['checkpoint.bin']);
  });
});
