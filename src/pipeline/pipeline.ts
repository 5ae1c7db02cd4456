/**
 * The heart of the server, wired: intake → archive → queue → correction → archive → delivery, with the state
 * of every series beside it.
 */
import { readFile } from 'node:fs/promises';
import { type Archive, type Clock, indexMissing, openArchive, type Recovery } from '../archive/index.js';
import { createDelivery, type Delivery, type DeliveryRetry, type Destination } from '../delivery/index.js';
import {
  correctKind,
  createIntake,
  type DuplicatePolicy,
  type Intake,
  indexedAttributesOf,
  type ObjectReader,
  type Quota,
} from '../intake/index.js';
import { openEmbeddedQueue, type Queue, type RetryPolicy } from '../queue/index.js';
import { createRetention, type Retention, type RetentionLimits } from '../retention/index.js';
import {
  type CompletenessDefaults,
  createSeriesIndex,
  createSeriesTracker,
  deliveryKind,
  PipelineEmitter,
  type Review,
  type Rule,
  reviewSeries,
  type SeriesIndex,
} from '../series/index.js';
import { type CorrectingOptions, type Model, startCorrecting } from './correcting.js';
import { type Replayed, type ReplayedFailures, replayFailed, replaySeries } from './replay.js';

export interface PipelineOptions<S, D> {
  /** Data folder. One server owns it. */
  data: string;
  rules: readonly Rule[];
  /** Where a rule does not say, and for what no rule matches. */
  complete?: CompletenessDefaults;
  duplicates?: DuplicatePolicy;
  /** Free bytes of the disk below which nobody new is let in, and below which every object is refused. */
  disk?: { low: number; critical: number };
  quotas?: readonly Quota[];
  /** Default: nothing is removed. */
  retention?: RetentionLimits;
  /** The dicom folder's functions; `S` is its data set, `D` its derivation. */
  dicom: ObjectReader<S> & CorrectingOptions<D>['dicom'];
  models: ReadonlyMap<string, Model<D>>;
  destinations: readonly Destination[];
  concurrency?: {
    /** Instances in correction at a time: at least as many as the engine's largest batch. Default 16. */
    correct?: number;
    /** Deliveries at a time to one destination. Default 1. */
    deliver?: number;
  };
  retry?: { correct?: Partial<RetryPolicy>; deliver?: Partial<DeliveryRetry> };
  correctionTimeoutMs?: number;
  /**
   * The models' correctors only wait for other processes: a correction may take as long as it takes, and the end of
   * this process is not held against it.
   */
  elsewhere?: boolean;
  clock?: Clock;
}

export interface Pipeline {
  readonly archive: Archive;
  readonly queue: Queue;
  readonly intake: Intake;
  readonly series: SeriesIndex;
  readonly delivery: Delivery;
  readonly retention: Retention;
  readonly events: PipelineEmitter;
  /** What the start found and repaired; to be logged. */
  readonly recovery: Recovery;
  /** Begins to work: timers, correction, delivery. Receiving works before it, too. */
  start(): void;
  /** Tries now what of a series failed or waits. undefined: no such series. */
  retry(idOrUid: number | string): Promise<Replayed | undefined>;
  /** The same for so many of the series that failed, from the one behind row id `after` on. */
  retryFailed(after: number, limit: number): Promise<ReplayedFailures>;
  /** Other rules for what comes from now on, other destinations for what is sent from now on. */
  reconfigure(next: { rules: readonly Rule[]; destinations: readonly Destination[] }): void;
  /** Keeps what a person decided who looked at a series. undefined: no such series. */
  review(
    idOrUid: number | string,
    review: Pick<Review, 'verdict' | 'comment' | 'reviewer'>,
  ): Promise<Review | undefined>;
  /** The association or request with this id is over. */
  associationEnded(id: string): void;
  /** The same for a sender that names the series. */
  senderEnded(series: Iterable<{ study: string; series: string }>): void;
  /** Stops taking work, waits for what is under way, and closes the archive in good order. */
  close(graceMs?: number): Promise<void>;
}

/** Jobs for other processes are claimed together when they come in quick succession. */
const elsewhereGatherMs = 5;
const defaultCompleteness: CompletenessDefaults = { quiet: 5000, maxAge: 600_000 };
const defaultCorrectRetry: RetryPolicy = { baseMs: 1000, capMs: 300_000, maxAttempts: 8 };
const defaultDeliverRetry: DeliveryRetry = {
  baseMs: 5000,
  capMs: 900_000,
  refusedMs: 60_000,
  maxRefusals: 5,
};

const keepAll: RetentionLimits = { remember: 365 * 86_400_000, interval: 60_000 };

/**
 * Opens the archive and wires the parts; nothing is corrected or sent before `start()`.
 * @throws DatabaseError when the data folder is in use or cannot be read.
 */
