import * as api from './api.js';
import { el } from './dom.js';
import { clock, duration, shortUid } from './format.js';
import { canRetry, destinationChips, progress, stateBadge, turnaround } from './parts.js';

const FILTERS = [
  { id: 'all', label: 'All', states: undefined },
  { id: 'working', label: 'In progress', states: ['receiving', 'complete', 'corrected'] },
  { id: 'delivered', label: 'Delivered', states: ['delivered'] },
  { id: 'left-alone', label: 'Left alone', states: ['left-alone'] },
  { id: 'failed', label: 'Failed', states: ['failed'] },
];

let chosen = 'all';

async function onRetry(event, series) {
  event.currentTarget.disabled = true;
  const note = event.currentTarget.parentElement.querySelector('[role=status]');
  try {
    await api.retry(series.series);
    note.textContent = 'Set going again.';
  } catch (error) {
    note.textContent = error.message;
    event.target.disabled = false;
  }
}

export function retryButton(series) {
  if (!canRetry(series)) return null;
  return el(
    'div',
    {},
    el(
      'button',
      {
        type: 'button',
        'aria-label': `Retry series ${shortUid(series.series)}`,
        onClick: (event) => onRetry(event, series),
      },
      'Retry',
    ),
    el('span', { role: 'status', class: 'small' }),
  );
}

function row(series) {
  return el(
    'tr',
    { class: series.state },
    el('td', {}, stateBadge(series), el('div', { class: 'small muted reason' }, series.reason)),
    el(
      'td',
      {},
      el(
        'a',
        { href: `#/series/${series.series}`, title: series.series, class: 'uid' },
        shortUid(series.series),
      ),
      el('div', { class: 'small muted' }, series.rule ?? 'no rule'),
    ),
    el('td', {}, progress(series)),
    el(
      'td',
      {},
      clock(series.lastReceivedAt),
      el('div', { class: 'small muted' }, `${duration(Date.now() - series.lastReceivedAt)} ago`),
    ),
    el('td', {}, turnaround(series)),
    el('td', {}, destinationChips(series)),
    el('td', {}, retryButton(series)),
  );
}

function filterBar(all, again) {
  return el(
    'div',
    { class: 'filters', role: 'group', 'aria-label': 'Show' },
    ...FILTERS.map(({ id, label, states }) => {
      const count = states ? all.filter((series) => states.includes(series.state)).length : all.length;
      const choose = () => {
        chosen = id;
        again();
        document.querySelector(`[data-filter="${id}"]`)?.focus();
      };
      return el(
        'button',
        { type: 'button', 'data-filter': id, 'aria-pressed': String(id === chosen), onClick: choose },
        `${label} `,
        el('span', { class: 'count' }, count),
      );
    }),
  );
}

const COLUMNS = ['State', 'Series', 'Slices', 'Last received', 'Turnaround', 'Destinations', ''];

/** Draws the list of series anew; what has the focus keeps it. */
export function showWorklist(main, all, again) {
  const focused = document.activeElement?.getAttribute('href');
  const states = FILTERS.find(({ id }) => id === chosen)?.states;
  const shown = all
    .filter((series) => !states || states.includes(series.state))
    .sort((a, b) => b.lastReceivedAt - a.lastReceivedAt);
  const body =
    shown.length > 0
      ? el(
          'div',
          { class: 'scroll' },
          el(
            'table',
            {},
            el('caption', { class: 'hidden' }, 'Series, the latest first'),
            el(
              'thead',
              {},
              el(
                'tr',
                {},
                ...COLUMNS.map((name) =>
                  el('th', { scope: 'col' }, name || el('span', { class: 'hidden' }, 'Actions')),
                ),
              ),
            ),
            el('tbody', {}, ...shown.map(row)),
          ),
        )
      : el(
          'p',
          { class: 'notice' },
          all.length === 0
            ? 'No series has arrived yet. Send one to this node, and it appears here by itself.'
            : 'No series in this state.',
        );
  main.replaceChildren(el('div', { class: 'toolbar' }, el('h1', {}, 'Series'), filterBar(all, again)), body);
  if (focused) main.querySelector(`a[href="${focused}"]`)?.focus();
}
