/**
 * Series as they come in, are corrected and go out: keeps rows, timers and delivery jobs in step with the
 * facts. Its methods that change something belong to the caller's database transaction.
 */
import type { Archive, Instance } from '../archive/index.js';
import type { Queue } from '../queue/index.js';
import { completion, type ExpectedCount, type Openness } from './completeness.js';
import type { PipelineEmitter } from './events.js';
import { releasedUpto, type Verdict } from './review.js';
import type { Rule } from './rules.js';
import { keepSafeguards } from './safeguards.js';
import { type SeriesFacts, type SeriesState, stateOf } from './state.js';

export interface CompletenessDefaults {
  quiet: number;
  maxAge: number;
}

export interface SeriesTracker {
  /** An instance was stored: the series is open (again). */
  received(
    instance: Instance,
    rule: Rule | undefined,
    expected: ExpectedCount | undefined,
    association?: string,
  ): void;
  /** An object was refused on receipt, but its header could be read. */
  refused(about: { study: string; series: string; sop: string; reason: string; peer: string }): void;
  /** A derived instance was stored: where it has to go. */
  derived(source: Instance, derived: Instance): void;
  /** Something about the series changed: its state is worked out anew before the transaction ends. */
  changed(seriesId: number): void;
  /** The association or request has ended: what it brought needs a shorter quiet time. */
  associationEnded(association: string): void;
  /** The same for a sender that names what it has sent. */
  senderEnded(series: Iterable<{ study: string; series: string }>): void;
  /** Takes up timers of an earlier process. */
  start(): void;
  stop(): void;
}

interface SeriesRow {
  id: number;
  study: string;
  series: string;
  state: SeriesState;
  reason: string;
  rule: string | null;
  quiet_ms: number | null;
  max_age_ms: number | null;
  expected: number | null;
  expected_by: string | null;
  opened_at: number;
  last_received_at: number;
  completed_at: number | null;
  complete_reason: string | null;
  corrected_at: number | null;
  delivered_at: number | null;
  hold: number;
  verdict: Verdict | null;
  accepted_upto: number;
  safeguards: string | null;
}

/** In `expected`: headers of the series contradict each other. */
const contradictory = -1;
/** An association must have brought this many instances of a series for its end to say anything. */
const severalInstances = 2;

/** A series' last receipt is written down anew only after this, so that a fast sender does not cost a row for each object. */
const writtenEveryMs = 20;

/** When the database refuses a write (a full disk), it is asked again after this. */
const refusedMs = 1000;

/** Kind of the delivery jobs for a destination. */
export function deliveryKind(destination: string): string {
  return `deliver:${destination}`;
}

