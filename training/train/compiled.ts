import * as tf from '@tensorflow/tfjs';
import {
  type CapturedStep,
  captureStep,
  type Lowering,
  repeatStep,
  type SessionOptions,
  StepSession,
  StepState,
  withTracing,
} from '../compile/index.js';
import { correct, createTrainer, meanSsim, type SsimWindow, type StepInputs } from '../network/index.js';
import type { Batch } from './batches.js';
import type { TrainingConfig } from './config.js';
import { describeDevice } from './device.js';
import {
  averageName,
  type StepRequest,
  type TrainingEngine,
  type ValidationFigures,
  type VariableInfo,
} from './engine.js';
import { SessionCache } from './session-cache.js';

export interface CompiledOptions extends SessionOptions {
  /** Sessions kept for training and as many for validation: one for each image shape in use. */
  sessions?: number;
  /** Default: the one for the provider. */
  lowering?: Lowering;
  /**
   * Steps in one run: more than one only with the lowering for a GPU. Default: with CUDA, whose results
   * onnxruntime-node cannot leave on the device, several.
   */
  stepsAtOnce?: number;
}

/** With the paper's network 180 MB of variables cross the bus in each run, which takes about as long as two steps. */
const cudaSteps = 16;

/**
 * The engine that runs training steps traced to ONNX: one session for each image shape, all on the same weights.
 * A step blocks the thread that calls it. Lowered for a GPU, the averages are brought up to date by the graph itself.
 */
export function createCompiledEngine(config: CaptureConfig, options: CompiledOptions = {}): TrainingEngine {
  const provider = options.provider ?? 'cpu';
  const lowering = options.lowering ?? (provider === 'cpu' ? 'cpu' : 'gpu');
  const stepsAtOnce = options.stepsAtOnce ?? (provider === 'cuda' ? cudaSteps : 1);
  const { initial, roles } = firstValues(config);
  const state = new StepState({ resident: provider === 'webgpu' });
  const trainings = new SessionCache<StepSession>(options.sessions ?? keptSessions);
  const validations = new SessionCache<StepSession>(options.sessions ?? keptSessions);
  const weights = roles.filter(({ role }) => role === 'weight').map(({ name }) => name);

  const captureSteps = (shape: BatchShape): CapturedStep => {
    const step = captureTraining(config, shape, lowering);
    return stepsAtOnce > 1 ? repeatStep(step) : step;
  };
  const declare = (step: Pick<CapturedStep, 'variables'>): void =>
    state.declare(step.variables, (name) => initial.get(name)!);
  const smallest = { count: 1, rows: smallestSide, columns: smallestSide };
  declare(captureTraining(config, smallest, lowering));
  declare(captureValidation(config, smallest, lowering));

  const sessionFor = (
    sessions: SessionCache<StepSession>,
    batch: Batch,
    capture: (shape: BatchShape) => CapturedStep,
  ): Promise<StepSession> =>
    sessions.get(`${batch.count}x${batch.rows}x${batch.columns}`, async () => {
      const step = capture(batch);
      declare(step);
      return StepSession.create(step, options);
    });

  /** Computed by the graph where it is lowered for a GPU; here a pass over the host's memory. */
  const average = (decay: number): void => {
    for (const name of weights) {
      const target = state.live(averageName(name));
      const source = state.live(name);
      for (let i = 0; i < target.length; i += 1) target[i] = source[i]! + decay * (target[i]! - source[i]!);
    }
  };

  const run = async (requests: readonly StepRequest[]): Promise<Record<string, number>[]> => {
    const session = await sessionFor(trainings, requests[0]!.batch, captureSteps);
    const results = await session.run(state, {
      corrupted: joined(requests.map(({ batch }) => batch.corrupted)),
      clean: joined(requests.map(({ batch }) => batch.clean)),
      rate: Float32Array.from(requests, ({ rate }) => rate),
      epsilon: Float32Array.from(requests, ({ epsilon }) => epsilon),
      decay: Float32Array.from(requests, ({ averageDecay }) => averageDecay ?? 1),
    });
    const decay = requests[0]!.averageDecay;
    if (lowering === 'cpu' && decay !== undefined) average(decay);
    return requests.map((_, at) =>
      Object.fromEntries(Object.entries(results).map(([name, values]) => [name, values[at]!])),
    );
  };

  return {
    device: describeDevice({ provider, deviceId: options.deviceId ?? 0 }, options.threads),
    variables: [
      ...roles,
      ...roles
        .filter(({ role }) => role === 'weight')
        .map(({ name, shape }): VariableInfo => ({ name: averageName(name), shape, role: 'average' })),
    ],
    stepsAtOnce,
    async steps(requests) {
      const results: Record<string, number>[] = [];
      for (let done = 0; done < requests.length; done += stepsAtOnce) {
        results.push(...(await run(requests.slice(done, done + stepsAtOnce))));
      }
      return results;
    },
    async validate(batch) {
      const session = await sessionFor(validations, batch, (shape) =>
        captureValidation(config, shape, lowering),
      );
      const results = await session.run(state, { corrupted: batch.corrupted, clean: batch.clean });
      return Object.fromEntries(
        Object.entries(results).map(([name, values]) => [name, values[0]!]),
      ) as unknown as ValidationFigures;
    },
    read: (name) => state.read(name),
    write: (name, values) => state.write(name, values),
    async close() {
      // Tensors on the device before the sessions that made them.
      await state.release();
      await trainings.releaseAll();
      await validations.releaseAll();
    },
  };
}

