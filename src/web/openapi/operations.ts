import type { z } from 'zod';
import { SCORES } from '../../reader-study/index.js';
import { COMMENT_LENGTH } from '../../series/index.js';
import { PREVIEWS } from '../preview.js';
import { SERIES_STATES } from '../views.js';
import {
  configurationView,
  failure,
  fetchList,
  fetchView,
  nextCase,
  rated,
  readerStudyList,
  readerStudyView,
  readiness,
  retried,
  retriedFailed,
  reviewList,
  reviewView,
  seriesList,
  seriesView,
  session,
  sliceList,
  sourceList,
  statusView,
  studyResults,
} from './schemas.js';

/** What an operation answers with a status: JSON by a schema, or another media type. */
export type Answer = { description: string } & ({ schema: z.ZodType } | { mediaType: string } | object);

export interface Parameter {
  name: string;
  in: 'path' | 'query';
  description: string;
  schema: Readonly<Record<string, unknown>>;
}

export interface Operation {
  method: 'GET' | 'POST';
  /** As express has it. */
  path: string;
  summary: string;
  parameters?: readonly Parameter[];
  /** Media type and schema of the request's body. */
  body?: { mediaType: string; schema: Readonly<Record<string, unknown>> };
  answers: Readonly<Record<number, Answer>>;
}

const query = (name: string, description: string, schema: Parameter['schema']): Parameter => ({
  name,
  in: 'query',
  description,
  schema,
});
const seriesUid: Parameter = {
  name: 'series',
  in: 'path',
  description: 'Series Instance UID.',
  schema: { type: 'string', maxLength: 64, pattern: '^\\d+(\\.\\d+)*$' },
};
const text = { type: 'string' } as const;
const studyId: Parameter = { name: 'id', in: 'path', description: 'The study.', schema: text };
const caseToken: Parameter = { name: 'token', in: 'path', description: 'The case.', schema: text };
const reader = query('reader', 'Who rates, where nobody logs in.', { type: 'string', maxLength: 64 });
const noStudy: Answer = { description: 'There is no such reader study.', schema: failure };
const noCase: Answer = { description: 'There is no such study, case or slice.', schema: failure };
const scores = {
  type: 'object',
  required: [...SCORES],
  properties: Object.fromEntries(SCORES.map((score) => [score, { type: 'integer', minimum: 1, maximum: 5 }])),
};
const malformed: Answer = { description: 'A parameter is not what it should be.', schema: failure };
const unknown: Answer = { description: 'There is no such series.', schema: failure };
const page = (description: string): Answer => ({ description, mediaType: 'text/html' });

