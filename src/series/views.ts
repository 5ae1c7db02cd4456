/** Series as people and programs are shown them. */
import type { Archive, Instance } from '../archive/index.js';
import type { Queue } from '../queue/index.js';
import { type Review, reviewsOf } from './review.js';
import type { SeriesState } from './state.js';
import { deliveryKind } from './tracker.js';

export interface SeriesView {
  id: number;
  study: string;
  series: string;
  state: SeriesState;
  reason: string;
  rule?: string;
  /** Of the source series' current instances; `delivered`: those whose result every destination has. */
  counts: { received: number; corrected: number; leftAlone: number; failed: number; delivered: number };
  expected?: number;
  completeReason?: string;
  /** Milliseconds since the epoch. */
  firstReceivedAt: number;
  lastReceivedAt: number;
  completedAt?: number;
  correctedAt?: number;
  deliveredAt?: number;
  /** Series Instance UIDs of what was derived from it. */
  derivedSeries: string[];
  destinations: DestinationView[];
  failures: { sop: string; reason: string }[];
  /** Objects that the sender was refused. */
  refused: { sop: string; reason: string; at: number }[];
  /** Why instances were left alone, with how many. */
  leftAlone: { reason: string; count: number }[];
  /** Whether the result waits for a person to accept it. */
  hold: boolean;
  /** What the last person who looked decided. */
  review?: Review;
  /** Derived instances that the safeguards flagged. */
  flagged: number;
  /** What the safeguards remarked, with how many derived instances. */
  remarks: { kind: string; count: number }[];
}

export interface DestinationView {
  name: string;
  state: 'waiting' | 'sending' | 'delivered' | 'failed';
  delivered: number;
  failed: number;
  pending: number;
  attempts: number;
  nextAttemptAt?: number;
  lastError?: string;
}

export interface SeriesFilter {
  state?: SeriesState | readonly SeriesState[];
  study?: string;
  /** Newest first; default 100. */
  limit?: number;
  offset?: number;
}

export interface SeriesIndex {
  list(filter?: SeriesFilter): SeriesView[];
  /** By row id or Series Instance UID. */
  get(idOrUid: number | string): SeriesView | undefined;
  /** Current received instances of a series, in order of arrival. */
  instances(id: number): Instance[];
  /** Received series that failed, in order of their row ids behind `after`. */
  failed(after: number, limit: number): { id: number; series: string }[];
  /** How many series are in each state. */
  countByState(): Partial<Record<SeriesState, number>>;
}

interface Row {
  id: number;
  study: string;
  series: string;
  state: SeriesState;
  reason: string;
  rule: string | null;
  expected: number | null;
  opened_at: number;
  last_received_at: number;
  completed_at: number | null;
  complete_reason: string | null;
  corrected_at: number | null;
  delivered_at: number | null;
  hold: number;
  verdict: string | null;
}

const failuresShown = 100;

