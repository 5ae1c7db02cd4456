import type { Normalisation } from '../../src/inference/preprocess/index.js';
import type { AdamConfig, LossConfig, NetworkConfig } from '../network/index.js';

/** Everything that decides a training run, beside the data. */
export interface TrainingConfig {
  network: NetworkConfig;
  loss: LossConfig;
  adam: AdamConfig;
  normalisation: Normalisation;
  seed: number;
  /** Slices of a batch at 128×128. */
  batch: number;
  augment: boolean;
  /** Passes over the data; with `minutes`, whichever ends first. */
  epochs: number;
  /** Time budget in minutes, which then also sets the pace of the schedule; 0: no limit. */
  minutes: number;
  learningRate: number;
  schedule: 'constant' | 'cosine';
  /** Steps over which the rate rises from 0. */
  warmUpSteps: number;
  /** Decay of the moving average of the weights that is validated and released; 0: the weights themselves. */
  averageDecay: number;
}

/** Where a run stands. */
export interface Progress {
  epoch: number;
  /** Batches done of this epoch. */
  batch: number;
  /** Steps done in all. */
  step: number;
  /** Seconds spent on training steps. */
  seconds: number;
  /** Slices of all steps; missing in checkpoints from before they were counted. */
  slices?: number;
}

/** Learning rate of the next step; `share` is how much of the run is done, 0 … 1. */
export function learningRateAt(config: TrainingConfig, step: number, share: number): number {
  const warmUp = config.warmUpSteps > 0 ? Math.min(1, (step + 1) / config.warmUpSteps) : 1;
  if (config.schedule === 'constant') return config.learningRate * warmUp;
  const cosine = 0.5 * (1 + Math.cos(Math.PI * Math.min(1, share)));
  return config.learningRate * warmUp * Math.max(cosine, 0.01);
}
