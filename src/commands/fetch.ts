import { setTimeout as delay } from 'node:timers/promises';
import type { Fetch } from '../fetch/index.js';
import { type FetchRequest, listFetches, requestFetch, type ServerAddress, showFetch } from '../web/index.js';
import { EXIT } from './failure.js';
import { table } from './table.js';

export interface FetchCommandOptions {
  source?: string;
  study?: string;
  series?: string;
  accession?: string;
  patient?: string;
  date?: string;
  modality?: string;
  description?: string;
  wait?: boolean;
  list?: boolean;
  url: string;
  token?: string;
  json?: boolean;
}

const pollMs = 500;

function show(fetches: readonly Fetch[], json: boolean | undefined): void {
  if (json) console.log(JSON.stringify(fetches));
  else if (fetches.length === 0) console.log('nothing was asked for');
  else {
    console.log(
      table(
        ['ID', 'SOURCE', 'SERIES', 'STATE', 'INSTANCES', 'BY', 'MESSAGE'],
        fetches.map(({ id, source, study, series, state, received, expected, requestedBy, message }) => [
          String(id),
          source,
          series ?? `all of study ${study}`,
          state,
          expected === undefined ? String(received) : `${received} of ${expected}`,
          requestedBy,
          message,
        ]),
      ),
    );
  }
}

function requestOf(o: FetchCommandOptions & { source: string }): FetchRequest {
  return {
    source: o.source,
    ...(o.study !== undefined && { study: o.study }),
    ...(o.series !== undefined && { series: o.series }),
    ...(o.accession !== undefined && { accessionNumber: o.accession }),
    ...(o.patient !== undefined && { patientId: o.patient }),
    ...(o.date !== undefined && { studyDate: o.date }),
    ...(o.modality !== undefined && { modality: o.modality }),
    ...(o.description !== undefined && { seriesDescription: o.description }),
  };
}

/** Until all are fetched or failed. A whole study is done when its series are asked for: those are waited for, too. */
async function finished(server: ServerAddress, fetches: readonly Fetch[]): Promise<Fetch[]> {
  const open = (fetch: Fetch) => fetch.state === 'waiting' || fetch.state === 'fetching';
  const done = new Map<number, Fetch>();
  let waiting = [...fetches];
  while (waiting.length > 0) {
    const now = await Promise.all(waiting.map(({ id }) => showFetch(server, id)));
    for (const fetch of now) if (!open(fetch)) done.set(fetch.id, fetch);
    const studies = now.filter((fetch) => !open(fetch) && fetch.series === undefined);
    const parts =
      studies.length === 0
        ? []
        : (await listFetches(server, 1000)).filter(
            (fetch) =>
              !done.has(fetch.id) &&
              studies.some(({ source, study }) => fetch.source === source && fetch.study === study),
          );
    waiting = [...now.filter(open), ...parts];
    if (waiting.length > 0) await delay(pollMs);
  }
  return [...done.values()];
}

/** `mcnet fetch`: asks a running server to fetch series from a source; 1 when one of them failed. */
export async function fetchSeries(o: FetchCommandOptions): Promise<number> {
  if (o.list) {
    show(await listFetches(o, 100), o.json);
    return EXIT.ok;
  }
  if (o.source === undefined) {
    console.error('mcnet: --source is missing; expected the name of a source of the server');
    return EXIT.usage;
  }
  const asked = await requestFetch(o, requestOf({ ...o, source: o.source }));
  const result = o.wait ? await finished(o, asked) : asked;
  show(result, o.json);
  return result.some(({ state }) => state === 'failed') ? EXIT.failed : EXIT.ok;
}
