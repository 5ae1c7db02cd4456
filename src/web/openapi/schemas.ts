/** What the management API answers, as schemas; the types are those of views.ts. */
import { z } from 'zod';
import { ROLES } from '../../access/index.js';
import type { Fetch, PullView } from '../../fetch/index.js';
import {
  type AboutView,
  type ConfigurationView,
  type DestinationView,
  type ImageView,
  type ProvenanceView,
  type ReaderStudyView,
  type Readiness,
  type ReviewView,
  SERIES_STATES,
  type SeriesView,
  type SessionView,
  type SliceView,
  type StatusView,
} from '../views.js';

/** Answers name every key: one that is not described is a mistake of the description. */
const answer = <Shape extends z.core.$ZodLooseShape>(shape: Shape) => z.strictObject(shape);

const uid = z
  .string()
  .max(64)
  .regex(/^\d+(\.\d+)*$/)
  .describe('A DICOM UID (PS3.5 9.1).');
const milliseconds = z.int().nonnegative().describe('Milliseconds since 1970-01-01T00:00Z.');
const count = z.int().nonnegative();

export const failure = answer({ error: z.string().describe('A sentence for the person who asked.') });

export const destinationView: z.ZodType<DestinationView> = answer({
  name: z.string(),
  state: z.enum(['waiting', 'sending', 'delivered', 'failed']),
  delivered: count,
  failed: count,
  pending: count.optional(),
  attempts: count,
  nextAttemptAt: milliseconds.optional(),
  lastError: z.string().optional(),
});

export const reviewView: z.ZodType<ReviewView> = answer({
  verdict: z.enum(['accepted', 'rejected']),
  comment: z.string(),
  reviewer: z.string(),
  at: milliseconds,
});

const aboutView: z.ZodType<AboutView> = answer({
  patient: z.string().describe('As `page.patient` lets it be shown.'),
  patientId: z.string().optional(),
  birth: z.string().optional(),
  sex: z.string().optional(),
  studyDate: z.string().optional(),
  studyDescription: z.string().optional(),
  accession: z.string().optional(),
  seriesNumber: z.number().optional(),
  seriesDescription: z.string().optional(),
  modality: z.string().optional(),
  bodyPart: z.string().optional(),
  scanner: z.string().optional(),
});

const state = z.enum(SERIES_STATES as [SeriesView['state'], ...SeriesView['state'][]]);

export const seriesView: z.ZodType<SeriesView> = answer({
  id: count,
  study: uid,
  series: uid,
  state,
  reason: z.string().describe('Why the series is in its state.'),
  rule: z.string().optional(),
  counts: answer({ received: count, corrected: count, leftAlone: count, failed: count, delivered: count }),
  expected: count.optional(),
  completeReason: z.string().optional(),
  firstReceivedAt: milliseconds.optional(),
  lastReceivedAt: milliseconds,
  completedAt: milliseconds.optional(),
  correctedAt: milliseconds.optional(),
  deliveredAt: milliseconds.optional(),
  derivedSeries: z.array(uid).optional(),
  destinations: z.array(destinationView),
  failures: z.array(answer({ sop: uid, reason: z.string() })),
  refused: z.array(answer({ sop: uid, reason: z.string(), at: milliseconds })).optional(),
  leftAlone: z.array(answer({ reason: z.string(), count })).optional(),
  hold: z.boolean().optional().describe('It is delivered when a person has accepted it.'),
  review: reviewView.optional(),
  flagged: count.optional().describe('Corrected instances that the safeguards flagged.'),
  remarks: z
    .array(answer({ kind: z.string(), count }))
    .optional()
    .describe('What they remarked: residual, contrast, matrix, orientation, skipped.'),
  about: aboutView.optional(),
});

const window = answer({ center: z.number(), width: z.number() });

export const imageView: z.ZodType<ImageView> = answer({
  rows: z.int().positive(),
  columns: z.int().positive(),
  bitsAllocated: z.union([z.literal(8), z.literal(16)]),
  signed: z.boolean(),
  inverted: z.boolean().describe('MONOCHROME1: low values are bright.'),
  spacing: z.tuple([z.number(), z.number()]).describe('Millimetres between rows and between columns.'),
  orientation: z.array(z.number()).optional().describe('Image Orientation (Patient).'),
  frames: z.array(
    answer({
      slope: z.number(),
      intercept: z.number(),
      position: z.tuple([z.number(), z.number(), z.number()]).optional(),
      window: window.optional(),
    }),
  ),
});

const figures = z.record(z.string(), z.number());

export const sliceView: z.ZodType<SliceView> = answer({
  id: count.describe("The instance's number, for its preview."),
  sop: uid,
  position: z.number().optional().describe('Millimetres along the normal of the slices.'),
  frames: z.int().positive(),
  state: z.string(),
  reason: z.string().optional(),
  derived: z.boolean(),
  derivedAt: answer({ series: uid, sop: uid }).optional(),
  quality: figures.optional(),
  frameQuality: z.array(figures).optional(),
  flags: z.array(answer({ kind: z.string(), message: z.string() })).optional(),
  image: imageView.optional(),
});

