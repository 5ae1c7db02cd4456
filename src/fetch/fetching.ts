/** Fetches series from sources: each a durable job, tried again until it is all there or a person has to look. */
import type { Archive } from '../archive/index.js';
import { type Job, type JobContext, PermanentFailure, type Queue, RetryLater } from '../queue/index.js';
import { FetchError, type Source } from './source.js';

/** A series that was asked for, and what became of it. UIDs and figures only. */
export interface Fetch {
  id: number;
  source: string;
  study: string;
  /** Absent: all series of the study. */
  series?: string;
  /** `request`, or the name of a pull rule. */
  requestedBy: string;
  state: 'waiting' | 'fetching' | 'fetched' | 'failed';
  /** Instances that the source says it has, where it says so. */
  expected?: number;
  /** Instances of the series in the archive, when it was last looked. */
  received: number;
  attempts: number;
  /** Why it failed, or is tried again. */
  message: string;
  /** Milliseconds since the epoch. */
  requestedAt: number;
  finishedAt?: number;
}

export interface Wanted {
  source: string;
  study: string;
  series?: string;
}

export interface Fetching {
  readonly sources: ReadonlyMap<string, Source>;
  /** Asks for a study or series, again if need be; resolves when that is on disk. @throws FetchError for an unknown source */
  request(wanted: readonly Wanted[], by: string): Promise<Fetch[]>;
  get(id: number): Fetch | undefined;
  /** What was asked for of a series. */
  of(wanted: Wanted): Fetch | undefined;
  /** The latest first. */
  list(limit: number): Fetch[];
  /** Begins to work, also on what an earlier process left. */
  start(): void;
}

export interface FetchingOptions {
  archive: Archive;
  queue: Queue;
  sources: readonly Source[];
  retry: { baseMs: number; capMs: number };
  /** Told about what was fetched, and what failed for good: for the log. */
  onEnd?(fetch: Fetch): void;
}

interface FetchRow {
  id: number;
  source: string;
  study: string;
  series: string;
  requested_by: string;
  state: Fetch['state'];
  expected: number | null;
  received: number;
  attempts: number;
  refusals: number;
  message: string;
  requested_at: number;
  finished_at: number | null;
}

/** Attempts that a source has answered before it is given up; one that is not there is waited for. */
const maxRefusals = 8;
/** What a person asks for goes before what a rule pulls. */
const requestPriority = 10;
export const byRequest = 'request';

function kindOf(source: string): string {
  return `fetch:${source}`;
}

function fetchOf(row: FetchRow): Fetch {
  return {
    id: row.id,
    source: row.source,
    study: row.study,
    ...(row.series !== '' && { series: row.series }),
    requestedBy: row.requested_by,
    state: row.state,
    ...(row.expected !== null && { expected: row.expected }),
    received: row.received,
    attempts: row.attempts,
    message: row.message,
    requestedAt: row.requested_at,
    ...(row.finished_at !== null && { finishedAt: row.finished_at }),
  };
}

