import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

const root = join(process.env.MCNET_DATA ?? '../shared/data', 'dicom');

/** Reason to skip, or false: for `{ skip: sharedDataMissing() }`. */
export function sharedDataMissing(): string | false {
  return existsSync(root) ? false : `no shared data at ${root} (set MCNET_DATA)`;
}

/** Files of the folders whose names begin so, as [path below the data folder, absolute path]. */
export function sharedFiles(...prefixes: string[]): [name: string, path: string][] {
  if (!existsSync(root)) return [];
  return readdirSync(root, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .map((path): [string, string] => [path.slice(root.length + 1), path])
    .filter(([name]) => prefixes.some((prefix) => name.startsWith(prefix)))
    .sort(([a], [b]) => (a < b ? -1 : 1));
}

export function readShared(path: string): Buffer {
  return readFileSync(path);
}
