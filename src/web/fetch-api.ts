/** Series are asked for from other archives: `POST /fetch`, and what became of that. */
import express, { type Response, Router } from 'express';
import {
  byRequest,
  type Conditions,
  type Fetch,
  type Fetching,
  findSeries,
  type PullView,
  type Wanted,
} from '../fetch/index.js';

export interface FetchParts {
  fetching: Pick<Fetching, 'sources' | 'request' | 'get' | 'list'>;
  /** How the pull rules fare. */
  pulls(): PullView[];
}

/** What of a request's body says which series are meant, and the attribute that each is. */
const KEYS: Readonly<Record<string, string>> = {
  study: 'StudyInstanceUID',
  series: 'SeriesInstanceUID',
  accessionNumber: 'AccessionNumber',
  patientId: 'PatientID',
  studyDate: 'StudyDate',
  modality: 'Modality',
  seriesDescription: 'SeriesDescription',
};
/** One of these must be given: the others alone would fetch half an archive. */
const IDENTIFYING = ['study', 'series', 'accessionNumber', 'patientId'];
const PATTERNS: Readonly<Record<string, RegExp>> = {
  study: /^(?=.{1,64}$)\d+(\.\d+)*$/,
  series: /^(?=.{1,64}$)\d+(\.\d+)*$/,
  accessionNumber: /^(?!!)[^*?\\\p{Cc}]{1,64}$/u,
  patientId: /^(?!!)[^*?\\\p{Cc}]{1,64}$/u,
  studyDate: /^(\d{8}|\d{8}-|-\d{8}|\d{8}-\d{8})$/,
  modality: /^[A-Z0-9_ ]{1,16}$/,
  seriesDescription: /^(?!!)[^\\\p{Cc}]{1,64}$/u,
};
/** Series that one request may ask for. */
const MOST_SERIES = 1000;

function refuse(response: Response, status: number, error: string): void {
  response.status(status).json({ error });
}

type Asked = { source: string; given: Map<string, string> };

/** The request's body, or what is wrong with it. Values are not repeated: they may name a patient. */
function read(body: unknown, sources: ReadonlyMap<string, unknown>): Asked | string {
  if (typeof body !== 'object' || body === null || Array.isArray(body))
    return 'the body must be a JSON object';
  const { source, ...rest } = body as Record<string, unknown>;
  if (sources.size === 0) return 'nothing can be fetched: the configuration names no sources';
  if (typeof source !== 'string' || !sources.has(source))
    return `source must be one of ${[...sources.keys()].join(', ')}`;
  const given = new Map<string, string>();
  for (const [name, value] of Object.entries(rest)) {
    const pattern = PATTERNS[name];
    if (pattern === undefined) return `unknown key; known are source, ${Object.keys(KEYS).join(', ')}`;
    if (typeof value !== 'string' || !pattern.test(value))
      return `${name} does not have the form of its attribute`;
    given.set(name, value);
  }
  if (!IDENTIFYING.some((name) => given.has(name))) return `one of ${IDENTIFYING.join(', ')} must be given`;
  return { source, given };
}

/** UIDs alone need no question to the source: they are asked for even while it is down. */
function namedByUid({ source, given }: Asked): Wanted | undefined {
  const study = given.get('study');
  const series = given.get('series');
  if (study === undefined || given.size !== (series === undefined ? 1 : 2)) return undefined;
  return { source, study, ...(series !== undefined && { series }) };
}

/** Conditions compare exactly; what a person types has no wildcards but in a description. */
function conditionsOf({ given }: Asked): Conditions {
  return Object.fromEntries([...given].map(([name, value]) => [KEYS[name]!, [value]]));
}

/** `POST /fetch`, `GET /fetch`, `GET /fetch/{id}`, `GET /sources`. */
export function createFetchApi({ fetching, pulls }: FetchParts): Router {
  const router = Router();

  router.get('/sources', (_request, response) => {
    response.json({ sources: [...fetching.sources.keys()], pulls: pulls() });
  });

  router.get('/fetch', (request, response) => {
    const limit = Number(request.query.limit ?? 100);
    if (!Number.isInteger(limit) || limit < 1 || limit > 1000)
      return refuse(response, 400, 'limit must be a whole number from 1 to 1000');
    response.json({ fetches: fetching.list(limit) });
  });

  router.get('/fetch/:id', (request, response) => {
    const { id } = request.params;
    const fetch = /^\d{1,15}$/.test(id) ? fetching.get(Number(id)) : undefined;
    if (fetch === undefined) return refuse(response, 404, 'nothing was asked for under this number');
    response.json(fetch);
  });

  router.post('/fetch', express.json({ limit: '16kb' }), async (request, response) => {
    const asked = read(request.body, fetching.sources);
    if (typeof asked === 'string') return refuse(response, 400, asked);
    const named = namedByUid(asked);
    let wanted: Wanted[] = named === undefined ? [] : [named];
    if (named === undefined) {
      try {
        const found = await findSeries(fetching.sources.get(asked.source)!, conditionsOf(asked));
        wanted = found.map(({ study, series }) => ({ source: asked.source, study, series }));
      } catch (error) {
        return refuse(response, 502, error instanceof Error ? error.message : String(error));
      }
      if (wanted.length === 0) return refuse(response, 404, `${asked.source} has no series that matches`);
      if (wanted.length > MOST_SERIES)
        return refuse(response, 400, `${wanted.length} series match; narrow the request to ${MOST_SERIES}`);
    }
    const fetches: Fetch[] = await fetching.request(wanted, byRequest);
    response.status(202).json({ fetches });
  });

  return router;
}
