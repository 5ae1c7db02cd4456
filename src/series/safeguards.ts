/**
 * A series keeps the safeguards of its rule as they were when it began, so that all of its slices are treated alike and
 * end in one derived series. Changed safeguards are for the series that begin afterwards.
 */
import type { Database } from '../archive/index.js';
import type { Rule } from './rules.js';

type ByRule = Readonly<Record<string, object>>;

/** Keeps a rule's safeguards with a series, unless some are kept already. Belongs to the caller's transaction. */
export function keepSafeguards(
  db: Pick<Database, 'run'>,
  series: { id: number; safeguards: string | null },
  rule: Pick<Rule, 'name' | 'safeguards'> | undefined,
): void {
  if (rule?.safeguards === undefined) return;
  const kept = JSON.parse(series.safeguards ?? '{}') as ByRule;
  if (Object.hasOwn(kept, rule.name)) return;
  db.run(
    'UPDATE series SET safeguards = ? WHERE id = ?',
    JSON.stringify({ ...kept, [rule.name]: rule.safeguards }),
    series.id,
  );
}

/** What {@link keepSafeguards} has kept; undefined for a series that began under an earlier version of the program. */
export function keptSafeguards(
  db: Pick<Database, 'get'>,
  seriesId: number,
  rule: string,
): object | undefined {
  const row = db.get<{ safeguards: string | null }>('SELECT safeguards FROM series WHERE id = ?', seriesId);
  const kept = JSON.parse(row?.safeguards ?? '{}') as ByRule;
  return Object.hasOwn(kept, rule) ? kept[rule] : undefined;
}
