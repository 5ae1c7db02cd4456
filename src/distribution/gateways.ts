/** What a worker knows of the gateways: where they are, and whether it can do what they ask for. */
import { differenceOf, type Identity, queueOf } from './identity.js';
import type { GatewayPresence } from './messages.js';
import { presentGateways } from './presence.js';
import { notForLong, type RedisConnection } from './redis.js';
import { isSealed } from './secret.js';

const LOOK_EVERY_MS = 2000;
/** A gateway that a job names and that is not known is looked for at most so often. */
const LOOK_AGAIN_MS = 250;
/** Time for Redis to say where it is. */
const FIND_MS = 5000;

/** A gateway that asks for what this worker has in another form, or nobody here can trust. */
export interface Refusal {
  gateway: string;
  model: string;
  reason: string;
}

export interface KnownGateways {
  /** The gateway with this id, if it is there. */
  find(id: string): Promise<GatewayPresence | undefined>;
  refusals(): readonly Refusal[];
  stop(): void;
}

/** What a worker with these identities refuses of what gateways ask for. */
export function refusalsOf(
  gateways: readonly GatewayPresence[],
  offered: readonly Identity[],
  secret: string,
): Refusal[] {
  const queues = new Set(offered.map(queueOf));
  return gateways.flatMap((gateway): Refusal[] => {
    if (!isSealed(secret, gateway)) {
      const reason = 'its entry in Redis is not sealed with the distribution.token of this worker';
      return [{ gateway: gateway.name, model: '', reason }];
    }
    return gateway.identities.flatMap((asked): Refusal[] => {
      if (queues.has(queueOf(asked))) return [];
      const { name, version } = asked.model;
      const same = offered.find(({ model }) => model.name === name);
      const reason = same ? differenceOf(asked, same) : `this worker has no model ${name} (${version})`;
      return [{ gateway: gateway.name, model: name, reason }];
    });
  });
}

/** Keeps the table of gateways up to date. */
export function watchGateways(o: {
  redis: RedisConnection;
  secret: string;
  identities: readonly Identity[];
  onRefusals(refusals: readonly Refusal[]): void;
}): KnownGateways {
  let known = new Map<string, GatewayPresence>();
  let refusals: Refusal[] = [];
  let looking: Promise<void> | undefined;
  let lookedAt = 0;

  async function refresh(): Promise<void> {
    if (o.redis.client.status !== 'ready') return;
    const gateways = await presentGateways(o.redis);
    known = new Map(
      gateways.filter((each) => isSealed(o.secret, each)).map((each) => [each.id, each] as const),
    );
    const now = refusalsOf(gateways, o.identities, o.secret);
    const changed = JSON.stringify(now) !== JSON.stringify(refusals);
    refusals = now;
    if (changed) o.onRefusals(refusals);
  }

  function look(): Promise<void> {
    looking ??= refresh()
      .catch(() => {})
      .finally(() => {
        looking = undefined;
        lookedAt = performance.now();
      });
    return looking;
  }

  o.redis.onReady(() => void look());
  const timer = setInterval(look, LOOK_EVERY_MS);
  timer.unref();
  return {
    async find(id) {
      if (!known.has(id) && performance.now() - lookedAt > LOOK_AGAIN_MS) await notForLong(look(), FIND_MS);
      return known.get(id);
    },
    refusals: () => refusals,
    stop: () => clearInterval(timer),
  };
}
