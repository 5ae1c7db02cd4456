/**
 * The queue in the archive's own database: a job is added in the same transaction as the row that it is
 * about, so neither can be lost without the other.
 */
import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import type { Clock, Database } from '../archive/index.js';
import {
  type Job,
  type JobState,
  type NewJob,
  PermanentFailure,
  type Queue,
  type QueueStats,
  RetryLater,
  retryDelay,
  type WorkerOptions,
} from './queue.js';
import { clockSetBackMs, noteClock } from './set-back.js';

const defaultLeaseMs = 60_000;
/** A job that was being worked on at this many deaths of the process is taken for their cause. */
const defaultMaxCrashes = 20;
/**
 * A job that was being worked on at more deaths than this waits a little longer after each: the others go on meanwhile,
 * and one that is not the cause is not there when the next death comes.
 */
const crashesAtOnce = 2;
const suspicionMs = 1000;
const longestSuspicionMs = 30_000;
/** How often leases are looked at. */
const expiryLookMs = 500;
/** When the database refuses a write (a full disk), it is asked again after this. */
const refusedMs = 1000;
/** Longest sleep of an idle worker: bounds the harm of a due time that was written by another clock. */
const longestSleepMs = 30_000;

interface JobRow {
  id: number;
  kind: string;
  key: string;
  payload: string;
  priority: number;
  state: JobState['state'];
  attempts: number;
  crashes: number;
  run_at: number;
  again: number;
  error: string | null;
  created_at: number;
}

interface Running {
  job: Job;
  token: string;
  abort: AbortController;
  done: Promise<void>;
  completed: boolean;
}

interface Worker {
  kind: string;
  options: WorkerOptions;
  handler: Parameters<Queue['work']>[2];
  running: Set<Running>;
  timer?: NodeJS.Timeout;
  scheduled: boolean;
  /** When leases are next looked at for one that has run out. */
  lookForExpiredAt: number;
}

export interface EmbeddedQueueOptions {
  maxCrashes?: number;
  /** Kinds of jobs that other processes work on: that this one died while they did says nothing against the job. */
  elsewhere?: readonly string[];
}

