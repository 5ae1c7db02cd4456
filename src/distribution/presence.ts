/** Who is there: gateways and workers say it in Redis again and again, and are forgotten when they stop. */
import type { z } from 'zod';
import { type GatewayPresence, gatewayPresence, type WorkerPresence, workerPresence } from './messages.js';
import { notForLong, PREFIX, type RedisConnection } from './redis.js';

/** Without news for so long somebody counts as gone. */
const TTL_S = 15;
const EVERY_MS = 4000;
/** Time to take it back. */
const TAKE_BACK_MS = 2000;

type Kind = 'gateway' | 'worker';
const setOf = (kind: Kind) => `${PREFIX}:${kind}s`;
const keyOf = (kind: Kind, id: string) => `${PREFIX}:${kind}:${id}`;

export interface Announcement {
  /** Says it now. */
  say(): Promise<void>;
  /** Takes it back. */
  stop(): Promise<void>;
}

/** Keeps an entry in Redis for as long as this process lives. */
export function announce(
  redis: RedisConnection,
  kind: Kind,
  describe: () => GatewayPresence | WorkerPresence,
): Announcement {
  const { client } = redis;
  const { id } = describe();
  let stopped = false;
  const say = async () => {
    if (stopped || client.status !== 'ready') return;
    await client
      .multi()
      .sadd(setOf(kind), id)
      .set(keyOf(kind, id), JSON.stringify(describe()), 'EX', TTL_S)
      .exec()
      .catch(() => {});
  };
  redis.onReady(() => void say());
  const timer = setInterval(say, EVERY_MS);
  timer.unref();
  return {
    say,
    async stop() {
      stopped = true;
      clearInterval(timer);
      if (client.status !== 'ready') return;
      await notForLong(client.multi().srem(setOf(kind), id).del(keyOf(kind, id)).exec(), TAKE_BACK_MS);
    },
  };
}

async function present<T>(redis: RedisConnection, kind: Kind, schema: z.ZodType<T>): Promise<T[]> {
  const { client } = redis;
  const ids = await client.smembers(setOf(kind));
  if (ids.length === 0) return [];
  const texts = await client.mget(ids.map((id) => keyOf(kind, id)));
  const gone = ids.filter((_, index) => texts[index] === null);
  if (gone.length > 0) await client.srem(setOf(kind), ...gone);
  return texts.flatMap((text) => {
    if (text == null) return [];
    const parsed = schema.safeParse(JSON.parse(text));
    return parsed.success ? [parsed.data] : [];
  });
}

/** The gateways that are there. */
export const presentGateways = (redis: RedisConnection): Promise<GatewayPresence[]> =>
  present(redis, 'gateway', gatewayPresence);
/** The workers that are there. */
export const presentWorkers = (redis: RedisConnection): Promise<WorkerPresence[]> =>
  present(redis, 'worker', workerPresence);