function joined(parts: readonly Float32Array[]): Float32Array {
  if (parts.length === 1) return parts[0]!;
  const whole = new Float32Array(parts.reduce((sum, part) => sum + part.length, 0));
  let offset = 0;
  for (const part of parts) {
    whole.set(part, offset);
    offset += part.length;
  }
  return whole;
}

type CaptureConfig = Pick<TrainingConfig, 'network' | 'loss' | 'adam' | 'seed'>;
type BatchShape = Pick<Batch, 'count' | 'rows' | 'columns'>;

/** More shapes than a set of mixed native matrices has after padding. */
const keptSessions = 16;

/** Rows and columns of the image with which the variables are first declared. */
const smallestSide = 64;

function firstValues(config: CaptureConfig): { initial: Map<string, Float32Array>; roles: VariableInfo[] } {
  return withTracing(() => {
    const trainer = createTrainer(config.network, config.seed, config.adam);
    const initial = new Map(
      Object.entries(trainer.variables).map(([name, variable]) => [
        name,
        Float32Array.from(variable.dataSync()),
      ]),
    );
    for (const name of trainer.weights) initial.set(averageName(name), initial.get(name)!);
    const info = (role: VariableInfo['role']) => (name: string) => ({
      name,
      shape: trainer.variables[name]!.shape,
      role,
    });
    const roles = [
      ...trainer.weights.map(info('weight')),
      ...trainer.trainable.flatMap((name) => [`${name}/m`, `${name}/v`].map(info('slot'))),
    ];
    dispose(trainer.variables);
    return { initial, roles };
  });
}

function captureTraining(
  config: CaptureConfig,
  { count, rows, columns }: BatchShape,
  lowering: Lowering,
): CapturedStep {
  return withTracing((tracer) => {
    const trainer = createTrainer(config.network, config.seed, config.adam);
    const shape = [count, rows, columns, 1];
    const averages: Record<string, tf.Variable> = {};
    if (lowering === 'gpu') {
      for (const name of trainer.weights) {
        averages[averageName(name)] = tf.variable(tf.zeros(trainer.variables[name]!.shape), false);
      }
    }
    const captured = captureStep(
      tracer,
      { ...trainer.variables, ...averages },
      { corrupted: shape, clean: shape, rate: [], epsilon: [], decay: [] },
      (inputs) => {
        const { loss, terms } = trainer.step(inputs as unknown as StepInputs, config.loss);
        if (lowering === 'gpu') moveAverages(trainer.weights, trainer.variables, averages, inputs.decay!);
        return { loss, ...terms };
      },
      lowering,
    );
    dispose(trainer.variables);
    dispose(averages);
    return captured;
  });
}

/** In a form that leaves them exactly as they are with a decay of 1, and makes them the weights with 0. */
function moveAverages(
  weights: readonly string[],
  variables: Readonly<Record<string, tf.Variable>>,
  averages: Readonly<Record<string, tf.Variable>>,
  decay: tf.Tensor,
): void {
  const share = tf.sub(1, decay);
  for (const name of weights) {
    const target = averages[averageName(name)]!;
    target.assign(tf.add(tf.mul(target, decay), tf.mul(variables[name]!, share)));
  }
}

/** The averaged network's figures. */
function captureValidation(
  config: CaptureConfig,
  { count, rows, columns }: BatchShape,
  lowering: Lowering,
): CapturedStep {
  return withTracing((tracer) => {
    const trainer = createTrainer(config.network, config.seed, config.adam);
    const shape = [count, rows, columns, 1];
    const window = {
      vertical: trainer.variables['ssim_window/vertical'],
      horizontal: trainer.variables['ssim_window/horizontal'],
    } as SsimWindow;
    const variables = Object.fromEntries(
      Object.entries(trainer.variables).map(([name, variable]) => [
        trainer.weights.includes(name) ? averageName(name) : name,
        variable,
      ]),
    );
    const captured = captureStep(
      tracer,
      variables,
      { corrupted: shape, clean: shape },
      (inputs) => {
        const corrupted = inputs.corrupted as tf.Tensor4D;
        const clean = inputs.clean as tf.Tensor4D;
        const output = correct(trainer.network, config.network, corrupted, false);
        return {
          l1: tf.mean(tf.abs(tf.sub(output, clean))),
          ssim: meanSsim(output, clean, window),
          inputL1: tf.mean(tf.abs(tf.sub(corrupted, clean))),
          inputSsim: meanSsim(corrupted, clean, window),
        };
      },
      lowering,
    );
    dispose(trainer.variables);
    return captured;
  });
}

function dispose(variables: Readonly<Record<string, tf.Variable>>): void {
  for (const variable of Object.values(variables)) variable.dispose();
}
