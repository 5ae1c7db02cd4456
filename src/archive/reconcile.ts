/**
 * What a start finds after the process, the machine or the disk died: files and index are made to agree, and
 * what cannot be made to agree is said.
 *
 * A file without an index row was never acknowledged to anybody: it leaves the archive (the sender still has
 * it and sends it again). A row without its whole file was acknowledged and is damage: the row is marked,
 * its series shows it, and a resend of the same object heals it.
 */
import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Database } from './database.js';
import { type InstanceFiles, isCode } from './files.js';

export interface Recovery {
  /** False when the process before this one ended in good order: then only the incoming folder was looked at. */
  crashed: boolean;
  /** Unfinished `.part` files that were removed. */
  partsRemoved: number;
  /** Files without an index row, moved to the quarantine folder; paths below the data folder. */
  quarantined: string[];
  /** Rows whose file is missing or has another size. */
  damaged: { id: number; sop: string; damage: string }[];
}

/**
 * @param lastCleanId rows up to this id were whole when the server last ended in good order: of those only the
 * existence is checked, of newer ones the size too.
 */
export async function reconcile(
  db: Database,
  files: InstanceFiles,
  crashed: boolean,
  lastCleanId: number,
): Promise<Recovery> {
  const recovery: Recovery = { crashed, partsRemoved: 0, quarantined: [], damaged: [] };
  for (const name of await readdir(join(files.root, 'incoming'))) {
    await rm(join(files.root, 'incoming', name), { recursive: true, force: true });
    recovery.partsRemoved += 1;
  }
  if (!crashed) return recovery;

  for await (const folder of seriesFolders(files.root)) {
    const rows = new Set(
      db
        .all<{ path: string }>(
          'SELECT path FROM instances WHERE path >= ? AND path < ?',
          `${folder.path}/`,
          `${folder.path}0`, // '0' follows '/' in ASCII
        )
        .map((row) => row.path),
    );
    for (const name of folder.names) {
      const path = join(folder.path, name);
      if (rows.has(path)) continue;
      await files.quarantine(path);
      recovery.quarantined.push(path);
    }
  }
  const rows = db.all<{ id: number; sop: string; path: string; bytes: number }>(
    'SELECT id, sop, path, bytes FROM instances WHERE damage IS NULL ORDER BY id',
  );
  for (let i = 0; i < rows.length; i += 64) {
    await Promise.all(
      rows.slice(i, i + 64).map(async (row) => {
        const size = await files.size(row.path);
        const damage = damageOf(size, row.bytes, row.id > lastCleanId);
        if (damage !== undefined) recovery.damaged.push({ id: row.id, sop: row.sop, damage });
      }),
    );
  }
  return recovery;
}

/** Says what is wrong with a file of `size` bytes that should have `expected`. */
export function damageOf(size: number | undefined, expected: number, compareSize = true): string | undefined {
  if (size === undefined) return 'the file is missing';
  if (compareSize && size !== expected) return `the file has ${size} bytes instead of ${expected}`;
  return undefined;
}

async function* seriesFolders(root: string): AsyncGenerator<{ path: string; names: string[] }> {
  for (const aa of await list(join(root, 'archive'))) {
    for (const study of await list(join(root, 'archive', aa))) {
      for (const series of await list(join(root, 'archive', aa, study))) {
        const path = join('archive', aa, study, series);
        yield { path, names: await list(join(root, path)) };
      }
    }
  }
}

async function list(folder: string): Promise<string[]> {
  try {
    return await readdir(folder);
  } catch (error) {
    if (isCode(error, 'ENOTDIR')) return [];
    throw error;
  }
}
