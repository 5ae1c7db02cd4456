import { randomUUID } from 'node:crypto';
import { join, relative } from 'node:path';
import type { Derivation } from '../dicom/index.js';
import { holdingsOf } from '../dicomweb/index.js';
import {
  type Announcement,
  announce,
  connectRedis,
  createDispatcher,
  createWorkerPort,
  type Dispatcher,
  emptyExchange,
  type Identity,
  identityOf,
  presentWorkers,
  queueOf,
  redisAddress,
  sealOf,
  type WorkerPresence,
} from '../distribution/index.js';
import { loadModel, type Safeguards } from '../inference/index.js';
import type { Model, Pipeline } from '../pipeline/index.js';
import { createGatewayMetrics } from '../telemetry/index.js';
import { startWebServer, type WebServer } from '../web/index.js';
import type { Correction, CorrectionParts } from './correction.js';
import { derivationOf, safeguardsOf } from './models.js';
import { distributionSecret, redisAccess } from './secret.js';

/** Corrections that are out at a time: enough for every worker that one gateway can feed. */
const WINDOW = 1024;
const LOOK_EVERY_MS = 2000;
const GATEWAY_ID = 'gateway id';

/**
 * Correction by workers, through Redis. Redis need not be there: what is received waits on disk.
 * @throws ModelError, ConfigError with a sentence
 */
export async function correctionElsewhere(parts: CorrectionParts): Promise<Correction> {
  const { config, deviceUid, metrics, logger } = parts;
  const { distribution, models: folder } = config;
  const secret = distributionSecret(config);
  const models = new Map<string, Model<Derivation>>();
  const identities: Identity[] = [];
  let dispatcher: Dispatcher | undefined;
  for (const name of new Set(config.rules.flatMap(({ model }) => (model === undefined ? [] : [model])))) {
    const { manifest } = await loadModel(join(folder, name));
    const derivation = (at: number, safeguards?: Safeguards) =>
      derivationOf(manifest, config, deviceUid, new Date(at), safeguards);
    identities.push(identityOf(derivation(0)));
    models.set(name, {
      corrector: { correct: (request) => dispatcher!.correct(request) },
      derivation: (source, safeguards) => derivation(source.receivedAt, safeguards),
      safeguards: (source) => safeguardsOf(config, source),
      elsewhere: true,
    });
  }
  const model = identities[0]?.model;
  if (model !== undefined) metrics.model(model);

  const redis = connectRedis(config.queue, `mcnet-gateway-${distribution.name}`, redisAccess(config));
  const queues = new Set(identities.map(queueOf));
  const takes = (worker: WorkerPresence) => worker.identities.some((one) => queues.has(queueOf(one)));
  let workers: WorkerPresence[] = [];
  const look = async () => {
    if (redis.client.status !== 'ready') {
      workers = [];
      return;
    }
    workers = await presentWorkers(redis).catch(() => []);
  };
  const looks = setInterval(look, LOOK_EVERY_MS);
  looks.unref();
  redis.onReady(() => void look());
  redis.onReady(() => logger.info({ redis: redisAddress(config.queue) }, 'Redis is there'));
  redis.onProblem((reason) => logger.warn({ redis: redisAddress(config.queue), reason }, 'Redis is away'));
  const gatewayMetrics = createGatewayMetrics(metrics.registry, {
    outstanding: () => dispatcher?.outstanding ?? 0,
    redisUp: () => redis.problem() === '',
    workers: () => workers.filter(takes).length,
  });
  let port: WebServer | undefined;
  let presence: Announcement | undefined;

  async function attach({ archive }: Pipeline): Promise<void> {
    const id = archive.setting(GATEWAY_ID) ?? randomUUID();
    archive.setSetting(GATEWAY_ID, id);
    await emptyExchange(config.data);
    dispatcher = createDispatcher({
      redis,
      gateway: id,
      relative: (path) => relative(archive.files.root, path),
      holds: (instance, sop) =>
        archive.derivedFrom(instance).some((derived) => derived.current && derived.sop === sop),
      onRepublished(jobs) {
        gatewayMetrics.republished(jobs);
        logger.warn({ jobs }, 'Redis had lost jobs; they were published again');
      },
    });
    const holdings = holdingsOf(archive, 'shown');
    port = await startWebServer(
      createWorkerPort({
        secret,
        dispatcher,
        find: (study, series, sop) =>
          dispatcher?.source(study, series, sop) ??
          holdings.instances({ study, series, sop }).find(({ damage }) => damage === undefined),
        data: archive.files.root,
        largest: config.limits.instanceBytes,
        onError: (error) => logger.error({ err: error }, "a worker's request failed"),
      }),
      distribution.listen,
    );
    const url = distribution.url ?? port.url;
    presence = announce(redis, 'gateway', () => ({
      id,
      name: distribution.name,
      url,
      seal: sealOf(secret, { id, url }),
      deviceUid,
      identities,
    }));
    logger.info(
      { gateway: distribution.name, url, redis: redisAddress(config.queue) },
      'listening for workers',
    );
  }

  return {
    models,
    elsewhere: true,
    concurrency: WINDOW,
    ...(model && { model }),
    engine() {
      const engines = [...new Set(workers.filter(takes).map(({ engine }) => engine))].join(', ');
      return { engine: 'workers', device: engines, provider: '', version: '' };
    },
    checks() {
      const problem = redis.problem();
      const count = workers.filter(takes).length;
      const others = workers.length - count;
      const refusing = others > 0 ? `; ${others} have another model or configuration` : '';
      return [
        {
          name: 'redis',
          ok: problem === '',
          message: problem || `${redisAddress(config.queue)} answers`,
          required: false,
        },
        {
          name: 'workers',
          ok: count > 0,
          message: `${count} ${count === 1 ? 'worker takes' : 'workers take'} jobs from here${refusing}`,
          required: false,
        },
      ];
    },
    attach,
    async stop() {
      clearInterval(looks);
      dispatcher?.stop();
      await presence?.stop();
    },
    async close() {
      clearInterval(looks);
      await port?.close(1000);
      await dispatcher?.close();
      redis.close();
    },
  };
}
