/**
 * The worker's side: takes jobs of its models' queues from Redis, fetches the source, corrects, and gives back what it
 * made. A job is done for Redis only when the gateway has the result on disk; whatever ends the worker before that lets
 * the job's lock run out, and another worker gets it.
 */
import { randomUUID } from 'node:crypto';
import { hostname } from 'node:os';
import { type Job as BullJob, Worker as BullWorker } from 'bullmq';
import type { Corrected, CorrectionRequest } from '../correction/index.js';
import { CorrectionError } from '../correction/index.js';
import type { Derivation } from '../dicom/index.js';
import type { Safeguards } from '../inference/index.js';
import { createGatewayClient, GatewayAway, SourceUnusable } from './gateway-client.js';
import { type Refusal, watchGateways } from './gateways.js';
import { type Identity, queueOf } from './identity.js';
import { aboutJob, type CorrectionJob, correctionJob, type GatewayPresence } from './messages.js';
import { announce } from './presence.js';
import { connectRedis, notForLong, PREFIX, type RedisAccess } from './redis.js';

/** A model that this worker corrects with. */
export interface WorkerModel {
  identity: Identity;
  /** How what is made of a source is described: a function of these and of the identity. */
  derivation(deviceUid: string, at: Date, safeguards?: Safeguards): Derivation;
  correct(request: CorrectionRequest): Promise<Corrected>;
  /** Instances at a time. */
  concurrency: number;
}

/** How one job ended on this worker. */
export interface JobEnd {
  outcome:
    | 'corrected'
    /** The gateway was told why not. */
    | 'failed'
    /** It was corrected, but the gateway did not want it any more. */
    | 'unwanted'
    /** It went back to Redis, for another attempt or another worker. */
    | 'returned';
  gateway: string;
  sop: string;
  reason?: string;
  corrected?: Corrected;
}

export interface CorrectionWorkerOptions {
  /** redis:// or rediss:// */
  redisUrl: string;
  redisAccess?: RedisAccess;
  secret: string;
  models: readonly WorkerModel[];
  /** The engine, in a word. */
  engine(): string;
  folders: Readonly<Record<string, string>>;
  /** A job whose worker has not been heard for so long goes to another one, ms. */
  leaseMs: number;
  /** A correction that takes longer is given up, ms. Default 10 minutes. */
  timeoutMs?: number;
  onEnd?(end: JobEnd): void;
  onRefusals?(refusals: readonly Refusal[]): void;
  /** Told when the worker pauses itself, with the reason, and when it goes on, with none. */
  onPause?(reason: string): void;
  onDetour?(gateway: string, reason: string): void;
  /** Told why Redis cannot be used, and, when it can (again), an empty reason. */
  onRedis?(problem: string): void;
}

export interface CorrectionWorker {
  readonly id: string;
  /** Jobs under way. */
  readonly running: number;
  /** Why no work can be taken now; empty when it can. */
  problem(): string;
  redisProblem(): string;
  refusals(): readonly Refusal[];
  /** Takes no more jobs, ends those under way, and after the grace time gives back what is left. */
  close(graceMs?: number): Promise<void>;
}

const TIMEOUT_MS = 600_000;
/** Deaths of workers over one job after which the job is taken for their cause: as with the embedded queue. */
const MAX_DEATHS = 20;
/** Failures of the engine on one job that are taken for the worker's, before they are told to the gateway. */
const ENGINE_FAILURES = 3;
/** Failures of the engine in a row, of any jobs, after which this worker pauses. */
const FAILURES_UNTIL_PAUSE = 5;
const PAUSE_MS = 30_000;
/** Time to tell Redis how the last jobs ended. */
const TELL_REDIS_MS = 5000;

