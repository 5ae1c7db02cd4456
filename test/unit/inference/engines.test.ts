import assert from 'node:assert/strict';
import { test } from 'node:test';
import { quotaOf, usableCores } from '../../../src/inference/engines/cores.js';
import { classifyRuntimeError } from '../../../src/inference/engines/engine.js';
import { openLane } from '../../../src/inference/engines/lane.js';
import { openCpuEngine } from '../../../src/inference/engines/onnx.js';
import { openTensorflowEngine } from '../../../src/inference/engines/tensorflow.js';
import { type BatchShape, EngineError } from '../../../src/inference/index.js';
import { blurNetwork, onnxModel, scalingNetwork, tinyModel, zeroNetwork } from './tiny-onnx.js';

const FAULTY = new URL('./faults/lane.js', import.meta.url);
const one: BatchShape = [1, 1, 2, 2];
const filled = (value: number): Float32Array => new Float32Array(4).fill(value);

function noise(length: number): Float32Array {
  let state = 1;
  return Float32Array.from({ length }, () => {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0;
    return state / 2 ** 32;
  });
}

test('the CPU engine computes what the network says, for any shape and batch', async (t) => {
  const engine = await openCpuEngine(await tinyModel(t, scalingNetwork(0.5)), { threads: 2 });
  t.after(() => engine.close());
  for (const shape of [
    [1, 1, 1, 1],
    [3, 1, 16, 32],
    [1, 1, 640, 512],
    [2, 1, 48, 16],
  ] as const) {
    const input = noise(shape[0] * shape[2] * shape[3]);
    const expected = input.map((value) => value * 0.5);
    assert.deepEqual(await engine.run(input.slice(), shape), expected);
  }
  const { engine: name, threads, version } = engine.describe();
  assert.equal(name, 'cpu');
  assert.equal(threads, 2);
  assert.match(version, /^\d+\.\d+\.\d+$/);
});

test('alone or side by side, one slice or a batch: the answer is the same bit for bit', async (t) => {
  const engine = await openCpuEngine(await tinyModel(t, blurNetwork()), { threads: 4 });
  t.after(() => engine.close());
  const [rows, columns] = [96, 80];
  const slices = Array.from({ length: 6 }, (_, i) => noise((i + 1) * rows * columns).slice(-rows * columns));
  const alone = [];
  for (const slice of slices) alone.push(await engine.run(slice.slice(), [1, 1, rows, columns], true));
  const together = await Promise.all(slices.map((slice) => engine.run(slice.slice(), [1, 1, rows, columns])));
  const batch = await engine.run(Float32Array.from(slices.flatMap((slice) => [...slice])), [
    6,
    1,
    rows,
    columns,
  ]);
  for (const [i, expected] of alone.entries()) {
    assert.deepEqual(together[i], expected);
    assert.deepEqual(batch.slice(i * rows * columns, (i + 1) * rows * columns), expected);
  }
});

test('the event loop stays free while a network runs', async (t) => {
  // 24 poolings over 12 million values take well above 100 ms.
  const nodes = Array.from({ length: 24 }, (_, i) => ({
    op: 'AveragePool',
    inputs: [i === 0 ? 'input' : `x${i}`],
    output: i === 23 ? 'residual' : `x${i + 1}`,
    ints: { kernel_shape: [5, 5], pads: [2, 2, 2, 2] },
  }));
  const engine = await openCpuEngine(await tinyModel(t, onnxModel({ nodes })), { threads: 1 });
  t.after(() => engine.close());
  let longest = 0;
  let last = performance.now();
  const timer = setInterval(() => {
    longest = Math.max(longest, performance.now() - last);
    last = performance.now();
  }, 1);
  const startedAt = performance.now();
  await engine.run(new Float32Array(12 * 1024 * 1024), [12, 1, 1024, 1024]);
  const took = performance.now() - startedAt;
  clearInterval(timer);
  assert.ok(took > 100, `too quick to tell: ${took} ms`);
  assert.ok(longest < took / 2, `a pause of ${longest} ms in a run of ${took} ms`);
});

test('a network with other names is refused when it is loaded', async (t) => {
  const nodes = [{ op: 'Neg', inputs: ['image'], output: 'clean' }];
  const model = await tinyModel(t, onnxModel({ nodes, input: 'image', output: 'clean' }));
  await assert.rejects(openCpuEngine(model), (error: EngineError) => {
    assert.equal(error.code, 'unavailable');
    assert.match(error.message, /inputs \[image\] and outputs \[clean\]; expected "input" and "residual"/);
    return true;
  });
});

