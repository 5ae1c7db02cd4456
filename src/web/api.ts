import { json, type Request, type Response, Router } from 'express';
import { encodePng, type Picture } from '../dicomweb/index.js';
import { COMMENT_LENGTH } from '../series/index.js';
import { principalOf } from './access-guard.js';
import { openApiDocument } from './openapi/index.js';
import { PREVIEWS, type PreviewKind } from './preview.js';
import { readerName } from './principal.js';
import {
  type ConfigurationView,
  type ProvenanceView,
  type ReviewView,
  SERIES_STATES,
  type SeriesView,
  type SliceView,
  type StatusView,
} from './views.js';

/** What the management API asks the rest of the server. UIDs that arrive here have a UID's form. */
export interface ApiParts {
  series: {
    list(filter: { state?: readonly SeriesView['state'][]; limit: number; offset: number }): SeriesView[];
    get(series: string): SeriesView | undefined;
  };
  /** Received instances in spatial order; undefined for a series that is not known. */
  slices(series: string): SliceView[] | Promise<SliceView[] | undefined> | undefined;
  /** How each derived series of a series came about. */
  provenance(series: string): Promise<ProvenanceView[] | undefined>;
  /** Does again what failed; returns how much by kind, undefined for a series that is not known. */
  retry(series: string): Promise<Readonly<Record<string, number>> | undefined>;
  /** The same for so many of the series that failed, from the one behind `after` on; `next` when there are more. */
  retryFailed(
    after: number,
    limit: number,
  ): Promise<{ series: string[]; retried: Readonly<Record<string, number>>; next?: number }>;
  /** Keeps a review for good; undefined for a series that is not known. */
  review(
    series: string,
    review: Pick<ReviewView, 'verdict' | 'comment' | 'reviewer'>,
  ): Promise<ReviewView | undefined>;
  /** All reviews, the latest first; also of a series that was removed. */
  reviews(series: string): ReviewView[] | undefined;
  status(): StatusView | Promise<StatusView>;
  /** Absent where the server was started without a configuration file. */
  configuration?: { state(): ConfigurationView; reload(why: string): ConfigurationView } | undefined;
  /** One frame (from 1) of an instance as a picture; undefined when there is none. */
  preview(instance: number, of: PreviewKind, frame: number): Promise<Picture | undefined>;
}

const BODY_BYTES = 16 * 1024;
/** Series in one answer: bounds how long somebody waits for it. */
const RETRIED_AT_A_TIME = 200;

function refuse(response: Response, status: number, error: string): void {
  response.status(status).json({ error });
}

/** A whole number of a query, the default when absent, undefined when it is no number in range. */
function wholeNumber(value: unknown, otherwise: number, min: number, max: number): number | undefined {
  if (value === undefined) return otherwise;
  if (typeof value !== 'string' || !/^\d{1,9}$/.test(value)) return undefined;
  const number = Number(value);
  return number >= min && number <= max ? number : undefined;
}

function statesOf(value: unknown): readonly SeriesView['state'][] | undefined {
  if (value === undefined) return SERIES_STATES;
  if (typeof value !== 'string') return undefined;
  const names = value.split(',');
  const states = SERIES_STATES.filter((state) => names.includes(state));
  return states.length === new Set(names).size ? states : undefined;
}

/** PS3.5 9.1, leading zeros let pass. */
function uidOf(request: Request): string | undefined {
  const { series } = request.params;
  return typeof series === 'string' && series.length <= 64 && /^\d+(\.\d+)*$/.test(series)
    ? series
    : undefined;
}

