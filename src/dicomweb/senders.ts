import { lookup } from 'node:dns/promises';
import { isIP } from 'node:net';
import { isLoopback, type Peer, plainAddress } from '../config/index.js';

/** Says which peer an address belongs to. */
export interface Senders {
  /** @returns the peer's AE title, or the address itself for a peer with any AE title; undefined for a stranger. */
  nameOf(address: string): Promise<string | undefined>;
}

export type Resolve = (host: string) => Promise<readonly string[]>;

const FRESH_MS = 60_000;

const resolveByDns: Resolve = async (host) =>
  (await lookup(host, { all: true })).map((entry) => entry.address);

/**
 * Who may send by STOW-RS: the hosts of the configured peers (an HTTP client has no AE title).
 * Names are resolved, and remembered for a minute; a name that does not resolve matches nobody.
 * A peer on a loopback address stands for every loopback address.
 */
export function createSenders(peers: () => readonly Peer[], resolve: Resolve = resolveByDns): Senders {
  const known = new Map<string, { until: number; addresses: readonly string[] }>();

  async function addressesOf(host: string): Promise<readonly string[]> {
    if (isIP(host) !== 0) return [host];
    const remembered = known.get(host);
    if (remembered && remembered.until > performance.now()) return remembered.addresses;
    const addresses = await resolve(host).catch(() => []);
    known.set(host, { until: performance.now() + FRESH_MS, addresses });
    return addresses;
  }

  return {
    async nameOf(address) {
      const plain = plainAddress(address);
      let anonymous: string | undefined;
      for (const peer of peers()) {
        const same =
          (isLoopback(plain) && isLoopback(peer.host)) ||
          (await addressesOf(peer.host)).some((a) => plainAddress(a) === plain);
        if (!same) continue;
        if (peer.aeTitle !== '*') return peer.aeTitle;
        anonymous ??= plain;
      }
      return anonymous;
    },
  };
}
