import type { SeriesView, StatusView } from './views.js';

/** A running server did not do what it was asked; the message is a sentence for the person who asked. */
export class ClientError extends Error {
  override name = 'ClientError';
}

const TIMEOUT_MS = 30_000;

/** A running server, and the token that it asks for. */
export interface ServerAddress {
  url: string;
  token?: string;
}

/** @throws ClientError */
export async function ask<Answer>(
  { url: server, token }: ServerAddress,
  path: string,
  method: 'GET' | 'POST' = 'GET',
  body?: unknown,
): Promise<Answer> {
  let url: URL;
  try {
    url = new URL(path, server);
  } catch {
    throw new ClientError(`"${server}" is not an address; expected something like http://127.0.0.1:8080`);
  }
  let response: Response;
  let text: string;
  try {
    response = await fetch(url, {
      method,
      headers: {
        Accept: 'application/json',
        ...(token !== undefined && { Authorization: `Bearer ${token}` }),
        ...(body !== undefined && { 'Content-Type': 'application/json' }),
      },
      signal: AbortSignal.timeout(TIMEOUT_MS),
      redirect: 'error',
      ...(body !== undefined && { body: JSON.stringify(body) }),
    });
    text = await response.text();
  } catch (error) {
    const cause = error instanceof Error ? (error.cause as { code?: string } | undefined) : undefined;
    const why = cause?.code ?? (error instanceof Error ? error.message : String(error));
    throw new ClientError(
      `no server answers at ${server} (${why}); start it with "mcnet serve", or name it by --url`,
    );
  }
  let answer: unknown;
  try {
    answer = JSON.parse(text);
  } catch {
    throw new ClientError(
      `${server} is not an MC-Net server: ${path} answered ${response.status} without JSON`,
    );
  }
  if (response.ok) return answer as Answer;
  const error = (answer as { error?: unknown } | null)?.error;
  throw new ClientError(
    typeof error === 'string' ? error : `${server} answered ${response.status} to ${path}`,
  );
}

/** Series, the latest first. @throws ClientError */
export async function listSeries(
  server: ServerAddress,
  filter: { state?: readonly string[]; limit?: number } = {},
): Promise<SeriesView[]> {
  const query = new URLSearchParams();
  if (filter.state && filter.state.length > 0) query.set('state', filter.state.join(','));
  if (filter.limit !== undefined) query.set('limit', String(filter.limit));
  const { series } = await ask<{ series: SeriesView[] }>(server, `/api/series?${query}`);
  return series;
}

/** One series. @throws ClientError */
export function showSeries(server: ServerAddress, series: string): Promise<SeriesView> {
  return ask(server, `/api/series/${encodeURIComponent(series)}`);
}

/** Does again what failed of a series. @returns how much, by kind. @throws ClientError */
export async function retrySeries(
  server: ServerAddress,
  series: string,
): Promise<Readonly<Record<string, number>>> {
  const path = `/api/series/${encodeURIComponent(series)}/retry`;
  const { retried } = await ask<{ retried: Record<string, number> }>(server, path, 'POST');
  return retried;
}

/**
 * Does again what failed of every series that failed.
 * @returns the series, and how much by kind
 * @throws ClientError
 */
export async function retryFailedSeries(
  server: ServerAddress,
): Promise<{ series: string[]; retried: Readonly<Record<string, number>> }> {
  const series: string[] = [];
  const retried: Record<string, number> = {};
  for (let after: number | undefined = 0; after !== undefined; ) {
    const some: { series: string[]; retried: Record<string, number>; next?: number } = await ask(
      server,
      `/api/series/retry?after=${after}`,
      'POST',
    );
    series.push(...some.series);
    for (const [kind, count] of Object.entries(some.retried)) retried[kind] = (retried[kind] ?? 0) + count;
    after = some.next;
  }
  return { series, retried };
}

/** The server as a whole. @throws ClientError */
export function serverStatus(server: ServerAddress): Promise<StatusView> {
  return ask(server, '/api/status');
}
