import { setFlagsFromString } from 'node:v8';
import { checkModels } from '../composition/check-models.js';
import { loadConfig } from '../config/index.js';
import { startServer } from '../main.js';
import { createLogger } from '../telemetry/index.js';
import { EXIT } from './failure.js';

/** `mcnet serve`: runs until SIGTERM or SIGINT; a second signal ends it at once. SIGHUP reads the file again. */
export async function serve(options: { config?: string }): Promise<number> {
  // The heaps of the server's threads are small: collecting garbage by several threads at once costs more processor
  // time than it saves, and the engine can use that time.
  setFlagsFromString('--no-parallel-scavenge');
  // Pixel data outside the heap starts a marking every few slices; done at once it takes some ms, in steps several times
  // as much of every thread.
  setFlagsFromString('--no-incremental-marking');
  const warnings: string[] = [];
  let warn = (message: string): unknown => warnings.push(message);
  const file = options.config;
  const load = () =>
    loadConfig({
      ...(file !== undefined && { file }),
      env: process.env,
      onWarning: (message) => warn(message),
    });
  const config = load();
  const logger = createLogger({ level: config.log.level });
  warn = (message) => logger.warn({ reason: message }, 'configuration');
  warnings.forEach(warn);
  await checkModels(config);
  const stopped = new Promise<NodeJS.Signals>((resolve) => {
    for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => resolve(signal));
  });
  // Before the server runs there is nothing to tell; without a file SIGHUP ends it as it always does.
  let hangUp = () => {};
  if (file !== undefined) process.on('SIGHUP', () => hangUp());
  const server = await startServer(config, logger, file === undefined ? undefined : { file, load });
  hangUp = () => server.reload('SIGHUP');
  logger.info({ signal: await stopped }, 'stopping');
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => process.exit(EXIT.failed));
  await server.close();
  logger.info('stopped');
  return EXIT.ok;
}
