import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import * as tf from '@tensorflow/tfjs';
import { loadModel } from '../../../src/inference/index.js';
import * as ort from '../../../src/inference/onnxruntime.js';
import { captureInference, withTracing } from '../../compile/index.js';
import type { NetworkConfig } from '../../network/index.js';
import { type Checkpoint, readCheckpoint, writeCheckpoint } from '../../train/checkpoint.js';
import { averageName } from '../../train/engine.js';
import { TrainingError } from '../../train/errors.js';
import { releaseModel, residualModel } from '../../train/export/index.js';
import { readStartingWeights } from '../../train/starting-weights.js';
import { checkpointOf } from './support.js';

const networks: Record<string, NetworkConfig> = {
  'plain stem': { width: 4, levels: 3, maximumWidth: 512, stem: 'plain', residual: true },
  'half stem': { width: 4, levels: 3, maximumWidth: 12, stem: 'half', residual: true },
  'no normalisation': {
    ...{ width: 4, levels: 3, maximumWidth: 512, stem: 'plain', residual: true },
    normalisation: 'none',
  },
  'two stages': {
    ...{ width: 4, levels: 2, maximumWidth: 512, stem: 'plain', residual: true },
    ...{ normalisation: 'none', stages: 2 },
  },
  'predicting the image': { width: 4, levels: 2, maximumWidth: 512, stem: 'plain', residual: false },
};

let folder: string;
before(() => {
  tf.enableProdMode();
  folder = mkdtempSync(join(tmpdir(), 'mcnet-export-'));
});
after(() => rmSync(folder, { recursive: true, force: true }));

for (const [name, network] of Object.entries(networks)) {
  describe(`release of a network with ${name}`, () => {
    test('model.onnx gives what the layers model gives, at any batch and shape', async () => {
      const at = join(folder, name.replaceAll(' ', '-'));
      const file = join(at, 'checkpoint.bin');
      const checkpoint = checkpointOf(network, 5);
      writeCheckpoint(file, checkpoint);
      const { manifest } = await releaseModel({ checkpoint: file, out: at, name: 'mcnet', version: '1.0.0' });

      const onnx = readFileSync(join(at, 'model.onnx'));
      assert.equal(manifest.sha256, createHash('sha256').update(onnx).digest('hex'));
      const read = await loadModel(at);
      assert.deepEqual(read.manifest, JSON.parse(JSON.stringify(manifest)));
      assert.equal(read.tfjsPath, join(at, 'tfjs', 'model.json'));
      assert.ok(!onnx.includes('BatchNormalization_'), 'batch normalisation is folded into the convolutions');

      const loaded = await tf.loadLayersModel(fromFolder(join(at, 'tfjs')));
      assert.equal(loaded.countParams(), manifest.network.parameters);
      const trained = residualModel(checkpoint, file);
      const session = await ort.InferenceSession.create(onnx, { intraOpNumThreads: 1 });
      const { multiple } = manifest.input;
      for (const [batch, rows, columns] of [
        [1, 2 * multiple, 3 * multiple],
        [3, 4 * multiple, multiple],
      ] as const) {
        const image = Float32Array.from(
          { length: batch * rows * columns },
          (_, i) => Math.sin(i ** 1.3) + 0.5,
        );
        const outputs = await session.run({
          input: new ort.Tensor('float32', image, [batch, 1, rows, columns]),
        });
        const residual = outputs.residual!;
        assert.deepEqual(residual.dims, [batch, 1, rows, columns]);
        const input = tf.tensor4d(image, [batch, rows, columns, 1]);
        for (const model of [loaded, trained]) {
          const expected = (model.predict(input) as tf.Tensor).dataSync<'float32'>();
          const largest = expected.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
          assert.ok(largest > 0.01, 'the network must answer something, or the comparison says nothing');
          for (const [i, value] of (residual.data as Float32Array).entries()) {
            const difference = Math.abs(value - expected[i]!);
            assert.ok(difference < 1e-5 * Math.max(1, largest), `differs by ${difference} at ${i}`);
          }
        }
      }
      await session.release();
    });
  });
}

