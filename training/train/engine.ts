import type { Batch } from './batches.js';

/** Runs training steps and holds the variables: compiled to ONNX Runtime, or eager TensorFlow.js. */
export interface TrainingEngine {
  /** What computes, for the record: engine, provider, threads, versions. */
  readonly device: string;
  /** Names of all variables that a checkpoint holds. */
  readonly variables: readonly VariableInfo[];
  /** So many steps are best given at once. */
  readonly stepsAtOnce: number;
  /**
   * Updates the weights once for each request, one after the other; returns the loss and its terms of each. The
   * batches of one call have the same shape.
   */
  steps(requests: readonly StepRequest[]): Promise<Record<string, number>[]>;
  /** Mean L1 and SSIM of the averaged network's output, and of its input, against the clean images. */
  validate(batch: Batch): Promise<ValidationFigures>;
  /** A copy of a variable's values, in TensorFlow.js' order. */
  read(name: string): Promise<Float32Array>;
  write(name: string, values: Float32Array): void;
  close(): Promise<void>;
}

/** One update of the weights. */
export interface StepRequest {
  batch: Batch;
  /** See `adamFactors`. */
  rate: number;
  epsilon: number;
  /**
   * Moves the averaged weights after the update: average ← decay · average + (1 − decay) · weight. Missing: they stay
   * where they are.
   */
  averageDecay?: number;
}

export interface VariableInfo {
  name: string;
  shape: readonly number[];
  /** `weight`: the network's; `slot`: the optimiser's; `average`: a weight's moving average. */
  role: 'weight' | 'slot' | 'average';
}

export interface ValidationFigures {
  l1: number;
  ssim: number;
  inputL1: number;
  inputSsim: number;
}

/** The name of a weight's moving average. */
export function averageName(weight: string): string {
  return `${weight}/average`;
}
