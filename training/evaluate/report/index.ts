export {
  type Condition,
  type Experiment,
  type ExperimentOptions,
  type MeasuredCondition,
  runExperiment,
} from './experiment.js';
export { reportMarkdown } from './markdown.js';
export { type ResultRow, resultRows } from './results.js';
export { writeReport } from './write.js';