export const provenanceView: z.ZodType<ProvenanceView> = answer({
  series: uid.describe('The derived series.'),
  description: z.string(),
  softwareVersions: z.array(z.string()),
  at: z.string().optional(),
});

export const configurationView: z.ZodType<ConfigurationView> = answer({
  file: z.string(),
  loadedAt: milliseconds.describe('When the configuration in force was read.'),
  problem: z.string().optional().describe('Why the file as it is now cannot be used.'),
  needsRestart: z.array(z.string()).describe('Keys that need a restart to take effect.'),
});

export const statusView: z.ZodType<StatusView> = answer({
  version: z.string(),
  aeTitle: z.string(),
  startedAt: milliseconds,
  engine: answer({ engine: z.string(), device: z.string(), provider: z.string(), version: z.string() }),
  model: answer({ name: z.string(), version: z.string(), sha256: z.string() }),
  queues: z.array(answer({ queue: z.string(), jobs: count, dead: count, oldestAgeMs: z.number() })),
  destinations: z.array(
    answer({
      name: z.string(),
      protocol: z.enum(['dimse', 'dicomweb']),
      address: z.string(),
      problem: z.string().optional(),
    }),
  ),
  archive: answer({ bytes: z.number(), freeBytes: z.number().optional() }),
  series: z.partialRecord(state, count),
  problems: z.array(z.string()).describe('What is wrong with the server now, in sentences.'),
  configuration: configurationView.optional(),
});

export const readiness: z.ZodType<Readiness> = answer({
  ready: z.boolean(),
  checks: z.array(
    answer({ name: z.string(), ok: z.boolean(), message: z.string(), required: z.boolean().optional() }),
  ),
});

export const session: z.ZodType<SessionView> = answer({
  configured: z.boolean().describe('Whether anybody has to log in.'),
  name: z.string().optional(),
  role: z.enum(ROLES).optional(),
  by: z.enum(['open', 'session', 'proxy', 'token', 'peer']).optional(),
});

export const fetchView: z.ZodType<Fetch> = answer({
  id: count,
  source: z.string(),
  study: uid,
  series: uid.optional().describe('Absent: all series of the study.'),
  requestedBy: z.string().describe('"request", or the name of a pull rule.'),
  state: z.enum(['waiting', 'fetching', 'fetched', 'failed']),
  expected: count.optional(),
  received: count,
  attempts: count,
  message: z.string(),
  requestedAt: milliseconds,
  finishedAt: milliseconds.optional(),
});

export const pullView: z.ZodType<PullView> = answer({
  name: z.string(),
  source: z.string(),
  lastLookAt: milliseconds.optional(),
  matching: count.optional(),
  problem: z.string().optional(),
});

export const sourceList = answer({ sources: z.array(z.string()), pulls: z.array(pullView) });
export const fetchList = answer({ fetches: z.array(fetchView) });
export const seriesList = answer({ series: z.array(seriesView) });
export const sliceList = answer({
  slices: z.array(sliceView),
  provenance: z.array(provenanceView).describe('How each derived series came about.'),
});
export const reviewList = answer({ reviews: z.array(reviewView) });

export const readerStudyView: z.ZodType<ReaderStudyView> = answer({
  id: z.string(),
  name: z.string(),
  cases: count,
  rated: count.describe('By the reader who asks.'),
});
export const readerStudyList = answer({
  reader: z
    .string()
    .nullable()
    .describe('Whom the server knows; null: the name must be given as a parameter.'),
  studies: z.array(readerStudyView),
});
export const nextCase = answer({
  name: z.string(),
  cases: count,
  rated: count,
  case: answer({
    token: z.string(),
    slices: z.array(answer({ position: z.number().optional(), image: imageView })),
    window,
  })
    .nullable()
    .describe('null: all cases are rated.'),
});
export const rated = answer({ rated: count });

const orNull = z.number().nullable().describe('null where it is not defined.');
export const studyResults = answer({
  ratings: count,
  agreement: z.array(
    answer({
      readers: z.tuple([z.string(), z.string()]),
      measure: z.string(),
      weights: z.enum(['none', 'quadratic']),
      cases: count,
      kappa: orNull.describe("Cohen's kappa."),
    }),
  ),
  paired: z.array(
    answer({
      reader: z.string(),
      measure: z.string(),
      cases: count,
      meanOriginal: orNull,
      meanCorrected: orNull,
      pairs: count,
      statistic: orNull,
      p: orNull.describe('Wilcoxon signed rank, two-sided.'),
      method: z.enum(['exact', 'normal']),
    }),
  ),
  preference: z.array(
    answer({ reader: z.string(), corrected: count, original: count, equal: count, p: orNull }),
  ),
});
export const retriedFailed = answer({
  series: z.array(uid).describe('The series that are tried.'),
  retried: z.record(z.string(), count).describe('How much, by kind.'),
  next: count.optional().describe('`after` of the next request, when there are more.'),
});
export const retried = answer({ retried: z.record(z.string(), count).describe('How much, by kind.') });