export function createFetching(o: FetchingOptions): Fetching {
  const { archive, queue } = o;
  const { db, clock } = archive;
  const sources = new Map(o.sources.map((source) => [source.name, source]));

  const rowOf = (id: number) => db.get<FetchRow>('SELECT * FROM fetches WHERE id = ?', id);
  const get = (id: number) => {
    const row = rowOf(id);
    return row === undefined ? undefined : fetchOf(row);
  };

  /** Inside a transaction. */
  function add({ source, study, series = '' }: Wanted, by: string): number {
    const { id } = db.get<{ id: number }>(
      `INSERT INTO fetches (source, study, series, requested_by, state, requested_at) VALUES (?, ?, ?, ?, 'waiting', ?)
       ON CONFLICT (source, study, series) DO UPDATE SET requested_by = excluded.requested_by, attempts = 0, refusals = 0, message = '',
         requested_at = excluded.requested_at, finished_at = NULL,
         state = CASE state WHEN 'fetching' THEN 'fetching' ELSE 'waiting' END
       RETURNING id`,
      source,
      study,
      series,
      by,
      clock.now(),
    )!;
    queue.add({
      kind: kindOf(source),
      key: String(id),
      payload: { fetch: id, study, series },
      priority: by === byRequest ? requestPriority : 0,
    });
    queue.replay(kindOf(source), String(id));
    archive.audit('series asked for', {
      study,
      ...(series !== '' && { series }),
      detail: `from ${source}, by ${by}`,
    });
    return id;
  }

  /** Instances of a series that were received and count. */
  function inArchive(study: string, series: string): number {
    return db.get<{ count: number }>(
      `SELECT COUNT(*) AS count FROM instances i JOIN series s ON s.id = i.series_id
       WHERE s.study = ? AND s.series = ? AND i.current = 1`,
      study,
      series,
    )!.count;
  }

  async function work(source: Source, job: Job, context: JobContext): Promise<void> {
    const row = rowOf(Number(job.payload.fetch));
    if (row === undefined) return;
    await db.commit(() => {
      db.run("UPDATE fetches SET state = 'fetching', attempts = ? WHERE id = ?", job.attempts, row.id);
    });
    try {
      if (row.series === '') await expand(source, row, context);
      else await fetchSeries(source, row, context);
    } catch (error) {
      if (context.signal.aborted) throw new RetryLater('the server is stopping', 0, false);
      const message = error instanceof Error ? error.message : String(error);
      const { transient, code } = error as { transient?: boolean; code?: string };
      const refusals = row.refusals + (code === 'connect' ? 0 : 1);
      const lasting = transient === false || refusals >= maxRefusals;
      const received = row.series === '' ? 0 : inArchive(row.study, row.series);
      await db.commit(() => {
        db.run(
          "UPDATE fetches SET state = 'waiting', message = ?, received = ?, refusals = ? WHERE id = ?",
          message,
          received,
          refusals,
          row.id,
        );
      });
      throw lasting ? new PermanentFailure(message) : error;
    }
  }

  /** A whole study: its series, each as if it had been asked for. */
  async function expand(source: Source, row: FetchRow, context: JobContext): Promise<void> {
    const keys = new Map([
      ['StudyInstanceUID', row.study],
      ['SeriesInstanceUID', ''],
    ]);
    const found = await source.find('SERIES', keys, context.signal);
    const series = new Set(found.flatMap((match) => match.values('SeriesInstanceUID').slice(0, 1)));
    if (series.size === 0) throw new FetchError(`${source.name} has no series of this study`, false);
    await db.commit(() => {
      if (!context.complete()) return;
      for (const uid of series) {
        const known = db.get(
          "SELECT 1 FROM fetches WHERE source = ? AND study = ? AND series = ? AND state IN ('waiting', 'fetching')",
          source.name,
          row.study,
          uid,
        );
        if (known === undefined)
          add({ source: source.name, study: row.study, series: uid }, row.requested_by);
      }
      finish(row.id, `${series.size} series asked for`, null, 0);
    });
  }

  async function fetchSeries(source: Source, row: FetchRow, context: JobContext): Promise<void> {
    const { study, series } = row;
    const keys = new Map([
      ['StudyInstanceUID', study],
      ['SeriesInstanceUID', series],
      ['NumberOfSeriesRelatedInstances', ''],
    ]);
    const found = (await source.find('SERIES', keys, context.signal)).find(
      (match) => match.values('SeriesInstanceUID')[0] === series,
    );
    if (found === undefined) throw new FetchError(`${source.name} does not have this series`, false);
    const count = Number(found.values('NumberOfSeriesRelatedInstances')[0]);
    const expected = Number.isInteger(count) && count > 0 ? count : null;
    await db.commit(() => {
      db.run('UPDATE fetches SET expected = ? WHERE id = ?', expected, row.id);
    });
    await source.retrieve({ study, series }, context.signal);
    const received = inArchive(study, series);
    if (received === 0) {
      throw new FetchError(
        `${source.name} says that it sent the series, but nothing of it arrived: check that the AE title it sends to is, there, this server's host and port`,
        true,
      );
    }
    if (expected !== null && received < expected)
      throw new FetchError(`${received} of ${expected} instances arrived from ${source.name}`, true);
    await db.commit(() => {
      if (context.complete()) finish(row.id, '', expected, received);
    });
    o.onEnd?.(get(row.id)!);
  }

  /** Inside a transaction. */
  function finish(id: number, message: string, expected: number | null, received: number): void {
    db.run(
      "UPDATE fetches SET state = 'fetched', message = ?, expected = ?, received = ?, finished_at = ? WHERE id = ?",
      message,
      expected,
      received,
      clock.now(),
      id,
    );
  }

  return {
    sources,
    get,
    of({ source, study, series = '' }) {
      const row = db.get<FetchRow>(
        'SELECT * FROM fetches WHERE source = ? AND study = ? AND series = ?',
        source,
        study,
        series,
      );
      return row === undefined ? undefined : fetchOf(row);
    },
    async request(wanted, by) {
      const unknown = wanted.find(({ source }) => !sources.has(source));
      if (unknown !== undefined)
        throw new FetchError(`"${unknown.source}" is not a source of this server`, false);
      const ids = await db.commit(() => wanted.map((one) => add(one, by)));
      return ids.map((id) => get(id)!);
    },
    list: (limit) =>
      db
        .all<FetchRow>('SELECT * FROM fetches ORDER BY requested_at DESC, id DESC LIMIT ?', limit)
        .map(fetchOf),
    start() {
      for (const source of sources.values()) {
        queue.work(
          kindOf(source.name),
          {
            concurrency: source.parallel,
            retry: { ...o.retry, maxAttempts: Number.POSITIVE_INFINITY },
            onDead(job, error) {
              const id = Number(job.payload.fetch);
              db.run(
                "UPDATE fetches SET state = 'failed', message = ?, finished_at = ? WHERE id = ?",
                error,
                clock.now(),
                id,
              );
              db.afterCommit(() => {
                const failed = get(id);
                if (failed !== undefined) o.onEnd?.(failed);
              });
            },
          },
          (job, context) => work(source, job, context),
        );
      }
    },
  };
}
