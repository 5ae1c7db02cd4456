import { withTracing } from '../../compile/index.js';
import { createRandom } from '../../data/index.js';
import { createTrainer, defaultAdam, type NetworkConfig } from '../../network/index.js';
import type { Checkpoint } from '../../train/checkpoint.js';
import type { TrainingConfig } from '../../train/config.js';
import type { TrainingSamples } from '../../train/dataset.js';
import { averageName } from '../../train/engine.js';

/** A small configuration for tests. */
export function configOf(network: NetworkConfig, change: Partial<TrainingConfig> = {}): TrainingConfig {
  return {
    network,
    loss: { l1: 1, tv: 0, tvReduction: 'mean', ssim: 0 },
    adam: defaultAdam,
    normalisation: { kind: 'percentile', percentile: 99.5 },
    seed: 1,
    batch: 4,
    augment: true,
    epochs: 3,
    minutes: 0,
    learningRate: 3e-3,
    schedule: 'cosine',
    warmUpSteps: 2,
    averageDecay: 0.9,
    ...change,
  };
}

/** A checkpoint as after training: every weight away from its first value, averages unlike present weights. */
export function checkpointOf(network: NetworkConfig, seed: number): Checkpoint {
  const random = createRandom(seed, 'checkpoint');
  const variables = new Map<string, { shape: readonly number[]; values: Float32Array }>();
  withTracing(() => {
    const trainer = createTrainer(network, seed);
    for (const name of trainer.weights) {
      const variable = trainer.variables[name]!;
      const { shape } = variable;
      const first = Float32Array.from(variable.dataSync());
      const moved = first.map((value) => value + random.between(-0.2, 0.2));
      variables.set(name, { shape, values: first });
      variables.set(averageName(name), { shape, values: moved });
    }
    for (const variable of Object.values(trainer.variables)) variable.dispose();
  });
  return {
    config: configOf(network),
    dataDigest: 'digest',
    progress: { epoch: 1, batch: 0, step: 10, seconds: 1 },
    variables,
  };
}

/** Slices with something to learn: blocks, and as their corruption the same blocks with ripples. */
export function syntheticSamples(
  count: number,
  seed: number,
  shapes = [{ rows: 64, columns: 64 }],
): TrainingSamples {
  const shapeOf = (index: number) => shapes[index % shapes.length]!;
  return {
    count,
    digest: `synthetic ${seed} ${count}`,
    shapeOf,
    read(index) {
      const { rows, columns } = shapeOf(index);
      const random = createRandom(seed, 'slice', index);
      const clean = new Float32Array(rows * columns);
      for (let block = 0; block < 6; block += 1) {
        const [top, left] = [random.integer(rows / 2), random.integer(columns / 2)];
        const value = random.between(100, 500);
        for (let row = top; row < top + rows / 2; row += 1) {
          for (let column = left; column < left + columns / 2; column += 1)
            clean[row * columns + column]! += value;
        }
      }
      const corrupted = clean.map((value, i) => value * (1 + 0.3 * Math.sin(Math.floor(i / columns) * 1.7)));
      return { clean, corrupted, rows, columns };
    },
  };
}
