/** The graphs of a training run, traced from the network and its loss. */
import * as tf from '@tensorflow/tfjs';
import { type CapturedStep, captureStep, type Lowering, withTracing } from '../compile/index.js';
import { correct, createTrainer, meanSsim, type SsimWindow, type StepInputs } from '../network/index.js';
import type { Batch } from './batches.js';
import type { TrainingConfig } from './config.js';
import { averageName, type VariableInfo } from './engine.js';

export type CaptureConfig = Pick<TrainingConfig, 'network' | 'loss' | 'adam' | 'seed'>;
export type BatchShape = Pick<Batch, 'count' | 'rows' | 'columns'>;

/** The batch with which variables are first declared: their layouts do not depend on it. */
export const smallestShape: BatchShape = { count: 1, rows: 64, columns: 64 };

/** The first values of every variable, and what each one is. */
export function firstValues(config: CaptureConfig): {
  initial: Map<string, Float32Array>;
  roles: VariableInfo[];
} {
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
      ...trainer.weights.map((name) => ({ ...info('average')(name), name: averageName(name) })),
    ];
    dispose(trainer.variables);
    return { initial, roles };
  });
}

/** One step: loss, gradient, Adam; lowered for a GPU, the moving averages too. */
export function captureTraining(
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

/** The name of the graph's variable that a weight's gradient is written to. */
export function gradientName(weight: string): string {
  return `${weight}/gradient`;
}

/**
 * Loss and gradient alone: each weight's gradient is assigned to a variable of the weight's layout. Moving statistics of a
 * normalisation are variables that the step itself assigns.
 */
export function captureGradients(config: CaptureConfig, { count, rows, columns }: BatchShape): CapturedStep {
  return withTracing((tracer) => {
    const trainer = createTrainer(config.network, config.seed, config.adam);
    const shape = [count, rows, columns, 1];
    const targets = Object.fromEntries(
      trainer.trainable.map((name) => [
        gradientName(name),
        tf.variable(tf.zeros(trainer.variables[name]!.shape), false),
      ]),
    );
    const captured = captureStep(
      tracer,
      { ...trainer.variables, ...targets },
      { corrupted: shape, clean: shape },
      (inputs) => {
        const images = inputs as unknown as Pick<StepInputs, 'corrupted' | 'clean'>;
        const { loss, terms, gradients } = trainer.gradients(images, config.loss);
        for (const name of trainer.trainable) targets[gradientName(name)]!.assign(gradients[name]!);
        return { loss, ...terms };
      },
    );
    dispose(trainer.variables);
    dispose(targets);
    return captured;
  });
}

/** The averaged network's figures. */
export function captureValidation(
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
