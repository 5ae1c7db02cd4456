import { el } from './dom.js';
import { clock, duration } from './format.js';
import { destinationSentence, progress, stateBadge, turnaround } from './parts.js';
import { retryButton } from './worklist.js';

function fact(name, value) {
  return value === undefined || value === null || value === ''
    ? []
    : [el('dt', {}, name), el('dd', {}, value)];
}

function list(title, entries) {
  if (entries.length === 0) return null;
  return el(
    'details',
    { open: true },
    el('summary', {}, `${title} (${entries.length})`),
    el('ul', { class: 'small plain' }, ...entries.map((entry) => el('li', {}, entry))),
  );
}

/** The facts of one series beside its images. */
export function seriesFacts(series) {
  const completed = series.completedAt
    ? `${clock(series.completedAt)}${series.completeReason ? `, ${series.completeReason}` : ''}`
    : undefined;
  return el(
    'aside',
    { 'aria-label': 'Series' },
    el('div', {}, stateBadge(series), el('p', { class: 'reason' }, series.reason)),
    progress(series),
    retryButton(series),
    el(
      'dl',
      {},
      ...fact('Rule', series.rule ?? 'none'),
      ...fact(
        'Last received',
        `${clock(series.lastReceivedAt)} (${duration(Date.now() - series.lastReceivedAt)} ago)`,
      ),
      ...fact('Complete', completed),
      ...fact('Turnaround', turnaround(series)),
      ...series.destinations.flatMap((destination) =>
        fact(`To ${destination.name}`, `${destination.state}: ${destinationSentence(destination)}`),
      ),
      ...fact('Series UID', el('span', { class: 'uid' }, series.series)),
      ...fact('Study UID', el('span', { class: 'uid' }, series.study)),
      ...(series.derivedSeries ?? []).flatMap((uid) =>
        fact('Derived series', el('span', { class: 'uid' }, uid)),
      ),
    ),
    list(
      'Failed',
      series.failures.map(({ sop, reason }) => `${sop}: ${reason}`),
    ),
    list(
      'Refused at the door',
      (series.refused ?? []).map(({ sop, reason }) => `${sop}: ${reason}`),
    ),
    list(
      'Left alone',
      (series.leftAlone ?? []).map(({ reason, count }) => `${count} × ${reason}`),
    ),
  );
}
