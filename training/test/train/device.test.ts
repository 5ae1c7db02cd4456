import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { chooseDevice, type DeviceChecks, describeDevice } from '../../train/device.js';
import { TrainingError } from '../../train/errors.js';

/** A machine where files and trials say what is given here. */
function machine(
  missing: Partial<Record<'webgpu' | 'cuda', string>>,
  failing: Partial<Record<'webgpu' | 'cuda', string>> = {},
): { checks: DeviceChecks; tried: string[] } {
  const tried: string[] = [];
  return {
    tried,
    checks: {
      missing: (provider) => missing[provider],
      async trial(provider, deviceId) {
        tried.push(`${provider} ${deviceId}`);
        return failing[provider];
      },
    },
  };
}

const choose = (choice: Parameters<typeof chooseDevice>[0], { checks }: ReturnType<typeof machine>) => {
  const told: string[] = [];
  return chooseDevice(choice, 1, (sentence) => told.push(sentence), checks).then((device) => ({
    provider: device.provider,
    told,
  }));
};

describe('auto takes', () => {
  test('cuda where it works', async () => {
    const here = machine({});
    assert.deepEqual(await choose('auto', here), { provider: 'cuda', told: [] });
    assert.deepEqual(here.tried, ['cuda 1']);
  });
  test('webgpu where cuda does not, and says why', async () => {
    const here = machine({ cuda: 'no NVIDIA GPU' });
    assert.deepEqual(await choose('auto', here), {
      provider: 'webgpu',
      told: ['cuda is not used: no NVIDIA GPU'],
    });
  });
  test('the CPU where neither does, by files or by a trial', async () => {
    const here = machine({ webgpu: 'no graphics device' }, { cuda: 'it computes something else' });
    const { provider, told } = await choose('auto', here);
    assert.equal(provider, 'cpu');
    assert.deepEqual(told, [
      'cuda is not used: it computes something else',
      'webgpu is not used: no graphics device',
    ]);
    assert.deepEqual(here.tried, ['cuda 1']);
  });
});

test('a device asked for by name that is missing is refused with what to install', async () => {
  const refused = (choice: 'cuda' | 'webgpu', here: ReturnType<typeof machine>, message: RegExp) =>
    assert.rejects(
      choose(choice, here),
      (error) => error instanceof TrainingError && message.test(error.message),
    );
  await refused(
    'cuda',
    machine({ cuda: 'libonnxruntime_providers_cuda.so is missing' }),
    /--device cuda: libonnxruntime_providers_cuda\.so is missing; deploy\/install-cuda\.sh installs what the CUDA provider needs beside the driver, or train with --device cpu/,
  );
  await refused('webgpu', machine({}, { webgpu: 'no adapter' }), /--device webgpu: no adapter; a Vulkan/);
});

test('a software adapter is used for WebGPU when it is asked for by name', async () => {
  const here = machine({ webgpu: 'no graphics device' });
  assert.equal((await choose('webgpu', here)).provider, 'webgpu');
});

test('the CPU asked for by name needs no trial', async () => {
  const here = machine({}, {});
  assert.equal((await choose('cpu', here)).provider, 'cpu');
  assert.deepEqual(here.tried, []);
  assert.match(describeDevice({ provider: 'cpu', deviceId: 0 }, 3), /on the CPU with 3 threads$/);
});
