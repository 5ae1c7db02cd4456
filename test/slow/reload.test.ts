/** Destinations read again while deliveries are under way, wait, and fail. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { eventually, needPrograms } from '../peers/support/process.js';
import { ended, send, startReloadable } from '../peers/support/reloadable.js';
import { startStorescp } from '../peers/support/storescp.js';

test('a delivery in flight goes on to where it began; one that waits goes where it is sent to now', async (t) => {
  if (!needPrograms(t, 'storescu', 'storescp')) return;
  const [slow, other] = [await startStorescp(t, ['--sleep-during', '1']), await startStorescp(t)];
  const at = await startReloadable(t);
  const server = await at.server({ port: slow.port, peer: 'FIRST' });
  const first = await send(server, at.folder, 'FIRST', 4);
  await eventually('the first instance is there', () => (slow.files().length > 0 ? true : undefined));
  at.write({ port: other.port, peer: 'FIRST' });
  process.kill(server.pid, 'SIGHUP');
  await ended(server, first, 'delivered');
  // What is corrected only after the change goes where it is sent to then.
  assert.ok(slow.files().length >= 1);
  assert.equal(slow.files().length + other.files().length, 4);
  assert.equal(server.lines('delivery failed').length, 0);
  const before = other.files().length;
  await slow.stop();

  // To a destination that does not answer, until it has another address.
  at.write({ port: slow.port, peer: 'FIRST' });
  process.kill(server.pid, 'SIGHUP');
  await eventually('read', () => server.lines('the configuration was read again')[1]);
  const second = await send(server, at.folder, 'FIRST');
  await eventually('a failure', () => server.lines('delivery failed')[0]);
  at.write({ port: other.port, peer: 'FIRST' });
  process.kill(server.pid, 'SIGHUP');
  await ended(server, second, 'delivered');
  assert.equal(other.files().length - before, 3);

  // To one that is taken away: it has failed, with the reason; put back and retried, it arrives.
  await other.stop();
  const third = await send(server, at.folder, 'FIRST');
  await eventually(
    'another failure',
    () =>
      server.lines('delivery failed').at(-1)?.sop !== server.lines('delivery failed')[0]?.sop || undefined,
  );
  at.write({ port: other.port, peer: 'FIRST', to: 'vna' });
  process.kill(server.pid, 'SIGHUP');
  const failed = await ended(server, third, 'failed');
  assert.match(JSON.stringify(failed), /destination \\"pacs\\" is not configured any more/);
  const back = await startStorescp(t);
  at.write({ port: back.port, peer: 'FIRST' });
  process.kill(server.pid, 'SIGHUP');
  await eventually('read again', () => server.lines('the configuration was read again')[4]);
  assert.equal((await fetch(`${server.url}/api/series/${third}/retry`, { method: 'POST' })).status, 202);
  await ended(server, third, 'delivered');
  assert.equal(back.files().length, 3);
  assert.equal(await server.kill('SIGTERM'), 0);
});
