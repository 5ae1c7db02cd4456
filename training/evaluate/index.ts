export * from './evaluateDataset.js';
export * from './matchFactor.js';
export {
  EvaluationError,
  type ModelFolder,
  openCorrector,
  readModelFolder,
  type SliceCorrector,
} from './model.js';
export * from './pairedTests.js';
export * from './similarity.js';
export * from './summary.js';