export function createSeriesIndex(archive: Archive, queue: Queue): SeriesIndex {
  const { db } = archive;

  function viewOf(row: Row): SeriesView {
    const counts = db.get<{
      received: number;
      corrected: number;
      left: number;
      failed: number;
      first: number | null;
    }>(
      `SELECT COUNT(*) AS received, COALESCE(SUM(state = 'corrected'), 0) AS corrected,
         COALESCE(SUM(state = 'left-alone'), 0) AS "left", COALESCE(SUM(state = 'failed'), 0) AS failed,
         MIN(received_at) AS first
       FROM instances WHERE series_id = ? AND origin = 'received' AND current = 1`,
      row.id,
    )!;
    return {
      id: row.id,
      study: row.study,
      series: row.series,
      state: row.state,
      reason: row.reason,
      ...(row.rule !== null && { rule: row.rule }),
      counts: {
        received: counts.received,
        corrected: counts.corrected,
        leftAlone: counts.left,
        failed: counts.failed,
        delivered: deliveredCount(row.id),
      },
      ...(row.expected !== null && row.expected > 0 && { expected: row.expected }),
      ...(row.complete_reason !== null && { completeReason: row.complete_reason }),
      firstReceivedAt: counts.first ?? row.opened_at,
      lastReceivedAt: row.last_received_at,
      ...(row.completed_at !== null && { completedAt: row.completed_at }),
      ...(row.corrected_at !== null && { correctedAt: row.corrected_at }),
      ...(row.delivered_at !== null && { deliveredAt: row.delivered_at }),
      derivedSeries: db
        .all<{ series: string }>('SELECT series FROM series WHERE source_series = ? ORDER BY id', row.id)
        .map(({ series }) => series),
      destinations: destinationsOf(row.id),
      failures: failuresOf(row.id),
      refused: db
        .all<{ sop: string; reason: string; at: number }>(
          'SELECT sop, reason, at FROM refusals WHERE study = ? AND series = ? ORDER BY at LIMIT ?',
          row.study,
          row.series,
          failuresShown,
        )
        .map((refusal) => ({ ...refusal })),
      leftAlone: db
        .all<{ reason: string; count: number }>(
          `SELECT reason, COUNT(*) AS count FROM instances
           WHERE series_id = ? AND origin = 'received' AND current = 1 AND state = 'left-alone' GROUP BY reason`,
          row.id,
        )
        .map((left) => ({ ...left })),
      hold: row.hold === 1,
      ...(row.verdict !== null && { review: reviewsOf(archive, row)[0]! }),
      flagged: db.get<{ n: number }>(
        `SELECT COUNT(*) AS n FROM instances d JOIN instances i ON i.id = d.derived_from
         WHERE i.series_id = ? AND i.current = 1 AND d.current = 1 AND d.flags IS NOT NULL
           AND EXISTS (SELECT 1 FROM json_each(d.flags) WHERE json_extract(value, '$.kind') != 'skipped')`,
        row.id,
      )!.n,
      remarks: db
        .all<{ kind: string; count: number }>(
          `SELECT json_extract(f.value, '$.kind') AS kind, COUNT(DISTINCT d.id) AS count
           FROM instances i JOIN instances d ON d.derived_from = i.id, json_each(d.flags) f
           WHERE i.series_id = ? AND i.current = 1 AND d.current = 1 AND d.flags IS NOT NULL
           GROUP BY kind ORDER BY kind`,
          row.id,
        )
        .map((remark) => ({ ...remark })),
    };
  }

  function deliveredCount(id: number): number {
    return db.get<{ n: number }>(
      `SELECT COUNT(*) AS n FROM (SELECT d.instance_id FROM deliveries d JOIN instances i ON i.id = d.instance_id
         WHERE d.series_id = ? AND i.current = 1 GROUP BY d.instance_id HAVING SUM(d.state != 'delivered') = 0)`,
      id,
    )!.n;
  }

  function destinationsOf(id: number): DestinationView[] {
    return db
      .all<{ name: string; delivered: number; failed: number; pending: number; attempts: number }>(
        `SELECT destination AS name, SUM(state = 'delivered') AS delivered, SUM(state = 'failed') AS failed,
           SUM(state = 'pending') AS pending, MAX(attempts) AS attempts
         FROM deliveries WHERE series_id = ? GROUP BY destination`,
        id,
      )
      .map((row) => {
        const job = queue.state(deliveryKind(row.name), String(id));
        const lastError = db.get<{ message: string }>(
          `SELECT message FROM deliveries WHERE series_id = ? AND destination = ? AND state != 'delivered'
             AND message != '' ORDER BY updated_at DESC LIMIT 1`,
          id,
          row.name,
        )?.message;
        const error = lastError ?? job?.error;
        return {
          ...row,
          state:
            job?.state === 'leased' && row.pending > 0
              ? ('sending' as const)
              : row.pending > 0
                ? job?.state === 'dead'
                  ? ('failed' as const)
                  : ('waiting' as const)
                : row.failed > 0
                  ? ('failed' as const)
                  : ('delivered' as const),
          ...(job?.state === 'queued' && { nextAttemptAt: job.runAt }),
          ...(error !== undefined && row.pending + row.failed > 0 && { lastError: error }),
        };
      });
  }

  function failuresOf(id: number): { sop: string; reason: string }[] {
    const failures = db.all<{ sop: string; reason: string }>(
      `SELECT sop, reason FROM instances WHERE series_id = ?1 AND origin = 'received' AND current = 1 AND state = 'failed'
       UNION ALL
       SELECT sop, 'damaged in the archive: ' || damage FROM instances
         WHERE damage IS NOT NULL AND (series_id = ?1 OR series_id IN (SELECT id FROM series WHERE source_series = ?1))
       UNION ALL
       SELECT i.sop, d.destination || ': ' || d.message FROM deliveries d JOIN instances i ON i.id = d.instance_id
         WHERE d.series_id = ?1 AND d.state = 'failed'
       LIMIT ?2`,
      id,
      failuresShown,
    );
    return failures.map((failure) => ({ ...failure }));
  }

  return {
    list({ state, study, limit = 100, offset = 0 } = {}) {
      const states = state === undefined ? undefined : typeof state === 'string' ? [state] : state;
      return db
        .all<Row>(
          `SELECT * FROM series WHERE origin = 'received' AND (?1 IS NULL OR state IN (SELECT value FROM json_each(?1)))
             AND (?2 IS NULL OR study = ?2) ORDER BY last_received_at DESC, id DESC LIMIT ?3 OFFSET ?4`,
          states === undefined ? null : JSON.stringify(states),
          study ?? null,
          limit,
          offset,
        )
        .map(viewOf);
    },
    get(idOrUid) {
      const row =
        typeof idOrUid === 'number'
          ? db.get<Row>('SELECT * FROM series WHERE id = ?', idOrUid)
          : db.get<Row>(
              "SELECT * FROM series WHERE series = ? ORDER BY origin = 'derived', id LIMIT 1",
              idOrUid,
            );
      return row === undefined ? undefined : viewOf(row);
    },
    instances: (id) =>
      db
        .all<{ id: number }>(
          "SELECT id FROM instances WHERE series_id = ? AND origin = 'received' AND current = 1 ORDER BY id",
          id,
        )
        .map((row) => archive.get(row.id)!),
    failed: (after, limit) =>
      db
        .all<{ id: number; series: string }>(
          "SELECT id, series FROM series WHERE origin = 'received' AND state = 'failed' AND id > ? ORDER BY id LIMIT ?",
          after,
          limit,
        )
        .map((row) => ({ ...row })),
    countByState() {
      const counts: Partial<Record<SeriesState, number>> = {};
      for (const { state, n } of db.all<{ state: SeriesState; n: number }>(
        "SELECT state, COUNT(*) AS n FROM series WHERE origin = 'received' GROUP BY state",
      )) {
        counts[state] = n;
      }
      return counts;
    },
  };
}