describe('what a release says', () => {
  const network = networks['plain stem']!;

  test('the manifest tells training, data and evaluation, and the same checkpoint gives the same files', async () => {
    const run = join(folder, 'run');
    const file = join(run, 'checkpoint.bin');
    writeCheckpoint(file, {
      ...checkpointOf(network, 5),
      dataDigest: 'aa+bb',
      progress: { epoch: 2, batch: 1, step: 40, seconds: 12.3, slices: 150 },
    });
    writeFileSync(
      join(run, 'config.json'),
      JSON.stringify({ device: 'a machine', data: { validation: 'cc', slices: 70 } }),
    );
    const evaluation = join(run, 'evaluation.json');
    writeFileSync(evaluation, '{"headSsim": 0.8}');
    const intended = { matrix: [128, 256], planes: ['sagittal'] } as const;
    const request = { checkpoint: file, name: 'mcnet', version: '1.2.0', evaluation, intended };
    const { manifest } = await releaseModel({ ...request, out: join(run, 'first') });
    await releaseModel({ ...request, out: join(run, 'second') });
    for (const part of ['model.json', 'model.onnx', 'tfjs/model.json', 'tfjs/weights.bin']) {
      assert.deepEqual(readFileSync(join(run, 'first', part)), readFileSync(join(run, 'second', part)), part);
    }
    assert.deepEqual(manifest.training.data, { training: ['aa', 'bb'], validation: ['cc'], slices: 70 });
    assert.equal(manifest.training.slicesSeen, 150);
    assert.equal(manifest.training.steps, 40);
    assert.equal(manifest.training.device, 'a machine');
    assert.deepEqual(manifest.evaluation, { headSsim: 0.8 });
    assert.deepEqual(manifest.normalisation, readCheckpoint(file).config.normalisation);
    assert.equal(manifest.input.multiple, 4);
    const general = { modality: 'MR', bodyPart: ['BRAIN', 'HEAD'], contrast: 'T1' };
    assert.deepEqual((await loadModel(join(run, 'first'))).manifest.intended, { ...general, ...intended });
    const { manifest: any } = await releaseModel({
      checkpoint: file,
      name: 'a',
      version: '1',
      out: join(run, 'any'),
    });
    assert.deepEqual(any.intended, general);
  });

  test('averaged weights are released, not the present ones', () => {
    const checkpoint = checkpointOf(network, 5);
    const model = withTracing(() => {
      const built = residualModel(checkpoint, 'x');
      return built.getLayer('down0_1_conv').getWeights()[0]!.dataSync();
    });
    assert.deepEqual(model, checkpoint.variables.get(averageName('down0_1_conv/kernel'))!.values);
    assert.notDeepEqual(model, checkpoint.variables.get('down0_1_conv/kernel')!.values);
  });
});

test('the mean with another moment of a run, as its checkpoint or its model; not with another network', async () => {
  const network = networks['plain stem']!;
  const [first, second] = [join(folder, 'first.bin'), join(folder, 'second.bin')];
  const [one, other] = [checkpointOf(network, 11), checkpointOf(network, 12)];
  writeCheckpoint(first, one);
  writeCheckpoint(second, other);
  const model = join(folder, 'second-model');
  await releaseModel({ checkpoint: second, out: model, name: 'second', version: '1.0.0' });
  for (const meanWith of [[second], [model]]) {
    const out = join(folder, 'mean');
    const { manifest } = await releaseModel({
      checkpoint: first,
      out,
      name: 'mean',
      version: '1.0.0',
      meanWith,
    });
    assert.equal(manifest.training.meanOf, 2);
    const name = averageName('down0_1_conv/kernel');
    const [a, b] = [one, other].map(({ variables }) => variables.get(name)!.values);
    for (const [i, value] of readStartingWeights(out).values.get('down0_1_conv/kernel')!.entries()) {
      assert.ok(Math.abs(value - (a![i]! + b![i]!) / 2) < 1e-6);
    }
  }
  const wider = join(folder, 'wider.bin');
  writeCheckpoint(wider, checkpointOf({ ...network, width: 2 * network.width }, 13));
  await assert.rejects(
    releaseModel({
      checkpoint: first,
      out: join(folder, 'no'),
      name: 'no',
      version: '1.0.0',
      meanWith: [wider],
    }),
    /wider\.bin holds another network/,
  );
});

