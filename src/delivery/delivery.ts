/**
 * Sends what was derived from a series to a destination until each instance is accounted for: accepted, or
 * refused with a name and a reason. Only what a destination does not have yet is sent.
 */
import type { Archive, Instance } from '../archive/index.js';
import {
  type Job,
  type JobContext,
  PermanentFailure,
  type Queue,
  RetryLater,
  retryDelay,
} from '../queue/index.js';
import { deliveryKind, type PipelineEmitter, type SeriesTracker } from '../series/index.js';
import { type Breaker, createBreaker } from './breaker.js';
import { createCommitments } from './commitment.js';
import type { Deliverable, Destination, Outcome, TakeReport } from './destination.js';

export interface DeliveryRetry {
  /** First delay after a failure that may pass, in milliseconds; doubles up to `capMs`. */
  baseMs: number;
  capMs: number;
  /** First delay after a refusal, which the same bytes will probably meet again; doubles up to `capMs`. */
  refusedMs: number;
  /** Refusals of one instance by one destination before it counts as failed. */
  maxRefusals: number;
  /** Age of a delivery at which it counts as failed even if only the network was at fault. Default: never. */
  giveUpAfterMs?: number;
}

export interface DeliveryOptions {
  archive: Archive;
  queue: Queue;
  tracker: SeriesTracker;
  events: PipelineEmitter;
  destinations: readonly Destination[];
  retry: DeliveryRetry;
  /** Deliveries at a time to one destination. Default 1. */
  concurrency?: number;
  /** The derived instance's file is damaged: it has to be made again. Runs in a transaction. */
  rederive(derived: Instance): void;
}

export interface Delivery {
  /** Begins to deliver; deliveries to destinations that are not configured any more become dead letters. */
  start(): void;
  /** What is sent from now on goes to these; what is being sent goes on to where it began. */
  reconfigure(destinations: readonly Destination[]): void;
  breakers(): { destination: string; failures: number; until?: number }[];
  /** Tries now, whatever the breaker says. */
  resume(destination: string): void;
  /** Takes a storage commitment report that came on an association of the peer's own. */
  commitmentReport: TakeReport;
}

interface PendingRow {
  instance_id: number;
  refusals: number;
}

/** How many failures of instances a dead letter's text names. */
const named = 5;

