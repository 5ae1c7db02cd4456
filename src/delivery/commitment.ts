/**
 * Storage commitment as user (PS3.4 annex J): what a destination has accepted counts as delivered once it has taken
 * responsibility for it. What waits, and under which transaction, is in the database: a report finds it after a
 * restart, too.
 */
import { randomUUID } from 'node:crypto';
import type { Archive } from '../archive/index.js';
import {
  type Job,
  type JobContext,
  PermanentFailure,
  type Queue,
  RetryLater,
  retryDelay,
} from '../queue/index.js';
import { deliveryKind, type PipelineEmitter, type SeriesTracker } from '../series/index.js';
import type { DeliveryRetry } from './delivery.js';
import type { Commitment, CommitmentReport, Destination, TakeReport } from './destination.js';

export interface Commitments {
  /** Takes the jobs that ask a destination for its commitment, from the first call on. */
  serve(destination: string): void;
  /** Something of a series was accepted: its commitment is asked for. Belongs to the caller's transaction. */
  wanted(seriesId: number, destination: string): void;
  report: TakeReport;
}

export interface CommitmentsOptions {
  archive: Archive;
  queue: Queue;
  tracker: SeriesTracker;
  events: PipelineEmitter;
  /** A destination as it is configured now. */
  destinationOf(name: string): Destination | undefined;
  retry: DeliveryRetry;
  /** What still waits for a destination that is not configured any more has failed. */
  orphaned(seriesId: number, destination: string, error: string): void;
  /** All of a series is delivered. */
  finished(seriesId: number, destination: string): void;
}

interface StoredRow {
  instance_id: number;
  sop: string;
  sop_class: string;
  commitment: string | null;
  commitment_due: number | null;
}

interface ReportedRow {
  instance_id: number;
  series_id: number;
  destination: string;
  state: string;
  stored: number;
  attempts: number;
  study: string;
  series: string;
  sop: string;
}

function commitmentKind(destination: string): string {
  return `commit:${destination}`;
}

/** UID 2.25.‹random UUID› (PS3.5 B.2): nobody who was not told it can guess it. */
function newTransactionUid(): string {
  return `2.25.${BigInt(`0x${randomUUID().replaceAll('-', '')}`)}`;
}

