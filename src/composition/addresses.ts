import type { Config } from '../config/index.js';
import type { DimseTarget } from '../dimse/index.js';

/** Where the peer with an AE title listens: a destination's address, or the port that `peers` gives for it. */
export function targetOf(
  config: Pick<Config, 'aeTitle' | 'peers' | 'destinations'>,
  aeTitle: string,
): DimseTarget | undefined {
  for (const { dimse } of Object.values(config.destinations)) {
    if (dimse?.aeTitle !== aeTitle) continue;
    const { host, port, callingAeTitle = config.aeTitle } = dimse;
    return { host, port, calledAeTitle: aeTitle, callingAeTitle };
  }
  const peer = config.peers.find((each) => each.aeTitle === aeTitle && each.port !== undefined);
  if (peer?.port === undefined) return undefined;
  return { host: peer.host, port: peer.port, calledAeTitle: aeTitle, callingAeTitle: config.aeTitle };
}
