import { BlockList, isIPv4, isIPv6 } from 'node:net';

const LOOPBACK = new BlockList();
LOOPBACK.addSubnet('127.0.0.0', 8, 'ipv4');
LOOPBACK.addAddress('::1', 'ipv6');

/** An IPv4 address that arrived on a dual-stack socket (`::ffff:10.0.0.1`) in its plain form; others unchanged. */
export function plainAddress(address: string): string {
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address);
  return mapped ? mapped[1]! : address;
}

/** True for `localhost` and every address that only this machine can reach (127.0.0.0/8, ::1). */
export function isLoopback(host: string): boolean {
  const plain = plainAddress(host);
  if (isIPv4(plain)) return LOOPBACK.check(plain, 'ipv4');
  if (isIPv6(plain)) return LOOPBACK.check(plain, 'ipv6');
  return plain.toLowerCase() === 'localhost';
}