/** `/series`, `/series/{uid}`, its slices and retry, `/instances/{id}/preview.png`, `/status`. */
export function createApi(parts: ApiParts): Router {
  const router = Router();

  router.get('/series', (request, response) => {
    const state = statesOf(request.query.state);
    const limit = wholeNumber(request.query.limit, 100, 1, 1000);
    const offset = wholeNumber(request.query.offset, 0, 0, 999_999_999);
    if (!state) return refuse(response, 400, `state must be one or more of ${SERIES_STATES.join(', ')}`);
    if (limit === undefined) return refuse(response, 400, 'limit must be a whole number from 1 to 1000');
    if (offset === undefined) return refuse(response, 400, 'offset must be a whole number');
    const filter = request.query.state === undefined ? {} : { state };
    response.json({ series: parts.series.list({ ...filter, limit, offset }) });
  });

  router.post('/series/retry', async (request, response) => {
    const after = wholeNumber(request.query.after, 0, 0, 999_999_999);
    if (after === undefined) return refuse(response, 400, 'after must be a whole number');
    const answer = await parts.retryFailed(after, RETRIED_AT_A_TIME);
    response.locals.series = answer.series;
    response.status(202).json(answer);
  });

  router.param('series', (request, response, next) => {
    if (uidOf(request) !== undefined) next();
    else refuse(response, 400, 'the Series Instance UID in the address is not a UID');
  });

  router.get('/series/:series', (request, response) => {
    const view = parts.series.get(uidOf(request)!);
    if (view) response.json(view);
    else refuse(response, 404, `no series ${uidOf(request)} is known here`);
  });

  router.get('/series/:series/slices', async (request, response) => {
    const series = uidOf(request)!;
    const [slices, provenance] = await Promise.all([parts.slices(series), parts.provenance(series)]);
    if (slices) response.json({ slices, provenance });
    else refuse(response, 404, `no series ${series} is known here`);
  });

  router.post('/series/:series/retry', async (request, response) => {
    const retried = await parts.retry(uidOf(request)!);
    if (retried) response.status(202).json({ retried });
    else refuse(response, 404, `no series ${uidOf(request)} is known here`);
  });

  router.get('/series/:series/reviews', (request, response) => {
    const reviews = parts.reviews(uidOf(request)!);
    if (reviews) response.json({ reviews });
    else refuse(response, 404, `no series ${uidOf(request)} is known here`);
  });

  router.post('/series/:series/reviews', json({ limit: BODY_BYTES }), async (request, response) => {
    const { verdict, comment = '' } = (request.body ?? {}) as Record<string, unknown>;
    if (verdict !== 'accepted' && verdict !== 'rejected')
      return refuse(response, 400, 'verdict must be accepted or rejected');
    if (typeof comment !== 'string' || comment.length > COMMENT_LENGTH)
      return refuse(response, 400, `comment must be a text of at most ${COMMENT_LENGTH} characters`);
    const reviewer = readerName(response);
    const review = await parts.review(uidOf(request)!, { verdict, comment, reviewer });
    if (review) response.status(201).json(review);
    else refuse(response, 404, `no series ${uidOf(request)} is known here`);
  });

  router.get('/instances/:instance/preview.png', async (request, response) => {
    const instance = wholeNumber(request.params.instance, 0, 1, 999_999_999);
    const of = PREVIEWS.find((kind) => kind === (request.query.of ?? 'source'));
    const frame = wholeNumber(request.query.frame, 1, 1, 100_000);
    if (instance === undefined) return refuse(response, 400, 'the instance in the address is not a number');
    if (!of) return refuse(response, 400, `of must be one of ${PREVIEWS.join(', ')}`);
    if (frame === undefined) return refuse(response, 400, 'frame must be a whole number from 1');
    const picture = await parts.preview(instance, of, frame);
    if (!picture) return refuse(response, 404, `there is no ${of} picture of this instance`);
    // Pixels of an instance never change: another version of it has another id. A derived one may still come.
    response.set(
      'Cache-Control',
      of === 'source' ? 'private, max-age=3600, immutable' : 'private, max-age=60',
    );
    response.type('png').send(await encodePng(picture));
  });

  const description = openApiDocument();
  router.get('/openapi.json', (_request, response) => {
    response.json(description);
  });

  const noFile = 'the server was started without a configuration file';

  router.get('/configuration', (_request, response) => {
    if (parts.configuration) response.json(parts.configuration.state());
    else refuse(response, 404, noFile);
  });

  router.post('/configuration/reload', (_request, response) => {
    if (!parts.configuration) return refuse(response, 404, noFile);
    const who = principalOf(response)?.name;
    const state = parts.configuration.reload(`asked for by ${who}`);
    response.status(state.problem === undefined ? 200 : 422).json(state);
  });

  router.get('/status', async (_request, response) => {
    response.json(await parts.status());
  });

  return router;
}
