import { checkModels } from '../composition/check-models.js';
import { loadConfig } from '../config/index.js';
import { startServer } from '../main.js';
import { createLogger } from '../telemetry/index.js';
import { EXIT } from './failure.js';

/** `mcnet serve`: runs until SIGTERM or SIGINT; a second signal ends it at once. */
export async function serve(options: { config?: string }): Promise<number> {
  const warnings: string[] = [];
  const config = loadConfig({
    ...(options.config !== undefined && { file: options.config }),
    env: process.env,
    onWarning: (message) => warnings.push(message),
  });
  const logger = createLogger({ level: config.log.level });
  for (const message of warnings) logger.warn({ reason: message }, 'configuration');
  await checkModels(config);
  const stopped = new Promise<NodeJS.Signals>((resolve) => {
    for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => resolve(signal));
  });
  const server = await startServer(config, logger);
  logger.info({ signal: await stopped }, 'stopping');
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => process.exit(EXIT.failed));
  await server.close();
  logger.info('stopped');
  return EXIT.ok;
}
