import { join } from 'node:path';
import type { Config } from '../config/index.js';
import type { CorrectionRequest } from '../correction/index.js';
import {
  type CorrectionWorker,
  identityOf,
  redisAddress,
  startCorrectionWorker,
  type WorkerModel,
} from '../distribution/index.js';
import type { Safeguards } from '../inference/index.js';
import { createMetrics, createWorkerMetrics, type Logger } from '../telemetry/index.js';
import { VERSION } from '../version.js';
import { type Readiness, startWebServer } from '../web/index.js';
import { watchEngines } from './engine-watch.js';
import { derivationOf, openModels } from './models.js';
import { distributionSecret, redisAccess } from './secret.js';
import { workerHealth } from './worker-health.js';

export interface RunningWorker {
  id: string;
  /** Root of its health and metrics; undefined where another process part serves them. */
  url?: string;
  engine(): string;
  /** Takes no more jobs, ends those under way, and gives back what is left after the grace time. */
  close(graceMs?: number): Promise<void>;
}

/**
 * Starts a worker: it corrects what gateways have put into Redis. Redis and gateways need not be there yet.
 * @param options.http false: without health and metrics of its own
 * @throws Error with a sentence when a model, the engine or the port cannot be had
 */
export async function startWorker(
  config: Config,
  logger: Logger,
  options: { http?: boolean } = {},
): Promise<RunningWorker> {
  const secret = distributionSecret(config);
  let worker: CorrectionWorker | undefined;
  const metrics = createMetrics({});
  const counted = createWorkerMetrics(metrics.registry, {
    running: () => worker?.running ?? 0,
    redisUp: () => worker?.redisProblem() === '',
    refused: () => worker?.refusals().length ?? 0,
    paused: () => (worker?.problem() ?? '') !== '' && worker?.redisProblem() === '',
  });
  const engines = watchEngines(metrics, logger);
  const models = await openModels({ config, deviceUid: '', metrics, engines });
  try {
    const opened = [...models.byName.values()];
    const described = opened[0]?.corrector.describe();
    if (described === undefined)
      throw new Error('no rule names a model: there is nothing that this worker could do');
    metrics.engine(described.engine);
    metrics.model(described.model);
    const { concurrency } = config.distribution;
    const workerModels = opened.map(({ corrector }): WorkerModel => {
      const { model } = corrector.describe();
      const derivation = (deviceUid: string, at: Date, safeguards?: Safeguards) =>
        derivationOf(model, config, deviceUid, at, safeguards);
      return {
        identity: identityOf(derivation('', new Date(0))),
        derivation,
        correct: (request: CorrectionRequest) => corrector.correct(request),
        concurrency: concurrency === 'auto' ? corrector.concurrency : concurrency,
      };
    });
    const started = startCorrectionWorker({
      redisUrl: config.queue,
      redisAccess: redisAccess(config),
      secret,
      models: workerModels,
      engine: () => opened[0]!.corrector.describe().engine.engine,
      folders: config.distribution.folders,
      leaseMs: config.distribution.lease,
      onEnd({ outcome, gateway, sop, reason, corrected }) {
        counted.ended(outcome);
        if (corrected !== undefined) {
          metrics.decoded(corrected.ms.read + corrected.ms.decode);
          metrics.preprocessed(corrected.ms.preprocess);
          metrics.postprocessed(corrected.ms.postprocess);
        }
        if (outcome === 'corrected') logger.debug({ gateway, sop }, 'instance corrected');
        else if (outcome === 'unwanted')
          logger.info({ gateway, sop, reason }, 'nobody waits for this instance');
        else if (outcome === 'returned') logger.warn({ gateway, sop, reason }, 'job given back');
        else logger.error({ gateway, sop, reason }, 'correction failed; the gateway knows');
      },
      onRefusals(refusals) {
        for (const { gateway, model, reason } of refusals) {
          logger.error({ gateway, model, reason }, "the gateway's jobs are refused");
        }
        if (refusals.length === 0) logger.info('no jobs are refused any more');
      },
      onPause(reason) {
        if (reason === '') logger.warn('the worker takes jobs again');
        else logger.error({ reason }, 'the worker pauses');
      },
      onRedis(reason) {
        const redis = redisAddress(config.queue);
        if (reason === '') logger.info({ redis }, 'Redis is there');
        else logger.warn({ redis, reason }, 'Redis is away');
      },
      onDetour(gateway, reason) {
        counted.detour();
        logger.warn({ gateway, reason }, 'the mounted folder cannot be used; the network is');
      },
    });
    worker = started;
    const readiness = (): Readiness => {
      const checks = [
        engines.check(opened[0]!.corrector.describe().engine),
        { name: 'jobs', ok: started.problem() === '', message: started.problem() || 'jobs can be taken' },
        {
          name: 'models',
          ok: started.refusals().length === 0,
          message:
            started
              .refusals()
              .map(({ gateway, model, reason }) => `${gateway}, ${model}: ${reason}`)
              .join('; ') || 'what the gateways ask for is here',
          required: false,
        },
      ];
      return { ready: checks.every(({ ok, required }) => ok || required === false), checks };
    };
    const http =
      options.http === false
        ? undefined
        : await startWebServer(workerHealth({ ready: readiness, metrics, config }), config.http).catch(
            async (error: unknown) => {
              await started.close(0);
              throw error;
            },
          );
    logger.info(
      {
        version: VERSION,
        worker: started.id,
        health: http?.url,
        engine: described.engine.engine,
        models: workerModels.map(({ identity }) => `${identity.model.name} ${identity.model.version}`),
        concurrency: workerModels.map((model) => model.concurrency),
        folder: join(config.models),
      },
      'working',
    );
    return {
      id: started.id,
      ...(http && { url: http.url }),
      engine: () => opened[0]!.corrector.describe().engine.engine,
      async close(graceMs) {
        await started.close(graceMs);
        await http?.close();
        await models.close();
      },
    };
  } catch (error) {
    await models.close();
    throw error;
  }
}
