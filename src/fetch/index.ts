/** Series from other archives: asked for by people or by rule, fetched by durable jobs. */
export { type DicomWebSourceOptions, dicomWebSource } from './dicomweb-source.js';
export { type DimseSourceOptions, dimseSource } from './dimse-source.js';
export { byRequest, createFetching, type Fetch, type Fetching, type Wanted } from './fetching.js';
export { createPulling, daysUntil, type Pulling, type PullRule, type PullView } from './pulling.js';
export { type Conditions, type FoundSeries, findSeries } from './query.js';
export { FetchError, type Keys, type Match, type Source } from './source.js';
