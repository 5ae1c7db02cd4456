export * from './evaluate-dataset.js';
export * from './match-factor.js';
export {
  EvaluationError,
  type ModelFolder,
  openCorrector,
  readModelFolder,
  type SliceCorrector,
} from './model.js';
export * from './paired-tests.js';
export * from './similarity.js';
export * from './summary.js';
