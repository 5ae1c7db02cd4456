/** Everything between the receivers and the destinations, as one. */
export type { CorrectedFile, Model } from './correcting.js';
export { openPipeline, type Pipeline, type PipelineOptions } from './pipeline.js';
export type { Replayed, ReplayedFailures } from './replay.js';