/** Opens the queue; jobs that an earlier process had leased are due again. */
export function openEmbeddedQueue(db: Database, clock: Clock, options: EmbeddedQueueOptions = {}): Queue {
  const workers = new Map<string, Worker>();
  const maxCrashes = options.maxCrashes ?? defaultMaxCrashes;
  const renewal = setInterval(renewLeases, defaultLeaseMs / 4);
  renewal.unref();
  let closing = false;

  db.transaction(() => {
    const setBackMs = clockSetBackMs(db, clock);
    if (setBackMs > 0) {
      const later = 'UPDATE jobs SET run_at = MAX(?1, run_at - ?2) WHERE run_at > ?1';
      db.run(later, clock.now(), setBackMs);
      db.run(
        'UPDATE deliveries SET commitment_due = MAX(?1, commitment_due - ?2) WHERE commitment_due > ?1',
        clock.now(),
        setBackMs,
      );
    }
    noteClock(db, clock);
    // The archive has one owner: whoever held these leases is dead.
    db.run(
      `UPDATE jobs SET state = 'queued', attempts = MAX(0, attempts - 1), run_at = ?, token = NULL
         WHERE state = 'leased' AND kind IN (SELECT value FROM json_each(?))`,
      clock.now(),
      JSON.stringify(options.elsewhere ?? []),
    );
    db.run(
      `UPDATE jobs SET state = 'queued', crashes = crashes + 1, token = NULL, run_at = ?1 + CASE
         WHEN crashes + 1 > ?2 AND crashes + 1 < ?3 THEN MIN(?4, (crashes + 1 - ?2) * ?5) ELSE 0 END
       WHERE state = 'leased'`,
      clock.now(),
      crashesAtOnce,
      maxCrashes,
      longestSuspicionMs,
      suspicionMs,
    );
    // Written under another wall clock, a due time may lie far ahead.
    db.run(
      "UPDATE jobs SET run_at = ? WHERE state = 'queued' AND run_at > ?",
      clock.now(),
      clock.now() + 24 * 3600_000,
    );
  });

  function add(job: NewJob): void {
    db.run(
      `INSERT INTO jobs (kind, key, payload, priority, state, run_at, created_at) VALUES (?, ?, ?, ?, 'queued', ?, ?)
       ON CONFLICT (kind, key) DO UPDATE SET
         payload = excluded.payload,
         priority = MAX(priority, excluded.priority),
         again = CASE state WHEN 'leased' THEN 1 ELSE 0 END,
         attempts = CASE state WHEN 'dead' THEN 0 ELSE attempts END,
         crashes = CASE state WHEN 'dead' THEN 0 ELSE crashes END,
         run_at = CASE state WHEN 'dead' THEN excluded.run_at ELSE run_at END,
         state = CASE state WHEN 'leased' THEN 'leased' ELSE 'queued' END`,
      job.kind,
      job.key,
      JSON.stringify(job.payload),
      job.priority ?? 0,
      clock.now(),
      clock.now(),
    );
    db.afterCommit(() => wake(job.kind));
  }

  function wake(kind: string): void {
    const worker = workers.get(kind);
    if (worker === undefined || worker.scheduled || closing) return;
    worker.scheduled = true;
    const claimNow = () => {
      worker.scheduled = false;
      try {
        claim(worker);
      } catch {
        sleep(worker, clock.now() + refusedMs);
      }
    };
    const { gatherMs = 0 } = worker.options;
    if (gatherMs > 0 && worker.running.size > 0) setTimeout(claimNow, gatherMs).unref();
    else setImmediate(claimNow);
  }

  function claim(worker: Worker): void {
    const free = worker.options.concurrency - worker.running.size;
    if (closing || free <= 0) return;
    const now = clock.now();
    const paused = worker.options.pausedUntil?.();
    if (paused !== undefined && paused > now) {
      sleep(worker, paused);
      return;
    }
    const token = randomUUID();
    if (now >= worker.lookForExpiredAt) {
      worker.lookForExpiredAt = now + expiryLookMs;
      releaseExpired(worker, now);
    }
    const rows = db
      .all<JobRow>(
        `UPDATE jobs SET state = 'leased', attempts = attempts + 1, token = ?, lease_until = ? WHERE id IN (
           SELECT id FROM jobs WHERE kind = ? AND state = 'queued' AND run_at <= ? ORDER BY priority DESC, id LIMIT ?)
         RETURNING *`,
        token,
        now + leaseOf(worker),
        worker.kind,
        now,
        free,
      )
      .sort((a, b) => b.priority - a.priority || a.id - b.id);
    for (const row of rows) start(worker, jobOf(row), token);
    if (rows.length < free) {
      const next = db.get<{ at: number | null }>(
        "SELECT MIN(run_at) AS at FROM jobs WHERE kind = ? AND state = 'queued'",
        worker.kind,
      )?.at;
      if (next != null) sleep(worker, next);
    }
  }

  /**
   * A lease that was not renewed: its handler hangs, so somebody else gets the job. When this process stood still, its
   * leases ran out while no handler was to blame: those are renewed first.
   */
  function releaseExpired(worker: Worker, now: number): void {
    const expired = "kind = ? AND state = 'leased' AND lease_until < ?";
    if (db.get(`SELECT 1 FROM jobs WHERE ${expired} LIMIT 1`, worker.kind, now) === undefined) return;
    db.transaction(() => {
      renewFor(worker, now);
      db.run(
        `UPDATE jobs SET state = 'queued', crashes = crashes + 1, token = NULL WHERE ${expired}`,
        worker.kind,
        now,
      );
    });
  }

  function sleep(worker: Worker, until: number): void {
    clearTimeout(worker.timer);
    worker.timer = setTimeout(
      () => wake(worker.kind),
      Math.min(longestSleepMs, Math.max(1, until - clock.now())),
    );
    worker.timer.unref();
  }

  function start(worker: Worker, job: Job, token: string): void {
    const abort = new AbortController();
    const running: Running = { job, token, abort, completed: false, done: Promise.resolve() };
    worker.running.add(running);
    running.done = handle(worker, running)
      .catch(() => {
        // Not written down, and the server stops: the lease says so to the next start.
      })
      .finally(() => {
        worker.running.delete(running);
        wake(worker.kind);
      });
  }

  async function handle(worker: Worker, running: Running): Promise<void> {
    const { job, abort } = running;
    const { options } = worker;
    if (job.crashes >= maxCrashes) {
      const why = `the server died ${job.crashes} times while working on it`;
      return recordFailure(worker, running, new PermanentFailure(why));
    }
    const timeout =
      options.timeoutMs === undefined
        ? undefined
        : setTimeout(
            () => abort.abort(new Error(`not finished after ${options.timeoutMs} ms`)),
            options.timeoutMs,
          );
    try {
      await worker.handler(job, { signal: abort.signal, complete: () => complete(running) });
      if (!running.completed) db.transaction(() => complete(running));
    } catch (error) {
      clearTimeout(timeout);
      await recordFailure(worker, running, error);
    } finally {
      clearTimeout(timeout);
    }
  }

  /** Until it is written down, the job is nobody else's. */
  async function recordFailure(worker: Worker, running: Running, error: unknown): Promise<void> {
    for (;;) {
      try {
        fail(worker, running, error);
        return;
      } catch (refused) {
        if (closing) throw refused;
        await delay(refusedMs);
      }
    }
  }

  function complete(running: Running): boolean {
    const { job, token } = running;
    const ours = 'id = ? AND token = ?';
    const over = db.run(`DELETE FROM jobs WHERE ${ours} AND again = 0`, job.id, token).changes;
    if (over === 0) {
      const { changes } = db.run(
        `UPDATE jobs SET state = 'queued', again = 0, attempts = 0, crashes = 0, error = NULL, token = NULL, run_at = ? WHERE ${ours}`,
        clock.now(),
        job.id,
        token,
      );
      if (changes === 0) return false;
    }
    db.afterCommit(() => {
      running.completed = true;
    });
    return true;
  }

  function fail(worker: Worker, running: Running, error: unknown): void {
    const { job, token } = running;
    if (running.completed) return;
    const message = error instanceof Error ? error.message : String(error);
    const counts = !(error instanceof RetryLater) || error.counts;
    const attempts = counts ? job.attempts : job.attempts - 1;
    const dead = error instanceof PermanentFailure || attempts >= worker.options.retry.maxAttempts;
    const delay =
      error instanceof RetryLater ? error.delayMs : retryDelay(worker.options.retry, Math.max(1, attempts));
    db.transaction(() => {
      const { changes } = db.run(
        `UPDATE jobs SET state = CASE WHEN ? AND again = 0 THEN 'dead' ELSE 'queued' END, again = 0, attempts = ?,
           error = ?, token = NULL, run_at = ? WHERE id = ? AND token = ?`,
        dead ? 1 : 0,
        attempts,
        message,
        clock.now() + (dead ? 0 : delay),
        job.id,
        token,
      );
      if (changes > 0 && dead) worker.options.onDead?.(job, message, error);
    });
  }

  function renewLeases(): void {
    try {
      renew();
    } catch {
      // Leases last for several renewals: the next one may succeed.
    }
  }

  function renew(): void {
    const now = clock.now();
    db.transaction(() => {
      noteClock(db, clock);
      for (const worker of workers.values()) {
        renewFor(worker, now);
        wake(worker.kind);
      }
    });
  }

  function renewFor(worker: Worker, now: number): void {
    for (const { job, token, abort } of worker.running) {
      if (abort.signal.aborted) continue;
      db.run(
        'UPDATE jobs SET lease_until = ? WHERE id = ? AND token = ?',
        now + leaseOf(worker),
        job.id,
        token,
      );
    }
  }

  return {
    add,
    wake,
    work(kind, workerOptions, handler) {
      if (workers.has(kind)) throw new Error(`there is a worker for "${kind}" already`);
      workers.set(kind, {
        kind,
        options: workerOptions,
        handler,
        running: new Set(),
        scheduled: false,
        lookForExpiredAt: 0,
      });
      wake(kind);
    },
    replay(kind, key, delayMs = 0) {
      const { changes } = db.run(
        `UPDATE jobs SET state = 'queued', run_at = ?, error = CASE state WHEN 'dead' THEN NULL ELSE error END,
           attempts = 0, crashes = 0
         WHERE kind = ? AND (? IS NULL OR key = ?) AND state IN ('queued', 'dead')`,
        clock.now() + delayMs,
        kind,
        key ?? null,
        key ?? null,
      );
      db.afterCommit(() => wake(kind));
      return changes;
    },
    remove(kind, key) {
      db.run("DELETE FROM jobs WHERE kind = ? AND key = ? AND state != 'leased'", kind, key);
    },
    state(kind, key) {
      const row = db.get<JobRow>('SELECT * FROM jobs WHERE kind = ? AND key = ?', kind, key);
      return row === undefined ? undefined : stateOf(row);
    },
    dead: (limit = 100) =>
      db.all<JobRow>("SELECT * FROM jobs WHERE state = 'dead' ORDER BY id DESC LIMIT ?", limit).map(stateOf),
    kinds: () => db.all<{ kind: string }>('SELECT DISTINCT kind FROM jobs').map((row) => row.kind),
    stats() {
      const byKind = new Map<string, QueueStats>();
      for (const kind of workers.keys())
        byKind.set(kind, { kind, queued: 0, leased: 0, dead: 0, oldestMs: 0 });
      const now = clock.now();
      for (const row of db.all<{ kind: string; state: JobState['state']; count: number; oldest: number }>(
        'SELECT kind, state, COUNT(*) AS count, MIN(created_at) AS oldest FROM jobs GROUP BY kind, state',
      )) {
        const stats = byKind.get(row.kind) ?? { kind: row.kind, queued: 0, leased: 0, dead: 0, oldestMs: 0 };
        byKind.set(row.kind, stats);
        stats[row.state] = row.count;
        if (row.state !== 'dead') stats.oldestMs = Math.max(stats.oldestMs, now - row.oldest, 0);
      }
      return [...byKind.values()];
    },
    async close(graceMs = 10_000) {
      closing = true;
      clearInterval(renewal);
      const running = () => [...workers.values()].flatMap((worker) => [...worker.running]);
      for (const worker of workers.values()) clearTimeout(worker.timer);
      const all = Promise.all(running().map(({ done }) => done));
      if (!(await within(all, graceMs))) {
        for (const { abort } of running()) abort.abort(new Error('the server is stopping'));
        await within(all, 1000);
      }
      try {
        db.transaction(() => {
          noteClock(db, clock);
          // Not finished in time: due again at the next start, and not taken for a crash.
          for (const { job, token } of running()) {
            db.run(
              "UPDATE jobs SET state = 'queued', attempts = attempts - 1, token = NULL, run_at = ? WHERE id = ? AND token = ?",
              clock.now(),
              job.id,
              token,
            );
          }
        });
      } catch {
        // A full disk: the leases say it to the next start.
      }
    },
  };
}

function leaseOf(worker: Worker): number {
  return worker.options.leaseMs ?? defaultLeaseMs;
}

function jobOf(row: JobRow): Job {
  return {
    id: row.id,
    kind: row.kind,
    key: row.key,
    payload: JSON.parse(row.payload) as Job['payload'],
    priority: row.priority,
    attempts: row.attempts,
    crashes: row.crashes,
    createdAt: row.created_at,
  };
}

function stateOf(row: JobRow): JobState {
  return {
    kind: row.kind,
    key: row.key,
    state: row.state,
    attempts: row.attempts,
    runAt: row.run_at,
    ...(row.error !== null && { error: row.error }),
  };
}

/** Whether the promise settled in time. */
async function within(promise: Promise<unknown>, ms: number): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<false>((resolve) => {
    timer = setTimeout(() => resolve(false), ms);
  });
  const settled = promise.then(
    () => true as const,
    () => true as const,
  );
  const result = await Promise.race([settled, late]);
  clearTimeout(timer);
  return result;
}
