/** Blinded comparisons of original and corrected series by readers. */
export type { Side, Turn } from './design.js';
export { ratingsCsv, resultsOf, type StudyResults, statisticsCsv } from './results.js';
export { cohenKappa, signedRankTest, signTest } from './statistics.js';
export {
  type Answer,
  createReaderStudies,
  type Rating,
  type ReaderStudies,
  type ReaderStudy,
  SCORES,
  type Scores,
} from './store.js';
