/**
 * The gateway's side of Redis: publishes what has to be corrected, and publishes it again when Redis has lost it.
 *
 * The truth stays in the archive's database, whose queue holds a lease on every job that is out. Redis only spreads the
 * jobs over the workers: what it forgets is missed at the next look and published again under the same id, and what it
 * has twice is taken once, because the job's id, the derived UIDs and the derived bytes are functions of the source.
 */
import { Queue as BullQueue } from 'bullmq';
import type { Instance } from '../archive/index.js';
import type { Derivation } from '../dicom/index.js';
import type { Safeguards } from '../inference/index.js';
import { PermanentFailure, RetryLater } from '../queue/index.js';
import { identityOf, queueOf } from './identity.js';
import { type CorrectionFailure, type CorrectionJob, type CorrectionResult, jobIdOf } from './messages.js';
import { notForLong, PREFIX, type RedisConnection } from './redis.js';

/** Jobs published in one round trip. */
const AT_ONCE = 200;
/** How often Redis is asked for what was published. */
const LOOK_EVERY_MS = 5000;
/** After a refusal by Redis (a full memory) it is asked again after this. */
const REFUSED_MS = 1000;
/** Time for the queues' connections to close. */
const CLOSE_MS = 2000;
/** A job that vanishes from Redis so often without a result counts as one failed attempt. */
const LOSSES_TOLERATED = 5;
/** Failed attempts that a worker may make before BullMQ gives a job up: what fails is the way, which heals. */
const MANY_ATTEMPTS = 1_000_000;
/** Rules' priorities end here; BullMQ counts the other way round, from 1. */
const HIGHEST_PRIORITY = 100;

/** A derived instance that came back. */
export interface ReturnedFile extends Omit<CorrectionResult, 'queue' | 'sha256'> {
  file: Buffer;
  /** To be called when it is on disk, or with the reason why it is not. */
  acknowledge(error?: unknown): void;
}

/** What becomes of something that a worker brings. */
export type Verdict =
  /** It is on disk, now or from before. */
  | 'kept'
  /** Nobody waits for it: the source has another version, or another one was faster. */
  | 'unwanted'
  /** Not now. */
  | 'later';

export interface DispatcherOptions {
  redis: RedisConnection;
  /** Id of this gateway. */
  gateway: string;
  /** The file of an instance, as a path below the data folder. */
  relative(path: string): string;
  /** Whether the archive holds what a worker brings unasked. */
  holds(instance: number, sop: string): boolean;
  onRepublished?(jobs: number): void;
  /** How often Redis is asked for what was published, ms. Default 5000. */
  lookEveryMs?: number;
}

export interface Dispatcher {
  /**
   * Has an instance corrected by a worker, however long it takes.
   * @throws the worker's reason; RetryLater when the gateway stops; the signal's reason when it is aborted first
   */
  correct(request: {
    source: Instance;
    derivation: Derivation;
    safeguards?: Safeguards | undefined;
    signal?: AbortSignal | undefined;
  }): Promise<ReturnedFile>;
  /** The instance under these UIDs, when its correction is out. */
  source(study: string, series: string, sop: string): Instance | undefined;
  /** A worker brings a derived instance; resolves when it is known what became of it. */
  returned(instance: number, result: CorrectionResult, file: Buffer): Promise<Verdict>;
  /** A worker says why it could not correct. */
  failed(instance: number, failure: CorrectionFailure): Verdict;
  /** Jobs that are out. */
  readonly outstanding: number;
  /** Looks now for jobs that Redis has lost. */
  look(): Promise<void>;
  /** Gives every job back to the queue of the database. */
  stop(): void;
  close(): Promise<void>;
}

interface Outstanding {
  source: Instance;
  job: CorrectionJob;
  priority: number;
  queue: string;
  published: 'no' | 'now' | 'yes';
  /** How often it vanished while Redis was there. */
  losses: number;
  /** Resolves with what became of the file that came back. */
  keeping?: Promise<Verdict>;
  resolve(file: ReturnedFile): void;
  reject(error: unknown): void;
}

