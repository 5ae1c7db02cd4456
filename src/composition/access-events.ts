import type { Logger, Metrics } from '../telemetry/index.js';
import type { WebParts } from '../web/index.js';

/** Logins and refusals into metrics and log. */
export function accessEvents(
  metrics: Pick<Metrics, 'login' | 'refused'>,
  logger: Pick<Logger, 'info' | 'warn'>,
): WebParts['accessEvents'] {
  return {
    loggedIn({ name, address }) {
      metrics.login('accepted');
      logger.info({ user: name, address }, 'logged in');
    },
    loggedOut: ({ name, address }) => logger.info({ user: name, address }, 'logged out'),
    loginFailed({ name, address, reason }) {
      metrics.login('refused');
      logger.warn({ user: name, address, reason }, 'login refused');
    },
    refused({ status, reason, address, name }) {
      metrics.refused(status);
      logger.warn({ status, reason, address, user: name }, 'request refused');
    },
  };
}
