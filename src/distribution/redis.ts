import type { ConnectionOptions } from 'node:tls';
import { Redis } from 'ioredis';

/** Before the name of every key in Redis. */
export const PREFIX = 'mcnet';

/** How often a connection is tried, and without an answer for how long it is taken for dead and made anew. */
const PING_EVERY_MS = 4000;
const SILENCE_MS = 10_000;
const LONGEST_PAUSE_MS = 2000;

/** What a Redis server asks of those who connect; it goes before what the address says. */
export interface RedisAccess {
  /** Of an ACL; without one it is the default user. */
  username?: string;
  password?: string;
  /** For rediss:// addresses: authorities other than the system's, a certificate of our own, the server's name. */
  tls?: Pick<ConnectionOptions, 'ca' | 'cert' | 'key'> & { serverName?: string };
}

export interface RedisConnection {
  readonly client: Redis;
  /** Why the server cannot be used now; empty when it can. */
  problem(): string;
  /** Calls back with each new reason why it cannot; trying again in vain for the same one is not told. */
  onProblem(listener: (problem: string) => void): void;
  /** Calls back each time that the server can be used (again). */
  onReady(listener: () => void): void;
  close(): void;
}

/**
 * Waits for what is still to be said to Redis, but not for long: a command waits for a connection for as long as it
 * takes, and whoever stops must not wait with it. What was not said is found out: entries and locks run out.
 */
export async function notForLong(said: Promise<unknown>, ms: number): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const enough = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, ms);
  });
  await Promise.race([said.catch(() => {}), enough]);
  clearTimeout(timer);
}

/** Where a Redis server is, without user and password. */
export function redisAddress(url: string): string {
  const { hostname, port } = new URL(url);
  return `${hostname}:${port || 6379}`;
}

/**
 * Connects, and again whenever the connection is lost, for as long as it takes. Commands wait meanwhile.
 * @param url redis:// or rediss://, with user and password if need be
 */
export function connectRedis(url: string, name: string, access: RedisAccess = {}): RedisConnection {
  const { username, password, tls: { serverName, ...secured } = {} } = access;
  let problem = `Redis at ${redisAddress(url)} has not answered yet`;
  const client = new Redis(url, {
    connectionName: name,
    maxRetriesPerRequest: null,
    retryStrategy: (times) => Math.min(LONGEST_PAUSE_MS, 50 * 2 ** Math.min(times, 10)),
    connectTimeout: 5000,
    keepAlive: 5000,
    ...(username !== undefined && { username }),
    ...(password !== undefined && { password }),
    ...(new URL(url).protocol === 'rediss:' && {
      tls: { ...secured, ...(serverName !== undefined && { servername: serverName }) },
    }),
  });
  const listeners: ((problem: string) => void)[] = [];
  const failed = (reason: string) => {
    if (reason === problem) return;
    problem = reason;
    for (const listener of listeners) listener(reason);
  };
  client.on('error', (error: Error & { code?: string }) =>
    failed(`Redis at ${redisAddress(url)} cannot be used: ${error.code ?? error.message}`),
  );
  client.on('close', () => {
    if (problem === '') failed(`the connection to Redis at ${redisAddress(url)} is lost`);
  });
  client.on('ready', () => {
    problem = '';
  });
  let askedAt = 0;
  let asked = false;
  const watch = setInterval(() => {
    if (client.status !== 'ready') {
      asked = false;
      return;
    }
    const now = performance.now();
    if (asked && now - askedAt > SILENCE_MS) {
      failed(`Redis at ${redisAddress(url)} does not answer`);
      asked = false;
      client.disconnect(true);
      return;
    }
    if (asked) return;
    asked = true;
    askedAt = now;
    const answered = () => {
      asked = false;
    };
    client.ping().then(answered, answered);
  }, PING_EVERY_MS);
  watch.unref();
  return {
    client,
    problem: () => problem,
    onProblem: (listener) => void listeners.push(listener),
    onReady(listener) {
      client.on('ready', listener);
      if (client.status === 'ready') listener();
    },
    close() {
      clearInterval(watch);
      client.disconnect();
    },
  };
}
