import { Redis } from 'ioredis';

/** Before the name of every key in Redis. */
export const PREFIX = 'mcnet';

/** Without any answer for so long the connection is taken for dead; blocking reads of a worker last 10 s at most. */
const SILENCE_MS = 20_000;
const LONGEST_PAUSE_MS = 2000;

export interface RedisConnection {
  readonly client: Redis;
  /** Why the server cannot be used now; empty when it can. */
  problem(): string;
  /** Calls back each time that the server can be used (again). */
  onReady(listener: () => void): void;
  close(): void;
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
export function connectRedis(url: string, name: string): RedisConnection {
  let problem = `Redis at ${redisAddress(url)} has not answered yet`;
  const client = new Redis(url, {
    connectionName: name,
    maxRetriesPerRequest: null,
    retryStrategy: (times) => Math.min(LONGEST_PAUSE_MS, 50 * 2 ** Math.min(times, 10)),
    connectTimeout: 5000,
    socketTimeout: SILENCE_MS,
    keepAlive: 5000,
  });
  client.on('error', (error: Error & { code?: string }) => {
    problem = `Redis at ${redisAddress(url)} cannot be used: ${error.code ?? error.message}`;
  });
  client.on('close', () => {
    if (problem === '') problem = `the connection to Redis at ${redisAddress(url)} is lost`;
  });
  client.on('ready', () => {
    problem = '';
  });
  return {
    client,
    problem: () => problem,
    onReady(listener) {
      client.on('ready', listener);
      if (client.status === 'ready') listener();
    },
    close: () => client.disconnect(),
  };
}
