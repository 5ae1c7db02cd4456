import type { Logger, Metrics } from '../telemetry/index.js';
import type { WebParts } from '../web/index.js';
import type { Auditing } from './audit.js';

/** Logins, refusals and what people see into metrics, log and audit trail. */
export function accessEvents(
  metrics: Pick<Metrics, 'login' | 'refused'>,
  logger: Pick<Logger, 'info' | 'warn'>,
  audit: Auditing,
): WebParts['accessEvents'] {
  return {
    loggedIn(event) {
      const { name, address } = event;
      audit.loggedIn(event);
      metrics.login('accepted');
      logger.info({ user: name, address }, 'logged in');
    },
    loggedOut(event) {
      audit.loggedOut(event);
      logger.info({ user: event.name, address: event.address }, 'logged out');
    },
    loginFailed(event) {
      const { name, address, reason } = event;
      audit.loginFailed(event);
      metrics.login('refused');
      logger.warn({ user: name, address, reason }, 'login refused');
    },
    refused(event) {
      const { status, reason, address, name } = event;
      audit.refused(event);
      metrics.refused(status);
      logger.warn({ status, reason, address, user: name }, 'request refused');
    },
    viewed: (principal, what) => audit.viewed(principal, what),
    queried: (principal, query) => audit.queried(principal, query),
    acted: (principal, action, series) => audit.acted(principal, action, series),
  };
}
