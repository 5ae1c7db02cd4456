/** Routing rules, completeness and the state of every series. */
export { completion, type ExpectedCount, expectedCount, type Openness } from './completeness.js';
export { PipelineEmitter, type PipelineEvents } from './events.js';
export { COMMENT_LENGTH, type Review, reviewSeries, reviewsOf, type Verdict, WITHHELD } from './review.js';
export { type Classification, classify, conditionHolds, type Rule, type Subject } from './rules.js';
export { keepSafeguards, keptSafeguards } from './safeguards.js';
export { type SeriesFacts, type SeriesState, stateOf } from './state.js';
export {
  type CompletenessDefaults,
  createSeriesTracker,
  deliveryKind,
  type SeriesTracker,
} from './tracker.js';
export {
  createSeriesIndex,
  type DestinationView,
  type SeriesFilter,
  type SeriesIndex,
  type SeriesView,
} from './views.js';
