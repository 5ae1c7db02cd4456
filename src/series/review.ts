/** What people decide who looked at a series: kept for good, and whether its result may leave. */
import type { Archive } from '../archive/index.js';
import type { PipelineEmitter } from './events.js';
import type { SeriesTracker } from './tracker.js';

export type Verdict = 'accepted' | 'rejected';

export interface Review {
  verdict: Verdict;
  /** Free text; at most {@link COMMENT_LENGTH} characters. */
  comment: string;
  /** Who decided. */
  reviewer: string;
  /** Milliseconds since the epoch. */
  at: number;
}

/** Characters of a comment at most. */
export const COMMENT_LENGTH = 2000;

/** The derived instance (by row) up to which deliveries may leave. */
export function releasedUpto(row: { hold: number; verdict: Verdict | null; accepted_upto: number }): number {
  if (row.verdict === 'rejected') return 0;
  return row.hold === 0 ? Number.MAX_SAFE_INTEGER : row.accepted_upto;
}

/**
 * SQL: whether a person's decision keeps the instance `i` here, as {@link releasedUpto} has it. It is then neither
 * delivered nor handed out to those who pull.
 */
export const WITHHELD = `EXISTS (SELECT 1 FROM instances o JOIN series h ON h.id = o.series_id
  WHERE o.id = i.derived_from AND (h.verdict = 'rejected' OR (h.hold = 1 AND i.id > h.accepted_upto)))`;

/** All reviews of a series, the latest first; also of one that retention has removed. */
export function reviewsOf(
  archive: Pick<Archive, 'db'>,
  { study, series }: { study?: string; series: string },
): Review[] {
  return archive.db
    .all<Review>(
      `SELECT verdict, comment, reviewer, at FROM reviews WHERE series = ?1 AND (?2 IS NULL OR study = ?2)
       ORDER BY id DESC`,
      series,
      study ?? null,
    )
    .map((review) => ({ ...review }));
}

/**
 * Keeps a review; when it resolves it is on disk. What was held leaves when it is accepted; what waits to be delivered
 * stays when it is rejected. What a destination has already is not taken back.
 * @returns undefined when there is no such series
 */
export async function reviewSeries(
  o: { archive: Archive; tracker: SeriesTracker; events: PipelineEmitter },
  series: { id: number; study: string; series: string },
  review: Pick<Review, 'verdict' | 'comment' | 'reviewer'>,
): Promise<Review> {
  const { db, clock } = o.archive;
  const { verdict, reviewer } = review;
  const comment = review.comment.trim().slice(0, COMMENT_LENGTH);
  const at = clock.now();
  return db.commit(() => {
    db.run(
      'INSERT INTO reviews (study, series, verdict, comment, reviewer, at) VALUES (?, ?, ?, ?, ?, ?)',
      series.study,
      series.series,
      verdict,
      comment,
      reviewer,
      at,
    );
    if (verdict === 'accepted') {
      db.run(
        `UPDATE series SET verdict = 'accepted', accepted_upto = COALESCE((SELECT MAX(id) FROM instances WHERE derived_from IN
           (SELECT id FROM instances WHERE series_id = ?1)), 0) WHERE id = ?1`,
        series.id,
      );
    } else {
      db.run("UPDATE series SET verdict = 'rejected', accepted_upto = 0 WHERE id = ?", series.id);
      db.run(
        "UPDATE deliveries SET enqueued = 0 WHERE series_id = ? AND state = 'pending' AND stored = 0",
        series.id,
      );
    }
    // The comment may name the patient: it stays in its own table.
    o.archive.audit(`series ${verdict}`, { study: series.study, series: series.series, detail: reviewer });
    o.tracker.changed(series.id);
    const event = { study: series.study, series: series.series, verdict, reviewer };
    db.afterCommit(() => o.events.emit('reviewed', event));
    return { verdict, comment, reviewer, at };
  });
}
