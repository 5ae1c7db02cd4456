import { checkKeywords } from '../composition/check-keywords.js';
import { checkModels } from '../composition/check-models.js';
import { checkTls } from '../composition/tls.js';
import { type Config, loadConfig } from '../config/index.js';
import type { ConfigurationSource } from '../main.js';
import { createLogger, type Logger } from '../telemetry/index.js';
import { EXIT } from './failure.js';

/** Configuration, checked with its models, and a logger: what every long-running command begins with. */
export async function prepare(options: {
  config?: string;
}): Promise<{ config: Config; logger: Logger; source?: ConfigurationSource }> {
  const warnings: string[] = [];
  let warn = (message: string): unknown => warnings.push(message);
  const file = options.config;
  const load = () => {
    const config = loadConfig({
      ...(file !== undefined && { file }),
      env: process.env,
      onWarning: (message) => warn(message),
    });
    for (const message of checkTls(config)) warn(message);
    checkKeywords(config);
    return config;
  };
  const config = load();
  const logger = createLogger({ level: config.log.level });
  warn = (message) => logger.warn({ reason: message }, 'configuration');
  warnings.forEach(warn);
  await checkModels(config);
  return { config, logger, ...(file !== undefined && { source: { file, load } }) };
}

/**
 * Starts, and stops at SIGTERM or SIGINT; a second signal ends the process at once. Where there is a configuration file,
 * SIGHUP reads it again; where there is none, it ends the process as it always does.
 */
export async function untilSignal(
  logger: Logger,
  source: ConfigurationSource | undefined,
  start: () => Promise<{ close(): Promise<void>; reload?(why: string): void }>,
): Promise<number> {
  const stopped = new Promise<NodeJS.Signals>((resolve) => {
    for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => resolve(signal));
  });
  // Before it runs there is nothing to tell: what it then reads is the file as it is then.
  let hangUp = () => {};
  if (source) process.on('SIGHUP', () => hangUp());
  const running = await start();
  hangUp = () => running.reload?.('SIGHUP');
  logger.info({ signal: await stopped }, 'stopping');
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => process.exit(EXIT.failed));
  await running.close();
  logger.info('stopped');
  // What still waits for a peer that is away must not keep the process.
  setTimeout(() => process.exit(EXIT.ok), 2000).unref();
  return EXIT.ok;
}
