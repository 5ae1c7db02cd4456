import assert from 'node:assert/strict';
import * as tf from '@tensorflow/tfjs';
import {
  captureStep,
  type Lowering,
  repeatStep,
  type SessionOptions,
  StepSession,
  StepState,
  withTracing,
} from '../../compile/index.js';
import {
  adamFactors,
  createTrainer,
  type LossConfig,
  type NetworkConfig,
  type StepInputs,
  type Trainer,
} from '../../network/index.js';

// tfjs-backend-cpu 4.22 computes ResizeNearestNeighborGrad wrongly for more than one image: compare with one.
const small = { rows: 24, columns: 16 };
type Size = typeof small;
const learningRate = 1e-4;
/** Relative; the moments are sums in which much cancels, and their rounding grows from step to step. */
const tolerance = (name: string, step: number) => (/\/[mv]$/.test(name) ? 1e-4 * step : 1e-5);

export interface CompileOptions extends SessionOptions {
  lowering?: Lowering;
  /** The step in a loop. */
  repeated?: boolean;
  size?: Size;
}

/** What a step should give: its results and every variable after it. */
export interface ExpectedStep {
  results: Record<string, number>;
  variables: Map<string, Float32Array>;
}

/** Steps of TensorFlow.js' cpu backend on one image, and the values that they start from. */
export async function eagerSteps(
  network: NetworkConfig,
  loss: LossConfig,
  count: number,
  size: Size = small,
): Promise<{ start: Map<string, Float32Array>; images: Images; expected: ExpectedStep[] }> {
  await tf.setBackend('cpu');
  const images = randomImages(1, 1, size);
  const shape: [number, number, number, number] = [1, size.rows, size.columns, 1];
  const eager = createTrainer(network, 7);
  const start = randomStart(eager);
  const expected: ExpectedStep[] = [];
  for (let step = 1; step <= count; step += 1) {
    const factors = adamFactors(learningRate, step);
    const results = tf.tidy(() => {
      const result = eager.step(
        {
          corrupted: tf.tensor4d(images.corrupted, shape),
          clean: tf.tensor4d(images.clean, shape),
          rate: tf.scalar(factors.rate),
          epsilon: tf.scalar(factors.epsilon),
        },
        loss,
      );
      const terms = Object.entries(result.terms).map(([name, term]) => [name, term.dataSync()[0]!] as const);
      return { loss: result.loss.dataSync()[0]!, ...Object.fromEntries(terms) };
    });
    const variables = new Map(
      Object.entries(eager.variables).map(([name, variable]) => [
        name,
        Float32Array.from(variable.dataSync()),
      ]),
    );
    expected.push({ results, variables });
  }
  return { start, images, expected };
}

/** Runs the compiled step as often and compares all that it gives. */
export async function assertSteps(
  { session, state }: { session: StepSession; state: StepState },
  { images, expected }: { images: Images; expected: readonly ExpectedStep[] },
): Promise<void> {
  for (const [at, { results, variables }] of expected.entries()) {
    const step = at + 1;
    const actual = await session.run(state, stepInputs(images, step));
    for (const [name, value] of Object.entries(results)) {
      closeTo(actual[name]![0]!, value, tolerance(name, step), `${name} of step ${step}`);
    }
    for (const name of state.names()) {
      const difference = relativeDifference(await state.read(name), variables.get(name)!);
      assert.ok(difference < tolerance(name, step), `${name} differs by ${difference} after step ${step}`);
    }
  }
}

export interface Images {
  corrupted: Float32Array;
  clean: Float32Array;
}

/** Every weight away from its special first value (zeros, ones), so that every gradient counts. */
export function randomStart(trainer: Trainer): Map<string, Float32Array> {
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

export async function compile(
  network: NetworkConfig,
  loss: LossConfig,
  batch: number,
  start: ReadonlyMap<string, Float32Array>,
  { lowering = 'cpu', repeated = false, size = small, ...options }: CompileOptions = {},
): Promise<{ session: StepSession; state: StepState }> {
  const one = withTracing((tracer) => {
    const trainer = createTrainer(network, 7);
    const shape = [batch, size.rows, size.columns, 1];
    return captureStep(
      tracer,
      trainer.variables,
      { corrupted: shape, clean: shape, rate: [], epsilon: [] },
      (inputs) => {
        const result = trainer.step(inputs as unknown as StepInputs, loss);
        return { loss: result.loss, ...result.terms };
      },
      lowering,
    );
  });
  const step = repeated ? repeatStep(one) : one;
  const session = await StepSession.create(step, { threads: 1, ...options });
  const state = new StepState({ resident: options.provider === 'webgpu' });
  state.declare(step.variables, (name) => start.get(name)!);
  return { session, state };
}

export function stepInputs(images: Images, step: number): Record<string, Float32Array> {
  const { rate, epsilon } = adamFactors(learningRate, step);
  return { ...images, rate: Float32Array.of(rate), epsilon: Float32Array.of(epsilon) };
}

export function randomImages(count: number, seed = 1, { rows, columns }: Size = small): Images {
  const random = generator(seed);
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
