import { startWorker } from '../composition/worker.js';
import { startServer } from '../main.js';
import { prepare, untilSignal } from './running.js';

/**
 * `mcnet serve`: everything in one process. With a Redis server as queue, a gateway and a worker, to which others may
 * be added on other machines.
 */
export async function serve(options: { config?: string }): Promise<number> {
  const { config, logger } = await prepare(options);
  return untilSignal(logger, async () => {
    const server = await startServer(config, logger);
    if (config.queue === 'embedded') return server;
    const worker = await startWorker(config, logger, { http: false }).catch(async (error: unknown) => {
      await server.close();
      throw error;
    });
    return {
      async close() {
        await worker.close();
        await server.close();
      },
    };
  });
}