export async function openPipeline<S, D>(o: PipelineOptions<S, D>): Promise<Pipeline> {
  const archive = await openArchive(o.data, o.clock);
  const { db } = archive;
  const events = new PipelineEmitter();
  const queue = openEmbeddedQueue(db, archive.clock, {
    elsewhere: o.elsewhere === true ? [correctKind] : [],
  });
  const tracker = createSeriesTracker(archive, queue, events, o.complete ?? defaultCompleteness);
  const index = createSeriesIndex(archive, queue);
  let { rules } = o;
  const intake = createIntake({
    archive,
    queue,
    tracker,
    events,
    dicom: o.dicom,
    get rules() {
      return rules;
    },
    duplicates: o.duplicates ?? 'keep-version',
    ...(o.disk && { disk: o.disk }),
    ...(o.quotas && { quotas: o.quotas }),
  });
  const recovery = await recover();
  const delivery = createDelivery({
    archive,
    queue,
    tracker,
    events,
    destinations: o.destinations,
    retry: { ...defaultDeliverRetry, ...o.retry?.deliver },
    concurrency: o.concurrency?.deliver ?? 1,
    rederive(derived) {
      const { derivedFrom } = derived;
      if (derivedFrom === undefined) return;
      db.run("UPDATE instances SET state = 'pending' WHERE id = ? AND current = 1", derivedFrom);
      db.run('UPDATE deliveries SET enqueued = 0 WHERE instance_id = ?', derived.id);
      queue.add({ kind: correctKind, key: String(derivedFrom), payload: { instance: derivedFrom } });
      tracker.changed(archive.get(derivedFrom)!.seriesId);
    },
  });

  const retention = createRetention(archive, events, o.retention ?? keepAll);
  const stopped = new AbortController();
  let indexing: Promise<unknown> = Promise.resolve();
  const headerOf = (file: Buffer) => {
    const { dataSet, dataSetOffset } = o.dicom.readHeader(file);
    return { dataSetOffset, attributes: indexedAttributesOf(o.dicom, dataSet) };
  };

  async function recover(): Promise<Recovery> {
    try {
      await intake.restore();
    } catch (error) {
      intake.close();
      await archive.close();
      throw error;
    }
    const damaged = archive.recovery.damaged.filter(({ id }) => archive.get(id)?.damage !== undefined);
    return { ...archive.recovery, damaged };
  }

  /** Every obligation that the archive knows of has its job, whatever ended the process before. */
  function restoreJobs(): void {
    db.transaction(() => {
      for (const { id, priority, series_id: seriesId } of db.all<{
        id: number;
        priority: number;
        series_id: number;
      }>(
        `SELECT id, priority, series_id FROM instances WHERE state = 'pending' AND current = 1 AND origin = 'received'
           AND NOT EXISTS (SELECT 1 FROM jobs WHERE kind = ? AND key = CAST(instances.id AS TEXT))`,
        correctKind,
      )) {
        queue.add({ kind: correctKind, key: String(id), payload: { instance: id }, priority });
        tracker.changed(seriesId);
      }
      for (const { series_id: seriesId, destination } of db.all<{ series_id: number; destination: string }>(
        `SELECT DISTINCT series_id, destination FROM deliveries d WHERE state = 'pending' AND enqueued = 1
           AND NOT EXISTS (SELECT 1 FROM jobs WHERE kind = 'deliver:' || d.destination AND key = CAST(d.series_id AS TEXT))`,
      )) {
        queue.add({ kind: deliveryKind(destination), key: String(seriesId), payload: { series: seriesId } });
      }
    });
  }

  const replaying = () => ({ archive, queue, tracker, index, delivery, rules, dicom: o.dicom });

  return {
    archive,
    queue,
    intake,
    series: index,
    delivery,
    retention,
    events,
    recovery,
    start() {
      restoreJobs();
      startCorrecting({
        archive,
        queue,
        tracker,
        events,
        models: o.models,
        dicom: o.dicom,
        headerOf,
        concurrency: o.concurrency?.correct ?? 16,
        retry: { ...defaultCorrectRetry, ...o.retry?.correct },
        ...(o.correctionTimeoutMs !== undefined && { timeoutMs: o.correctionTimeoutMs }),
        ...(o.elsewhere === true && { timeoutMs: 'none' as const, gatherMs: elsewhereGatherMs }),
      });
      delivery.start();
      tracker.start();
      retention.start();
      indexing = indexMissing(
        archive,
        async (path) => headerOf(await readFile(path)).attributes,
        stopped.signal,
      ).catch((error: unknown) => events.emit('listenerError', error));
    },
    retry: (idOrUid) => replaySeries(replaying(), idOrUid),
    retryFailed: (after, limit) => replayFailed(replaying(), after, limit),
    async review(idOrUid, review) {
      const view = index.get(idOrUid);
      return view && reviewSeries({ archive, tracker, events }, view, review);
    },
    reconfigure(next) {
      rules = next.rules;
      delivery.reconfigure(next.destinations);
    },
    associationEnded: (id) => tracker.associationEnded(id),
    senderEnded: (series) => tracker.senderEnded(series),
    async close(graceMs) {
      stopped.abort();
      intake.close();
      tracker.stop();
      await retention.stop();
      await queue.close(graceMs);
      await indexing;
      await archive.close();
    },
  };
}
