/**
 * Trains a tiny network for a few steps on a device and on the CPU, from the same weights, and prints one line of JSON
 * with the largest relative difference of losses and gradients: node device-trial.js webgpu|cuda DEVICE_ID. A process
 * of its own, because a driver may end the process that touches it.
 */
import * as tf from '@tensorflow/tfjs';
import type { ProbeAnswer } from '../../src/inference/index.js';
import type { Provider } from '../compile/index.js';
import { createRandom } from '../data/index.js';
import { adamFactors, defaultAdam, paperNetwork } from '../network/index.js';
import { type CompiledOptions, createCompiledEngine } from './compiled.js';
import { messageOf } from './errors.js';

const side = 32;
const count = 2;
const steps = 3;

interface Outcome {
  losses: number[];
  /** Adam's first moments, which are sums of gradients. */
  moments: Float32Array[];
}

async function trainOn(options: CompiledOptions): Promise<Outcome> {
  const engine = createCompiledEngine(
    {
      network: { ...paperNetwork, width: 8, levels: 3 },
      loss: { l1: 1, tv: 1, tvReduction: 'mean', ssim: 0.1 },
      adam: defaultAdam,
      seed: 1,
    },
    options,
  );
  const random = createRandom(1, 'trial');
  const images = (size: number) => Float32Array.from({ length: size }, () => random.between(0, 1));
  const output = engine.variables.find(({ name }) => name === 'output/kernel')!;
  // The last layer starts at zero, and with it every gradient behind it.
  engine.write(output.name, images(output.shape.reduce((size, length) => size * length, 1)));
  const batches = Array.from({ length: steps }, () => {
    const clean = images(count * side * side);
    const corrupted = clean.map((value) => value + random.between(-0.2, 0.2));
    return { count, rows: side, columns: side, clean, corrupted };
  });
  const results = await engine.steps(
    batches.map((batch, at) => ({ batch, ...adamFactors(1e-5, at + 1), averageDecay: 0.9 })),
  );
  const moments: Float32Array[] = [];
  for (const { name, role } of engine.variables) {
    if (role === 'slot' && name.endsWith('/m')) moments.push(await engine.read(name));
  }
  await engine.close();
  return { losses: results.map(({ loss }) => loss!), moments };
}

function relative(actual: readonly number[], expected: readonly number[]): number {
  const size = Math.hypot(...expected);
  return Math.hypot(...actual.map((value, i) => value - expected[i]!)) / Math.max(size, 1e-20);
}

tf.enableProdMode();
const [provider = '', deviceId = '0'] = process.argv.slice(2);
let answer: ProbeAnswer;
try {
  const theirs = await trainOn({ provider: provider as Provider, deviceId: Number(deviceId), strict: true });
  const ours = await trainOn({ provider: 'cpu', lowering: 'gpu', threads: 1 });
  const largest = Math.max(...ours.moments.map((one) => Math.hypot(...one)));
  const differences = [
    relative(theirs.losses, ours.losses),
    ...ours.moments.map(
      (one, i) => Math.hypot(...one.map((value, at) => value - theirs.moments[i]![at]!)) / largest,
    ),
  ];
  const difference = Math.max(...differences);
  answer = { ok: true, difference: differences.every(Number.isFinite) ? difference : null };
} catch (error) {
  answer = { ok: false, message: messageOf(error).trim() };
}
process.stdout.write(`${JSON.stringify(answer)}\n`, () => process.exit(0));