export function createSeriesTracker(
  archive: Archive,
  queue: Queue,
  events: PipelineEmitter,
  defaults: CompletenessDefaults,
): SeriesTracker {
  const { db, clock } = archive;
  const dueAt = new Map<number, number>();
  const brought = new Map<string, Map<number, number>>();
  const senderEnded = new Set<number>();
  let timer: NodeJS.Timeout | undefined;
  let timerAt = Number.POSITIVE_INFINITY;
  let running = false;

  /** Whether any object is known that was refused and may come again. */
  let anyRefused = db.get('SELECT 1 FROM refusals LIMIT 1') !== undefined;

  const rowOf = (id: number) =>
    db.get<SeriesRow>(
      `SELECT id, study, series, state, reason, rule, quiet_ms, max_age_ms, expected, expected_by, opened_at,
         last_received_at, completed_at, complete_reason, corrected_at, delivered_at, hold, verdict, accepted_upto, safeguards
       FROM series WHERE id = ?`,
      id,
    );

  /** Once for all that arrive in a transaction. */
  function touch(id: number, rule: Rule | undefined): void {
    db.beforeCommit(`received ${id} ${rule?.name ?? ''}`, () => touched(id, rule));
  }

  function touched(id: number, rule: Rule | undefined): void {
    const row = rowOf(id)!;
    const now = clock.now();
    const reopened = row.completed_at !== null;
    const openedAt = reopened ? now : row.opened_at;
    const quiet = rule?.complete?.quiet ?? row.quiet_ms;
    const maxAge = rule?.complete?.maxAge ?? row.max_age_ms;
    const hold = rule?.hold === 'until accepted' ? 1 : row.hold;
    const written =
      !reopened &&
      now - row.last_received_at < writtenEveryMs &&
      now >= row.last_received_at &&
      row.last_received_at > row.opened_at &&
      row.delivered_at === null &&
      (row.rule !== null || rule === undefined) &&
      quiet === row.quiet_ms &&
      maxAge === row.max_age_ms &&
      hold === row.hold;
    if (!written) {
      db.run(
        `UPDATE series SET last_received_at = ?, opened_at = ?, completed_at = NULL, complete_reason = NULL,
           delivered_at = NULL, rule = COALESCE(rule, ?), quiet_ms = ?, max_age_ms = ?, hold = ? WHERE id = ?`,
        now,
        openedAt,
        rule?.name ?? null,
        quiet,
        maxAge,
        hold,
        id,
      );
    }
    keepSafeguards(db, row, rule);
    if (reopened) {
      archive.audit('series reopened by a late instance', { study: row.study, series: row.series });
      setState(row, 'receiving', '');
    }
    db.afterCommit(() => {
      senderEnded.delete(id);
      schedule(id, {
        ...row,
        last_received_at: now,
        opened_at: openedAt,
        completed_at: null,
        quiet_ms: quiet,
        max_age_ms: maxAge,
      });
    });
  }

  function expect(id: number, expected: ExpectedCount): void {
    const row = db.get<Pick<SeriesRow, 'expected' | 'expected_by'>>(
      'SELECT expected, expected_by FROM series WHERE id = ?',
      id,
    )!;
    if (row.expected === null) {
      db.run('UPDATE series SET expected = ?, expected_by = ? WHERE id = ?', expected.count, expected.by, id);
    } else if (row.expected !== expected.count || row.expected_by !== expected.by) {
      db.run('UPDATE series SET expected = ? WHERE id = ?', contradictory, id);
    }
  }

  function opennessOf(row: SeriesRow): Openness {
    const hasExpected = row.expected !== null && row.expected > 0;
    return {
      openedAt: row.opened_at,
      lastReceivedAt: row.last_received_at,
      quietMs: row.quiet_ms ?? defaults.quiet,
      maxAgeMs: row.max_age_ms ?? defaults.maxAge,
      received: hasExpected ? receivedCount(row.id) : 0,
      expected: hasExpected ? row.expected! : undefined,
      senderEnded: senderEnded.has(row.id),
    };
  }

  function receivedCount(id: number): number {
    return db.get<{ n: number }>(
      "SELECT COUNT(*) AS n FROM instances WHERE series_id = ? AND origin = 'received' AND current = 1",
      id,
    )!.n;
  }

  function schedule(id: number, row = rowOf(id)): void {
    if (!running) return;
    if (row === undefined || row.completed_at !== null) {
      dueAt.delete(id);
      return;
    }
    const { at } = completion(opennessOf(row), clock.now());
    dueAt.set(id, at);
    arm(at);
  }

  function arm(at: number): void {
    if (at >= timerAt) return;
    clearTimeout(timer);
    timerAt = at;
    timer = setTimeout(tick, Math.max(0, Math.min(at - clock.now(), 60_000)));
    timer.unref();
  }

  function tick(): void {
    timerAt = Number.POSITIVE_INFINITY;
    const now = clock.now();
    for (const [id, at] of dueAt) {
      if (at > now) continue;
      try {
        completeIfDue(id, now);
      } catch {
        dueAt.set(id, now + refusedMs);
      }
    }
    let next = Number.POSITIVE_INFINITY;
    for (const at of dueAt.values()) next = Math.min(next, at);
    if (next < Number.POSITIVE_INFINITY) arm(next);
  }

  function completeIfDue(id: number, now: number): void {
    dueAt.delete(id);
    const row = rowOf(id);
    if (row === undefined || row.completed_at !== null) return;
    const { at, reason } = completion(opennessOf(row), now);
    if (at > now) {
      dueAt.set(id, at);
      return;
    }
    senderEnded.delete(id);
    db.transaction(() => {
      db.run('UPDATE series SET completed_at = ?, complete_reason = ? WHERE id = ?', now, reason, id);
      changed(id);
    });
  }

  function changed(seriesId: number): void {
    // After what has arrived of it in the same transaction.
    db.beforeCommit(`changed ${seriesId}`, () =>
      db.beforeCommit(`series ${seriesId}`, () => evaluate(seriesId)),
    );
  }

  function evaluate(id: number): void {
    const row = rowOf(id);
    if (row === undefined || (row.completed_at === null && row.state === 'receiving')) return;
    const pending = hasPending(id);
    if (pending && row.state === 'complete') return;
    if (row.completed_at !== null && !pending) enqueueDeliveries(id, 'series');
    const undecided = row.hold === 0 && row.verdict === null;
    if (!pending && undecided && row.state === 'corrected' && hasPendingDelivery(id)) return;
    const facts = factsOf(row);
    const { state, reason } = stateOf(facts);
    const explained = state === 'left-alone' ? leftAloneReason(id, reason) : reason;
    if (state !== row.state || explained !== row.reason) setState(row, state, explained);
  }

  function hasPending(id: number): boolean {
    const sql =
      "SELECT 1 FROM instances WHERE series_id = ? AND origin = 'received' AND current = 1 AND state = 'pending' LIMIT 1";
    return db.get(sql, id) !== undefined;
  }

  function hasPendingDelivery(id: number): boolean {
    return (
      db.get("SELECT 1 FROM deliveries WHERE series_id = ? AND state = 'pending' LIMIT 1", id) !== undefined
    );
  }

  function factsOf(row: SeriesRow): SeriesFacts {
    const counts: Record<string, number> = {};
    for (const { state, n } of db.all<{ state: string; n: number }>(
      "SELECT state, COUNT(*) AS n FROM instances WHERE series_id = ? AND origin = 'received' AND current = 1 GROUP BY state",
      row.id,
    )) {
      counts[state] = n;
    }
    const deliveries = { pending: 0, delivered: 0, failed: 0 };
    for (const { state, n } of db.all<{ state: keyof typeof deliveries; n: number }>(
      'SELECT state, COUNT(*) AS n FROM deliveries WHERE series_id = ? GROUP BY state',
      row.id,
    )) {
      deliveries[state] = n;
    }
    const { n: refused } = db.get<{ n: number }>(
      'SELECT COUNT(*) AS n FROM refusals WHERE study = ? AND series = ?',
      row.study,
      row.series,
    )!;
    return {
      completeReason: row.complete_reason ?? undefined,
      pending: counts.pending ?? 0,
      corrected: counts.corrected ?? 0,
      leftAlone: counts['left-alone'] ?? 0,
      failed: counts.failed ?? 0,
      refused,
      deliveries,
      withheld: withheldReason(row),
    };
  }

  /** Why deliveries wait for a person; undefined when none does. */
  function withheldReason(row: SeriesRow): string | undefined {
    if (row.verdict === 'rejected') return 'rejected: it is not delivered';
    if (row.hold === 0) return undefined;
    const waits = `SELECT 1 FROM deliveries WHERE series_id = ? AND state = 'pending' AND instance_id > ? LIMIT 1`;
    return db.get(waits, row.id, releasedUpto(row)) === undefined ? undefined : 'held until it is accepted';
  }

  function leftAloneReason(id: number, notes: string): string {
    const reasons = db.all<{ reason: string }>(
      "SELECT DISTINCT reason FROM instances WHERE series_id = ? AND origin = 'received' AND current = 1 LIMIT 4",
      id,
    );
    return [...reasons.map(({ reason }) => reason), notes].filter((text) => text !== '').join('; ');
  }

  function setState(row: SeriesRow, to: SeriesState, reason: string): void {
    const now = clock.now();
    const isCorrected = to === 'corrected' || to === 'delivered';
    db.run(
      'UPDATE series SET state = ?, reason = ?, corrected_at = ?, delivered_at = ? WHERE id = ?',
      to,
      reason,
      isCorrected ? (row.corrected_at ?? now) : to === 'failed' ? row.corrected_at : null,
      to === 'delivered' ? (row.delivered_at ?? now) : null,
      row.id,
    );
    if (to === row.state) return;
    const change = { id: row.id, study: row.study, series: row.series, from: row.state, to, reason };
    db.afterCommit(() => events.emit('series', change));
  }

  /** One job for each destination that has something new to get. */
  function enqueueDeliveries(seriesId: number, mode: 'series' | 'slice'): void {
    const upto = releasedUpto(rowOf(seriesId)!);
    const destinations = db.all<{ destination: string; priority: number }>(
      `SELECT d.destination, MAX(i.priority) AS priority FROM deliveries d JOIN instances i ON i.id = d.instance_id
       WHERE d.series_id = ? AND d.state = 'pending' AND d.enqueued = 0 AND (? = 'series' OR i.deliver = 'slice')
         AND d.instance_id <= ? GROUP BY d.destination`,
      seriesId,
      mode,
      upto,
    );
    for (const { destination, priority } of destinations) {
      db.run(
        `UPDATE deliveries SET enqueued = 1 WHERE series_id = ? AND destination = ? AND state = 'pending' AND enqueued = 0
           AND instance_id <= ?
           AND (? = 'series' OR instance_id IN (SELECT id FROM instances WHERE deliver = 'slice'))`,
        seriesId,
        destination,
        upto,
        mode,
      );
      queue.add({
        kind: deliveryKind(destination),
        key: String(seriesId),
        payload: { series: seriesId },
        priority,
      });
    }
  }

  return {
    received(instance, rule, expected, association) {
      const id = instance.seriesId;
      touch(id, rule);
      if (expected !== undefined) expect(id, expected);
      if (anyRefused) {
        db.run(
          'DELETE FROM refusals WHERE study = ? AND series = ? AND sop = ?',
          instance.study,
          instance.series,
          instance.sop,
        );
      }
      if (association !== undefined) {
        db.afterCommit(() => {
          const counts = brought.get(association) ?? new Map<number, number>();
          brought.set(association, counts);
          counts.set(id, (counts.get(id) ?? 0) + 1);
        });
      }
    },
    refused({ study, series, sop, reason, peer }) {
      const now = clock.now();
      anyRefused = true;
      db.run(
        `INSERT INTO series (study, series, origin, opened_at, last_received_at) VALUES (?, ?, 'received', ?, ?)
         ON CONFLICT (study, series) DO NOTHING`,
        study,
        series,
        now,
        now,
      );
      db.run(
        'INSERT OR REPLACE INTO refusals (study, series, sop, reason, source_peer, at) VALUES (?, ?, ?, ?, ?, ?)',
        study,
        series,
        sop,
        reason,
        peer,
        now,
      );
      const { id } = db.get<{ id: number }>(
        'SELECT id FROM series WHERE study = ? AND series = ?',
        study,
        series,
      )!;
      changed(id);
      db.afterCommit(() => schedule(id));
    },
    derived(source, derived) {
      for (const destination of source.destinations) {
        db.run(
          `INSERT INTO deliveries (instance_id, destination, series_id, state, updated_at) VALUES (?, ?, ?, 'pending', ?)
           ON CONFLICT (instance_id, destination) DO NOTHING`,
          derived.id,
          destination,
          source.seriesId,
          clock.now(),
        );
      }
      if (source.deliver === 'slice') enqueueDeliveries(source.seriesId, 'slice');
      changed(source.seriesId);
    },
    changed,
    associationEnded(association) {
      const counts = brought.get(association);
      brought.delete(association);
      for (const [id, n] of counts ?? []) {
        if (n < severalInstances) continue;
        senderEnded.add(id);
        schedule(id);
      }
    },
    senderEnded(ended) {
      for (const { study, series } of ended) {
        const row = db.get<{ id: number }>(
          'SELECT id FROM series WHERE study = ? AND series = ?',
          study,
          series,
        );
        if (row === undefined || receivedCount(row.id) < severalInstances) continue;
        senderEnded.add(row.id);
        schedule(row.id);
      }
    },
    start() {
      running = true;
      // Received, by a clock that was set back since: a quiet time that begins in the future would not end before it.
      db.run(
        `UPDATE series SET opened_at = MIN(opened_at, ?1), last_received_at = MIN(last_received_at, ?1)
         WHERE origin = 'received' AND completed_at IS NULL`,
        clock.now(),
      );
      for (const { id } of db.all<{ id: number }>(
        "SELECT id FROM series WHERE origin = 'received' AND completed_at IS NULL",
      )) {
        schedule(id);
      }
      db.transaction(() => {
        for (const { id } of db.all<{ id: number }>(
          "SELECT id FROM series WHERE origin = 'received' AND state IN ('complete', 'corrected')",
        )) {
          changed(id);
        }
      });
    },
    stop() {
      running = false;
      clearTimeout(timer);
    },
  };
}
