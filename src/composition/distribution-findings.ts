import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import type { Config } from '../config/index.js';
import {
  connectRedis,
  differenceOf,
  identityOf,
  presentGateways,
  presentWorkers,
  queueOf,
  type RedisAccess,
  redisAddress,
  refusalsOf,
} from '../distribution/index.js';
import { loadModel } from '../inference/index.js';
import { derivationOf } from './models.js';
import { distributionSecret, redisAccess } from './secret.js';

export interface Finding {
  name: string;
  ok: boolean;
  message: string;
}

const WAIT_MS = 3000;

/** What `mcnet doctor` says of the Redis server, and of the gateways and workers that are there: none without Redis. */
export async function distributionFindings(
  config: Pick<
    Config,
    'queue' | 'redis' | 'distribution' | 'models' | 'rules' | 'precision' | 'seriesNumber'
  >,
): Promise<Finding[]> {
  if (config.queue === 'embedded') return [];
  const findings: Finding[] = [];
  let secret: string;
  let access: RedisAccess;
  try {
    secret = distributionSecret(config);
    access = redisAccess(config);
  } catch (error) {
    return [{ name: 'token', ok: false, message: (error as Error).message }];
  }
  const names = new Set(config.rules.flatMap(({ model }) => (model === undefined ? [] : [model])));
  const loaded = await Promise.allSettled([...names].map((name) => loadModel(join(config.models, name))));
  const identities = loaded.flatMap((each) =>
    each.status === 'fulfilled'
      ? [identityOf(derivationOf(each.value.manifest, config, '', new Date(0)))]
      : [],
  );
  const redis = connectRedis(config.queue, 'mcnet-doctor', access);
  try {
    const ready = new Promise<true>((resolve) => redis.onReady(() => resolve(true)));
    if (!(await Promise.race([ready, pause(WAIT_MS, false)]))) {
      return [{ name: 'redis', ok: false, message: redis.problem() }];
    }
    const version = /redis_version:(\S+)/.exec(await redis.client.info('server'))?.[1] ?? '?';
    findings.push({ name: 'redis', ok: true, message: `${redisAddress(config.queue)}, version ${version}` });
    const gateways = await presentGateways(redis);
    const workers = await presentWorkers(redis);
    const refusals = refusalsOf(gateways, identities, secret);
    for (const { name, url, identities: asked } of gateways) {
      const refused = refusals.filter(({ gateway }) => gateway === name);
      const served = asked.map(
        (identity) =>
          workers.filter((worker) => worker.identities.some((one) => queueOf(one) === queueOf(identity)))
            .length,
      );
      const message =
        refused.length > 0
          ? refused.map(({ model, reason }) => `${model}: ${reason}`).join('; ')
          : `${name} at ${url}: ${asked.map(({ model }, i) => `${model.name} ${model.version} is served by ${served[i]} workers`).join(', ')}`;
      findings.push({ name: 'gateway', ok: refused.length === 0 && !served.includes(0), message });
    }
    for (const worker of workers) {
      const differences = worker.identities.flatMap((offered) => {
        const mine = identities.find(({ model }) => model.name === offered.model.name);
        const difference = mine && differenceOf(mine, offered);
        return difference ? [`${offered.model.name}: ${difference}`] : [];
      });
      const message = [
        `${worker.host}, ${worker.engine}, ${worker.concurrency} at a time`,
        worker.problem,
        ...differences,
      ];
      findings.push({
        name: 'worker',
        ok: worker.problem === '' && differences.length === 0,
        message: message.filter((text) => text !== '').join('; '),
      });
    }
    if (gateways.length === 0) findings.push({ name: 'gateway', ok: false, message: 'none is there' });
    if (workers.length === 0) findings.push({ name: 'worker', ok: false, message: 'none is there' });
    return findings;
  } catch (error) {
    return [...findings, { name: 'redis', ok: false, message: (error as Error).message }];
  } finally {
    redis.close();
  }
}
