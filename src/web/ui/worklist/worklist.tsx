import { useEffect, useLayoutEffect, useRef, useState } from 'preact/hooks';
import { canRetry, isMoving, waitsForReview, whyToLook } from '../../attention.js';
import type { SeriesView } from '../api.js';
import {
  ago,
  clock,
  duration,
  patientFacts,
  STATES,
  seriesTitle,
  studyFacts,
  turnaround,
} from '../format.js';
import { Help } from '../help.js';
import { type Shortcut, useShortcuts } from '../keyboard.js';
import type { Live } from '../live.js';
import { Destinations, Line, Progress, Retry, RetryFailed, StateBadge, Verdict } from '../parts.js';
import { mayDecide, useSession } from '../session.js';

interface Filter {
  id: string;
  label: string;
  holds(series: SeriesView): boolean;
}

const FILTERS: readonly Filter[] = [
  { id: 'all', label: 'All', holds: () => true },
  { id: 'to-look-at', label: 'Needs a look', holds: (series) => whyToLook(series).length > 0 },
  {
    id: 'working',
    label: 'In progress',
    holds: isMoving,
  },
  { id: 'to-review', label: 'To review', holds: waitsForReview },
  { id: 'flagged', label: 'Flagged', holds: ({ flagged }) => (flagged ?? 0) > 0 },
  { id: 'delivered', label: 'Delivered', holds: ({ state }) => state === 'delivered' },
  { id: 'left-alone', label: 'Left alone', holds: ({ state }) => state === 'left-alone' },
  { id: 'failed', label: 'Failed', holds: ({ state }) => state === 'failed' },
];

const AGES_EVERY_MS = 5000;

let chosenFilter = 'all';

function textOf(series: SeriesView): string {
  return [
    ...Object.values(series.about ?? {}),
    series.series,
    series.study,
    series.rule,
    series.reason,
    series.state,
  ]
    .join(' ')
    .toLowerCase();
}

function Row({ series, decides }: { series: SeriesView; decides: boolean }) {
  const title = seriesTitle(series);
  const took = turnaround(series);
  const study = studyFacts(series);
  const why = whyToLook(series);
  const said = why.length > 0 ? why : [series.reason || STATES[series.state].says];
  return (
    <tr class={why.length > 0 ? 'to-look-at' : undefined}>
      <td class="state">
        <StateBadge series={series} />
        {said.map((reason) => (
          <div class="small reason" key={reason}>
            {reason}
          </div>
        ))}
      </td>
      <td class="texts">
        <div class="patient">{series.about?.patient ?? 'Unknown patient'}</div>
        <div class="small muted">
          <Line facts={patientFacts(series)} />
        </div>
      </td>
      <td class="texts">
        <a class="open" href={`#/series/${series.series}`} title={series.series}>
          {title}
        </a>
        <div class="small muted">{study.length > 0 ? <Line facts={study} /> : 'no description'}</div>
      </td>
      <td>
        <Progress series={series} />
        {(series.flagged ?? 0) > 0 && (
          <span class="chip flag small">
            <span aria-hidden="true">⚑ </span>
            {series.flagged} flagged
          </span>
        )}
      </td>
      <td class="figures nowrap">
        {clock(series.lastReceivedAt)}
        <div class="small muted">{ago(series.lastReceivedAt)}</div>
      </td>
      <td class="figures nowrap latency">
        {took ? duration(took.ms) : '—'}
        <div class="small muted">{took ? `to ${took.to}` : ''}</div>
      </td>
      <td>
        <Destinations series={series} />
      </td>
      <td class="nowrap actions">
        <Verdict series={series} />
        {decides && waitsForReview(series) && (
          <a class="button" href={`#/series/${series.series}`} aria-label={`Review ${title}`}>
            Review
          </a>
        )}
        {decides && canRetry(series) && <Retry series={series} name={title} />}
      </td>
    </tr>
  );
}

