import type { Config, DestinationConfig, SourceConfig } from '../config/index.js';
import {
  type Destination,
  dicomwebDestination,
  dimseCommitment,
  dimseDestination,
} from '../delivery/index.js';
import * as dicomweb from '../dicomweb/index.js';
import * as dimse from '../dimse/index.js';
import type { StatusView } from '../web/index.js';
import { dimseTarget } from './addresses.js';

/** How long an association is kept open for a storage commitment report on it. */
const reportOnSameAssociationMs = 5000;

type Own = Pick<Config, 'aeTitle' | 'dimse'>;

function destinationOf(name: string, to: DestinationConfig, own: Own): Destination {
  if (to.dimse) {
    const target = { ...dimseTarget(to.dimse, own), timeouts: { responseMs: to.dimse.timeout } };
    const commitment =
      to.dimse.commitment === 'required'
        ? dimseCommitment(target, dimse, {
            waitMs: reportOnSameAssociationMs,
            timeoutMs: to.dimse.commitmentTimeout,
          })
        : undefined;
    return dimseDestination(name, target, dimse, commitment);
  }
  const { url, headers, timeout, batch, connections } = to.dicomweb!;
  return dicomwebDestination(name, { url, headers, timeoutMs: timeout }, dicomweb, { batch, connections });
}

/** The configured destinations, ready to be sent to. */
export function openDestinations(config: Own & Pick<Config, 'destinations'>): Destination[] {
  return Object.entries(config.destinations).map(([name, to]) => destinationOf(name, to, config));
}

function problemOf({ failures, until }: { failures: number; until?: number }): string {
  const times = failures === 1 ? '' : `, ${failures} times in a row`;
  const again = until === undefined ? '' : `; it is tried again at ${new Date(until).toISOString()}`;
  return `the last delivery failed${times}${again}`;
}

/** The configured destinations as people are shown them, with those that do not answer now. */
export function destinationViews(
  { destinations }: Pick<Config, 'destinations'>,
  breakers: readonly { destination: string; failures: number; until?: number }[],
): StatusView['destinations'] {
  return Object.entries(destinations).map(([name, to]) => {
    const breaker = breakers.find(({ destination }) => destination === name);
    return {
      name,
      protocol: to.dimse ? 'dimse' : 'dicomweb',
      address: addressOf(to),
      ...(breaker && breaker.failures > 0 && { problem: problemOf(breaker) }),
    };
  });
}

/** Where a destination is, for people. */
export function addressOf(to: Pick<DestinationConfig | SourceConfig, 'dimse' | 'dicomweb'>): string {
  if (!to.dimse) return to.dicomweb!.url;
  const { aeTitle, host, port, tls } = to.dimse;
  return `${aeTitle} at ${host}:${port}${tls === undefined ? '' : ' (TLS)'}`;
}
