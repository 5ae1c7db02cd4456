import { json, type Request, type Response, Router } from 'express';
import {
  type Answer,
  type ReaderStudies,
  type ReaderStudy,
  ratingsCsv,
  resultsOf,
  SCORES,
  type Scores,
  statisticsCsv,
} from '../reader-study/index.js';
import { discloses } from './disclosure.js';
import { windowOf } from './preview.js';
import { loggedInName, readerName } from './principal.js';
import type { CaseView, ImageView, ReaderStudyView, SeriesView, SliceView } from './views.js';

/** What the rating page asks the rest of the server. */
export interface ReaderStudyParts {
  studies: ReaderStudies;
  series: { get(series: string): SeriesView | undefined };
  slices(series: string): SliceView[] | Promise<SliceView[] | undefined> | undefined;
  /** Stored values of one frame (from 1); undefined when there is none. */
  pixels(
    instance: number,
    of: 'source' | 'derived',
    frame: number,
  ): Promise<Uint8Array | Int8Array | Uint16Array | Int16Array | undefined>;
}

const BODY_BYTES = 64 * 1024;
const MAX_CASES = 500;
const MAX_SECONDS = 24 * 3600;
const COMMENT_LENGTH = 2000;
const READER = /^[\p{L}\p{N}][\p{L}\p{N} ._@-]{0,63}$/u;

function refuse(response: Response, status: number, error: string): void {
  response.status(status).json({ error });
}

/** Who rates: who has logged in, or, where nobody has to, the name that the page was given. */
function readerOf(request: Request, response: Response): string | undefined {
  const name = loggedInName(response);
  if (name !== undefined) return name;
  const { reader } = request.query;
  return typeof reader === 'string' && READER.test(reader) ? reader : undefined;
}

function scoresOf(value: unknown): Scores | undefined {
  if (typeof value !== 'object' || value === null) return undefined;
  const scores = value as Record<string, unknown>;
  const good = SCORES.every(
    (score) => Number.isInteger(scores[score]) && [1, 2, 3, 4, 5].includes(scores[score] as number),
  );
  return good ? (Object.fromEntries(SCORES.map((score) => [score, scores[score]])) as Scores) : undefined;
}

function answerOf(body: unknown): Answer | undefined {
  const { preferred, left, right, comment = '', seconds = 0 } = (body ?? {}) as Record<string, unknown>;
  const [ofLeft, ofRight] = [scoresOf(left), scoresOf(right)];
  if (preferred !== 'left' && preferred !== 'right' && preferred !== 'equal') return undefined;
  if (!ofLeft || !ofRight || typeof comment !== 'string' || comment.length > COMMENT_LENGTH) return undefined;
  if (typeof seconds !== 'number' || !(seconds >= 0)) return undefined;
  return { preferred, left: ofLeft, right: ofRight, comment, seconds: Math.min(seconds, MAX_SECONDS) };
}

/** One frame after the other, where both sides have it. */
function framesOf(slices: readonly SliceView[]): { slice: SliceView; image: ImageView; frame: number }[] {
  return slices.flatMap((slice) => {
    const { image } = slice;
    if (!image || !slice.derived) return [];
    return Array.from({ length: slice.frames }, (_, index) => ({ slice, image, frame: index + 1 }));
  });
}

