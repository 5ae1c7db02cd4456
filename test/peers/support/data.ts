import { existsSync, readdirSync } from 'node:fs';
import { join, resolve } from 'node:path';
import type { TestContext } from 'node:test';

export const DATA = resolve(process.env.MCNET_DATA ?? '../shared/data');

/** The DICOM files of a folder of the shared data, by the start of its name; undefined (and skipped) without it. */
export function sharedSeries(t: TestContext, name: string): string[] | undefined {
  const parent = join(DATA, 'dicom');
  const folder = existsSync(parent) ? readdirSync(parent).find((entry) => entry.startsWith(name)) : undefined;
  if (folder === undefined) {
    t.skip(`no ${name} under ${parent}: set MCNET_DATA to the shared data`);
    return undefined;
  }
  return readdirSync(join(parent, folder), { recursive: true, encoding: 'utf8' })
    .filter((entry) => entry.endsWith('.dcm'))
    .sort()
    .map((entry) => join(parent, folder, entry));
}
