import * as tf from '@tensorflow/tfjs';
import {
  buildNetwork,
  correct,
  createTrainer,
  meanSsim,
  networkVariables,
  type SsimWindow,
} from '../network/index.js';
import type { Batch } from './batches.js';
import type { TrainingConfig } from './config.js';
import { averageName, type TrainingEngine, type VariableInfo } from './engine.js';
import { messageOf, TrainingError } from './errors.js';

/** Packages that bring TensorFlow itself to Node, the one with CUDA first. */
const tensorflowPackages = ['@tensorflow/tfjs-node-gpu', '@tensorflow/tfjs-node'];

/**
 * The engine that lets TensorFlow run each operation as it comes, with `@tensorflow/tfjs-node-gpu` or
 * `@tensorflow/tfjs-node`, whichever is installed.
 *
 * @throws TrainingError when neither is, saying what to do
 */
export async function createTensorflowEngine(config: EngineConfig): Promise<TrainingEngine> {
  const problems: string[] = [];
  for (const name of tensorflowPackages) {
    try {
      await import(name);
      if (tf.findBackend('tensorflow') !== null) return await createEagerEngine(config, 'tensorflow', name);
      problems.push(`${name} belongs to another version of @tensorflow/tfjs than ${tf.version.tfjs}`);
    } catch (error) {
      problems.push(`${name}: ${messageOf(error).split('\n')[0]}`);
    }
  }
  throw new TrainingError(
    `TensorFlow cannot be used here (${problems.join('; ')}): install one of the two packages, or train without --backend tensorflow`,
  );
}

type EngineConfig = Pick<TrainingConfig, 'network' | 'loss' | 'adam' | 'seed'>;

/**
 * The engine that runs training steps eagerly on a registered TensorFlow.js backend. Checkpoints are those of the
 * compiled engine. tfjs-backend-cpu computes the gradient of upsampling wrongly for more than one image: such a
 * batch is refused there.
 */
export async function createEagerEngine(
  config: EngineConfig,
  backend: string,
  provider = backend,
): Promise<TrainingEngine> {
  await tf.setBackend(backend);
  const trainer = createTrainer(config.network, config.seed, config.adam);
  const averagedNetwork = buildNetwork(config.network, config.seed);
  const averages = networkVariables(averagedNetwork);
  const window = {
    vertical: trainer.variables['ssim_window/vertical'],
    horizontal: trainer.variables['ssim_window/horizontal'],
  } as SsimWindow;
  const info = (role: VariableInfo['role']) => (name: string) => ({
    name,
    shape: trainer.variables[name]!.shape,
    role,
  });
  const variableOf = (name: string): tf.Variable => {
    const weight = trainer.weights.find((candidate) => averageName(candidate) === name);
    return weight === undefined ? trainer.variables[name]! : averages[weight]!;
  };
  const imagesOf = (batch: Batch) => {
    if (backend === 'cpu' && batch.count > 1) {
      throw new TrainingError(
        'TensorFlow.js’ cpu backend computes wrong gradients for more than one slice at once: use a batch of one, or another backend',
      );
    }
    const shape: [number, number, number, number] = [batch.count, batch.rows, batch.columns, 1];
    return { corrupted: tf.tensor4d(batch.corrupted, shape), clean: tf.tensor4d(batch.clean, shape) };
  };
  const numbers = (tensors: Readonly<Record<string, tf.Scalar>>): Record<string, number> =>
    Object.fromEntries(Object.entries(tensors).map(([name, tensor]) => [name, tensor.dataSync()[0]!]));

  const average = (decay: number): void => {
    for (const name of trainer.weights) {
      const present = trainer.variables[name]!;
      averages[name]!.assign(tf.add(present, tf.mul(tf.sub(averages[name]!, present), decay)));
    }
  };

  return {
    device: `TensorFlow.js ${tf.version.tfjs}, eager, ${provider}`,
    variables: [
      ...trainer.weights.map(info('weight')),
      ...trainer.trainable.flatMap((name) => [`${name}/m`, `${name}/v`].map(info('slot'))),
      ...trainer.weights.map((name) => ({ ...info('average')(name), name: averageName(name) })),
    ],
    stepsAtOnce: 1,
    async steps(requests) {
      return requests.map(({ batch, rate, epsilon, averageDecay }) =>
        tf.tidy(() => {
          const inputs = { ...imagesOf(batch), rate: tf.scalar(rate), epsilon: tf.scalar(epsilon) };
          const { loss, terms } = trainer.step(inputs, config.loss);
          const results = numbers({ loss, ...terms });
          for (const term of Object.values(terms)) term.dispose();
          if (averageDecay !== undefined) average(averageDecay);
          return results;
        }),
      );
    },
    async validate(batch) {
      return tf.tidy(() => {
        const { corrupted, clean } = imagesOf(batch);
        const output = correct(averagedNetwork, config.network, corrupted, false);
        const value = (tensor: tf.Scalar): number => tensor.dataSync()[0]!;
        return {
          l1: value(tf.mean(tf.abs(tf.sub(output, clean)))),
          ssim: value(meanSsim(output, clean, window)),
          inputL1: value(tf.mean(tf.abs(tf.sub(corrupted, clean)))),
          inputSsim: value(meanSsim(corrupted, clean, window)),
        };
      });
    },
    read: async (name) => Float32Array.from(variableOf(name).dataSync()),
    write(name, values) {
      const variable = variableOf(name);
      tf.tidy(() => variable.assign(tf.tensor(values, variable.shape)));
    },
    async close() {
      for (const variable of [...Object.values(trainer.variables), ...Object.values(averages)])
        variable.dispose();
    },
  };
}
