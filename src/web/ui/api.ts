/** The management API, as the page uses it. */
import type { ProvenanceView, ReviewView, SeriesView, SessionView, SliceView, StatusView } from '../views.js';

export type { AboutView, DestinationView, ImageView, ProvenanceView, ReviewView } from '../views.js';
export type { SeriesView, SessionView, SliceView, StatusView };

/** The page's own address is wherever a proxy puts it: everything is relative to it. */
export const ROOT = new URL(/\/reader-study\/[^/]*$/.test(location.pathname) ? '../' : './', location.href);

let unknown: () => void = () => undefined;

/** Has a listener told when the server does not know who asks. */
export function onUnknown(listener: () => void): void {
  unknown = listener;
}

async function ask<Answer>(path: string, init?: RequestInit): Promise<Answer> {
  const response = await fetch(new URL(path, ROOT), init).catch(() => {
    throw new Error('The server does not answer. Try again when the connection is back.');
  });
  if (response.status === 401) unknown();
  const body = (await response.json().catch(() => undefined)) as { error?: string } | undefined;
  if (!response.ok) throw new Error(body?.error ?? `The server answered ${response.status}.`);
  return body as Answer;
}

/** Sends JSON. */
export function post<Answer>(path: string, body?: unknown, method = 'POST'): Promise<Answer> {
  return ask(path, {
    method,
    ...(body !== undefined && {
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify(body),
    }),
  });
}

export const get = ask;

const LATEST = 200;
/** States in which a series may wait for somebody, however long it has been here. */
const OPEN_STATES = 'receiving,complete,corrected,failed';

/** The latest series, and of those before them the ones that are not done with. */
export async function listSeries(): Promise<SeriesView[]> {
  const [latest, open] = await Promise.all(
    [`limit=${LATEST}`, `limit=${LATEST}&state=${OPEN_STATES}`].map((query) =>
      ask<{ series: SeriesView[] }>(`api/series?${query}`),
    ),
  );
  return [...new Map([...latest!.series, ...open!.series].map((one) => [one.series, one])).values()];
}
export const getSeries = (uid: string) => ask<SeriesView>(`api/series/${uid}`);
export const getSlices = (uid: string) =>
  ask<{ slices: SliceView[]; provenance: ProvenanceView[] }>(`api/series/${uid}/slices`);
export const getReviews = (uid: string) =>
  ask<{ reviews: ReviewView[] }>(`api/series/${uid}/reviews`).then((body) => body.reviews);
export const getStatus = () => ask<StatusView>('api/status');
export const retrySeries = (uid: string) => post<unknown>(`api/series/${uid}/retry`);
/** Tries again what failed of every series that failed. @returns how many series */
export async function retryFailed(): Promise<number> {
  let count = 0;
  for (let after: number | undefined = 0; after !== undefined; ) {
    const some: { series: string[]; next?: number } = await post(`api/series/retry?after=${after}`);
    count += some.series.length;
    after = some.next;
  }
  return count;
}

export const reviewSeries = (uid: string, verdict: ReviewView['verdict'], comment: string) =>
  post<ReviewView>(`api/series/${uid}/reviews`, { verdict, comment });
