import { randomBytes } from 'node:crypto';
import {
  closeSync,
  fchmodSync,
  fchownSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  statSync,
  writeSync,
} from 'node:fs';
import { dirname } from 'node:path';
import type { z } from 'zod';

/** A file of users, tokens or sessions cannot be used; the message is a sentence that names it. */
export class AccessFileError extends Error {
  override name = 'AccessFileError';
}

/** A JSON file that only the server (and root) can read, replaced as a whole, and read anew when somebody else replaced it. */
export interface PrivateFile<T> {
  readonly path: string;
  read(): T;
  /** On disk when it returns. */
  write(value: T): void;
}

/** How long what was read counts without another look at the file. */
const FRESH_MS = 1000;

function codeOf(error: unknown): string {
  return (error as NodeJS.ErrnoException).code ?? String(error);
}

/**
 * Whose the file becomes when root writes it for a server that runs as somebody else: whose it was, or else whose its
 * folder is. The group reads it where the folder is root's own and given to that group (`/etc/mcnet`).
 */
function ownership(path: string): { uid: number; gid: number; mode: number } | undefined {
  if (process.getuid?.() !== 0) return undefined;
  const before = statSync(path, { throwIfNoEntry: false });
  const { uid, gid, mode } = before ?? statSync(dirname(path));
  const groupReads = gid !== 0 && (before ? (mode & 0o040) !== 0 : uid === 0 && (mode & 0o050) === 0o050);
  return { uid, gid, mode: groupReads ? 0o640 : 0o600 };
}

/** @param empty what a missing file stands for */
export function openPrivateFile<T>(path: string, schema: z.ZodType<T>, empty: T): PrivateFile<T> {
  let known: { value: T; stamp: string; until: number } | undefined;

  const stampOf = () => {
    try {
      const { mtimeMs, size, ino } = statSync(path);
      return `${mtimeMs} ${size} ${ino}`;
    } catch (error) {
      if (codeOf(error) === 'ENOENT') return '';
      throw new AccessFileError(`${path} cannot be read (${codeOf(error)})`, { cause: error });
    }
  };

  const load = (): T => {
    let text: string;
    try {
      text = readFileSync(path, 'utf8');
    } catch (error) {
      if (codeOf(error) === 'ENOENT') return empty;
      throw new AccessFileError(`${path} cannot be read (${codeOf(error)})`, { cause: error });
    }
    let json: unknown;
    try {
      json = JSON.parse(text);
    } catch {
      throw new AccessFileError(`${path} is not JSON; restore it from a backup`);
    }
    const result = schema.safeParse(json);
    if (result.success) return result.data;
    const issue = result.error.issues[0];
    throw new AccessFileError(
      `${path} is not what this server wrote: ${issue?.path.join('.')}: ${issue?.message}`,
    );
  };

  return {
    path,
    read() {
      const now = Date.now();
      if (known && known.until > now) return known.value;
      const stamp = stampOf();
      const value = known && known.stamp === stamp ? known.value : load();
      known = { value, stamp, until: now + FRESH_MS };
      return value;
    },
    write(value) {
      const next = `${path}.${randomBytes(6).toString('hex')}`;
      try {
        mkdirSync(dirname(path), { recursive: true });
        const owner = ownership(path);
        const file = openSync(next, 'wx', 0o600);
        try {
          if (owner) fchownSync(file, owner.uid, owner.gid);
          fchmodSync(file, owner?.mode ?? 0o600);
          writeSync(file, `${JSON.stringify(value, null, 2)}\n`);
          fsyncSync(file);
        } finally {
          closeSync(file);
        }
        renameSync(next, path);
        const folder = openSync(dirname(path), 'r');
        fsyncSync(folder);
        closeSync(folder);
      } catch (error) {
        throw new AccessFileError(`${path} cannot be written (${codeOf(error)})`, { cause: error });
      }
      known = undefined;
    },
  };
}
