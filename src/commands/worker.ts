import { startWorker } from '../composition/worker.js';
import { ConfigError } from '../config/index.js';
import { prepare, untilSignal } from './running.js';

/** `mcnet worker`: corrects what gateways have put into Redis. */
export async function worker(options: { config?: string }): Promise<number> {
  const { config, logger } = await prepare(options);
  if (config.queue === 'embedded') {
    throw new ConfigError('the configuration', [
      'queue: "embedded" has no workers of its own; expected the address of the Redis server that the gateways use',
    ]);
  }
  return untilSignal(logger, undefined, () => startWorker(config, logger));
}
