import type { Archive } from './archive.js';
import type { IndexedAttributes } from './attributes.js';

const atOnce = 32;

/**
 * Reads the headers of objects that were stored before the index kept attributes. Runs beside everything else until
 * it is done or `signal` fires; an object that cannot be read is passed over until the next start.
 * @returns how many were indexed
 */
export async function indexMissing(
  archive: Archive,
  read: (path: string) => Promise<IndexedAttributes>,
  signal: AbortSignal,
): Promise<number> {
  const { db } = archive;
  let last = 0;
  let indexed = 0;
  while (!signal.aborted) {
    const rows = db.all<{ id: number }>(
      'SELECT id FROM instances WHERE attributes IS NULL AND id > ? ORDER BY id LIMIT ?',
      last,
      atOnce,
    );
    if (rows.length === 0) break;
    for (const { id } of rows) {
      if (signal.aborted) return indexed;
      last = id;
      const instance = archive.get(id)!;
      const attributes = await read(instance.path).catch(() => undefined);
      if (attributes === undefined || signal.aborted) continue;
      db.transaction(() => archive.setAttributes(instance, attributes));
      indexed += 1;
    }
  }
  return indexed;
}
