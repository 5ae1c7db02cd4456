import type { Config, DestinationConfig } from '../config/index.js';
import {
  type Destination,
  dicomwebDestination,
  dimseCommitment,
  dimseDestination,
} from '../delivery/index.js';
import * as dicomweb from '../dicomweb/index.js';
import * as dimse from '../dimse/index.js';

/** How long an association is kept open for a storage commitment report on it. */
const reportOnSameAssociationMs = 5000;

function destinationOf(name: string, to: DestinationConfig, aeTitle: string): Destination {
  if (to.dimse) {
    const { host, port, aeTitle: calledAeTitle, callingAeTitle = aeTitle, timeout } = to.dimse;
    const target = { host, port, calledAeTitle, callingAeTitle, timeouts: { responseMs: timeout } };
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
export function openDestinations(config: Pick<Config, 'destinations' | 'aeTitle'>): Destination[] {
  return Object.entries(config.destinations).map(([name, to]) => destinationOf(name, to, config.aeTitle));
}

/** Where a destination is, for people. */
export function addressOf(to: DestinationConfig): string {
  return to.dimse ? `${to.dimse.aeTitle} at ${to.dimse.host}:${to.dimse.port}` : to.dicomweb!.url;
}