/** Every operation of the management API, of the health checks and of the login. */
export const OPERATIONS: readonly Operation[] = [
  {
    method: 'GET',
    path: '/healthz',
    summary: 'The process answers.',
    answers: { 200: { description: 'It does.', mediaType: 'text/plain' } },
  },
  {
    method: 'GET',
    path: '/readyz',
    summary: 'The server can do its work, part by part.',
    answers: {
      200: { description: 'It can.', schema: readiness },
      503: { description: 'It cannot; the checks say why.', schema: readiness },
    },
  },
  {
    method: 'GET',
    path: '/metrics',
    summary: 'Metrics for Prometheus.',
    answers: { 200: { description: 'Prometheus text format 0.0.4.', mediaType: 'text/plain' } },
  },
  {
    method: 'GET',
    path: '/login',
    summary: 'The login page.',
    parameters: [query('next', 'Where to go on, a path of this server.', { type: 'string' })],
    answers: { 200: page('The form.'), 303: { description: 'Nobody has to log in here.' } },
  },
  {
    method: 'POST',
    path: '/login',
    summary: 'Logs a person in by name and password.',
    body: {
      mediaType: 'application/x-www-form-urlencoded',
      schema: {
        type: 'object',
        required: ['name', 'password'],
        properties: { name: { type: 'string' }, password: { type: 'string' }, next: { type: 'string' } },
      },
    },
    answers: {
      303: { description: 'Logged in; a cookie holds the session.' },
      400: page('Name or password is missing.'),
      401: page('They do not fit.'),
      403: page('Not asked for by this page.'),
      404: page('Passwords are not used here.'),
      429: page('Too many attempts.'),
      503: page('Too many people are logging in.'),
    },
  },
  {
    method: 'GET',
    path: '/login/start',
    summary: 'Leads to the OpenID Connect issuer.',
    parameters: [query('next', 'Where to go on, a path of this server.', { type: 'string' })],
    answers: {
      303: { description: 'To the issuer.' },
      404: page('No issuer is configured.'),
      429: page('Too many attempts.'),
      502: page('The issuer does not answer.'),
    },
  },
  {
    method: 'GET',
    path: '/login/callback',
    summary: 'Where the OpenID Connect issuer leads back to.',
    parameters: [
      query('code', 'Authorization code.', { type: 'string' }),
      query('state', 'As it was given to the issuer.', { type: 'string' }),
    ],
    answers: {
      303: { description: 'Logged in; a cookie holds the session.' },
      401: page('The issuer does not vouch, or the person has no role here.'),
      404: page('No issuer is configured.'),
    },
  },
  {
    method: 'POST',
    path: '/logout',
    summary: 'Ends the session.',
    answers: {
      303: { description: 'To the login page.' },
      403: { description: 'Not asked for by a page of this server.', schema: failure },
    },
  },
  {
    method: 'GET',
    path: '/api/session',
    summary: 'Who sends this request.',
    answers: { 200: { description: 'Name and role, where they are known.', schema: session } },
  },
  {
    method: 'GET',
    path: '/api/openapi.json',
    summary: 'This description.',
    answers: { 200: { description: 'OpenAPI 3.1.', mediaType: 'application/json' } },
  },
  {
    method: 'GET',
    path: '/api/events',
    summary:
      'Changes of series as server-sent events: event "series", data as of /api/series/{series}; event "gone", data its UID as "series".',
    answers: {
      200: { description: 'A stream without an end.', mediaType: 'text/event-stream' },
      503: { description: 'Too many streams are open.', schema: failure },
    },
  },
  {
    method: 'GET',
    path: '/api/series',
    summary: 'Series, the latest first.',
    parameters: [
      query('state', `One or more of ${SERIES_STATES.join(', ')}, separated by comma.`, { type: 'string' }),
      query('limit', 'At most so many.', { type: 'integer', minimum: 1, maximum: 1000, default: 100 }),
      query('offset', 'Leave out so many.', { type: 'integer', minimum: 0, default: 0 }),
    ],
    answers: { 200: { description: 'The series.', schema: seriesList }, 400: malformed },
  },
  {
    method: 'POST',
    path: '/api/series/retry',
    summary: 'Tries again now what failed of the series that failed, some at a time.',
    parameters: [
      query('after', 'Go on behind: `next` of the answer before.', {
        type: 'integer',
        minimum: 0,
        default: 0,
      }),
    ],
    answers: { 202: { description: 'They are tried.', schema: retriedFailed }, 400: malformed },
  },
  {
    method: 'GET',
    path: '/api/series/:series',
    summary: 'One series.',
    parameters: [seriesUid],
    answers: { 200: { description: 'The series.', schema: seriesView }, 400: malformed, 404: unknown },
  },
  {
    method: 'GET',
    path: '/api/series/:series/slices',
    summary: 'The instances of a series, in spatial order.',
    parameters: [seriesUid],
    answers: { 200: { description: 'The instances.', schema: sliceList }, 400: malformed, 404: unknown },
  },
  {
    method: 'POST',
    path: '/api/series/:series/retry',
    summary: 'Tries again now what failed or waits.',
    parameters: [seriesUid],
    answers: { 202: { description: 'It is tried.', schema: retried }, 400: malformed, 404: unknown },
  },
  {
    method: 'GET',
    path: '/api/series/:series/reviews',
    summary: 'What people decided who looked at a series, the latest first.',
    parameters: [seriesUid],
    answers: { 200: { description: 'The reviews.', schema: reviewList }, 400: malformed, 404: unknown },
  },
  {
    method: 'POST',
    path: '/api/series/:series/reviews',
    summary: 'Accepts or rejects a series.',
    parameters: [seriesUid],
    body: {
      mediaType: 'application/json',
      schema: {
        type: 'object',
        required: ['verdict'],
        properties: {
          verdict: { type: 'string', enum: ['accepted', 'rejected'] },
          comment: { type: 'string', maxLength: COMMENT_LENGTH },
        },
      },
    },
    answers: { 201: { description: 'It is kept.', schema: reviewView }, 400: malformed, 404: unknown },
  },
  {
    method: 'GET',
    path: '/api/reader-studies',
    summary: 'The reader studies.',
    parameters: [reader],
    answers: { 200: { description: 'The studies.', schema: readerStudyList } },
  },
  {
    method: 'POST',
    path: '/api/reader-studies',
    summary: 'Begins a reader study of corrected series.',
    body: {
      mediaType: 'application/json',
      schema: {
        type: 'object',
        required: ['name', 'series'],
        properties: {
          name: { type: 'string', minLength: 1, maxLength: 100 },
          series: { type: 'array', minItems: 1, maxItems: 500, items: text },
        },
      },
    },
    answers: { 201: { description: 'It can be rated.', schema: readerStudyView }, 400: malformed },
  },
  {
    method: 'GET',
    path: '/api/reader-studies/:id/next',
    summary: 'The next case of a reader, blinded.',
    parameters: [studyId, reader],
    answers: {
      200: { description: 'The case.', schema: nextCase },
      400: malformed,
      404: noStudy,
      409: { description: 'The next case has no corrected slices any more.', schema: failure },
    },
  },
  {
    method: 'GET',
    path: '/api/reader-studies/:id/cases/:token/:side/:index',
    summary: 'Stored values of one slice, row by row, little endian.',
    parameters: [
      studyId,
      caseToken,
      {
        name: 'side',
        in: 'path',
        description: 'Of the screen.',
        schema: { type: 'string', enum: ['left', 'right'] },
      },
      {
        name: 'index',
        in: 'path',
        description: 'Of the slice, from 0.',
        schema: { type: 'integer', minimum: 0 },
      },
    ],
    answers: { 200: { description: 'The values.', mediaType: 'application/octet-stream' }, 404: noCase },
  },
  {
    method: 'POST',
    path: '/api/reader-studies/:id/cases/:token',
    summary: 'Rates a case.',
    parameters: [studyId, caseToken, reader],
    body: {
      mediaType: 'application/json',
      schema: {
        type: 'object',
        required: ['preferred', 'left', 'right'],
        properties: {
          preferred: { type: 'string', enum: ['left', 'right', 'equal'] },
          left: scores,
          right: scores,
          comment: text,
          seconds: { type: 'number', minimum: 0 },
        },
      },
    },
    answers: { 201: { description: 'It is kept.', schema: rated }, 400: malformed, 404: noCase },
  },
  {
    method: 'GET',
    path: '/api/reader-studies/:id/results',
    summary: 'Agreement of the readers, paired tests and preferences.',
    parameters: [studyId],
    answers: { 200: { description: 'The results.', schema: studyResults }, 404: noStudy },
  },
  {
    method: 'GET',
    path: '/api/reader-studies/:id/ratings.csv',
    summary: 'Every rating.',
    parameters: [studyId],
    answers: { 200: { description: 'A row each.', mediaType: 'text/csv' }, 404: noStudy },
  },
  {
    method: 'GET',
    path: '/api/reader-studies/:id/statistics.csv',
    summary: 'The results as a table.',
    parameters: [studyId],
    answers: { 200: { description: 'The table.', mediaType: 'text/csv' }, 404: noStudy },
  },
  {
    method: 'GET',
    path: '/api/instances/:instance/preview.png',
    summary: 'A picture of one frame.',
    parameters: [
      {
        name: 'instance',
        in: 'path',
        description: 'The id of a slice.',
        schema: { type: 'integer', minimum: 1, maximum: 999_999_999 },
      },
      query('of', 'Which picture.', { type: 'string', enum: [...PREVIEWS], default: 'source' }),
      query('frame', 'From 1.', { type: 'integer', minimum: 1, maximum: 100_000, default: 1 }),
    ],
    answers: {
      200: { description: 'The picture.', mediaType: 'image/png' },
      400: malformed,
      404: { description: 'There is no such picture.', schema: failure },
    },
  },
  {
    method: 'GET',
    path: '/api/status',
    summary: 'The server as a whole.',
    answers: { 200: { description: 'Its state.', schema: statusView } },
  },
  {
    method: 'GET',
    path: '/api/sources',
    summary: 'The archives that series can be fetched from, and how the pull rules fare.',
    answers: { 200: { description: 'The sources.', schema: sourceList } },
  },
  {
    method: 'GET',
    path: '/api/fetch',
    summary: 'What was asked for, the latest first.',
    parameters: [
      query('limit', 'At most so many.', { type: 'integer', minimum: 1, maximum: 1000, default: 100 }),
    ],
    answers: { 200: { description: 'The fetches.', schema: fetchList }, 400: malformed },
  },
  {
    method: 'GET',
    path: '/api/fetch/:id',
    summary: 'What became of one fetch.',
    parameters: [
      { name: 'id', in: 'path', description: 'Its number.', schema: { type: 'integer', minimum: 1 } },
    ],
    answers: {
      200: { description: 'The fetch.', schema: fetchView },
      404: { description: 'Nothing was asked for under this number.', schema: failure },
    },
  },
  {
    method: 'POST',
    path: '/api/fetch',
    summary:
      'Fetches series from a source; one of study, series, accessionNumber and patientId must be given.',
    body: {
      mediaType: 'application/json',
      schema: {
        type: 'object',
        required: ['source'],
        additionalProperties: false,
        properties: Object.fromEntries(
          [
            'source',
            'study',
            'series',
            'accessionNumber',
            'patientId',
            'studyDate',
            'modality',
            'seriesDescription',
          ].map((name) => [name, { type: 'string' }]),
        ),
      },
    },
    answers: {
      202: { description: 'They will be fetched.', schema: fetchList },
      400: malformed,
      404: { description: 'The source has no series that matches.', schema: failure },
      502: { description: 'The source cannot be asked.', schema: failure },
    },
  },
  {
    method: 'GET',
    path: '/api/configuration',
    summary: 'How it stands with the configuration file.',
    answers: {
      200: { description: 'Its state.', schema: configurationView },
      404: { description: 'There is no file.', schema: failure },
    },
  },
  {
    method: 'POST',
    path: '/api/configuration/reload',
    summary: 'Reads rules, peers and destinations from the configuration file again.',
    answers: {
      200: { description: 'They are in force.', schema: configurationView },
      404: { description: 'There is no file.', schema: failure },
      422: {
        description: 'The file cannot be used; what was read before stays in force.',
        schema: configurationView,
      },
    },
  },
];
