import type { Normalisation } from '../../../src/inference/preprocess/index.js';
import type { SlicePlane } from '../../data/index.js';
import type { NetworkConfig } from '../../network/index.js';
import type { TrainingConfig } from '../config.js';

/** What a released model says about itself (`model.json` of its folder). */
export interface ReleaseManifest {
  name: string;
  version: string;
  /** SHA-256 of model.onnx, in lower case hexadecimal digits. */
  sha256: string;
  /** SHA-256 of the files of the TensorFlow.js layers model. */
  tfjs: Readonly<Record<string, string>>;
  input: { channels: 1; multiple: number; layout: 'NCHW' };
  output: 'residual';
  normalisation: Normalisation;
  network: NetworkConfig & { parameters: number };
  training: TrainingRecord;
  /** Figures of the evaluation, as it wrote them. */
  evaluation?: unknown;
  intended: { modality: 'MR'; bodyPart: readonly string[]; contrast: 'T1' } & IntendedImages;
}

/** The images that a network was trained on; a server flags others. What is missing is not limited. */
export interface IntendedImages {
  /** Rows and columns, from least to most. */
  matrix?: readonly [number, number];
  planes?: readonly SlicePlane[];
}

/** How the weights came about. */
export interface TrainingRecord {
  config: Omit<TrainingConfig, 'network' | 'normalisation'>;
  /** Digests of the simulated sets. */
  data: { training: readonly string[]; validation?: readonly string[]; slices?: number };
  epochs: number;
  steps: number;
  /** Slices seen, each as often as it was shown; missing where an old checkpoint did not count them. */
  slicesSeen?: number;
  /** Slices seen, counted in slices of 128×128 pixels. */
  slicesSeenAt128: number;
  /** Seconds of training steps. */
  seconds: number;
  /** The weights are the mean of so many moments or runs, of which this record tells the last; missing: of one. */
  meanOf?: number;
  /** What computed; missing where the run folder's config.json is not beside the checkpoint. */
  device?: string;
}

export const intendedUse: ReleaseManifest['intended'] = {
  modality: 'MR',
  bodyPart: ['BRAIN', 'HEAD'],
  contrast: 'T1',
};
