import { checkKeywords } from '../composition/check-keywords.js';
import { checkModels } from '../composition/check-models.js';
import { distributionSecret, redisAccess } from '../composition/secret.js';
import { checkTls } from '../composition/tls.js';
import { ConfigError, loadConfig } from '../config/index.js';
import { EXIT } from './failure.js';

/** `mcnet check-config`: every problem at once, or one line that says what the file does. */
export async function checkConfig(file: string): Promise<number> {
  const config = loadConfig({
    file,
    env: process.env,
    onWarning: (message) => console.error(`warning: ${message}`),
  });
  const problems: string[] = [];
  const collect = async <T>(check: () => T | Promise<T>): Promise<T | undefined> => {
    try {
      return await check();
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error;
      problems.push(...error.problems);
      return undefined;
    }
  };
  for (const warning of (await collect(() => checkTls(config))) ?? []) console.error(`warning: ${warning}`);
  await collect(() => checkKeywords(config));
  const models = (await collect(() => checkModels(config))) ?? [];
  if (config.queue !== 'embedded') {
    await collect(() => distributionSecret(config));
    await collect(() => redisAccess(config));
  }
  if (problems.length > 0) throw new ConfigError(file, problems);
  const count = (number: number, what: string) => `${number} ${what}${number === 1 ? '' : 's'}`;
  console.log(
    `${file} is good: ${count(config.rules.length, 'rule')}, ${count(config.peers.length, 'peer')}, ${count(Object.keys(config.destinations).length, 'destination')}; model ${models.join(', ') || 'none'}`,
  );
  return EXIT.ok;
}
