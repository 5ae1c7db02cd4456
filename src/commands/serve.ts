import { startWorker } from '../composition/worker.js';
import { startServer } from '../main.js';
import { prepare, untilSignal } from './running.js';

/**
 * `mcnet serve`: everything in one process. With a Redis server as queue, a gateway and a worker, to which others may
 * be added on other machines.
 */
export async function serve(options: { config?: string }): Promise<number> {
  const { config, logger, source } = await prepare(options);
  return untilSignal(logger, source, async () => {
    const server = await startServer(config, logger, source);
    if (config.queue === 'embedded') return server;
    const worker = await startWorker(config, logger, { http: false }).catch(async (error: unknown) => {
      await server.close();
      throw error;
    });
    return {
      reload: (why: string) => server.reload(why),
      async close() {
        await worker.close();
        await server.close();
      },
    };
  });
}
