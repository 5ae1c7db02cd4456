import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import {
  FETCH_PROVIDERS,
  graphicsDevices,
  type Machine,
  runtimeFolder,
  whyNot,
} from '../../../src/inference/engines/devices.js';
import type { openOneEngine } from '../../../src/inference/engines/open.js';
import { probe } from '../../../src/inference/engines/probe.js';
import {
  createBatcher,
  diagnose,
  type Engine,
  type EngineDescription,
  EngineError,
  type EngineName,
  openEngine,
} from '../../../src/inference/index.js';
import { modelFolder, scalingNetwork, tinyModel, zeroNetwork } from './tiny-onnx.js';

function machine(files: Record<string, string>, platform: NodeJS.Platform = 'linux', arch = 'x64'): Machine {
  return {
    platform,
    arch,
    exists: (path) => path in files,
    list: (folder) => [
      ...new Set(
        Object.keys(files).flatMap((path) =>
          path.startsWith(`${folder}/`) ? [path.slice(folder.length + 1).split('/')[0]!] : [],
        ),
      ),
    ],
    read: (path) => files[path] ?? '',
    libraryFolders: ['/lib'],
  };
}

const nvidia = { '/proc/driver/nvidia/gpus/0000:01:00.0/information': 'Model: \t\t NVIDIA H100\nIRQ: 1\n' };

test('without a device, every GPU engine says so', () => {
  const bare = machine({});
  assert.match(whyNot('webgpu', bare)!, /no graphics device/);
  assert.match(whyNot('cuda', bare)!, /no NVIDIA GPU/);
  assert.match(whyNot('tensorrt', bare)!, /no NVIDIA GPU/);
  assert.match(whyNot('cuda', machine(nvidia, 'linux', 'arm64'))!, /Linux x64 only, this is linux arm64/);
});

test('with a device, what is missing is named together with how to get it', () => {
  assert.deepEqual(graphicsDevices(machine(nvidia)), ['NVIDIA H100']);
  assert.match(whyNot('webgpu', machine(nvidia))!, /apt-get install libvulkan1/);
  assert.equal(whyNot('webgpu', machine({ ...nvidia, '/lib/libvulkan.so.1': '' })), undefined);
  const missing = whyNot('cuda', machine(nvidia))!;
  assert.match(missing, /libonnxruntime_providers_shared\.so is missing/);
  assert.ok(missing.includes(FETCH_PROVIDERS));
  const folder = runtimeFolder(machine({}));
  const provided = {
    ...nvidia,
    [`${folder}/libonnxruntime_providers_shared.so`]: '',
    [`${folder}/libonnxruntime_providers_cuda.so`]: '',
    [`${folder}/libonnxruntime_providers_tensorrt.so`]: '',
  };
  assert.equal(whyNot('cuda', machine(provided)), undefined);
  assert.match(whyNot('tensorrt', machine(provided))!, /libnvinfer/);
});

test('a render node is a device, and its driver is told', () => {
  const files = {
    '/dev/dri/renderD128': '',
    '/dev/dri/card0': '',
    '/sys/class/drm/renderD128/device/uevent': 'DRIVER=i915\n',
  };
  assert.deepEqual(graphicsDevices(machine(files)), ['/dev/dri/renderD128 (i915)']);
});

