import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import * as tf from '@tensorflow/tfjs';
import { captureStep, StepSession, StepState, withTracing } from '../../compile/index.js';
import {
  adamFactors,
  createTrainer,
  type LossConfig,
  type NetworkConfig,
  type StepInputs,
  type Trainer,
} from '../../network/index.js';

const networks: Record<string, NetworkConfig> = {
  plain: { width: 4, levels: 3, maximumWidth: 512, stem: 'plain', residual: true },
  direct: { width: 4, levels: 3, maximumWidth: 8, stem: 'plain', residual: false },
  half: { width: 4, levels: 3, maximumWidth: 512, stem: 'half', residual: true },
};
const losses: Record<string, LossConfig> = {
  L1: { l1: 1, tv: 0, tvReduction: 'mean', ssim: 0 },
  'L1 + TV + SSIM': { l1: 1, tv: 0.5, tvReduction: 'sum', ssim: 0.2 },
};
// tfjs-backend-cpu 4.22 computes ResizeNearestNeighborGrad wrongly for more than one image: compare with one.
const rows = 24;
const columns = 16;
const steps = 5;
/** Relative; the moments are sums in which much cancels, and their rounding grows from step to step. */
const tolerance = (name: string, step: number) => (/\/[mv]$/.test(name) ? 1e-4 * step : 1e-5);
const learningRate = 1e-4;

for (const [networkName, network] of Object.entries(networks)) {
  for (const [lossName, loss] of Object.entries(losses)) {
    describe(`${networkName} network, ${lossName}`, () => {
      test(`${steps} compiled steps agree with TensorFlow.js' cpu backend`, async () => {
        await tf.setBackend('cpu');
        const images = randomImages(1);
        const eager = createTrainer(network, 7);
        const start = randomStart(eager);
        const expected: Record<string, number>[] = [];
        const weights: Map<string, Float32Array>[] = [];
        for (let step = 1; step <= steps; step += 1) {
          const factors = adamFactors(learningRate, step);
          expected.push(
            tf.tidy(() => {
              const result = eager.step(
                {
                  corrupted: tf.tensor4d(images.corrupted, [1, rows, columns, 1]),
                  clean: tf.tensor4d(images.clean, [1, rows, columns, 1]),
                  rate: tf.scalar(factors.rate),
                  epsilon: tf.scalar(factors.epsilon),
                },
                loss,
              );
              return { loss: result.loss.dataSync()[0]!, ...mapValues(result.terms) };
            }),
          );
          weights.push(
            new Map(
              Object.entries(eager.variables).map(([name, variable]) => [
                name,
                Float32Array.from(variable.dataSync()),
              ]),
            ),
          );
        }
        const { session, state } = await compile(network, loss, 1, start);
        for (let step = 1; step <= steps; step += 1) {
          const results = await session.run(state, stepInputs(images, step));
          for (const [name, value] of Object.entries(expected[step - 1]!)) {
            closeTo(results[name]![0]!, value, tolerance(name, step), `${name} of step ${step}`);
          }
          for (const name of state.names()) {
            const difference = relativeDifference(state.read(name), weights[step - 1]!.get(name)!);
            assert.ok(
              difference < tolerance(name, step),
              `${name} differs by ${difference} after step ${step}`,
            );
          }
        }
        await session.release();
      });
    });
  }
}

/** Every weight away from its special first value (zeros, ones), so that every gradient counts. */
function randomStart(trainer: Trainer): Map<string, Float32Array> {
  const random = generator(3);
  const start = new Map<string, Float32Array>();
  for (const [name, variable] of Object.entries(trainer.variables)) {
    const values = Float32Array.from(variable.dataSync());
    if (trainer.trainable.includes(name)) {
      for (let i = 0; i < values.length; i += 1) values[i]! += 0.2 * (random() - 0.5);
      variable.assign(tf.tensor(values, variable.shape));
    }
    start.set(name, values);
  }
  return start;
}

async function compile(
  network: NetworkConfig,
  loss: LossConfig,
  batch: number,
  start: ReadonlyMap<string, Float32Array>,
): Promise<{ session: StepSession; state: StepState }> {
  const step = withTracing((tracer) => {
    const trainer = createTrainer(network, 7);
    const shape = [batch, rows, columns, 1];
    return captureStep(
      tracer,
      trainer.variables,
      { corrupted: shape, clean: shape, rate: [], epsilon: [] },
      (inputs) => {
        const result = trainer.step(inputs as unknown as StepInputs, loss);
        return { loss: result.loss, ...result.terms };
      },
    );
  });
  const session = await StepSession.create(step, { threads: 1 });
  const state = new StepState();
  state.declare(step.variables, (name) => start.get(name)!);
  return { session, state };
}

function stepInputs(images: { corrupted: Float32Array; clean: Float32Array }, step: number) {
  const { rate, epsilon } = adamFactors(learningRate, step);
  return { ...images, rate: Float32Array.of(rate), epsilon: Float32Array.of(epsilon) };
}

function randomImages(count: number): { corrupted: Float32Array; clean: Float32Array } {
  const random = generator(1);
  const clean = Float32Array.from({ length: count * rows * columns }, random);
  const corrupted = clean.map((value) => value + 0.3 * (random() - 0.5));
  return { corrupted, clean };
}

function generator(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

function mapValues(terms: Record<string, tf.Scalar>): Record<string, number> {
  return Object.fromEntries(Object.entries(terms).map(([name, term]) => [name, term.dataSync()[0]!]));
}

function closeTo(actual: number, expected: number, tolerance: number, what: string): void {
  const difference = Math.abs(actual - expected) / Math.max(Math.abs(expected), 0.1);
  assert.ok(difference < tolerance, `${what}: ${actual} instead of ${expected}`);
}

function relativeDifference(actual: Float32Array, expected: Float32Array): number {
  let difference = 0;
  let size = 0;
  actual.forEach((value, i) => {
    difference += (value - expected[i]!) ** 2;
    size += expected[i]! ** 2;
  });
  return Math.sqrt(difference / Math.max(size, 1e-20));
}