export function Worklist({ live }: { live: Live }) {
  const [filter, setFilter] = useState(chosenFilter);
  const [search, setSearch] = useState('');
  const [help, setHelp] = useState(false);
  const [, tick] = useState(0);
  const searchBox = useRef<HTMLInputElement>(null);
  const table = useRef<HTMLTableElement>(null);
  chosenFilter = filter;
  useEffect(() => {
    const timer = setInterval(() => tick((count) => count + 1), AGES_EVERY_MS);
    return () => clearInterval(timer);
  }, []);

  const all = [...live.series.values()].sort((a, b) => b.lastReceivedAt - a.lastReceivedAt);
  const wanted = search.trim().toLowerCase();
  const holds = FILTERS.find(({ id }) => id === filter)!.holds;
  const shown = all.filter((series) => holds(series) && (wanted === '' || textOf(series).includes(wanted)));
  const groups = [
    { title: 'Needs a look', rows: shown.filter((series) => whyToLook(series).length > 0) },
    { title: 'Nothing to do', rows: shown.filter((series) => whyToLook(series).length === 0) },
  ].filter(({ rows }) => rows.length > 0);
  const decides = mayDecide(useSession());

  const step = (by: number) => {
    const links = [...(table.current?.querySelectorAll<HTMLAnchorElement>('a.open') ?? [])];
    const at = links.indexOf(document.activeElement as HTMLAnchorElement);
    links[Math.max(0, Math.min(links.length - 1, at < 0 ? 0 : at + by))]?.focus();
  };
  const inRow = (selector: string) =>
    document.activeElement?.closest('tr')?.querySelector<HTMLElement>(selector)?.click();
  // A series that changes its group is drawn anew: the keyboard stays with it.
  const focused = useRef<HTMLAnchorElement | undefined>(undefined);
  useLayoutEffect(() => {
    const gone = focused.current;
    if (!gone || gone.isConnected) return;
    focused.current = undefined;
    table.current
      ?.querySelector<HTMLAnchorElement>(`a.open[href="${gone.hash}"]`)
      ?.focus({ preventScroll: true });
  });
  const shortcuts: Shortcut[] = [
    { keys: ['j', 'ArrowDown'], what: 'next series', run: () => step(1) },
    { keys: ['k', 'ArrowUp'], what: 'series before', run: () => step(-1) },
    { keys: ['o'], what: 'open the series (also Enter)', run: () => inRow('a.open') },
    { keys: ['r'], what: 'retry what failed of the series', run: () => inRow('.retry button') },
    { keys: ['/'], what: 'search', run: () => searchBox.current?.focus() },
    ...FILTERS.map(({ id, label }, index) => ({
      keys: [String(index + 1)],
      what: `show ${label.toLowerCase()}`,
      run: () => setFilter(id),
    })),
    {
      keys: ['Escape'],
      what: 'leave the search',
      run: () => {
        setSearch('');
        searchBox.current?.blur();
      },
    },
    { keys: ['?'], what: 'this list', run: () => setHelp(true) },
  ];
  useShortcuts(shortcuts);

  return (
    <div class="worklist">
      <div class="toolbar">
        <h1>Worklist</h1>
        <div class="filters" role="group" aria-label="Show">
          {FILTERS.map(({ id, label, holds: of }) => (
            <button key={id} type="button" aria-pressed={id === filter} onClick={() => setFilter(id)}>
              {label} <span class="count">{all.filter(of).length}</span>
            </button>
          ))}
        </div>
        {decides && all.some(({ state }) => state === 'failed') && <RetryFailed />}
        <input
          ref={searchBox}
          type="search"
          placeholder="Search"
          aria-label="Search the worklist"
          value={search}
          onInput={(event) => setSearch(event.currentTarget.value)}
        />
        <button type="button" onClick={() => setHelp(true)} aria-label="Keys">
          <kbd>?</kbd>
        </button>
      </div>
      {live.error !== undefined && !live.loaded ? (
        <p class="notice" role="alert">
          {live.error}
        </p>
      ) : shown.length > 0 ? (
        <div class="scroll" tabIndex={0} role="region" aria-label="Series">
          <table
            ref={table}
            onFocusIn={({ target }) => {
              const link = (target as HTMLElement).closest<HTMLAnchorElement>('a.open');
              focused.current = link ?? undefined;
            }}
          >
            <caption class="hidden">
              Series: those that need a look, then the others, the latest first
            </caption>
            <thead>
              <tr>
                {[
                  'State',
                  'Patient',
                  'Series and study',
                  'Slices',
                  'Last received',
                  'Latency',
                  'Destinations',
                ].map((name) => (
                  <th key={name} scope="col">
                    {name}
                  </th>
                ))}
                <th scope="col">Review</th>
              </tr>
            </thead>
            {groups.map(({ title, rows }) => (
              <tbody key={title} aria-label={title}>
                <tr class="group">
                  <th colSpan={8} scope="rowgroup">
                    {title} <span class="count">{rows.length}</span>
                  </th>
                </tr>
                {rows.map((series) => (
                  <Row key={series.series} series={series} decides={decides} />
                ))}
              </tbody>
            ))}
          </table>
        </div>
      ) : (
        <p class="notice">
          {!live.loaded
            ? 'Reading the worklist …'
            : all.length === 0
              ? 'No series has arrived yet. Send one to this node, and it appears here by itself.'
              : 'No series is shown by this filter and search.'}
        </p>
      )}
      {help && <Help groups={[{ title: 'Worklist', shortcuts }]} onClose={() => setHelp(false)} />}
    </div>
  );
}
