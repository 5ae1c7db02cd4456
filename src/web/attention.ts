/** Which series need a person, and why, in words. The page shows it. */
import type { SeriesView } from './views.js';

/** Whether a person can set something going again. */
export function canRetry(series: SeriesView): boolean {
  if (series.review?.verdict === 'rejected' && series.counts.failed === 0) return false;
  return (
    series.state === 'failed' ||
    series.counts.failed > 0 ||
    series.destinations.some(({ state, lastError }) => state === 'failed' || lastError !== undefined)
  );
}

const REMARKS: Readonly<Record<string, string>> = {
  residual: 'would be changed more than the rule allows',
  contrast: 'have a contrast that the model is not made for',
  matrix: 'have a matrix that the model is not made for',
  orientation: 'lie in a plane that the model is not made for',
  skipped: 'were not corrected: little motion',
};

/** What the safeguards remarked, in words. */
export function remarkSentences({ remarks = [] }: SeriesView): string[] {
  return remarks.map(({ kind, count }) => `${count} ${REMARKS[kind] ?? kind}`);
}

/** Whether a result waits for a person. */
export function waitsForReview({ hold, review, counts, state }: SeriesView): boolean {
  return hold === true && !review && counts.corrected > 0 && state !== 'receiving' && state !== 'complete';
}

/** Whether something more becomes of a series by itself. */
export function isMoving({ state, hold, review, destinations }: SeriesView): boolean {
  if (state === 'receiving' || state === 'complete') return true;
  if (state !== 'corrected' || review?.verdict === 'rejected') return false;
  if (hold && review?.verdict !== 'accepted') return false;
  return destinations.some(({ state: at }) => at === 'waiting' || at === 'sending');
}

/** Whether images are missing that the headers announced, and no more are waited for. */
function isShort({ state, expected, counts }: SeriesView): boolean {
  return state !== 'receiving' && expected !== undefined && counts.received < expected;
}

/** Why somebody should look at a series, the most pressing first; empty when nobody has to. */
export function whyToLook(series: SeriesView): string[] {
  const { state, reason, counts, destinations, review, flagged = 0, refused = [] } = series;
  const wanted = review?.verdict !== 'rejected';
  const odd = remarkSentences({
    ...series,
    remarks: series.remarks?.filter(({ kind }) => kind !== 'skipped'),
  });
  return [
    state === 'failed' && wanted && (reason || 'something of it could not be done'),
    state !== 'failed' && counts.failed > 0 && `${counts.failed} could not be corrected`,
    state !== 'failed' && refused.length > 0 && `${refused.length} refused on receipt`,
    isShort(series) && !review && `only ${counts.received} of ${series.expected} expected images came`,
    ...destinations.map(
      ({ name, state: at, lastError }) =>
        wanted && at !== 'delivered' && lastError !== undefined && `not delivered to ${name}: ${lastError}`,
    ),
    waitsForReview(series) && 'waits for somebody to accept or reject it',
    flagged > 0 && !review && `flagged: ${odd.join(', ')}`,
  ].filter((why): why is string => typeof why === 'string');
}
