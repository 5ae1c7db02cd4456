/** The series as the server tells them: read once, then followed by server-sent events. */
import { getStatus, listSeries, ROOT, type SeriesView, type StatusView } from './api.js';
import { createStore } from './store.js';

export interface Live {
  connection: 'connecting' | 'live' | 'lost';
  /** Whether the list has been read at all. */
  loaded: boolean;
  error: string | undefined;
  series: ReadonlyMap<string, SeriesView>;
  status: StatusView | undefined;
}

const STATUS_EVERY_MS = 3000;
/** A stream that the server has refused is not asked for again by the browser. */
const REOPEN_MS = 3000;

/** Many changes may come at once: the page is told once for all of them. */
const DRAW_EVERY_MS = 30;

const live = createStore<Live>(
  { connection: 'connecting', loaded: false, error: undefined, series: new Map(), status: undefined },
  DRAW_EVERY_MS,
);

function change(changes: Partial<Live>): void {
  live.set({ ...live.get(), ...changes });
}

/** Puts in what this page has just learned of a series by other ways. */
export function know(series: SeriesView): void {
  change({ series: new Map(live.get().series).set(series.series, series) });
}

function forget(uid: string): void {
  const series = new Map(live.get().series);
  if (series.delete(uid)) change({ series });
}

async function reload(): Promise<void> {
  try {
    const all = await listSeries();
    change({ loaded: true, error: undefined, series: new Map(all.map((series) => [series.series, series])) });
  } catch (error) {
    change({ error: (error as Error).message });
  }
}

async function readStatus(): Promise<void> {
  try {
    change({ status: await getStatus() });
  } catch {
    // The mark in the header says already that the connection is lost.
  }
}

function openStream(): void {
  const source = new EventSource(new URL('api/events', ROOT));
  source.addEventListener('hello', () => {
    change({ connection: 'live' });
    void reload();
    void readStatus();
  });
  source.addEventListener('series', (event) => know(JSON.parse(event.data as string) as SeriesView));
  source.addEventListener('gone', (event) =>
    forget((JSON.parse(event.data as string) as { series: string }).series),
  );
  source.addEventListener('error', () => {
    change({ connection: 'lost' });
    if (source.readyState === EventSource.CLOSED) setTimeout(openStream, REOPEN_MS);
  });
}

/** Follows the server until the page goes. */
export function follow(): void {
  openStream();
  setInterval(() => void readStatus(), STATUS_EVERY_MS);
}

export const useLive = (): Live => live.use();
