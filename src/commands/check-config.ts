import { checkModels } from '../composition/check-models.js';
import { checkPull } from '../composition/fetching.js';
import { distributionSecret, redisAccess } from '../composition/secret.js';
import { checkTls } from '../composition/tls.js';
import { loadConfig } from '../config/index.js';
import { EXIT } from './failure.js';

/** `mcnet check-config`: every problem at once, or one line that says what the file does. */
export async function checkConfig(file: string): Promise<number> {
  const config = loadConfig({
    file,
    env: process.env,
    onWarning: (message) => console.error(`warning: ${message}`),
  });
  for (const warning of checkTls(config)) console.error(`warning: ${warning}`);
  checkPull(config);
  const models = await checkModels(config);
  if (config.queue !== 'embedded') {
    distributionSecret(config);
    redisAccess(config);
  }
  const count = (number: number, what: string) => `${number} ${what}${number === 1 ? '' : 's'}`;
  console.log(
    `${file} is good: ${count(config.rules.length, 'rule')}, ${count(config.peers.length, 'peer')}, ${count(Object.keys(config.destinations).length, 'destination')}; model ${models.join(', ') || 'none'}`,
  );
  return EXIT.ok;
}
