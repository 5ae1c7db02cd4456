import { availableParallelism } from 'node:os';
import * as tf from '@tensorflow/tfjs';
import {
  type CapturedStep,
  type CapturedVariable,
  captureStep,
  type SessionOptions,
  StepSession,
  StepState,
  withTracing,
} from '../compile/index.js';
import { correct, createTrainer, meanSsim, type SsimWindow, type StepInputs } from '../network/index.js';
import type { Batch } from './batches.js';
import type { TrainingConfig } from './config.js';
import { averageName, type TrainingEngine, type ValidationFigures, type VariableInfo } from './engine.js';
import { SessionCache } from './session-cache.js';

/**
 * The engine that runs training steps traced to ONNX: one session for each image shape, all on the same weights.
 * A step blocks the thread that calls it.
 */
export function createCompiledEngine(
  config: Pick<TrainingConfig, 'network' | 'loss' | 'adam' | 'seed'>,
  options: SessionOptions & {
    /** Sessions kept for training and as many for validation: one for each image shape in use. */
    sessions?: number;
  } = {},
): TrainingEngine {
  const { initial, roles } = firstValues(config);
  const live = new StepState();
  const averaged = new StepState();
  const steps = new SessionCache<StepSession>(options.sessions ?? keptSessions);
  const validations = new SessionCache<StepSession>(options.sessions ?? keptSessions);
  const weightNames = roles.filter(({ role }) => role === 'weight').map(({ name }) => name);

  const declare = (step: CapturedStep): void => {
    live.declare(step.variables, (name) => initial.get(name)!);
    averaged.declare(
      step.variables.filter(({ name }) => weightNames.includes(name)),
      (name) => initial.get(name)!,
    );
  };
  declare(captureTraining(config, { count: 1, rows: smallest, columns: smallest }));

  const sessionFor = (
    sessions: SessionCache<StepSession>,
    batch: Batch,
    capture: (config: CaptureConfig, shape: BatchShape) => CapturedStep,
  ): Promise<StepSession> =>
    sessions.get(`${batch.count}x${batch.rows}x${batch.columns}`, () =>
      StepSession.create(capture(config, batch), options),
    );
  /** SSIM's window is a variable of the validation graph that no training state holds. */
  const validationState = (variables: readonly CapturedVariable[]): StepState => {
    averaged.declare(variables, (name) => initial.get(name)!);
    return averaged;
  };

  return {
    device: `compiled to ONNX, onnxruntime-node on the CPU with ${options.threads || availableParallelism()} threads`,
    variables: [
      ...roles,
      ...roles
        .filter(({ role }) => role === 'weight')
        .map(({ name, shape }): VariableInfo => ({ name: averageName(name), shape, role: 'average' })),
    ],
    async step(batch, rate, epsilon) {
      const session = await sessionFor(steps, batch, captureTraining);
      live.declare(session.variables, (name) => initial.get(name)!);
      const results = await session.run(live, {
        corrupted: batch.corrupted,
        clean: batch.clean,
        rate: Float32Array.of(rate),
        epsilon: Float32Array.of(epsilon),
      });
      return Object.fromEntries(Object.entries(results).map(([name, values]) => [name, values[0]!]));
    },
    average(decay) {
      for (const name of weightNames) {
        const target = averaged.live(name);
        const source = live.live(name);
        for (let i = 0; i < target.length; i += 1) target[i] = source[i]! + decay * (target[i]! - source[i]!);
      }
    },
    async validate(batch) {
      const session = await sessionFor(validations, batch, captureValidation);
      const results = await session.run(validationState(session.variables), {
        corrupted: batch.corrupted,
        clean: batch.clean,
      });
      return Object.fromEntries(
        Object.entries(results).map(([name, values]) => [name, values[0]!]),
      ) as unknown as ValidationFigures;
    },
    read(name) {
      const weight = weightNames.find((candidate) => averageName(candidate) === name);
      return weight === undefined ? live.read(name) : averaged.read(weight);
    },
    write(name, values) {
      const weight = weightNames.find((candidate) => averageName(candidate) === name);
      if (weight === undefined) live.write(name, values);
      else averaged.write(weight, values);
    },
    async close() {
      await steps.releaseAll();
      await validations.releaseAll();
    },
  };
}

type CaptureConfig = Pick<TrainingConfig, 'network' | 'loss' | 'adam' | 'seed'>;
type BatchShape = Pick<Batch, 'count' | 'rows' | 'columns'>;

/** More shapes than a set of mixed native matrices has after padding. */
const keptSessions = 16;

/** Rows and columns of the image with which the variables are first declared. */
const smallest = 64;

function firstValues(config: CaptureConfig): { initial: Map<string, Float32Array>; roles: VariableInfo[] } {
  return withTracing(() => {
    const trainer = createTrainer(config.network, config.seed, config.adam);
    const initial = new Map(
      Object.entries(trainer.variables).map(([name, variable]) => [
        name,
        Float32Array.from(variable.dataSync()),
      ]),
    );
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

function captureTraining(config: CaptureConfig, { count, rows, columns }: BatchShape): CapturedStep {
  return withTracing((tracer) => {
    const trainer = createTrainer(config.network, config.seed, config.adam);
    const shape = [count, rows, columns, 1];
    const captured = captureStep(
      tracer,
      trainer.variables,
      { corrupted: shape, clean: shape, rate: [], epsilon: [] },
      (inputs) => {
        const { loss, terms } = trainer.step(inputs as unknown as StepInputs, config.loss);
        return { loss, ...terms };
      },
    );
    dispose(trainer.variables);
    return captured;
  });
}

function captureValidation(config: CaptureConfig, { count, rows, columns }: BatchShape): CapturedStep {
  return withTracing((tracer) => {
    const trainer = createTrainer(config.network, config.seed, config.adam);
    const shape = [count, rows, columns, 1];
    const window = {
      vertical: trainer.variables['ssim_window/vertical'],
      horizontal: trainer.variables['ssim_window/horizontal'],
    } as SsimWindow;
    const captured = captureStep(tracer, trainer.variables, { corrupted: shape, clean: shape }, (inputs) => {
      const corrupted = inputs.corrupted as tf.Tensor4D;
      const clean = inputs.clean as tf.Tensor4D;
      const output = correct(trainer.network, config.network, corrupted, false);
      return {
        l1: tf.mean(tf.abs(tf.sub(output, clean))),
        ssim: meanSsim(output, clean, window),
        inputL1: tf.mean(tf.abs(tf.sub(corrupted, clean))),
        inputSsim: meanSsim(corrupted, clean, window),
      };
    });
    dispose(trainer.variables);
    return captured;
  });
}

function dispose(variables: Readonly<Record<string, tf.Variable>>): void {
  for (const variable of Object.values(variables)) variable.dispose();
}
