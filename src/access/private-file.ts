import { randomBytes } from 'node:crypto';
import {
  chmodSync,
  closeSync,
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

/** A JSON file that only its owner can read, replaced as a whole, and read anew when somebody else replaced it. */
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
        const file = openSync(next, 'wx', 0o600);
        try {
          writeSync(file, `${JSON.stringify(value, null, 2)}\n`);
          fsyncSync(file);
        } finally {
          closeSync(file);
        }
        chmodSync(next, 0o600);
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
