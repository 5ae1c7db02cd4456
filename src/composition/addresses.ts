import type { Config, OutgoingTls } from '../config/index.js';
import type { DimseTarget } from '../dimse/index.js';
import { outgoingTls } from './tls.js';

/** Where the peer with an AE title listens: a destination's address, or the port that `peers` gives for it. */
export function targetOf(
  config: Pick<Config, 'aeTitle' | 'dimse' | 'peers' | 'destinations'>,
  aeTitle: string,
): DimseTarget | undefined {
  for (const { dimse } of Object.values(config.destinations)) {
    if (dimse?.aeTitle !== aeTitle) continue;
    return dimseTarget(dimse, config);
  }
  const peer = config.peers.find((each) => each.aeTitle === aeTitle && each.port !== undefined);
  if (peer?.port === undefined) return undefined;
  return dimseTarget({ ...peer, port: peer.port }, config);
}

/** How a node is called that the configuration describes. */
export function dimseTarget(
  node: {
    aeTitle: string;
    host: string;
    port: number;
    callingAeTitle?: string | undefined;
    tls?: OutgoingTls | undefined;
  },
  own: Pick<Config, 'aeTitle' | 'dimse'>,
): DimseTarget {
  const { aeTitle, host, port, callingAeTitle = own.aeTitle, tls } = node;
  return {
    host,
    port,
    calledAeTitle: aeTitle,
    callingAeTitle,
    ...(tls !== undefined && { tls: outgoingTls(tls, own.dimse.tls) }),
  };
}
