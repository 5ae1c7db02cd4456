/** Training steps on ONNX Runtime's WebGPU provider, with Chromium's software adapter (SwiftShader) in place of a GPU. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const chromium = '/usr/lib/chromium';
const driver = `${chromium}/vk_swiftshader_icd.json`;
const environment = { ...process.env, VK_ICD_FILENAMES: driver, LD_LIBRARY_PATH: chromium };
const skip = existsSync(driver) ? false : `${driver} is not there: apt-get install chromium`;
const file = (path: string): string => fileURLToPath(new URL(path, import.meta.url));

async function run(script: string, ...args: string[]): Promise<string> {
  const options = { env: environment, timeout: 300_000 };
  return (await promisify(execFile)(process.execPath, [file(script), ...args], options)).stdout;
}

for (const [check, what] of Object.entries({
  placement: 'every node of a step runs on the device; a step lowered for the CPU is refused',
  steps: 'steps agree with TensorFlow.js’ cpu backend',
  engine: 'weights stay on the device between steps, can be read, written, averaged and validated',
})) {
  test(what, { skip, timeout: 300_000 }, async () => {
    await run('../../training/test/compile/on-webgpu.js', check);
  });
}

test('the trial of a device finds that it computes what the CPU does', {
  skip,
  timeout: 300_000,
}, async () => {
  const answer = await run('../../training/train/device-trial.js', 'webgpu', '0');
  const { ok, difference } = JSON.parse(answer) as { ok: boolean; difference: number };
  assert.ok(ok, answer);
  assert.ok(difference < 1e-3, answer);
});
