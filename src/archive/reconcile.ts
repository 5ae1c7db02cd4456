/**
 * What a start finds after the process, the machine or the disk died: files and index are made to agree, and
 * what cannot be made to agree is said.
 *
 * A file without an index row was never acknowledged to anybody: it leaves the archive (the sender still has
 * it and sends it again). A row without its whole file is damage: the row is marked, its series shows it, and a
 * resend of the same object heals it. (After a power cut such a row may be one that was never acknowledged,
 * since file and row go to the disk side by side: then its sender does resend it.)
 */
import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Database } from './database.js';
import { digestOfFile } from './digest.js';
import { type InstanceFiles, isCode } from './files.js';

export interface Recovery {
  /** False when the process before this one ended in good order: then only the incoming folder was looked at. */
  crashed: boolean;
  /** Unfinished `.part` files that were removed. */
  partsRemoved: number;
  /** Files without an index row, moved to the quarantine folder; paths below the data folder. */
  quarantined: string[];
  /** Objects that the journal held: put back where they were missing. */
  journalled: number;
  /** Rows whose file is missing or has another size. */
  damaged: { id: number; sop: string; damage: string }[];
}

/**
 * @param settledId rows up to this id are known to have been whole on disk: of those only the existence is
 * checked, of newer ones the contents, because a power cut may have kept a row and lost bytes of its file.
 * @param journalled files that the journal will put back, rows and all
 */
export async function reconcile(
  db: Database,
  files: InstanceFiles,
  crashed: boolean,
  settledId: number,
  journalled: ReadonlySet<string> = new Set(),
): Promise<Recovery> {
  const recovery: Recovery = {
    crashed,
    partsRemoved: 0,
    quarantined: [],
    journalled: journalled.size,
    damaged: [],
  };
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
      if (rows.has(path) || journalled.has(path)) continue;
      await files.quarantine(path);
      recovery.quarantined.push(path);
    }
  }
  const rows = db.all<Recorded & { id: number; sop: string }>(
    'SELECT id, sop, path, bytes, digest, transfer_syntax, data_set_offset FROM instances WHERE damage IS NULL ORDER BY id',
  );
  for (let i = 0; i < rows.length; i += 64) {
    await Promise.all(
      rows.slice(i, i + 64).map(async (row) => {
        const damage = row.id > settledId ? await examine(files, row) : await missing(files, row);
        if (damage !== undefined) recovery.damaged.push({ id: row.id, sop: row.sop, damage });
      }),
    );
  }
  recovery.damaged.sort((a, b) => a.id - b.id);
  return recovery;
}

/** What a row says of its file; `path` below the data folder. */
export interface Recorded {
  path: string;
  bytes: number;
  digest: string;
  transfer_syntax: string;
  data_set_offset: number;
}

async function missing(files: InstanceFiles, row: Recorded): Promise<string | undefined> {
  return (await files.size(row.path)) === undefined ? 'the file is missing' : undefined;
}

/** Compares the whole file with its row; says what is wrong with it. */
export async function examine(files: InstanceFiles, row: Recorded): Promise<string | undefined> {
  const damage = damageOf(await files.size(row.path), row.bytes);
  if (damage !== undefined) return damage;
  const digest = await digestOfFile(files.absolutePath(row.path), row.transfer_syntax, row.data_set_offset);
  return digest === row.digest ? undefined : 'the bytes are not those that were received';
}

/** Says what is wrong with a file of `size` bytes that should have `expected`. */
export function damageOf(size: number | undefined, expected: number): string | undefined {
  if (size === undefined) return 'the file is missing';
  if (size !== expected) return `the file has ${size} bytes instead of ${expected}`;
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
