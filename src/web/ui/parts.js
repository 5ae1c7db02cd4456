import { el } from './dom.js';
import { duration, STATES } from './format.js';

export function stateBadge(series) {
  const state = STATES[series.state] ?? { label: series.state, mark: '?' };
  return el(
    'span',
    { class: `badge ${series.state}` },
    el('span', { 'aria-hidden': 'true' }, state.mark),
    ` ${state.label}`,
  );
}

/** How far the correction is: a bar and its figures. */
export function progress(series) {
  const { received, corrected, leftAlone, failed } = series.counts;
  const total = Math.max(series.expected ?? 0, received);
  const done = corrected + leftAlone + failed;
  const words = [`${corrected} of ${total} corrected`];
  if (received < total) words.push(`${received} received`);
  if (leftAlone > 0) words.push(`${leftAlone} left alone`);
  if (failed > 0) words.push(`${failed} failed`);
  if (corrected === 0 && leftAlone === total)
    return el('span', { class: 'small' }, `${leftAlone} left alone`);
  return el(
    'div',
    { class: 'progress' },
    el('progress', { max: Math.max(total, 1), value: done, 'aria-label': words.join(', ') }),
    el('span', { class: 'small' }, words.join(' · ')),
  );
}

const DESTINATION_MARKS = { waiting: '…', sending: '↑', delivered: '✓', failed: '!' };

export function destinationChips(series) {
  if (series.destinations.length === 0) return el('span', { class: 'muted small' }, '—');
  return el(
    'ul',
    { class: 'chips' },
    ...series.destinations.map((destination) =>
      el(
        'li',
        { class: `chip ${destination.state}`, title: destinationSentence(destination) },
        el('span', { 'aria-hidden': 'true' }, `${DESTINATION_MARKS[destination.state] ?? '?'} `),
        destination.name,
        el('span', { class: 'hidden' }, `: ${destination.state}`),
      ),
    ),
  );
}

export function destinationSentence(destination) {
  const words = [`${destination.delivered} delivered`];
  if (destination.pending) words.push(`${destination.pending} waiting`);
  if (destination.failed) words.push(`${destination.failed} failed`);
  if (destination.attempts > 1) words.push(`attempt ${destination.attempts}`);
  if (destination.nextAttemptAt > Date.now())
    words.push(`next in ${duration(destination.nextAttemptAt - Date.now())}`);
  if (destination.lastError) words.push(destination.lastError);
  return words.join(' · ');
}

/** Whether a person can set something going again. */
export function canRetry(series) {
  return (
    series.state === 'failed' ||
    series.counts.failed > 0 ||
    series.destinations.some((destination) => destination.state === 'failed' || destination.lastError)
  );
}

export function turnaround(series) {
  if (series.deliveredAt) return duration(series.deliveredAt - series.lastReceivedAt);
  if (series.correctedAt) return `corrected in ${duration(series.correctedAt - series.lastReceivedAt)}`;
  return '—';
}
