import { checkModels } from '../composition/check-models.js';
import { checkPull } from '../composition/fetching.js';
import { checkTls } from '../composition/tls.js';
import { type Config, loadConfig } from '../config/index.js';
import { createLogger, type Logger } from '../telemetry/index.js';
import { EXIT } from './failure.js';

/** Configuration, checked with its models, and a logger: what every long-running command begins with. */
export async function prepare(options: { config?: string }): Promise<{ config: Config; logger: Logger }> {
  const warnings: string[] = [];
  const config = loadConfig({
    ...(options.config !== undefined && { file: options.config }),
    env: process.env,
    onWarning: (message) => warnings.push(message),
  });
  const logger = createLogger({ level: config.log.level });
  warnings.push(...checkTls(config));
  checkPull(config);
  for (const message of warnings) logger.warn({ reason: message }, 'configuration');
  await checkModels(config);
  return { config, logger };
}

/** Starts, and stops at SIGTERM or SIGINT; a second signal ends the process at once. */
export async function untilSignal(
  logger: Logger,
  start: () => Promise<{ close(): Promise<void> }>,
): Promise<number> {
  const stopped = new Promise<NodeJS.Signals>((resolve) => {
    for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => resolve(signal));
  });
  const running = await start();
  logger.info({ signal: await stopped }, 'stopping');
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => process.exit(EXIT.failed));
  await running.close();
  logger.info('stopped');
  return EXIT.ok;
}