describe('training from a released model', () => {
  const network = networks['plain stem']!;

  test('its folder gives the averaged weights of the checkpoint it came from', async () => {
    const file = join(folder, 'again.bin');
    const checkpoint = checkpointOf(network, 6);
    writeCheckpoint(file, checkpoint);
    const out = join(folder, 'again');
    await releaseModel({ checkpoint: file, out, name: 'mcnet', version: '1.0.0' });
    const released = readStartingWeights(out);
    const direct = readStartingWeights(file);
    assert.deepEqual(released.network, network);
    assert.deepEqual(direct.network, network);
    assert.deepEqual([...released.values.keys()].sort(), [...direct.values.keys()].sort());
    for (const [name, values] of released.values) assert.deepEqual(values, direct.values.get(name), name);
  });

  test('a folder without a model, and weights that are not whole', async () => {
    const out = join(folder, 'again');
    assert.throws(() => readStartingWeights(folder), /model\.json cannot be read: ENOENT/);
    writeFileSync(
      join(out, 'tfjs', 'weights.bin'),
      readFileSync(join(out, 'tfjs', 'weights.bin')).subarray(0, 400),
    );
    assert.throws(() => readStartingWeights(out), /tfjs: the weights end in the middle of down/);
  });
});

describe('what is refused', () => {
  const release = (checkpoint: string, out: string) =>
    releaseModel({ checkpoint, out, name: 'mcnet', version: '1.0.0' });

  test('a missing file, another file, a damaged one: a sentence with its name, and no folder', async () => {
    const out = join(folder, 'refused');
    const other = join(folder, 'other.bin');
    writeFileSync(other, 'something else altogether');
    const file = join(folder, 'whole.bin');
    writeCheckpoint(file, checkpointOf(networks['plain stem']!, 5));
    const damaged = join(folder, 'damaged.bin');
    writeFileSync(damaged, readFileSync(file).subarray(0, 20_000));
    const missing = join(folder, 'nowhere.bin');
    for (const [checkpoint, sentence] of [
      [missing, /nowhere\.bin cannot be read: ENOENT/],
      [other, /other\.bin is not a checkpoint of MC-Net training/],
      [damaged, /damaged\.bin is damaged: it ends inside /],
    ] as const) {
      await assert.rejects(release(checkpoint, out), (error: unknown) => {
        assert.ok(error instanceof TrainingError);
        assert.match(error.message, sentence);
        return true;
      });
    }
    assert.ok(!readdirSync(folder).includes('refused'));
  });

  test('weights that are no numbers, and weights of another shape', async () => {
    const file = join(folder, 'strange.bin');
    const checkpoint = checkpointOf(networks['plain stem']!, 5);
    const name = averageName('output/bias');
    const broken = (change: Partial<{ shape: number[]; values: Float32Array }>): Checkpoint => ({
      ...checkpoint,
      variables: new Map([
        ...checkpoint.variables,
        [name, { ...checkpoint.variables.get(name)!, ...change }] as const,
      ]),
    });
    writeCheckpoint(file, broken({ values: Float32Array.of(Number.NaN) }));
    await assert.rejects(
      release(file, join(folder, 'refused')),
      /output\/bias\/average holds values that are no numbers/,
    );
    writeCheckpoint(file, broken({ shape: [2], values: Float32Array.of(1, 2) }));
    await assert.rejects(release(file, join(folder, 'refused')), /output\/bias is 2, expected 1/);
  });

  test('a name that is no name', async () => {
    await assert.rejects(
      releaseModel({ checkpoint: 'x', out: 'y', name: '../mcnet', version: '1' }),
      /the name '\.\.\/mcnet' of a model must be/,
    );
  });

  test('a network that depends on the shape of its input', () => {
    assert.throws(
      () =>
        withTracing((tracer) => captureInference(tracer, 2, (image) => tf.mul(image, 1 / image.shape[1]))),
      /computes differently for images of another shape/,
    );
  });
});

function fromFolder(at: string): tf.io.IOHandler {
  const { modelTopology, weightsManifest } = JSON.parse(readFileSync(join(at, 'model.json'), 'utf8')) as {
    modelTopology: object;
    weightsManifest: { paths: string[]; weights: tf.io.WeightsManifestEntry[] }[];
  };
  const [group] = weightsManifest;
  assert.deepEqual(group!.paths, ['weights.bin']);
  const weights = Uint8Array.from(readFileSync(join(at, 'weights.bin')));
  return tf.io.fromMemory({ modelTopology, weightSpecs: group!.weights, weightData: weights.buffer });
}
