/**
 * Makes room: removes series that were finished long ago, or, when space is short, those that were finished first.
 * What is owed to anybody stays, however short the space: then senders wait.
 */
import type { Archive } from '../archive/index.js';
import type { PipelineEmitter } from '../series/index.js';
import { candidates, isRemovable } from './candidates.js';

export interface RetentionLimits {
  /** Milliseconds after which a finished series is removed. Default: never. */
  age?: number | undefined;
  /** Bytes that the archive may hold. Default: no limit. */
  space?: number | undefined;
  /** Bytes that are to stay free on the archive's disk. Default: none. */
  free?: number | undefined;
  /** Milliseconds for which the UIDs of what was removed, and what people decided about it, are kept. */
  remember: number;
  /** Milliseconds between two looks. */
  interval: number;
}

export interface Retention {
  start(): void;
  /** Looks now; resolves with how many series were removed. */
  run(): Promise<number>;
  stop(): Promise<void>;
}

/** Series that one look at the index finds. */
const batch = 50;

export function createRetention(
  archive: Archive,
  events: PipelineEmitter,
  limits: RetentionLimits,
): Retention {
  const { db, clock } = archive;
  let timer: NodeJS.Timeout | undefined;
  let running: Promise<number> = Promise.resolve(0);
  let stopped = false;

  /** A file system may give back later what was removed: what this look has removed counts as free at once. */
  async function measure(): Promise<() => Promise<boolean>> {
    const [bytes, free] = [archive.bytes(), await archive.freeBytes()];
    return async () => {
      if (archive.bytes() > (limits.space ?? Number.POSITIVE_INFINITY)) return true;
      if (limits.free === undefined) return false;
      const removed = bytes - archive.bytes();
      return Math.max(await archive.freeBytes(), free + removed) < limits.free;
    };
  }

  /** Removes until `enough`, or until there is nothing left that may go. */
  async function remove(
    why: 'age' | 'space',
    finishedBefore: number,
    enough: () => Promise<boolean>,
  ): Promise<number> {
    let removed = 0;
    for (;;) {
      let progress = false;
      for (const { id, study, series } of candidates(db, finishedBefore, batch)) {
        if (stopped || (await enough())) return removed;
        const gone = await archive.removeSeries(id, () => {
          if (!isRemovable(db, id)) return false;
          events.emit('removing', { study, series });
          archive.audit('series removed by retention', { study, series, detail: why });
          return true;
        });
        if (gone === undefined) continue;
        progress = true;
        removed += 1;
        events.emit('removed', { study, series, instances: gone.instances, bytes: gone.bytes, why });
      }
      if (!progress) return removed;
    }
  }

  async function look(): Promise<number> {
    const now = clock.now();
    let removed = 0;
    if (limits.age !== undefined) removed += await remove('age', now - limits.age, async () => false);
    const isShort = await measure();
    removed += await remove('space', Number.MAX_SAFE_INTEGER, async () => !(await isShort()));
    db.run('DELETE FROM removed WHERE removed_at < ?', now - limits.remember);
    // What people decided is known for as long as the series is.
    db.run(
      `DELETE FROM reviews WHERE NOT EXISTS (SELECT 1 FROM series s WHERE s.study = reviews.study AND s.series = reviews.series)
         AND NOT EXISTS (SELECT 1 FROM removed r WHERE r.study = reviews.study AND r.series = reviews.series)`,
    );
    return removed;
  }

  function run(): Promise<number> {
    running = running.catch(() => 0).then(look);
    return running;
  }

  function again(): void {
    timer = setTimeout(async () => {
      // A full disk, or one that fails: the next look may find it better.
      await run().catch((error: unknown) => events.emit('listenerError', error));
      if (!stopped) again();
    }, limits.interval);
    timer.unref();
  }

  return {
    start() {
      events.on('room', ({ level }) => {
        if (level !== 'enough' && !stopped)
          run().catch((error: unknown) => events.emit('listenerError', error));
      });
      again();
    },
    run,
    async stop() {
      stopped = true;
      clearTimeout(timer);
      await running.catch(() => {});
    },
  };
}
