/** What the management API answers, as schemas; the types are those of views.ts. */
import { z } from 'zod';
import { ROLES } from '../../access/index.js';
import type { Fetch, PullView } from '../../fetch/index.js';
import {
  type ConfigurationView,
  type DestinationView,
  type Readiness,
  SERIES_STATES,
  type SeriesView,
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
});

export const sliceView: z.ZodType<SliceView> = answer({
  id: count.describe("The instance's number, for its preview."),
  sop: uid,
  position: z.number().optional().describe('Millimetres along the normal of the slices.'),
  frames: z.int().positive(),
  state: z.string(),
  reason: z.string().optional(),
  derived: z.boolean(),
  quality: z.record(z.string(), z.number()).optional(),
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
  configuration: configurationView.optional(),
});

export const readiness: z.ZodType<Readiness> = answer({
  ready: z.boolean(),
  checks: z.array(
    answer({ name: z.string(), ok: z.boolean(), message: z.string(), required: z.boolean().optional() }),
  ),
});

export const session = answer({
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
export const sliceList = answer({ slices: z.array(sliceView) });
export const retried = answer({ retried: z.record(z.string(), count).describe('How much, by kind.') });