test('what is no network is refused when it is loaded', async (t) => {
  const model = await tinyModel(t, Buffer.from('not a network'));
  await assert.rejects(openCpuEngine(model), { code: 'unavailable' });
});

test('a batch that the runtime refuses rejects that run, and the engine goes on', async (t) => {
  const engine = await openCpuEngine(await tinyModel(t, zeroNetwork()), { threads: 1 });
  t.after(() => engine.close());
  await assert.rejects(engine.run(new Float32Array(5), [1, 1, 2, 2]), { code: 'failed' });
  assert.deepEqual(await engine.run(filled(3), one), filled(0));
});

test('load replaces the network', async (t) => {
  const engine = await openCpuEngine(await tinyModel(t, scalingNetwork(2)), { threads: 1 });
  t.after(() => engine.close());
  assert.deepEqual(await engine.run(filled(3), one), filled(6));
  await engine.load(await tinyModel(t, scalingNetwork(-1)));
  assert.deepEqual(await engine.run(filled(3), one), filled(-3));
});

test('a thread that ends rejects its runs, a new one takes its place, and endless ends are given up', async (t) => {
  const engine = await openCpuEngine(await tinyModel(t, zeroNetwork()), { threads: 1, script: FAULTY });
  t.after(() => engine.close());
  for (let i = 0; i < 2; i += 1) {
    const [before, crash, after] = await Promise.allSettled([
      engine.run(filled(1), one),
      engine.run(filled(13), one),
      engine.run(filled(2), one),
    ]);
    assert.equal(before.status, 'fulfilled');
    for (const lost of [crash, after]) {
      assert.ok(lost.status === 'rejected' && lost.reason instanceof EngineError);
      assert.equal(lost.reason.code, 'crashed');
    }
    assert.deepEqual(await engine.run(filled(4), one), filled(-4));
  }
  await assert.rejects(engine.run(filled(13), one), { code: 'crashed' });
  await assert.rejects(engine.run(filled(1), one), { code: 'unavailable' });
});

test('a lost device ends the session and a new one is opened', async (t) => {
  const engine = await openCpuEngine(await tinyModel(t, zeroNetwork()), { threads: 1, script: FAULTY });
  t.after(() => engine.close());
  await assert.rejects(engine.run(filled(14), one), { code: 'crashed' });
  assert.deepEqual(await engine.run(filled(4), one), filled(-4));
});

test('a run that never ends is given up after its time', async () => {
  const options = { modelPath: '', provider: 'cpu', threads: 1, spin: false, deviceId: 0 } as const;
  const lane = await openLane(FAULTY, options, 100);
  await assert.rejects(lane.run(filled(15), one), {
    code: 'crashed',
    message: /1×1×2×2 gave no answer within 0.1 s/,
  });
  assert.match(await lane.lost, /no answer/);
});

test('closing rejects what runs and what comes', async (t) => {
  const engine = await openCpuEngine(await tinyModel(t, zeroNetwork()), { threads: 1, script: FAULTY });
  const never = engine.run(filled(15), one);
  const rejected = assert.rejects(never, { code: 'closed' });
  await engine.close();
  await rejected;
  await assert.rejects(engine.run(filled(1), one), { code: 'closed' });
});

test("runtimes' messages are told apart by what can be done about them", () => {
  const cases = {
    'bfc_arena.cc:360 Failed to allocate memory for requested buffer of size 8589934592': 'out-of-memory',
    'std::bad_alloc': 'out-of-memory',
    'CUDA failure 2: out of memory ; GPU=0': 'out-of-memory',
    'CUDA failure 700: an illegal memory access was encountered': 'crashed',
    'WebGPU device lost': 'crashed',
    'concatbase.h:133 Non concat axis dimensions must match': 'failed',
  } as const;
  for (const [message, code] of Object.entries(cases))
    assert.equal(classifyRuntimeError(message), code, message);
});

test('cores are those of the cgroup where it has fewer', () => {
  assert.equal(quotaOf('max 100000\n'), undefined);
  assert.equal(quotaOf('250000 100000\n'), 3);
  assert.equal(quotaOf('1000 100000\n'), 1);
  assert.equal(quotaOf(''), undefined);
  assert.ok(usableCores() >= 1);
});

test('the TensorFlow.js engine says what to install when it is absent', async (t) => {
  const model = await tinyModel(t, zeroNetwork());
  await assert.rejects(
    openTensorflowEngine(model, { packages: ['@tensorflow/not-there'] }),
    (error: EngineError) => {
      assert.equal(error.code, 'unavailable');
      assert.match(
        error.message,
        /none of @tensorflow\/not-there can be loaded.*deploy\/build-tensorflow\.sh/,
      );
      return true;
    },
  );
});
