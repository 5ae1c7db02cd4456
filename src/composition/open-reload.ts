import type { Config } from '../config/index.js';
import type { Destination } from '../delivery/index.js';
import type { Pipeline } from '../pipeline/index.js';
import type { Logger, Metrics } from '../telemetry/index.js';
import type { Readiness } from '../web/index.js';
import type { Auditing } from './audit.js';
import { type ConfigurationState, createReload, type Reload } from './reload.js';
import { certificateFiles } from './tls.js';

export interface OpenReloadOptions {
  /** In force; changed in place. */
  config: Config;
  source: { file: string; load(): Config };
  /** Those that are loaded. */
  models: ReadonlyMap<string, unknown>;
  pipeline: Pick<Pipeline, 'reconfigure'>;
  /** The destinations of the configuration in force, ready to be sent to. */
  destinations(): Destination[];
  /** Shows the certificates of the listeners' files as they are now. @throws Error when they cannot be used */
  renewCertificates(): void;
  metrics: Pick<Metrics, 'configured'>;
  logger: Pick<Logger, 'info' | 'warn' | 'error'>;
  audit: Pick<Auditing, 'configured'>;
}

/** Reloading of the running server's configuration, with its metrics, log and audit trail. */
export function openReload(options: OpenReloadOptions): Reload {
  const { config, source, models, pipeline, destinations, renewCertificates, metrics, logger, audit } =
    options;
  metrics.configured({ used: true, atMs: Date.now() });
  return createReload({
    config,
    file: source.file,
    filesOf: certificateFiles,
    load: source.load,
    obstacle(next) {
      const at = next.rules.findIndex(({ model }) => model !== undefined && !models.has(model));
      return at < 0
        ? undefined
        : `rules[${at}].model: "${next.rules[at]!.model}" is not loaded; restart the server to use it`;
    },
    apply({ rules }) {
      pipeline.reconfigure({ rules, destinations: destinations() });
      renewCertificates();
    },
    onReload(state, why) {
      const { file, problem, needsRestart } = state;
      metrics.configured({ used: problem === undefined, atMs: state.loadedAt });
      if (problem !== undefined) {
        logger.error(
          { file, why, reason: problem },
          'the configuration cannot be used; the one before stays in force',
        );
      } else {
        logger.info({ file, why }, 'the configuration was read again');
        if (needsRestart.length > 0) {
          logger.warn({ file, keys: needsRestart }, 'these keys need a restart to take effect');
        }
      }
      audit.configured({
        file,
        reason: problem ?? `rules, peers and destinations read again: ${why}`,
        outcome: problem === undefined ? 'success' : 'minor-failure',
      });
    },
  });
}

/** What readiness says about the configuration: nothing to keep work away for, but to be seen. */
export function configurationFindings(state: ConfigurationState | undefined): Readiness['checks'] {
  if (!state) return [];
  const since = new Date(state.loadedAt).toISOString();
  const message =
    state.problem !== undefined
      ? `${state.problem}\nThe configuration read at ${since} stays in force.`
      : state.needsRestart.length > 0
        ? `read at ${since}; a restart is needed for ${state.needsRestart.join(', ')}`
        : `read at ${since}`;
  return [{ name: 'configuration', ok: true, message }];
}