export function createDispatcher(o: DispatcherOptions): Dispatcher {
  const { redis, gateway } = o;
  const queues = new Map<string, BullQueue>();
  const outstanding = new Map<number, Outstanding>();
  const bySop = new Map<string, Outstanding>();
  let toPublish: Outstanding[] = [];
  let publishing = false;
  let looking = false;
  let stopped = false;
  let timer: NodeJS.Timeout | undefined;

  function queueNamed(name: string): BullQueue {
    let queue = queues.get(name);
    if (queue === undefined) {
      queue = new BullQueue(name, {
        connection: redis.client,
        prefix: PREFIX,
        streams: { events: { maxLen: 100 } },
      });
      // What is wrong with the connection is said by the connection.
      queue.on('error', () => {});
      queues.set(name, queue);
    }
    return queue;
  }

  const jobId = (instance: number) => jobIdOf(gateway, instance);
  const isWaiting = (entry: Outstanding) =>
    outstanding.get(entry.job.instance) === entry && entry.keeping === undefined;

  function publish(entry: Outstanding): void {
    entry.published = 'no';
    toPublish.push(entry);
    if (publishing || timer !== undefined) return;
    timer = setTimeout(() => void publishAll(), 0);
  }

  async function publishAll(): Promise<void> {
    timer = undefined;
    publishing = true;
    while (toPublish.length > 0 && !stopped) {
      const { queue } = toPublish[0]!;
      const batch = toPublish.filter((entry) => entry.queue === queue).slice(0, AT_ONCE);
      const taken = new Set(batch);
      toPublish = toPublish.filter((entry) => !taken.has(entry));
      const wanted = batch.filter(isWaiting);
      for (const entry of wanted) entry.published = 'now';
      try {
        await queueNamed(queue).addBulk(wanted.map(bullJobOf));
        for (const entry of wanted) entry.published = 'yes';
      } catch {
        if (stopped) return;
        for (const entry of wanted) entry.published = 'no';
        toPublish = [...wanted, ...toPublish];
        await new Promise((resolve) => setTimeout(resolve, REFUSED_MS).unref());
      }
    }
    publishing = false;
  }

  function bullJobOf({ job, priority }: Outstanding) {
    return {
      name: 'correct',
      data: job,
      opts: {
        jobId: jobId(job.instance),
        priority: 1 + HIGHEST_PRIORITY - Math.max(-HIGHEST_PRIORITY, Math.min(HIGHEST_PRIORITY, priority)),
        attempts: MANY_ATTEMPTS,
        backoff: { type: 'custom' },
        removeOnComplete: true,
        removeOnFail: false,
      },
    };
  }

  /** @param again Redis was away: what it has lost meanwhile is nobody's fault. */
  async function look(again = false): Promise<void> {
    if (looking || stopped || redis.client.status !== 'ready') return;
    looking = true;
    try {
      const entries = [...outstanding.values()].filter(({ published }) => published === 'yes');
      for (let at = 0; at < entries.length; at += AT_ONCE)
        await lookAt(entries.slice(at, at + AT_ONCE), again);
    } catch {
      // The connection went: the next look comes with the next one.
    } finally {
      looking = false;
    }
  }

  async function lookAt(entries: Outstanding[], again: boolean): Promise<void> {
    const pipeline = redis.client.pipeline();
    for (const { queue, job } of entries) {
      pipeline.hmget(`${PREFIX}:${queue}:${jobId(job.instance)}`, 'timestamp', 'finishedOn');
    }
    const answers = (await pipeline.exec()) ?? [];
    let lost = 0;
    for (const [index, entry] of entries.entries()) {
      const [error, fields] = answers[index] ?? [];
      if (error != null || !Array.isArray(fields) || !isWaiting(entry)) continue;
      const [timestamp, finishedOn] = fields as (string | null)[];
      if (timestamp !== null && finishedOn === null) continue;
      // What is left of it would make Redis take the new one for a duplicate. 0: a worker has its hands on it.
      if ((await queueNamed(entry.queue).remove(jobId(entry.job.instance))) === 0 || !isWaiting(entry))
        continue;
      lost += 1;
      if (!again) entry.losses += 1;
      if (entry.losses <= LOSSES_TOLERATED) publish(entry);
      else entry.reject(new Error(`workers ended it ${entry.losses} times without a result`));
    }
    if (lost > 0) o.onRepublished?.(lost);
  }

  function take(entry: Outstanding): void {
    if (bySop.get(entry.job.sop) === entry) bySop.delete(entry.job.sop);
    if (outstanding.get(entry.job.instance) === entry) outstanding.delete(entry.job.instance);
  }

  const looks = setInterval(() => void look(), o.lookEveryMs ?? LOOK_EVERY_MS);
  looks.unref();
  redis.onReady(() => void look(true));

  return {
    get outstanding() {
      return outstanding.size;
    },
    look: () => look(),
    correct({ source, derivation, safeguards, signal }) {
      if (stopped) return Promise.reject(stopping());
      if (signal?.aborted) return Promise.reject(signal.reason);
      return new Promise<ReturnedFile>((resolve, reject) => {
        const onAbort = () => {
          if (entry.keeping === undefined) take(entry);
          reject(signal!.reason);
        };
        signal?.addEventListener('abort', onAbort, { once: true });
        const entry: Outstanding = {
          source,
          job: {
            gateway,
            instance: source.id,
            study: source.study,
            series: source.series,
            sop: source.sop,
            digest: source.digest,
            transferSyntax: source.transferSyntax,
            dataSetOffset: source.dataSetOffset,
            path: o.relative(source.path),
            at: derivation.at.getTime(),
            ...(safeguards && { safeguards }),
          },
          priority: source.priority,
          queue: queueOf(identityOf(derivation)),
          published: 'no',
          losses: 0,
          resolve(file) {
            signal?.removeEventListener('abort', onAbort);
            resolve(file);
          },
          reject(error) {
            signal?.removeEventListener('abort', onAbort);
            take(entry);
            reject(error);
          },
        };
        // Whoever asked before has lost the job to the one that asks now.
        const earlier = outstanding.get(source.id);
        outstanding.set(source.id, entry);
        bySop.set(source.sop, entry);
        earlier?.reject(new Error('the correction was asked for once more'));
        publish(entry);
      });
    },
    source(study, series, sop) {
      const source = bySop.get(sop)?.source;
      return source?.study === study && source.series === series ? source : undefined;
    },
    async returned(instance, result, file) {
      const entry = outstanding.get(instance);
      if (entry === undefined || entry.queue !== result.queue) {
        if (o.holds(instance, result.sop)) return 'kept';
        return stopped ? 'later' : 'unwanted';
      }
      if (entry.keeping !== undefined) return entry.keeping;
      const { queue: _queue, sha256: _sha256, ...described } = result;
      entry.keeping = new Promise<Verdict>((settle) => {
        entry.resolve({
          ...described,
          file,
          acknowledge(error) {
            take(entry);
            settle(error === undefined ? 'kept' : 'unwanted');
          },
        });
      });
      return entry.keeping;
    },
    failed(instance, { queue, message, permanent }) {
      const entry = outstanding.get(instance);
      if (entry === undefined) return stopped ? 'later' : 'unwanted';
      if (entry.queue !== queue || entry.keeping !== undefined) return 'unwanted';
      entry.reject(permanent ? new PermanentFailure(message) : new Error(message));
      return 'kept';
    },
    stop() {
      stopped = true;
      clearInterval(looks);
      for (const entry of [...outstanding.values()])
        if (entry.keeping === undefined) entry.reject(stopping());
    },
    async close() {
      await notForLong(Promise.allSettled([...queues.values()].map((queue) => queue.close())), CLOSE_MS);
    },
  };
}

/** Goes back to the database's queue as it was: it waits there for the next start. */
function stopping(): RetryLater {
  return new RetryLater('the gateway is stopping', 0, false);
}
