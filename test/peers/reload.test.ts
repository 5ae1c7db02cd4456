/** Rules, peers and destinations read again while real associations come and go. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { eventually, needPrograms } from './support/process.js';
import { echo, ended, send, startReloadable } from './support/reloadable.js';
import { startStorescp } from './support/storescp.js';

test('SIGHUP and a changed file: other peers, other destinations, other rules, without a restart', async (t) => {
  if (!needPrograms(t, 'storescu', 'storescp', 'echoscu')) return;
  const [one, other] = [await startStorescp(t), await startStorescp(t)];
  const at = await startReloadable(t);
  const server = await at.server({ port: one.port, peer: 'FIRST' });
  await ended(server, await send(server, at.folder, 'FIRST'), 'delivered');
  assert.equal(one.files().length, 3);
  assert.notEqual(await echo(server, 'SECOND'), 0);

  at.write({ port: other.port, peer: 'SECOND', to: 'vna' });
  process.kill(server.pid, 'SIGHUP');
  const read = () => server.lines('the configuration was read again');
  await eventually('the file is read', () => read().find(({ why }) => why === 'SIGHUP'));
  assert.equal(await echo(server, 'SECOND'), 0);
  assert.notEqual(await echo(server, 'FIRST'), 0);
  await ended(server, await send(server, at.folder, 'SECOND'), 'delivered');
  assert.deepEqual([one.files().length, other.files().length], [3, 3]);
  const metrics = await (await fetch(`${server.url}/metrics`)).text();
  assert.match(metrics, /^mcnet_deliveries_total\{destination="vna",outcome="accepted"\} 3$/m);

  at.write({ port: one.port, peer: 'THIRD' });
  await eventually('the change is noticed', async () =>
    (await echo(server, 'THIRD')) === 0 ? true : undefined,
  );
  assert.equal(read().at(-1)!.why, 'the file changed');

  at.write({ port: one.port, peer: 'THIRD' }, (text) =>
    text.replace('complete:', 'safeguards: { maxResidual: 0, domain: off }, complete:'),
  );
  await eventually('the safeguards are read', () => (read().length > 2 ? true : undefined));
  await eventually('they are in force', async () => {
    const { remarks } = await ended(server, await send(server, at.folder, 'THIRD'), 'delivered');
    return remarks.some(({ kind, count }) => kind === 'residual' && count === 3) || undefined;
  });
  assert.equal(await server.kill('SIGTERM'), 0);
});

test('a file that cannot be used changes nothing, and says so everywhere; what needs a restart is named', async (t) => {
  if (!needPrograms(t, 'storescp', 'echoscu')) return;
  const pacs = await startStorescp(t);
  const at = await startReloadable(t);
  const good = { port: pacs.port, peer: 'FIRST' };
  const server = await at.server(good);
  const configuration = async () =>
    (await (await fetch(`${server.url}/api/configuration`)).json()) as {
      problem?: string;
      needsRestart: string[];
    };
  const reload = () => fetch(`${server.url}/api/configuration/reload`, { method: 'POST' });
  const bad: [RegExp, (text: string) => string][] = [
    [
      /to\[0\] .*"pasc" is not a destination; did you mean "pacs"/,
      (text) => text.replace('to: [pacs]', 'to: [pasc]'),
    ],
    [/rules\[0\]\.when\.Modalty: "Modalty" is no keyword/, (text) => text.replace('Modality:', 'Modalty:')],
    [/line \d+: /, (text) => text.replace('peers: [', 'peers: [[')],
    [
      /"huge" is not loaded; restart the server to use it/,
      (text) => text.replace('model: tiny', 'model: huge'),
    ],
    [/peers\[0\]\.host/, (text) => text.replace('SECOND, host: 127.0.0.1', 'SECOND, host: "not a host"')],
  ];
  for (const [problem, change] of bad) {
    at.write({ ...good, peer: 'SECOND' }, change);
    const answer = await reload();
    assert.equal(answer.status, 422);
    assert.match((await configuration()).problem ?? '', problem);
    assert.equal(await echo(server, 'FIRST'), 0, 'the peers of before are let in');
    assert.notEqual(await echo(server, 'SECOND'), 0);
    const ready = await fetch(`${server.url}/readyz`);
    assert.equal(ready.status, 200, 'work goes on');
    assert.match(await ready.text(), /stays in force/);
    const metrics = await (await fetch(`${server.url}/metrics`)).text();
    assert.match(metrics, /^mcnet_config_last_reload_successful 0$/m);
  }
  assert.ok(
    server.lines('the configuration cannot be used; the one before stays in force').length >= bad.length,
  );

  at.write(
    { ...good, peer: 'SECOND' },
    (text) => `${text.replace('port: 0', 'port: 1')}log: { level: debug }\n`,
  );
  assert.equal((await reload()).status, 200);
  const state = await configuration();
  assert.equal(state.problem, undefined);
  assert.deepEqual(state.needsRestart, ['dimse.port', 'log.level']);
  assert.equal(await echo(server, 'SECOND'), 0, 'the rest is in force');
  assert.match(
    await (await fetch(`${server.url}/metrics`)).text(),
    /^mcnet_config_last_reload_successful 1$/m,
  );
  assert.match(
    readFileSync(join(at.folder, 'var', 'audit', 'audit.xml'), 'utf8'),
    /csd-code="110113"[^>]*\/><EventTypeCode csd-code="110131"/,
  );
  assert.equal(await server.kill('SIGTERM'), 0);
});