/** Connects to Redis, for as long as it takes, and works. */
export function startCorrectionWorker(o: CorrectionWorkerOptions): CorrectionWorker {
  const id = randomUUID();
  const redis = connectRedis(o.redisUrl, `mcnet-worker-${id.slice(0, 8)}`, o.redisAccess);
  redis.onProblem((problem) => o.onRedis?.(problem));
  redis.onReady(() => o.onRedis?.(''));
  const identities = o.models.map(({ identity }) => identity);
  const client = createGatewayClient({
    secret: o.secret,
    folders: o.folders,
    ...(o.onDetour && { onDetour: o.onDetour }),
  });
  const gateways = watchGateways({
    redis,
    secret: o.secret,
    identities,
    onRefusals: (refusals) => o.onRefusals?.(refusals),
  });
  const stopping = new AbortController();
  let running = 0;
  let failures = 0;
  let paused = '';
  let pause: NodeJS.Timeout | undefined;
  const waitingForIdle: (() => void)[] = [];
  const idle = () =>
    running === 0 ? Promise.resolve() : new Promise<void>((resolve) => waitingForIdle.push(resolve));

  async function correct(
    model: WorkerModel,
    gateway: GatewayPresence,
    job: CorrectionJob,
  ): Promise<Corrected> {
    const source = await client.source(gateway, job);
    let read = false;
    try {
      const corrected = await model.correct({
        ...source.of,
        derivation: model.derivation(gateway.deviceUid, new Date(job.at), job.safeguards),
        ...(job.safeguards && { safeguards: job.safeguards }),
        signal: AbortSignal.any([stopping.signal, AbortSignal.timeout(o.timeoutMs ?? TIMEOUT_MS)]),
      });
      failures = 0;
      read = true;
      return corrected;
    } finally {
      await source.release(read);
    }
  }

  async function handle(model: WorkerModel, bullJob: BullJob): Promise<JobEnd> {
    const about = aboutJob(bullJob.id ?? '');
    if (about === undefined) {
      return { outcome: 'unwanted', gateway: '', sop: '', reason: `${bullJob.id} is not the id of a job` };
    }
    const gateway = await gateways.find(about.gateway);
    if (gateway === undefined) throw new GatewayAway(`gateway ${about.gateway} is not there`);
    const queue = queueOf(model.identity);
    const parsed = correctionJob.safeParse(bullJob.data);
    const sop = parsed.success ? parsed.data.sop : '';
    const fail = async (message: string, permanent: boolean): Promise<JobEnd> => {
      const taken = await client.sayFailed(gateway, about.instance, { queue, message, permanent });
      return { outcome: taken ? 'failed' : 'unwanted', gateway: gateway.name, sop, reason: message };
    };
    // A job that ends without a word to its gateway would be published for ever.
    if (!parsed.success) {
      const wrong = parsed.error.issues.map(({ path }) => path.join('.') || 'all of it').join(', ');
      return fail(`the job in Redis is not one that this worker understands: ${wrong}`, false);
    }
    const job = parsed.data;
    if (bullJob.stalledCounter >= MAX_DEATHS) {
      return fail(`workers died ${bullJob.stalledCounter} times while working on it`, true);
    }
    let corrected: Corrected;
    try {
      corrected = await correct(model, gateway, job);
    } catch (error) {
      if (error instanceof GatewayAway || stopping.signal.aborted) throw error;
      if (error instanceof SourceUnusable) return fail(error.message, false);
      const reason = error instanceof Error ? error.message : String(error);
      if (error instanceof CorrectionError && error.waits) {
        pauseFor(`no engine works here: ${reason}`);
        throw error;
      }
      const ofEngine =
        error instanceof CorrectionError && (error.code === 'engine' || error.code === 'closed');
      if (ofEngine) {
        failures += 1;
        if (failures >= FAILURES_UNTIL_PAUSE)
          pauseFor(`the engine failed ${failures} times in a row; the last: ${reason}`);
        if (bullJob.attemptsMade < ENGINE_FAILURES) throw error;
      }
      return fail(reason, error instanceof CorrectionError && error.permanent);
    }
    const { file, study, series, sopClass, transferSyntax, quality, flags, ms } = corrected;
    const described = { queue, study, series, sop: corrected.sop, sopClass, transferSyntax };
    const result = { ...described, quality: { ...quality }, flags, ms: { ...ms } };
    const kept = await client.giveBack(gateway, job, result, file);
    if (kept) corrected.acknowledge();
    return { outcome: kept ? 'corrected' : 'unwanted', gateway: gateway.name, sop, corrected };
  }

  /** An engine that fails at everything must not take the jobs from workers that work. */
  function pauseFor(reason: string): void {
    if (paused !== '' || stopping.signal.aborted) return;
    paused = reason;
    o.onPause?.(paused);
    for (const worker of workers) void worker.pause(true).catch(() => {});
    pause = setTimeout(() => {
      paused = '';
      o.onPause?.('');
      for (const worker of workers) void worker.resume().catch(() => {});
    }, PAUSE_MS);
    pause.unref();
  }

  const workers = o.models.map((model) => {
    const worker = new BullWorker(
      queueOf(model.identity),
      async (job: BullJob) => {
        running += 1;
        try {
          o.onEnd?.(await handle(model, job));
        } catch (error) {
          const reason = error instanceof Error ? error.message : String(error);
          const { gateway = '', sop = '' } = job.data as Partial<CorrectionJob>;
          o.onEnd?.({ outcome: 'returned', gateway, sop, reason });
          throw error;
        } finally {
          running -= 1;
          if (running === 0) for (const resolve of waitingForIdle.splice(0)) resolve();
        }
      },
      {
        connection: redis.client,
        prefix: PREFIX,
        concurrency: model.concurrency,
        lockDuration: o.leaseMs,
        stalledInterval: Math.max(1000, o.leaseMs / 3),
        // Deaths are counted here, where the gateway can be told the reason.
        maxStalledCount: 1_000_000_000,
        runRetryDelay: 1000,
        settings: { backoffStrategy: (attempts) => Math.min(30_000, 250 * 2 ** Math.min(attempts, 10)) },
      },
    );
    // What is wrong with the connection is said by the connection; a lost lock means that the job is somebody else's.
    worker.on('error', () => {});
    return worker;
  });

  const presence = announce(redis, 'worker', () => ({
    id,
    host: hostname(),
    identities,
    concurrency: o.models.reduce((sum, { concurrency }) => sum + concurrency, 0),
    engine: o.engine(),
    problem: paused,
  }));

  return {
    id,
    get running() {
      return running;
    },
    problem: () => paused || redis.problem(),
    redisProblem: () => redis.problem(),
    refusals: () => gateways.refusals(),
    async close(graceMs = 60_000) {
      clearTimeout(pause);
      gateways.stop();
      await presence.stop();
      const closed = Promise.all(workers.map((worker) => worker.close().catch(() => {})));
      const grace = setTimeout(() => stopping.abort(new Error('the worker is stopping')), graceMs);
      await idle();
      // What has ended has to be told to Redis; when Redis is away, the locks run out instead.
      await notForLong(closed, redis.problem() === '' ? TELL_REDIS_MS : 0);
      clearTimeout(grace);
      stopping.abort(new Error('the worker is stopping'));
      for (const worker of workers) void worker.disconnect().catch(() => {});
      redis.close();
      client.close();
    },
  };
}
