import { ConfigError, loadConfig } from '../config/index.js';

/** The file of users or tokens: named by option, else by the configuration. @throws ConfigError when by neither */
export function accessFile(
  kind: 'users' | 'tokens',
  options: { users?: string; tokens?: string; config?: string },
): string {
  const named = options[kind];
  if (named !== undefined) return named;
  const { access } = loadConfig({
    ...(options.config !== undefined && { file: options.config }),
    env: process.env,
  });
  const configured = access?.[kind];
  if (configured !== undefined) return configured;
  throw new ConfigError(options.config ?? 'the configuration', [
    `access.${kind}: is missing; name the file there, or by --${kind}`,
  ]);
}
