/** Of which series nothing is owed any more, to nobody. */
import type { Database } from '../archive/index.js';
import { correctKind } from '../intake/index.js';
import { deliveryKind } from '../series/index.js';

export interface Candidate {
  id: number;
  study: string;
  series: string;
}

/**
 * Delivered to every destination, left alone, corrected under a rule that names no destination, or rejected by who
 * looked at it; whole; no job is about it; no storage commitment request asks for it; nobody has still to look at it,
 * for its release or in a reader study. `?1` is the time before which it was finished, `?2` how many.
 */
const finished = `
  SELECT s.id, s.study, s.series FROM series s
  WHERE s.origin = 'received' AND s.completed_at IS NOT NULL
    AND (s.state IN ('delivered', 'left-alone')
      OR (s.state IN ('corrected', 'failed') AND s.verdict = 'rejected')
      OR (s.state = 'corrected' AND NOT EXISTS (
        SELECT 1 FROM instances i WHERE i.series_id = s.id AND i.destinations != '[]')))
    AND NOT EXISTS (SELECT 1 FROM instances i WHERE i.series_id = s.id AND i.current = 1
      AND i.origin = 'received' AND i.state NOT IN ('corrected', 'left-alone'))
    AND (s.hold = 0 OR s.verdict IS NOT NULL OR s.state = 'left-alone')
    AND NOT EXISTS (SELECT 1 FROM reader_cases r WHERE r.study = s.study AND r.series = s.series)
    AND NOT EXISTS (SELECT 1 FROM deliveries d WHERE d.series_id = s.id AND d.state != 'delivered'
      AND (s.verdict IS NOT 'rejected' OR d.stored = 1))
    AND NOT EXISTS (SELECT 1 FROM instances i WHERE i.damage IS NOT NULL
      AND (i.series_id = s.id OR i.derived_from IN (SELECT id FROM instances WHERE series_id = s.id)))
    AND NOT EXISTS (SELECT 1 FROM commitment_requests c, json_each(c.instances) r
      JOIN instances i ON i.sop = json_extract(r.value, '$.sopInstanceUid')
      WHERE i.series_id = s.id OR i.derived_from IN (SELECT id FROM instances WHERE series_id = s.id))`;

/** The last that happened to it: a decision, too, which may still be changed. */
const finishedAt = `MAX(s.last_received_at, s.completed_at, COALESCE(s.corrected_at, 0), COALESCE(s.delivered_at, 0),
  COALESCE((SELECT MAX(v.at) FROM reviews v WHERE v.study = s.study AND v.series = s.series), 0))`;

/** The series that were finished first, at most `limit`, and before `finishedBefore` (milliseconds since the epoch). */
export function candidates(db: Database, finishedBefore: number, limit: number): Candidate[] {
  return db
    .all<Candidate>(
      `${finished} AND ${finishedAt} < ? ORDER BY s.last_received_at, s.id LIMIT ?`,
      finishedBefore,
      limit,
    )
    .filter(({ id }) => !hasJob(db, id));
}

/** Whether the series may still be removed, asked inside the transaction that does it. */
export function isRemovable(db: Database, id: number): boolean {
  return db.get(`${finished} AND s.id = ?`, id) !== undefined && !hasJob(db, id);
}

function hasJob(db: Database, seriesId: number): boolean {
  const delivers = 'SELECT 1 FROM jobs WHERE key = ? AND kind GLOB ? LIMIT 1';
  if (db.get(delivers, String(seriesId), deliveryKind('*')) !== undefined) return true;
  return (
    db.get(
      `SELECT 1 FROM instances i JOIN jobs j ON j.kind = ? AND j.key = CAST(i.id AS TEXT)
       WHERE i.series_id = ? LIMIT 1`,
      correctKind,
      seriesId,
    ) !== undefined
  );
}
