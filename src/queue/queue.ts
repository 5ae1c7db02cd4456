/**
 * The queue's contract: at least once, leased, retried with growing delay, dead letters kept with their
 * error. A job carries ids, never pixel or patient data.
 */

export interface NewJob {
  /** What has to be done, and by whom: each kind has its own workers, e.g. "correct" or "deliver:pacs". */
  kind: string;
  /** One job at most for each kind and key. */
  key: string;
  payload: Record<string, number | string>;
  /** Higher goes first. Default 0. */
  priority?: number;
}

export interface Job extends Required<NewJob> {
  id: number;
  /** This attempt included. */
  attempts: number;
  /** How often the process died, or the lease ran out, while the job was being worked on. */
  crashes: number;
  createdAt: number;
}

export interface JobContext {
  /** Aborted when the queue closes or the job's time is over. */
  readonly signal: AbortSignal;
  /**
   * Marks the job as done inside the caller's database transaction, so that the work and its end are one.
   * Returns false when the job is no longer ours (its lease ran out): the caller should then write nothing.
   */
  complete(): boolean;
}

export interface RetryPolicy {
  /** Delay after the first failure, in milliseconds. Doubled by each further one. */
  baseMs: number;
  capMs: number;
  /** Attempts before the job is a dead letter. Infinity: never. */
  maxAttempts: number;
}

export interface WorkerOptions {
  concurrency: number;
  retry: RetryPolicy;
  /** How long a lease lasts without renewal. */
  leaseMs?: number;
  /** After this time the handler's signal is aborted and the lease is no longer renewed. Default: none. */
  timeoutMs?: number;
  /** Nothing is claimed before this time (milliseconds of the archive's clock); undefined: go on. */
  pausedUntil?: () => number | undefined;
  /** While jobs are running, further ones are claimed at most so often, several at once: for many short waits. Default 0. */
  gatherMs?: number;
  /** Runs in the transaction that makes the job a dead letter; `cause` is what its handler threw. */
  onDead?: (job: Job, error: string, cause: unknown) => void;
}

export interface JobState {
  kind: string;
  key: string;
  state: 'queued' | 'leased' | 'dead';
  attempts: number;
  /** When it is due, milliseconds of the archive's clock. */
  runAt: number;
  error?: string;
}

export interface QueueStats {
  kind: string;
  /** Waiting, due or not. */
  queued: number;
  leased: number;
  dead: number;
  /** Age in milliseconds of the oldest job that is not dead; 0 when there is none. */
  oldestMs: number;
}

export interface Queue {
  /**
   * Adds a job as part of the surrounding database transaction. With the key of a waiting job: nothing is
   * added; of a running one: it runs once more afterwards; of a dead letter: it is revived.
   */
  add(job: NewJob): void;
  /** Takes jobs of a kind until the queue closes. */
  work(kind: string, options: WorkerOptions, handler: (job: Job, context: JobContext) => Promise<void>): void;
  /** Revives dead letters and makes waiting jobs due now, or after `delayMs`. Returns how many. */
  replay(kind: string, key?: string, delayMs?: number): number;
  /** Removes a job that is not running. */
  remove(kind: string, key: string): void;
  state(kind: string, key: string): JobState | undefined;
  dead(limit?: number): JobState[];
  kinds(): string[];
  stats(): QueueStats[];
  /** Looks for due jobs of a kind now, e.g. after a pause has ended early. */
  wake(kind: string): void;
  /** Stops claiming, waits for running handlers, then aborts them and gives their jobs back. */
  close(graceMs?: number): Promise<void>;
}

/** Thrown by a handler: once more, but after this delay instead of the policy's. */
export class RetryLater extends Error {
  override name = 'RetryLater';
  constructor(
    message: string,
    readonly delayMs: number,
    /** False: this attempt is not counted. */
    readonly counts = true,
  ) {
    super(message);
  }
}

/** Thrown by a handler: no attempt will ever succeed; the job becomes a dead letter at once. */
export class PermanentFailure extends Error {
  override name = 'PermanentFailure';
}

/**
 * Delay before attempt `attempts + 1`: doubles from `baseMs` up to `capMs`, then spread over its upper half
 * so that jobs that failed together do not come back together.
 */
export function retryDelay(
  policy: Pick<RetryPolicy, 'baseMs' | 'capMs'>,
  attempts: number,
  random: () => number = Math.random,
): number {
  const full = Math.min(policy.capMs, policy.baseMs * 2 ** Math.min(attempts - 1, 40));
  return Math.round(full * (0.5 + random() / 2));
}
