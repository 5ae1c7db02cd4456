/**
 * Series leave the archive: first their rows, durably and with a note of every file, then the files. Whatever ends the
 * process in between, the next start finds the notes and goes on.
 */
import { dirname } from 'node:path';
import type { Clock } from './clock.js';
import type { Database } from './database.js';
import type { InstanceFiles } from './files.js';

export interface Removed {
  /** Received and derived, all versions. */
  instances: number;
  bytes: number;
  /** Received instances and their bytes by source. */
  bySource: ReadonlyMap<string, { instances: number; bytes: number }>;
}

interface RemovedRow {
  id: number;
  path: string;
  bytes: number;
  origin: string;
  source_peer: string;
}

interface Removal {
  path: string;
  study: string;
  series: string;
  sop: string;
}

const filesAtATime = 64;

/** Of a source series: its own instances and what was derived from them. */
const instancesOfSeries = `
  SELECT i.id FROM instances i WHERE i.series_id = ?1
  UNION SELECT d.id FROM instances d JOIN instances i ON d.derived_from = i.id WHERE i.series_id = ?1`;

/** Takes a source series and what was derived from it out of the index. Belongs to the caller's transaction. */
export function removeRows(db: Database, clock: Clock, seriesId: number): Removed {
  const rows = db.all<RemovedRow>(
    `SELECT id, path, bytes, origin, source_peer FROM instances WHERE id IN (${instancesOfSeries})`,
    seriesId,
  );
  const ids = JSON.stringify(rows.map(({ id }) => id));
  const these = 'IN (SELECT value FROM json_each(?1))';
  db.run(
    `INSERT OR REPLACE INTO removed SELECT i.sop, s.series, s.study, i.origin, i.digest, ?2
       FROM instances i JOIN series s ON s.id = i.series_id WHERE i.id ${these}`,
    ids,
    clock.now(),
  );
  db.run(
    `INSERT OR REPLACE INTO removals SELECT i.path, s.study, s.series, i.sop
       FROM instances i JOIN series s ON s.id = i.series_id WHERE i.id ${these}`,
    ids,
  );
  const touched = db.all<{ id: number; study: string; series: string }>(
    `SELECT id, study, series FROM series WHERE id = ?2 OR id IN (SELECT series_id FROM instances WHERE id ${these})`,
    ids,
    seriesId,
  );
  db.run(`DELETE FROM deliveries WHERE instance_id ${these}`, ids);
  db.run(`DELETE FROM instances WHERE id ${these} AND derived_from IS NOT NULL`, ids);
  db.run(`DELETE FROM instances WHERE id ${these}`, ids);
  // Derived series first: they refer to their source.
  for (const { id, study, series } of touched.sort((a, b) => b.id - a.id)) {
    if (db.get('SELECT 1 FROM instances WHERE series_id = ? LIMIT 1', id) !== undefined) continue;
    db.run('UPDATE series SET source_series = NULL WHERE source_series = ?', id);
    db.run('DELETE FROM series WHERE id = ?', id);
    db.run('DELETE FROM refusals WHERE study = ? AND series = ?', study, series);
    if (db.get('SELECT 1 FROM series WHERE study = ? LIMIT 1', study) === undefined) {
      db.run('DELETE FROM studies WHERE study = ?', study);
    }
  }
  const bySource = new Map<string, { instances: number; bytes: number }>();
  for (const { origin, source_peer: peer, bytes } of rows) {
    if (origin !== 'received') continue;
    const of = bySource.get(peer) ?? { instances: 0, bytes: 0 };
    bySource.set(peer, { instances: of.instances + 1, bytes: of.bytes + bytes });
  }
  return { instances: rows.length, bytes: rows.reduce((sum, { bytes }) => sum + bytes, 0), bySource };
}

/**
 * Removes the files whose rows are gone. One that has come again meanwhile has a row again, and stays.
 * @param exclusively as the archive's: nobody stores an object while its former file goes
 */
export async function removeFiles(
  db: Database,
  files: InstanceFiles,
  exclusively: <T>(key: string, work: () => Promise<T>) => Promise<T>,
): Promise<void> {
  for (;;) {
    const some = db.all<Removal>('SELECT * FROM removals ORDER BY path LIMIT ?', filesAtATime);
    if (some.length === 0) return;
    await Promise.all(
      some.map(({ path, study, series, sop }) =>
        exclusively(`${study}/${series}/${sop}`, async () => {
          if (db.get('SELECT 1 FROM instances WHERE path = ?', path) !== undefined) return;
          await files.remove(path);
        }),
      ),
    );
    for (const folder of new Set(some.map(({ path }) => dirname(path)))) await files.settleRemovals(folder);
    db.transaction(() => {
      for (const { path } of some) db.run('DELETE FROM removals WHERE path = ?', path);
    });
  }
}
