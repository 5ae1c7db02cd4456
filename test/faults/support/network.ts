/** A network namespace beside the machine's own, and the line between the two, which a test can cut. */
import { spawnSync } from 'node:child_process';
import type { TestContext } from 'node:test';
import { atEnd } from '../../peers/support/process.js';

export interface Network {
  /** On this side; addresses of RFC 5737, which nobody routes. */
  near: string;
  /** On the other side. */
  far: string;
  /** What runs a command on the other side. */
  there: readonly string[];
  /** Nothing passes any more, and nobody is told. */
  cut(): void;
  heal(): void;
}

function ip(...args: string[]): string | undefined {
  const { status, stderr, error } = spawnSync('ip', args, { encoding: 'utf8' });
  return status === 0 ? undefined : (error?.message ?? stderr.trim());
}

/** Skips the test where namespaces cannot be made. */
export function otherNetwork(t: TestContext, number: number): Network | undefined {
  const name = `mcnet-${process.pid}-${number}`;
  const here = `mc${process.pid}n${number}`.slice(-15);
  // Blocks of four addresses, so that runs beside each other do not meet.
  const block = 4 * ((process.pid * 2 + number) % 60);
  const [near, far] = [`192.0.2.${block + 1}`, `192.0.2.${block + 2}`];
  const refused =
    ip('netns', 'add', name) ??
    ip('link', 'add', here, 'type', 'veth', 'peer', 'name', 'line', 'netns', name) ??
    ip('address', 'add', `${near}/30`, 'dev', here) ??
    ip('link', 'set', here, 'up') ??
    ip('-n', name, 'address', 'add', `${far}/30`, 'dev', 'line') ??
    ip('-n', name, 'link', 'set', 'lo', 'up') ??
    ip('-n', name, 'link', 'set', 'line', 'up');
  atEnd(t, () => {
    ip('link', 'delete', here);
    ip('netns', 'delete', name);
  });
  if (refused !== undefined) {
    t.skip(`no network namespace can be made here: ${refused}`);
    return undefined;
  }
  const must = (problem: string | undefined) => {
    if (problem !== undefined) throw new Error(problem);
  };
  return {
    near,
    far,
    // Not `ip netns exec`: it copies the mounts, and would hold file systems that others unmount.
    there: ['nsenter', `--net=/run/netns/${name}`],
    cut: () => must(ip('-n', name, 'link', 'set', 'line', 'down')),
    heal: () => must(ip('-n', name, 'link', 'set', 'line', 'up')),
  };
}
