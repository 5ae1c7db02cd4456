async function ask(path, options) {
  const response = await fetch(path, options);
  const body = await response.json().catch(() => undefined);
  if (!response.ok) throw new Error(body?.error ?? `The server answered ${response.status}.`);
  return body;
}

export const listSeries = () => ask('api/series?limit=200').then((body) => body.series);
export const getSeries = (uid) => ask(`api/series/${uid}`);
export const getSlices = (uid) => ask(`api/series/${uid}/slices`).then((body) => body.slices);
export const getStatus = () => ask('api/status');
export const retry = (uid) => ask(`api/series/${uid}/retry`, { method: 'POST' });
export const previewUrl = (instance, of, frame = 1) =>
  `api/instances/${instance}/preview.png?of=${of}&frame=${frame}`;

/**
 * Follows the changes of series until the page goes.
 * @param {{ series(view: object): void, connected(): void, lost(): void }} on `connected` also after each interruption
 */
export function follow(on) {
  const source = new EventSource('api/events');
  source.addEventListener('hello', () => on.connected());
  source.addEventListener('series', (event) => on.series(JSON.parse(event.data)));
  source.addEventListener('error', () => on.lost());
}