export function createDelivery(o: DeliveryOptions): Delivery {
  const { archive, queue, tracker, events, retry } = o;
  const { db, clock } = archive;
  let destinations = new Map(o.destinations.map((destination) => [destination.name, destination]));
  const breakers = new Map<string, Breaker>(o.destinations.map(({ name }) => [name, createBreaker(retry)]));
  const commitments = createCommitments({
    ...o,
    destinationOf: (name) => destinations.get(name),
    finished,
    orphaned,
  });
  const served = new Set<string>();
  let started = false;

  function pending(seriesId: number, destination: string): PendingRow[] {
    return db.all<PendingRow>(
      `SELECT d.instance_id, d.refusals FROM deliveries d JOIN instances i ON i.id = d.instance_id
       WHERE d.series_id = ? AND d.destination = ? AND d.state = 'pending' AND d.stored = 0 AND d.enqueued = 1
       ORDER BY i.derived_from, i.id`,
      seriesId,
      destination,
    );
  }

  async function deliver(destination: Destination, job: Job, context: JobContext): Promise<void> {
    const seriesId = Number(job.payload.series);
    const instances = await whole(
      pending(seriesId, destination.name).map((row) => archive.get(row.instance_id)!),
    );
    const accepted = instances.length > 0 ? await send(destination, seriesId, instances, context) : 0;
    // One that has been reconfigured meanwhile has another.
    const breaker = breakers.get(destination.name) ?? createBreaker(retry);
    askForCommitment(destination, seriesId);
    const rest = pending(seriesId, destination.name);
    if (accepted > 0) answers(destination.name, breaker);
    if (rest.length === 0) return settled(destination.name, seriesId, accepted);

    const message = lastMessage(seriesId, destination.name);
    if (context.signal.aborted) throw new RetryLater(message, 0, false);
    if (retry.giveUpAfterMs !== undefined && clock.now() - job.createdAt > retry.giveUpAfterMs) {
      giveUp(seriesId, destination.name);
      return settled(destination.name, seriesId, accepted);
    }
    const refusedOnly = rest.every((row) => row.refusals > 0);
    if (refusedOnly) {
      const refusals = Math.max(...rest.map((row) => row.refusals));
      throw new RetryLater(message, retryDelay({ ...retry, baseMs: retry.refusedMs }, refusals), false);
    }
    if (accepted > 0) throw new RetryLater(message, retryDelay(retry, 1), false);
    breaker.failed(clock.now());
    events.emit('breaker', { destination: destination.name, open: true, until: breaker.until!, message });
    // Behind the others: one series that the destination chokes on must not keep the rest waiting.
    throw new RetryLater(message, breaker.until! - clock.now() + retryDelay(retry, job.attempts));
  }

  /** What was accepted waits for the destination's commitment, where that is wanted. */
  function askForCommitment({ name, commitment }: Destination, seriesId: number): void {
    const stored = "series_id = ? AND destination = ? AND state = 'pending' AND stored = 1";
    if (db.get(`SELECT 1 FROM deliveries WHERE ${stored} LIMIT 1`, seriesId, name) === undefined) return;
    db.transaction(() => {
      if (commitment !== undefined) {
        commitments.wanted(seriesId, name);
        return;
      }
      // It was wanted when these were sent, and no longer is.
      db.run(`UPDATE deliveries SET state = 'delivered', message = '' WHERE ${stored}`, seriesId, name);
      tracker.changed(seriesId);
    });
  }

  function answers(name: string, breaker: Breaker): void {
    const ended = breaker.succeeded();
    if (ended === 0) return;
    events.emit('breaker', {
      destination: name,
      open: false,
      message: `answers again after ${ended} failures`,
    });
    // After a real absence nobody waits for the end of his own delay.
    if (ended >= 3) db.transaction(() => queue.replay(deliveryKind(name)));
  }

  /** Those whose files are whole; of the others the derivation is started anew. */
  async function whole(instances: Instance[]): Promise<Instance[]> {
    const good: Instance[] = [];
    for (let i = 0; i < instances.length; i += 16) {
      const some = instances.slice(i, i + 16);
      const damages = await Promise.all(some.map((instance) => archive.check(instance)));
      some.forEach((instance, n) => {
        if (damages[n] === undefined) good.push(instance);
        else db.transaction(() => o.rederive(instance));
      });
    }
    return good;
  }

  /** Sends, records every outcome, and returns how many the destination has now. */
  async function send(
    destination: Destination,
    seriesId: number,
    instances: Instance[],
    context: JobContext,
  ): Promise<number> {
    const bySop = new Map(instances.map((instance) => [instance.sop, instance]));
    let unrecorded: Outcome[] = [];
    let accepted = 0;
    const flush = () => {
      const outcomes = unrecorded;
      if (outcomes.length === 0) return;
      db.transaction(() => {
        for (const outcome of outcomes)
          record(destination, seriesId, bySop.get(outcome.sopInstanceUid)!, outcome);
      });
      unrecorded = [];
    };
    const flushSoon = () => {
      try {
        flush();
      } catch {
        // A full disk: the last flush tries again, and its error is the job's.
      }
    };
    const take = (outcome: Outcome) => {
      // The first word counts: an outcome that comes by callback comes once more in the list.
      if (!waiting.delete(outcome.sopInstanceUid)) return;
      if (outcome.outcome === 'accepted' || outcome.outcome === 'warning') accepted += 1;
      if (unrecorded.push(outcome) === 1) setImmediate(flushSoon);
    };
    const waiting = new Set(bySop.keys());
    let missing = 'the destination gave no outcome for it';
    try {
      const outcomes = await destination.send(instances.map(deliverableOf), {
        signal: context.signal,
        onOutcome: take,
      });
      for (const outcome of outcomes) take(outcome);
    } catch (error) {
      missing = error instanceof Error ? error.message : String(error);
    }
    for (const sopInstanceUid of [...waiting]) {
      take({ sopInstanceUid, outcome: 'lost', message: missing, transient: true });
    }
    flush();
    await db.sync();
    return accepted;
  }

  function deliverableOf(instance: Instance): Deliverable {
    return {
      sopClassUid: instance.sopClass,
      sopInstanceUid: instance.sop,
      transferSyntaxUid: instance.transferSyntax,
      bytes: instance.bytes,
      dataSet: () => archive.readDataSet(instance),
      file: () => archive.readFile(instance),
    };
  }

  function record(to: Destination, seriesId: number, instance: Instance, outcome: Outcome): void {
    const { name: destination } = to;
    const has = outcome.outcome === 'accepted' || outcome.outcome === 'warning';
    const committing = to.commitment !== undefined;
    const refused = outcome.outcome === 'refused' && !outcome.transient;
    db.run(
      `UPDATE deliveries SET attempts = attempts + 1, refusals = refusals + ?1, warning = ?2, status = ?3, message = ?4,
         updated_at = ?5, stored = ?10, commitment = NULL,
         state = CASE WHEN ?6 THEN 'delivered' WHEN refusals + ?1 >= ?7 THEN 'failed' ELSE 'pending' END
       WHERE instance_id = ?8 AND destination = ?9 AND state = 'pending'`,
      refused ? 1 : 0,
      outcome.outcome === 'warning' ? 1 : 0,
      outcome.status ?? null,
      outcome.outcome === 'accepted' ? '' : outcome.message,
      clock.now(),
      has && !committing ? 1 : 0,
      retry.maxRefusals,
      instance.id,
      destination,
      has && committing ? 1 : 0,
    );
    tracker.changed(seriesId);
    const { study, series, sop } = instance;
    const event = {
      destination,
      study,
      series,
      sop,
      outcome: outcome.outcome,
      ...(outcome.status !== undefined && { status: outcome.status }),
      message: outcome.message,
      transient: outcome.transient,
    };
    db.afterCommit(() => events.emit('delivery', event));
  }

  function giveUp(seriesId: number, destination: string): void {
    db.transaction(() => {
      db.run(
        "UPDATE deliveries SET state = 'failed', updated_at = ? WHERE series_id = ? AND destination = ? AND state = 'pending' AND stored = 0 AND enqueued = 1",
        clock.now(),
        seriesId,
        destination,
      );
      tracker.changed(seriesId);
    });
  }

  /** Nothing waits any more: the end of the job, or a dead letter that names what the destination refuses. */
  function settled(destination: string, seriesId: number, accepted: number): void {
    const failed = db.all<{ sop: string; message: string }>(
      `SELECT i.sop, d.message FROM deliveries d JOIN instances i ON i.id = d.instance_id
       WHERE d.series_id = ? AND d.destination = ? AND d.state = 'failed' ORDER BY i.id`,
      seriesId,
      destination,
    );
    if (failed.length > 0) {
      const names = failed.slice(0, named).map(({ sop, message }) => `${sop}: ${message}`);
      const more = failed.length > named ? [`and ${failed.length - named} more`] : [];
      throw new PermanentFailure(
        `${destination} refused ${failed.length} (${[...names, ...more].join('; ')})`,
      );
    }
    if (accepted > 0) finished(seriesId, destination);
  }

  /** How long the series took, once nothing of it waits any more. */
  function finished(seriesId: number, destination: string): void {
    const waits =
      "SELECT 1 FROM deliveries WHERE series_id = ? AND destination = ? AND state != 'delivered' LIMIT 1";
    if (db.get(waits, seriesId, destination) !== undefined) return;
    const row = db.get<{
      study: string;
      series: string;
      last_received_at: number;
      completed_at: number | null;
    }>('SELECT study, series, last_received_at, completed_at FROM series WHERE id = ?', seriesId);
    if (row === undefined || row.completed_at === null) return;
    const ms = Math.max(0, clock.now() - row.last_received_at);
    events.emit('turnaround', { study: row.study, series: row.series, destination, ms });
  }

  function lastMessage(seriesId: number, destination: string): string {
    const row = db.get<{ sop: string; message: string }>(
      `SELECT i.sop, d.message FROM deliveries d JOIN instances i ON i.id = d.instance_id
       WHERE d.series_id = ? AND d.destination = ? AND d.state = 'pending' ORDER BY d.updated_at DESC LIMIT 1`,
      seriesId,
      destination,
    );
    return row === undefined ? 'nothing was sent' : `${row.sop}: ${row.message || 'not sent yet'}`;
  }

  return {
    commitmentReport: commitments.report,
    start() {
      started = true;
      for (const name of [...destinations.keys(), ...wantedDestinations()]) serve(name);
    },
    reconfigure(next) {
      const before = destinations;
      destinations = new Map(next.map((destination) => [destination.name, destination]));
      for (const name of breakers.keys()) if (!destinations.has(name)) breakers.delete(name);
      for (const name of destinations.keys()) breakers.set(name, createBreaker(retry));
      if (!started) return;
      db.transaction(() => {
        for (const name of new Set([...before.keys(), ...destinations.keys()])) {
          serve(name);
          // Nobody waits for the end of a delay that another address has earned.
          queue.replay(deliveryKind(name));
        }
      });
    },
    breakers: () =>
      [...breakers].map(([destination, { failures, until }]) => ({
        destination,
        failures,
        ...(until !== undefined && { until }),
      })),
    resume(destination) {
      breakers.get(destination)?.succeeded();
      queue.wake(deliveryKind(destination));
    },
  };

  /** Takes the jobs for a destination, for as long as it is configured; after that they become dead letters. */
  function serve(name: string): void {
    const destination = destinations.get(name);
    if (!destination || destination.commitment) commitments.serve(name);
    if (served.has(name)) return;
    served.add(name);
    queue.work(
      deliveryKind(name),
      {
        concurrency: o.concurrency ?? 1,
        retry: { baseMs: retry.baseMs, capMs: retry.capMs, maxAttempts: Number.POSITIVE_INFINITY },
        pausedUntil: () => breakers.get(name)?.until,
        onDead(job, error) {
          if (!destinations.has(name)) orphaned(Number(job.payload.series), name, error);
        },
      },
      async (job, context) => {
        const destination = destinations.get(name);
        if (!destination) throw new PermanentFailure(`destination "${name}" is not configured any more`);
        await deliver(destination, job, context);
      },
    );
  }

  /** Every destination that something in the archive has still to be sent to. */
  function wantedDestinations(): string[] {
    return db
      .all<{ name: string }>(
        `SELECT destination AS name FROM deliveries WHERE state = 'pending'
         UNION SELECT value AS name FROM instances, json_each(destinations) WHERE state = 'pending'`,
      )
      .map(({ name }) => name);
  }

  function orphaned(seriesId: number, destination: string, error: string): void {
    db.run(
      "UPDATE deliveries SET state = 'failed', message = ?, updated_at = ? WHERE series_id = ? AND destination = ? AND state = 'pending'",
      error,
      clock.now(),
      seriesId,
      destination,
    );
    tracker.changed(seriesId);
  }
}
