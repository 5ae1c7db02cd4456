/** The same slices of the released model through every engine that this machine has: the same answer, within a tolerance. */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { type TestContext, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { graphicsDevices, nvidiaDevices } from '../../src/inference/engines/devices.js';
import { missingTensorflow } from '../../src/inference/engines/tensorflow.js';
import type { EngineDescription, EngineName } from '../../src/inference/index.js';
import { runProgram } from '../peers/support/process.js';
import type { ParityAnswer } from './parity/one-engine.js';

const SCRIPT = fileURLToPath(new URL('./parity/one-engine.js', import.meta.url));
/** Chromium's Vulkan without a GPU: right, and slow. */
const CHROMIUM = '/usr/lib/chromium';
const SWIFTSHADER = `${CHROMIUM}/vk_swiftshader_icd.json`;
/** Set where the CUDA provider is installed and has to work. */
const WITH_CUDA = process.env.MCNET_TEST_CUDA !== undefined;
/** The entry of a tfjs-node that deploy/build-tensorflow.sh has built elsewhere than here. */
const TFJS = process.env.MCNET_TEST_TFJS;

/** Largest deviation from one thread of the processor, of its largest value. */
const TOLERANCE: Record<EngineName, number> = {
  cpu: 1e-5,
  // Sums in another order.
  webgpu: 1e-3,
  tensorflow: 1e-3,
  // TF32 in the tensor cores: ten bits of mantissa.
  cuda: 2e-2,
  tensorrt: 2e-2,
};

/** Float16 inside the network, which a GPU may choose: eleven bits of mantissa, as TF32 has. */
const HALF_TOLERANCE = 2e-2;

/** @param must whether this machine has what the engine needs: then it has to work. */
async function agrees(
  t: TestContext,
  engine: EngineName,
  must: boolean,
  more: { args?: string[]; env?: NodeJS.ProcessEnv } = {},
): Promise<EngineDescription | undefined> {
  const { stdout, stderr, code } = await runProgram(
    process.execPath,
    [SCRIPT, engine, ...(more.args ?? [])],
    {
      env: { ...process.env, ...more.env },
      timeoutMs: 300_000,
    },
  );
  assert.equal(code, 0, stderr);
  const answer = JSON.parse(stdout.trim().split('\n').at(-1)!) as ParityAnswer;
  if ('unavailable' in answer) {
    assert.ok(!must, answer.unavailable);
    t.diagnostic(`not on this machine: ${answer.unavailable}`);
    return undefined;
  }
  const { provider, version, device } = answer.engine;
  assert.equal(answer.engine.engine, engine);
  t.diagnostic(
    `${engine} (${provider} ${version}, ${device}): off by ${answer.worst.toExponential(1)} at most`,
  );
  const { precision } = answer.engine;
  if (precision) t.diagnostic(`${precision.precision}: ${precision.reason}`);
  const tolerance = precision?.precision === 'float16' ? HALF_TOLERANCE : TOLERANCE[engine];
  assert.ok(answer.worst <= tolerance, `${engine} is off by ${answer.worst}`);
  return answer.engine;
}

test('cpu', async (t) => {
  await agrees(t, 'cpu', true);
});

test('webgpu, on a GPU or on SwiftShader', async (t) => {
  if (graphicsDevices().length > 0) {
    await agrees(t, 'webgpu', false);
    return;
  }
  if (!existsSync(SWIFTSHADER)) return t.skip(`neither a GPU nor ${SWIFTSHADER}`);
  const env = { VK_ICD_FILENAMES: SWIFTSHADER, VK_DRIVER_FILES: SWIFTSHADER, LD_LIBRARY_PATH: CHROMIUM };
  const engine = await agrees(t, 'webgpu', true, { env });
  // SwiftShader has no float16: the choice is float32, and says so.
  assert.equal(engine?.precision?.precision, 'float32');
  assert.match(
    engine.precision.reason,
    /does not run here: .*requires f16 but the device does not support it/,
  );
});

test('tensorflow', async (t) => {
  if (TFJS !== undefined) await agrees(t, 'tensorflow', true, { args: [TFJS] });
  else await agrees(t, 'tensorflow', missingTensorflow(undefined) === undefined);
});

for (const engine of ['cuda', 'tensorrt'] as const) {
  test(engine, async (t) => {
    await agrees(t, engine, engine === 'cuda' && nvidiaDevices().length > 0 && WITH_CUDA);
  });
}
