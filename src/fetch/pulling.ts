/** Asks sources again and again for series that match a rule, and fetches each once; again when it has grown. */
import type { Archive } from '../archive/index.js';
import type { Fetching } from './fetching.js';
import { type Conditions, type FoundSeries, findSeries } from './query.js';

export interface PullRule {
  name: string;
  source: string;
  /** Milliseconds between two looks. */
  every: number;
  /** Studies of today and of so many days before. */
  days: number;
  query: Conditions;
}

/** How a pull rule fares. */
export interface PullView {
  name: string;
  source: string;
  /** Milliseconds since the epoch; absent before the first look. */
  lastLookAt?: number;
  /** Series that matched at the last look. */
  matching?: number;
  /** Why the last look failed. */
  problem?: string;
}

export interface Pulling {
  views(): PullView[];
  start(): void;
  close(): Promise<void>;
}

/** What failed for a rule is asked for again after so long, while the source still has it. */
const failedAgainMs = 3600_000;

export interface PullingOptions {
  archive: Pick<Archive, 'db'>;
  fetching: Fetching;
  rules: readonly PullRule[];
  /** A look that failed; the message names source and peer, no patient. */
  onProblem?(rule: PullRule, message: string): void;
}

/** Range of dates (PS3.4 C.2.2.2.5.1) in local time. */
export function daysUntil(today: Date, days: number): string {
  const date = (back: number) => {
    const at = new Date(today.getFullYear(), today.getMonth(), today.getDate() - back);
    const two = (value: number) => String(value).padStart(2, '0');
    return `${String(at.getFullYear()).padStart(4, '0')}${two(at.getMonth() + 1)}${two(at.getDate())}`;
  };
  return `${date(days)}-${date(0)}`;
}

export function createPulling({ archive, fetching, rules, onProblem }: PullingOptions): Pulling {
  const states = new Map(rules.map(({ name, source }): [string, PullView] => [name, { name, source }]));
  const stopped = new AbortController();
  const timers = new Set<NodeJS.Timeout>();
  const looks = new Set<Promise<void>>();

  /** What this server made comes back from where it was sent to. */
  function isOurs({ study, series }: FoundSeries): boolean {
    const found = archive.db.get(
      `SELECT 1 FROM series WHERE study = ?1 AND series = ?2 AND origin = 'derived'
       UNION ALL SELECT 1 FROM removed WHERE study = ?1 AND series = ?2 AND origin = 'derived' LIMIT 1`,
      study,
      series,
    );
    return found !== undefined;
  }

  function isNew({ name, source }: PullRule, found: FoundSeries): boolean {
    const known = fetching.of({ source, study: found.study, series: found.series });
    if (known === undefined) return true;
    if (known.state === 'waiting' || known.state === 'fetching') return false;
    if (known.state === 'failed')
      return known.requestedBy !== name || Date.now() - (known.finishedAt ?? 0) > failedAgainMs;
    return found.instances !== undefined && found.instances > (known.expected ?? known.received);
  }

  async function look(rule: PullRule): Promise<void> {
    const source = fetching.sources.get(rule.source)!;
    const conditions = { StudyDate: [daysUntil(new Date(), rule.days)], ...rule.query };
    const state: PullView = { name: rule.name, source: rule.source, lastLookAt: Date.now() };
    try {
      const matching = await findSeries(source, conditions, stopped.signal);
      const wanted = matching.filter((found) => !isOurs(found) && isNew(rule, found));
      if (wanted.length > 0 && !stopped.signal.aborted) {
        await fetching.request(
          wanted.map(({ study, series }) => ({ source: rule.source, study, series })),
          rule.name,
        );
      }
      states.set(rule.name, { ...state, matching: matching.length });
    } catch (error) {
      if (stopped.signal.aborted) return;
      const problem = error instanceof Error ? error.message : String(error);
      states.set(rule.name, { ...state, problem });
      onProblem?.(rule, problem);
    }
  }

  /** A look that takes longer than the time between two delays the next one. */
  function schedule(rule: PullRule, afterMs: number): void {
    if (stopped.signal.aborted) return;
    const timer = setTimeout(() => {
      timers.delete(timer);
      const looking = look(rule).finally(() => {
        looks.delete(looking);
        schedule(rule, rule.every);
      });
      looks.add(looking);
    }, afterMs);
    timers.add(timer);
  }

  return {
    views: () => [...states.values()],
    start() {
      for (const rule of rules) schedule(rule, 0);
    },
    async close() {
      stopped.abort();
      for (const timer of timers) clearTimeout(timer);
      await Promise.all(looks);
    },
  };
}
