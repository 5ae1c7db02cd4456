import assert from 'node:assert/strict';
import { test } from 'node:test';
import { normaliseAddress, PeerTable } from '../../../src/dimse/peers.js';

const table = new PeerTable([
  { aeTitle: 'PACS', host: '10.0.0.5' },
  { aeTitle: 'MR1', host: '10.1.0.0/16' },
  { aeTitle: 'MR2', host: 'localhost' },
  { aeTitle: 'MR2', host: 'fd00::/8' },
  { aeTitle: 'BROKEN', host: '10.0.0.0/99' },
]);

const CASES: [aeTitle: string, address: string, expected: string][] = [
  ['PACS', '10.0.0.5', 'known'],
  ['PACS', '10.0.0.6', 'unknown host'],
  ['pacs', '10.0.0.5', 'unknown AE title'],
  ['MR1', '10.1.200.3', 'known'],
  ['MR1', '10.2.0.1', 'unknown host'],
  ['MR2', '127.0.0.1', 'known'],
  ['MR2', 'fd12::1', 'known'],
  ['MR2', '10.1.0.1', 'unknown host'],
  ['BROKEN', '10.0.0.1', 'unknown host'],
];
for (const [aeTitle, address, expected] of CASES) {
  test(`${aeTitle} from ${address}: ${expected}`, async () => {
    assert.equal(await table.check(aeTitle, address), expected);
  });
}

test('a star is any AE title, or any host', async () => {
  assert.equal(await new PeerTable([{ aeTitle: '*', host: '127.0.0.1' }]).check('X', '127.0.0.1'), 'known');
  assert.equal(await new PeerTable([{ aeTitle: 'X', host: '*' }]).check('X', '192.0.2.1'), 'known');
});

test('a list that changes is asked again', async () => {
  const peers: { aeTitle: string; host: string }[] = [];
  const changing = new PeerTable(() => peers);
  assert.equal(await changing.check('X', '127.0.0.1'), 'unknown AE title');
  peers.push({ aeTitle: 'X', host: '127.0.0.1' });
  assert.equal(await changing.check('X', '127.0.0.1'), 'known');
});

test('IPv4 addresses on an IPv6 socket are IPv4', () => {
  assert.equal(normaliseAddress('::ffff:10.0.0.5'), '10.0.0.5');
  assert.equal(normaliseAddress('::1'), '::1');
  assert.equal(normaliseAddress(undefined), '');
});
