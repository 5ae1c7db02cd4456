import { ConfigError } from '../config/index.js';
import { startServer } from '../main.js';
import { prepare, untilSignal } from './running.js';

/** `mcnet gateway`: receives, archives and delivers; workers correct. */
export async function gateway(options: { config?: string }): Promise<number> {
  const { config, logger, source } = await prepare(options);
  if (config.queue === 'embedded') {
    throw new ConfigError('the configuration', [
      'queue: "embedded" is for mcnet serve; expected, for a gateway, the address of the Redis server that its workers use',
    ]);
  }
  return untilSignal(logger, source, () => startServer(config, logger, source));
}