export function createCommitments(o: CommitmentsOptions): Commitments {
  const { archive, queue, tracker, events, retry } = o;
  const { db, clock } = archive;
  const asking = new Map<string, AbortController>();
  const served = new Set<string>();

  const waiting = (seriesId: number, destination: string) =>
    db.all<StoredRow>(
      `SELECT d.instance_id, i.sop, i.sop_class, d.commitment, d.commitment_due
       FROM deliveries d JOIN instances i ON i.id = d.instance_id
       WHERE d.series_id = ? AND d.destination = ? AND d.state = 'pending' AND d.stored = 1 ORDER BY i.id`,
      seriesId,
      destination,
    );

  async function commit(
    destination: string,
    commitment: Commitment,
    job: Job,
    context: JobContext,
  ): Promise<void> {
    const seriesId = Number(job.payload.series);
    const now = clock.now();
    const due = waiting(seriesId, destination).filter(
      (row) => row.commitment === null || (row.commitment_due ?? 0) <= now,
    );
    if (due.length > 0) await ask(destination, seriesId, commitment, due, job, context);
    const rest = waiting(seriesId, destination);
    if (rest.length === 0) return;
    const next = Math.min(...rest.map((row) => row.commitment_due ?? 0));
    throw new RetryLater(
      `waiting for the storage commitment of ${rest.length} instances`,
      Math.max(0, next - clock.now()),
      false,
    );
  }

  /** Commitment was wanted when these were sent, and no longer is: that they were accepted has to do. */
  function notWanted(seriesId: number, destination: string): void {
    db.transaction(() => {
      db.run(
        "UPDATE deliveries SET state = 'delivered', message = '' WHERE series_id = ? AND destination = ? AND state = 'pending' AND stored = 1",
        seriesId,
        destination,
      );
      tracker.changed(seriesId);
    });
    o.finished(seriesId, destination);
  }

  async function ask(
    destination: string,
    seriesId: number,
    commitment: Commitment,
    rows: readonly StoredRow[],
    job: Job,
    context: JobContext,
  ): Promise<void> {
    const transactionUid = newTransactionUid();
    // On disk before it is asked: the report may come at once, and by another association.
    await db.commit(() => {
      for (const { instance_id: id } of rows) {
        db.run(
          'UPDATE deliveries SET commitment = ?, commitment_due = ? WHERE instance_id = ? AND destination = ?',
          transactionUid,
          clock.now() + commitment.timeoutMs,
          id,
          destination,
        );
      }
    });
    const reported = new AbortController();
    asking.set(transactionUid, reported);
    try {
      await commitment.request(
        transactionUid,
        rows.map((row) => ({ sopClassUid: row.sop_class, sopInstanceUid: row.sop })),
        { signal: context.signal, reported: reported.signal, onReport: report },
      );
    } catch (error) {
      // The report may have come although the association then failed.
      const unanswered = !reported.signal.aborted;
      if (unanswered) failedToAsk(destination, seriesId, transactionUid, job, context, error);
    } finally {
      asking.delete(transactionUid);
    }
  }

  function failedToAsk(
    destination: string,
    seriesId: number,
    transactionUid: string,
    job: Job,
    context: JobContext,
    error: unknown,
  ): never {
    const message = `storage commitment: ${error instanceof Error ? error.message : String(error)}`;
    const refused = error instanceof Error && (error as Error & { transient?: boolean }).transient === false;
    const delay = context.signal.aborted
      ? 0
      : refused
        ? retryDelay({ ...retry, baseMs: retry.refusedMs }, job.attempts)
        : retryDelay(retry, job.attempts);
    const failed = db.transaction(() => {
      db.run(
        `UPDATE deliveries SET refusals = refusals + ?1, message = ?2, updated_at = ?3, commitment_due = ?4,
           state = CASE WHEN refusals + ?1 >= ?5 THEN 'failed' ELSE state END
         WHERE commitment = ?6 AND state = 'pending'`,
        refused ? 1 : 0,
        message,
        clock.now(),
        clock.now() + delay,
        retry.maxRefusals,
        transactionUid,
      );
      tracker.changed(seriesId);
      return (
        db.get(
          "SELECT 1 FROM deliveries WHERE commitment = ? AND state = 'failed' LIMIT 1",
          transactionUid,
        ) !== undefined
      );
    });
    if (failed) throw new PermanentFailure(`${destination}: ${message}`);
    throw new RetryLater(message, delay, !context.signal.aborted);
  }

  async function report(arrived: CommitmentReport): Promise<boolean> {
    const rows = db.all<ReportedRow>(
      `SELECT d.instance_id, d.series_id, d.destination, d.state, d.stored, d.attempts, s.study, s.series, i.sop
       FROM deliveries d JOIN instances i ON i.id = d.instance_id JOIN series s ON s.id = i.series_id
       WHERE d.commitment = ?`,
      arrived.transactionUid,
    );
    const first = rows[0];
    if (first === undefined) return false;
    const committed = new Set(arrived.committed.map(({ sopInstanceUid }) => sopInstanceUid));
    const failed = new Map(arrived.failed.map(({ sopInstanceUid, reason }) => [sopInstanceUid, reason]));
    const { series_id: seriesId, destination } = first;
    await db.commit(() => {
      let again = 0;
      for (const row of rows) {
        if (row.state !== 'pending' || row.stored !== 1) continue;
        const reason = failed.get(row.sop);
        if (reason !== undefined) {
          notCommitted(row, reason);
          again = Math.max(again, row.attempts);
        } else if (committed.has(row.sop)) {
          db.run(
            "UPDATE deliveries SET state = 'delivered', message = '', updated_at = ? WHERE instance_id = ? AND destination = ?",
            clock.now(),
            row.instance_id,
            destination,
          );
        }
      }
      tracker.changed(seriesId);
      if (again > 0) {
        const key = String(seriesId);
        queue.add({ kind: deliveryKind(destination), key, payload: { series: seriesId } });
        const delay = retryDelay({ ...retry, baseMs: retry.refusedMs }, again);
        queue.replay(deliveryKind(destination), key, delay);
      }
      queue.replay(commitmentKind(destination), String(seriesId));
    });
    asking.get(arrived.transactionUid)?.abort();
    o.finished(seriesId, destination);
    return true;
  }

  /** It is sent again, until it has been refused too often. */
  function notCommitted(row: ReportedRow, code: number): void {
    const { destination, study, series, sop } = row;
    const why = o.destinationOf(destination)?.commitment?.reason(code) ?? {
      text: `reason ${code}`,
      transient: false,
    };
    const message = `not committed by ${destination}: ${why.text}`;
    db.run(
      `UPDATE deliveries SET stored = 0, commitment = NULL, refusals = refusals + ?1, status = ?2, message = ?3,
         updated_at = ?4, state = CASE WHEN refusals + ?1 >= ?5 THEN 'failed' ELSE 'pending' END
       WHERE instance_id = ?6 AND destination = ?7`,
      why.transient ? 0 : 1,
      code,
      message,
      clock.now(),
      retry.maxRefusals,
      row.instance_id,
      destination,
    );
    db.afterCommit(() =>
      events.emit('delivery', {
        destination,
        study,
        series,
        sop,
        outcome: 'refused',
        status: code,
        message,
        transient: why.transient,
      }),
    );
  }

  return {
    serve(name) {
      if (served.has(name)) return;
      served.add(name);
      queue.work(
        commitmentKind(name),
        {
          concurrency: 1,
          retry: { baseMs: retry.baseMs, capMs: retry.capMs, maxAttempts: Number.POSITIVE_INFINITY },
          onDead(job, error) {
            if (!o.destinationOf(name)) o.orphaned(Number(job.payload.series), name, error);
          },
        },
        async (job, context) => {
          const destination = o.destinationOf(name);
          if (!destination) throw new PermanentFailure(`destination "${name}" is not configured any more`);
          const { commitment } = destination;
          if (commitment) await commit(name, commitment, job, context);
          else notWanted(Number(job.payload.series), name);
        },
      );
    },
    wanted(seriesId, destination) {
      const key = String(seriesId);
      queue.add({ kind: commitmentKind(destination), key, payload: { series: seriesId } });
      queue.replay(commitmentKind(destination), key);
    },
    report,
  };
}