test('a GPU is tried in a process of its own: whatever that does, there is an answer', async (t) => {
  const model = await tinyModel(t, zeroNetwork());
  const script = fileURLToPath(new URL('./faults/probe.js', import.meta.url));
  const trial = (how: string, timeoutMs = 10_000) =>
    probe('webgpu', { ...model, onnxPath: how }, { script, timeoutMs });
  assert.equal(await trial('right'), undefined);
  assert.match((await trial('abort'))!, /ended its process \(SIG/);
  assert.match((await trial('hang', 300))!, /gave no answer within 0.3 s/);
  assert.match((await trial('wrong'))!, /something else than the processor/);
  assert.match((await trial('nan'))!, /values that are no numbers/);
  assert.equal(
    await trial('driver'),
    'CUDA failure 35: CUDA driver version is insufficient for CUDA runtime version',
  );
});

function fakeEngine(name: EngineName, run: Engine['run'] = (data) => Promise.resolve(data)) {
  const closed = { value: false };
  const engine: Engine = {
    capacity: { lanes: 1, batch: 4, pixels: 1e9 },
    load: () => Promise.resolve(),
    run,
    close() {
      closed.value = true;
      return Promise.resolve();
    },
    describe: () => ({ engine: name, device: '', provider: '', threads: 0, version: '', refused: [] }),
  };
  return { engine, closed };
}

test('auto takes the first engine that works and keeps the reasons of the others', async (t) => {
  const model = await tinyModel(t, zeroNetwork());
  const asked: EngineName[] = [];
  let refusedThen: unknown;
  const openOne: typeof openOneEngine = (name, _model, options) => {
    asked.push(name);
    if (name !== 'webgpu')
      return Promise.reject(new EngineError('unavailable', `engine ${name}: no ${name} here`));
    refusedThen = options.refused;
    return Promise.resolve(fakeEngine(name).engine);
  };
  const engine = await openEngine('auto', model, { openOne });
  assert.equal(engine.describe().engine, 'webgpu');
  assert.deepEqual(asked, ['tensorrt', 'cuda', 'webgpu']);
  assert.deepEqual(refusedThen, [
    { engine: 'tensorrt', reason: 'no tensorrt here' },
    { engine: 'cuda', reason: 'no cuda here' },
  ]);
  await engine.close();
});

test('when no engine works, the error holds every reason', async (t) => {
  const model = await tinyModel(t, zeroNetwork());
  const openOne: typeof openOneEngine = (name) =>
    Promise.reject(new EngineError('unavailable', `because of ${name}`));
  await assert.rejects(
    openEngine('auto', model, { openOne }),
    /no engine works on this machine\. tensorrt: because of tensorrt; .*cpu: because of cpu/,
  );
});

test('an engine that fails for good while it runs is followed by the next one, and no slice is lost', async (t) => {
  const model = await tinyModel(t, zeroNetwork());
  let runs = 0;
  const broken = fakeEngine('cuda', (data) =>
    ++runs > 2
      ? Promise.reject(new EngineError('unavailable', 'the device fell off the bus'))
      : Promise.resolve(data),
  );
  const openOne: typeof openOneEngine = (name) =>
    name === 'cuda'
      ? Promise.resolve(broken.engine)
      : name === 'cpu'
        ? Promise.resolve(fakeEngine('cpu').engine)
        : Promise.reject(new EngineError('unavailable', 'not here'));
  const changes: [EngineDescription, string][] = [];
  const engine = await openEngine('auto', model, {
    openOne,
    onChange: (now, reason) => changes.push([now, reason]),
  });
  const batcher = createBatcher(engine, { maxBatch: 2 });
  const answers = await Promise.all(
    Array.from({ length: 12 }, (_, i) => batcher.infer(new Float32Array(4).fill(i), 2, 2)),
  );
  for (const [i, answer] of answers.entries()) assert.equal(answer.residual[0], i);
  assert.equal(engine.describe().engine, 'cpu');
  assert.equal(changes.length, 1);
  assert.equal(changes[0]![1], 'the device fell off the bus');
  assert.ok(broken.closed.value);
  await batcher.close();
  await engine.close();
});

for (const choice of ['webgpu', 'auto'] as const) {
  test(`engine ${choice} that fails with none to take over is said to be lost, and opened again until it works`, async (t) => {
    const model = await tinyModel(t, zeroNetwork());
    let broken = false;
    let missing = false;
    let opened = 0;
    const openOne: typeof openOneEngine = (name) => {
      if (missing || name !== (choice === 'auto' ? 'cpu' : choice))
        return Promise.reject(new EngineError('unavailable', 'it is not there yet'));
      opened += 1;
      return Promise.resolve(
        fakeEngine(name, (data) =>
          broken
            ? Promise.reject(new EngineError('unavailable', 'the device fell off the bus'))
            : Promise.resolve(data),
        ).engine,
      );
    };
    const said: string[] = [];
    const engine = await openEngine(choice, model, {
      openOne,
      reopenMs: 5,
      onLost: (reason) => said.push(`lost: ${reason}`),
      onRestored: (now) => said.push(`restored: ${now.engine}`),
    });
    const run = () => engine.run(new Float32Array(4), [1, 1, 2, 2]);
    await run();
    broken = true;
    missing = true;
    await assert.rejects(run(), { code: 'unavailable', message: 'the device fell off the bus' });
    await assert.rejects(run(), { code: 'unavailable' });
    assert.deepEqual(said, ['lost: the device fell off the bus']);
    broken = false;
    missing = false;
    while (said.length < 2) await new Promise((resolve) => setTimeout(resolve, 2));
    assert.deepEqual(said.slice(1), [`restored: ${choice === 'auto' ? 'cpu' : choice}`]);
    assert.equal(opened, 2);
    await run();
    await engine.close();
    await assert.rejects(run(), { code: 'closed' });
  });
}

test('an engine asked for by name is opened or refused with the reason, never replaced', async (t) => {
  const model = await tinyModel(t, zeroNetwork());
  const missing = whyNot('cuda');
  if (missing === undefined) return t.skip('this machine has CUDA');
  await assert.rejects(openEngine('cuda', model), {
    code: 'unavailable',
    message: `engine cuda: ${missing}`,
  });
});

test('the doctor tells model, engines and a timed run', async (t) => {
  const folder = await modelFolder(t, scalingNetwork(0.1));
  const diagnosis = await diagnose({ modelFolder: folder, engine: 'cpu' });
  assert.ok('sha256' in diagnosis.model && diagnosis.model.name === 'tiny');
  assert.deepEqual(diagnosis.engines.map((one) => one.engine).sort(), [
    'cpu',
    'cuda',
    'tensorflow',
    'tensorrt',
    'webgpu',
  ]);
  for (const one of diagnosis.engines) assert.equal(one.usable, one.problem === undefined);
  assert.ok(diagnosis.inference !== undefined && 'medianMs' in diagnosis.inference);
  assert.ok(
    diagnosis.inference.medianMs > 0 && diagnosis.inference.medianMs <= diagnosis.inference.slowestMs,
  );
  assert.ok(diagnosis.healthy);
});

test('the doctor does not fail on a broken model: it says what is wrong', async () => {
  const diagnosis = await diagnose({ modelFolder: '/nowhere/at/all', engine: 'auto' });
  assert.ok('problem' in diagnosis.model);
  assert.match(diagnosis.model.problem, /no model in \/nowhere\/at\/all/);
  assert.equal(diagnosis.healthy, false);
});
