import { readFileSync } from 'node:fs';
import { type Config, ConfigError } from '../config/index.js';
import type { RedisAccess } from '../distribution/index.js';
import { outgoingTls } from './tls.js';

/** What stands in deploy/mcnet.example.yaml. */
const EXAMPLE = 'replace-this-by-your-own-secret';

/**
 * The secret that gateways and workers share.
 * @throws ConfigError when there is none, or its file cannot be read
 */
export function distributionSecret({ distribution }: Pick<Config, 'distribution'>): string {
  const { token, tokenFile } = distribution;
  const problem = (text: string) => new ConfigError('the configuration', [text]);
  if (token === EXAMPLE) {
    throw problem(
      'distribution.token is the one of the example, which everybody knows; expected a secret of your own',
    );
  }
  if (token !== undefined) return token;
  if (tokenFile === undefined) {
    throw problem(
      'distribution.token is missing; expected, with a Redis server as queue, the secret that gateways and workers share (MCNET_DISTRIBUTION__TOKEN or distribution.tokenFile)',
    );
  }
  let text: string;
  try {
    text = readFileSync(tokenFile, 'utf8').trim();
  } catch (error) {
    throw problem(
      `distribution.tokenFile: ${tokenFile} cannot be read (${(error as NodeJS.ErrnoException).code})`,
    );
  }
  if (!/^[\x21-\x7e]{16,}$/.test(text)) {
    throw problem(
      `distribution.tokenFile: ${tokenFile} does not hold a secret; expected 16 printable ASCII characters or more, without blanks`,
    );
  }
  return text;
}

/**
 * How the Redis server lets this process in: what `redis` says goes before what the address in `queue` says.
 * @throws ConfigError when the file of the password cannot be read or is empty
 */
export function redisAccess({ redis }: Pick<Config, 'redis'>): RedisAccess {
  const { username, tls } = redis;
  const password = redis.password ?? passwordIn(redis.passwordFile);
  return {
    ...(username !== undefined && { username }),
    ...(password !== undefined && { password }),
    ...(tls !== undefined && { tls: outgoingTls(tls, undefined) }),
  };
}

function passwordIn(file: string | undefined): string | undefined {
  if (file === undefined) return undefined;
  const problem = (text: string) => new ConfigError('the configuration', [`redis.passwordFile: ${text}`]);
  let text: string;
  try {
    text = readFileSync(file, 'utf8').trim();
  } catch (error) {
    throw problem(`${file} cannot be read (${(error as NodeJS.ErrnoException).code})`);
  }
  if (text === '') throw problem(`${file} is empty; expected the password of the Redis user`);
  return text;
}