/** `/reader-studies` and what is below: for readers, and (`POST`, results) for who runs the study. */
export function createReaderStudyApi(parts: ReaderStudyParts): Router {
  const router = Router();
  const { studies } = parts;

  router.param('id', (request, response, next) => {
    if (studies.get(String(request.params.id))) next();
    else refuse(response, 404, 'there is no such reader study');
  });
  const studyOf = (request: Request): ReaderStudy => studies.get(String(request.params.id))!;

  router.get('/reader-studies', (request, response) => {
    const reader = readerOf(request, response);
    response.json({
      // Whom the server knows; null: the page has to ask.
      reader: loggedInName(response) ?? null,
      studies: studies.list().map(
        ({ id, name, cases }): ReaderStudyView => ({
          id,
          name,
          cases: cases.length,
          rated: reader === undefined ? 0 : studies.rated(id, reader),
        }),
      ),
    });
  });

  router.post('/reader-studies', json({ limit: BODY_BYTES }), async (request, response) => {
    const { name, series } = (request.body ?? {}) as Record<string, unknown>;
    if (typeof name !== 'string' || name.trim() === '' || name.length > 100)
      return refuse(response, 400, 'name must be a text of 1 to 100 characters');
    if (!Array.isArray(series) || series.length === 0 || series.length > MAX_CASES)
      return refuse(response, 400, `series must be a list of 1 to ${MAX_CASES} Series Instance UIDs`);
    const found = [...new Set(series as unknown[])].map((uid) => parts.series.get(String(uid)));
    if (found.some((view) => view === undefined || view.counts.corrected === 0))
      return refuse(response, 400, 'every series must be known here and corrected');
    const created = await studies.create({
      name: name.trim(),
      createdBy: readerName(response),
      series: found.map((view) => ({ study: view!.study, series: view!.series })),
    });
    response.status(201).json({ id: created.id, name: created.name, cases: created.cases.length, rated: 0 });
  });

  router.get('/reader-studies/:id/results', (request, response) => {
    const ratings = studies.ratings(studyOf(request).id);
    response.json({ ratings: ratings.length, ...resultsOf(ratings) });
  });
  router.get('/reader-studies/:id/ratings.csv', (request, response) => {
    const { id } = studyOf(request);
    response
      .attachment(`ratings-${id}.csv`)
      .type('text/csv')
      .send(ratingsCsv(studies.ratings(id)));
  });
  router.get('/reader-studies/:id/statistics.csv', (request, response) => {
    const { id } = studyOf(request);
    response
      .attachment(`statistics-${id}.csv`)
      .type('text/csv')
      .send(statisticsCsv(resultsOf(studies.ratings(id))));
  });

  router.get('/reader-studies/:id/next', async (request, response) => {
    const reader = readerOf(request, response);
    if (reader === undefined) return refuse(response, 400, 'reader must be a name of 1 to 64 characters');
    const { id, name, cases } = studyOf(request);
    const counts = { name, cases: cases.length, rated: studies.rated(id, reader) };
    const turn = studies.next(id, reader);
    const about = turn && studies.turn(id, reader, turn.token);
    if (!turn || !about) return void response.json({ ...counts, case: null });
    discloses(response, (to, who) => to.viewed(who, { study: about.study, series: about.series }));
    const frames = framesOf((await parts.slices(about.series)) ?? []);
    const middle = frames[Math.floor(frames.length / 2)];
    if (!middle) return refuse(response, 409, 'the next case has no corrected slices any more');
    const { slope, intercept, window } = middle.image.frames[middle.frame - 1]!;
    const pixels = window ? undefined : await parts.pixels(middle.slice.id, 'source', middle.frame);
    const grey = pixels && windowOf(pixels);
    const view: CaseView = {
      token: turn.token,
      slices: frames.map(({ slice, image, frame }) => ({
        ...(slice.position !== undefined && { position: slice.position }),
        image: { ...image, frames: [image.frames[frame - 1]!] },
      })),
      window: window ?? {
        center: ((grey!.low + grey!.high) / 2) * slope + intercept,
        width: Math.max(1, (grey!.high - grey!.low) * Math.abs(slope)),
      },
    };
    response.json({ ...counts, case: view });
  });

  router.get('/reader-studies/:id/cases/:token/:side/:index', async (request, response) => {
    const { token, side, index } = request.params;
    const reader = readerOf(request, response);
    const turn = reader === undefined ? undefined : studies.turn(studyOf(request).id, reader, String(token));
    if (!turn || (side !== 'left' && side !== 'right')) return refuse(response, 404, 'there is no such case');
    const at = framesOf((await parts.slices(turn.series)) ?? [])[Number(index)];
    const of = side === turn.correctedSide ? 'derived' : 'source';
    const pixels = at && (await parts.pixels(at.slice.id, of, at.frame));
    if (!pixels) return refuse(response, 404, 'there is no such slice');
    discloses(response, (to, who) => to.viewed(who, { study: turn.study, series: turn.series }));
    response.set('Content-Type', 'application/octet-stream');
    response.send(Buffer.from(pixels.buffer, pixels.byteOffset, pixels.byteLength));
  });

  router.post('/reader-studies/:id/cases/:token', json({ limit: BODY_BYTES }), async (request, response) => {
    const reader = readerOf(request, response);
    const { id } = studyOf(request);
    const turn = reader === undefined ? undefined : studies.turn(id, reader, String(request.params.token));
    if (reader === undefined || !turn) return refuse(response, 404, 'there is no such case');
    const answer = answerOf(request.body);
    if (!answer)
      return refuse(response, 400, 'preferred, and scores from 1 to 5 for both sides, must be given');
    await studies.rate(id, reader, turn, answer);
    discloses(response, (to, who) => to.acted(who, 'rate', turn.series));
    response.status(201).json({ rated: studies.rated(id, reader) });
  });

  return router;
}
