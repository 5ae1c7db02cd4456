/** Who may associate: AE title and host of each peer. */
import { lookup } from 'node:dns/promises';
import { BlockList, isIP } from 'node:net';

export interface Peer {
  /** Calling AE title, or `*` for any. */
  aeTitle: string;
  /** IP address, network such as `10.1.0.0/16`, host name, or `*` for any. */
  host: string;
}

/** IPv4 addresses that arrive on an IPv6 socket are written as IPv4. */
export function normaliseAddress(address: string | undefined): string {
  if (address === undefined) return '';
  return address.startsWith('::ffff:') && address.includes('.') ? address.slice(7) : address;
}

const RESOLVED_FOR_MS = 60_000;

/** Checks calling AE titles and remote addresses. Host names are resolved when needed and remembered for a minute. */
export class PeerTable {
  private readonly resolved = new Map<string, { addresses: Set<string>; until: number }>();

  constructor(private readonly source: readonly Peer[] | (() => readonly Peer[])) {}

  private get peers(): readonly Peer[] {
    return typeof this.source === 'function' ? this.source() : this.source;
  }

  /** Whether a peer with this AE title may call from this address; `unknown host` is told apart for the log only. */
  async check(aeTitle: string, address: string): Promise<'known' | 'unknown AE title' | 'unknown host'> {
    const named = this.peers.filter((peer) => peer.aeTitle === '*' || peer.aeTitle.trim() === aeTitle);
    if (named.length === 0) return 'unknown AE title';
    for (const peer of named) {
      if (await this.matches(peer.host, address)) return 'known';
    }
    return 'unknown host';
  }

  /** Whether any peer lives at this address. */
  async hasHost(address: string): Promise<boolean> {
    for (const peer of this.peers) {
      if (await this.matches(peer.host, address)) return true;
    }
    return false;
  }

  private async matches(host: string, address: string): Promise<boolean> {
    if (host === '*' || host === address) return true;
    if (host.includes('/')) return inNetwork(host, address);
    if (isIP(host) !== 0) return false;
    return (await this.resolve(host)).has(address);
  }

  private async resolve(host: string): Promise<Set<string>> {
    const known = this.resolved.get(host);
    if (known !== undefined && known.until > performance.now()) return known.addresses;
    let addresses = new Set<string>();
    try {
      addresses = new Set(
        (await lookup(host, { all: true })).map((entry) => normaliseAddress(entry.address)),
      );
    } catch {
      // A name that does not resolve matches nobody; the last good answer is better than none.
      if (known !== undefined) addresses = known.addresses;
    }
    this.resolved.set(host, { addresses, until: performance.now() + RESOLVED_FOR_MS });
    return addresses;
  }
}

function inNetwork(network: string, address: string): boolean {
  const [base = '', prefix = ''] = network.split('/');
  const family = isIP(base);
  if (family === 0 || isIP(address) !== family || !/^\d+$/.test(prefix)) return false;
  const length = Number(prefix);
  if (length > (family === 4 ? 32 : 128)) return false;
  const list = new BlockList();
  const type = family === 4 ? 'ipv4' : 'ipv6';
  list.addSubnet(base, length, type);
  return list.check(address, type);
}
