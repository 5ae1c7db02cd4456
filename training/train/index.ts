export { type Batch, type BatchConfig, batchSize, planEpoch, readBatch } from './batches.js';
export { type Checkpoint, readCheckpoint, writeCheckpoint } from './checkpoint.js';
export { createCompiledEngine } from './compiled.js';
export { learningRateAt, type Progress, type TrainingConfig } from './config.js';
export { joinSamples, samplesOf, selectSamples, type TrainingSamples } from './dataset.js';
export {
  type ComputeDevice,
  chooseDevice,
  type DeviceChoice,
  describeDevice,
  deviceChoices,
} from './device.js';
export { createEagerEngine, createTensorflowEngine } from './eager.js';
export { averageName, type StepRequest, type TrainingEngine, type ValidationFigures } from './engine.js';
export { TrainingError } from './errors.js';
export {
  type IntendedImages,
  type ReleaseManifest,
  type ReleaseRequest,
  releaseModel,
  residualModel,
} from './export/index.js';
export { openTrainingEngine } from './open-engine.js';
export { parseOptions, type TrainingOptions } from './options.js';
export { type EpochReport, type StepReport, type TrainingOutcome, type TrainingRun, train } from './train.js';
