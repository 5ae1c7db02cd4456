import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { type TestContext, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { decodeFrames, parsePart10 } from '../../../src/dicom/index.js';
import { halfForm, NoHalfFormError, toHalf } from '../../../src/inference/engines/half.js';
import { openLane } from '../../../src/inference/engines/lane.js';
import {
  allFinite,
  choosePrecision,
  HALF_TOLERANCE,
  type PrecisionTrial,
  tryPrecision,
  withinHalfRange,
} from '../../../src/inference/engines/precision.js';
import { type BatchShape, loadModel } from '../../../src/inference/index.js';
import { InferenceSession, Tensor } from '../../../src/inference/onnxruntime.js';
import { toNetworkInput } from '../../../src/inference/preprocess/index.js';
import { headSlice } from '../correction/syntheticPart10.js';
import { readShared, sharedDataMissing, sharedFiles } from '../dicom/shared-data.js';
import { onnxModel, scalingNetwork, tinyModel, zeroNetwork } from './tiny-onnx.js';

const MODEL = fileURLToPath(new URL('../../../../models/mcnet', import.meta.url));
const WORKER = new URL('../../../src/inference/engines/onnx-worker.js', import.meta.url);

async function laneOf(t: TestContext, modelPath: string, precision: 'float32' | 'float16') {
  const lane = await openLane(WORKER, {
    modelPath,
    provider: 'cpu',
    threads: 1,
    spin: false,
    deviceId: 0,
    precision,
  });
  t.after(() => lane.close());
  return lane;
}

const good = { ok: true, float32Ms: [10, 11, 90], float16Ms: [5, 6, 80], largest: 1e-3, mean: 1e-5 } as const;
const chosen = (changes: Partial<Extract<PrecisionTrial, { ok: true }>>) =>
  choosePrecision({ ...good, float32Ms: [...good.float32Ms], float16Ms: [...good.float16Ms], ...changes });

test('float16 is taken when it is right and faster, and the choice tells what was measured', () => {
  assert.deepEqual(chosen({}), {
    precision: 'float16',
    reason:
      'float16 takes 6.00 ms for a batch, float32 11.00 ms; float16 differs by 0.0010 at most and 0.000010 in the mean',
  });
});

test('whatever is in doubt is float32, with the reason', () => {
  const cases: [Parameters<typeof chosen>[0], RegExp][] = [
    [{ float16Ms: [10] }, /takes 10\.00 ms for a batch, float32 11\.00/],
    [{ float16Ms: [] }, /takes NaN ms/],
    [{ largest: HALF_TOLERANCE.largest * 1.01 }, /differs by 0\.0020 at most.*0\.002 and 0\.0002 allowed/],
    [{ mean: HALF_TOLERANCE.mean * 1.01 }, /0\.00020 in the mean, 0\.002 and 0\.0002 allowed/],
    [{ largest: null }, /no numbers/],
    [{ mean: Number.NaN }, /no numbers/],
    [{ largest: Number.POSITIVE_INFINITY }, /no numbers/],
  ];
  for (const [changes, reason] of cases) {
    const choice = chosen(changes);
    assert.equal(choice.precision, 'float32', JSON.stringify(changes));
    assert.match(choice.reason, reason);
  }
  assert.equal(chosen({ float32Ms: [10], float16Ms: [9] }).precision, 'float16');
  assert.equal(chosen({ float32Ms: [10], float16Ms: [9.01] }).precision, 'float32');
  assert.deepEqual(choosePrecision({ ok: false, message: 'no f16' }), {
    precision: 'float32',
    reason: 'float16 does not run here: no f16',
  });
});

test('the configuration and TensorRT keep float32 without a trial; a trial that dies keeps it too', async (t) => {
  const model = await tinyModel(t, zeroNetwork());
  const script = fileURLToPath(new URL('./faults/probe.js', import.meta.url));
  const asked = { precision: 'float32', script: '/nowhere.js' } as const;
  assert.deepEqual(await tryPrecision('cuda', model, asked), {
    precision: 'float32',
    reason: 'the configuration asks for it',
  });
  assert.match(
    (await tryPrecision('tensorrt', model, { precision: 'auto', script: '/nowhere.js' })).reason,
    /TensorRT/,
  );
  const died = await tryPrecision('cuda', { ...model, onnxPath: 'abort' }, { precision: 'auto', script });
  assert.equal(died.precision, 'float32');
  assert.match(died.reason, /a trial of cuda ended its process \(SIG/);
});

test('float32 becomes the nearest float16', () => {
  const cases: [number, number][] = [
    [0, 0],
    [-0, 0x8000],
    [1, 0x3c00],
    [-2, 0xc000],
    [65504, 0x7bff],
    [65519, 0x7bff],
    [2 ** -14, 0x0400],
    [2 ** -24, 1],
    [2 ** -25, 0],
    [1.5 * 2 ** -24, 2],
    [1e-10, 0],
    [2049, 0x6800],
    [2051, 0x6802],
    [1 / 3, 0x3555],
  ];
  for (const [value, bits] of cases) assert.equal(toHalf(value), bits, String(value));
  for (const value of [65520, -1e6, Number.NaN, Number.POSITIVE_INFINITY])
    assert.equal(toHalf(value), undefined);
});

/**
 * What was measured on six real slices, with room: 2.4e-3 at the worst pixel of one, above what the trial allows on its
 * synthetic slices. The processor keeps activations in float32, so that a GPU may be off by more.
 */
const REAL_TOLERANCE = 3e-3;

/** Runs stored pixels through both forms and holds the difference to the tolerance; returns the largest. */
async function differenceOf(
  { exact, half, manifest }: Awaited<ReturnType<typeof bothForms>>,
  stored: ArrayLike<number>,
  rows: number,
  columns: number,
  allowed: number,
): Promise<number> {
  const { multiple } = manifest.input;
  const input = toNetworkInput(stored, rows, columns, { multiple, normalisation: manifest.normalisation });
  assert.ok(withinHalfRange(input.data), 'a slice that float16 may answer');
  const shape: BatchShape = [1, 1, input.rows, input.columns];
  const expected = await exact.run(input.data.slice(), shape);
  const found = await half.run(input.data.slice(), shape);
  const off = found.map((value, i) => Math.abs(value - expected[i]!));
  const largest = off.reduce((max, one) => Math.max(max, one), 0);
  assert.ok(
    expected.some((value) => Math.abs(value) > 0.01),
    'the network says something',
  );
  assert.ok(largest > 0, 'it is another form');
  assert.ok(largest <= allowed, `off by ${largest}`);
  assert.ok(off.reduce((sum, one) => sum + one, 0) / off.length <= HALF_TOLERANCE.mean);
  return largest;
}

async function bothForms(t: TestContext) {
  const { onnxPath, manifest } = await loadModel(MODEL);
  const [exact, half] = [await laneOf(t, onnxPath, 'float32'), await laneOf(t, onnxPath, 'float16')];
  return { onnxPath, manifest, exact, half };
}

test('the float16 form of the released model answers as the float32 form, within the tolerance', async (t) => {
  const forms = await bothForms(t);
  const network = await readFile(forms.onnxPath);
  assert.ok(halfForm(network).length < 0.6 * network.length, 'half the bytes');
  for (const [rows, columns] of [
    [96, 128],
    [80, 64],
  ] as const) {
    const stored = Float32Array.from(headSlice(rows, columns, { min: 0, max: 4095 }, rows));
    await differenceOf(forms, stored, rows, columns, HALF_TOLERANCE.largest);
  }
});

test('the same of slices of real series of six scanners', { skip: sharedDataMissing() }, async (t) => {
  const forms = await bothForms(t);
  for (const folder of ['a01_', 'a02_', 'a03_', 'a04_', 'a06_', 'a12_']) {
    const files = sharedFiles(folder).filter(([name]) => name.endsWith('.dcm'));
    const [name, path] = files[Math.floor(files.length / 2)]!;
    const { frames, rows, columns } = await decodeFrames(parsePart10(readShared(path)));
    const largest = await differenceOf(forms, frames[0]!, rows, columns, REAL_TOLERANCE);
    t.diagnostic(`${name}: off by ${largest.toExponential(1)} at most`);
  }
});

test('a network that cannot be in float16 says why', async () => {
  const cases: [Buffer, RegExp][] = [
    [scalingNetwork(1e6), /its weights factor do not fit float16/],
    [
      onnxModel({ nodes: [{ op: 'Erf', inputs: ['input'], output: 'residual' }] }),
      /operator Erf is not known/,
    ],
    [Buffer.from('not a network'), /no ONNX model/],
    [Buffer.alloc(0), /no ONNX model/],
  ];
  for (const [onnx, message] of cases)
    assert.throws(
      () => halfForm(onnx),
      (error) => error instanceof NoHalfFormError && message.test(error.message),
    );
});

/** A weight that float16 rounds to zero: itself in float32, no number in float16. */
const vanishing = () =>
  onnxModel({
    nodes: [
      { op: 'Div', inputs: ['input', 'tiny'], output: 'much' },
      { op: 'Mul', inputs: ['much', 'tiny'], output: 'residual' },
    ],
    scalars: { tiny: 2 ** -30 },
  });

test('what float16 answers with no number, or was not tried for, is answered by float32', async (t) => {
  const { onnxPath } = await tinyModel(t, vanishing());
  const lane = await laneOf(t, onnxPath, 'float16');
  const one: BatchShape = [1, 1, 2, 2];
  const run = async (values: number[]) => [...(await lane.run(Float32Array.from(values), one))];
  assert.deepEqual(await run([0.5, 0.25, 0, 1]), [0.5, 0.25, 0, 1]);
  const half = await InferenceSession.create(halfForm(vanishing()));
  const { residual } = await half.run({
    input: new Tensor('float32', Float32Array.of(0.5, 2, 3, 1), [...one]),
  });
  assert.ok(!allFinite(residual!.data as Float32Array), 'float16 alone answers no numbers');
  await half.release();
  assert.deepEqual(await run([0.5, 2, 3, 1]), [0.5, 2, 3, 1]);
  assert.ok(!withinHalfRange(Float32Array.of(1, Number.NaN)));
  assert.ok(!withinHalfRange(Float32Array.of(1, -4.01)));
  assert.ok(!allFinite(Float32Array.of(1, Number.NEGATIVE_INFINITY)));
});

test('what is brighter than what was tried is answered by float32', async (t) => {
  const third = Math.fround(1 / 3);
  const { onnxPath } = await tinyModel(t, scalingNetwork(third));
  const lane = await laneOf(t, onnxPath, 'float16');
  const run = async (value: number) => (await lane.run(Float32Array.of(value, 0, 0, 0), [1, 1, 2, 2]))[0]!;
  assert.notEqual(await run(3), Math.fround(3 * third), 'float16 answers an ordinary slice');
  assert.equal(await run(5), Math.fround(5 * third));
  assert.notEqual(await run(3), Math.fround(3 * third), 'and the next ordinary one');
});
