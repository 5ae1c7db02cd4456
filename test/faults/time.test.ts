/** The wall clock of a running server is set back and forward (libfaketime): nothing waits for it, nothing hurries. */
import assert from 'node:assert/strict';
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { modelsFolder } from '../peers/support/mcnet.js';
import { eventually, freePort, needPrograms, temporaryFolder } from '../peers/support/process.js';
import { newSeries } from '../peers/support/slices.js';
import { startDestination } from './support/destination.js';
import { sendUntilAcknowledged } from './support/sender.js';
import { startIncarnation } from './support/server.js';

const library = ['x86_64-linux-gnu', 'aarch64-linux-gnu']
  .map((folder) => `/usr/lib/${folder}/faketime/libfaketimeMT.so.1`)
  .find(existsSync);
const slicesOfSeries = 20;

test('the clock is set back by hours and forward by days while slices stream in, and across a restart', async (t) => {
  if (!needPrograms(t, 'faketime')) return;
  assert.ok(library !== undefined, 'faketime is here, and its library is not where Debian puts it');
  const folder = temporaryFolder(t, 'time');
  const [dicomPort, httpPort] = [await freePort(), await freePort()];
  const destination = await startDestination(t);
  const wall = join(folder, 'wall');
  const set = (offset: string) => writeFileSync(wall, `${offset}\n`);
  const config = join(folder, 'mcnet.yaml');
  writeFileSync(
    config,
    `data: ${join(folder, 'var')}
models: ${await modelsFolder(folder)}
dimse: { port: ${dicomPort} }
http: { port: ${httpPort} }
engine: cpu
destinations: { pacs: { dimse: { aeTitle: PACS, host: 127.0.0.1, port: ${destination.port} } } }
rules: [{ name: all, when: { Modality: MR }, model: tiny, to: [pacs], complete: { quiet: 500ms } }]
retry: { first: 200ms, max: 1s }
`,
  );
  const environment = [
    'env',
    `LD_PRELOAD=${library}`,
    `FAKETIME_TIMESTAMP_FILE=${wall}`,
    'FAKETIME_NO_CACHE=1',
    'FAKETIME_DONT_FAKE_MONOTONIC=1',
  ];
  const start = () => startIncarnation(t, ['serve', '--config', config], () => {}, environment);
  const dateThere = async () =>
    Date.parse((await fetch(`http://127.0.0.1:${httpPort}/healthz`)).headers.get('date') ?? '') - Date.now();
  let expected = 0;
  const stream = async () => {
    const { instances } = newSeries(slicesOfSeries);
    await sendUntilAcknowledged(instances, { dicomPort, onAcknowledged: () => {} });
    expected += slicesOfSeries;
  };
  const all = () => eventually('all is delivered', () => destination.kept.size === expected || undefined);

  set('+0s');
  let server = start();
  await server.listening;
  await stream();
  await all();
  for (const [offset, hours] of [
    ['-5h', -5],
    ['+72h', 72],
    ['+0s', 0],
  ] as const) {
    // While a series is coming in, and again while the destination makes its deliveries wait.
    const streaming = stream();
    set(offset);
    await streaming;
    await eventually('the server sees it', async () =>
      Math.abs((await dateThere()) / 3600_000 - hours) < 0.1 ? true : undefined,
    );
    await all();
    destination.judge = (_sop, attempt) => ({ status: attempt < 3 ? 0xa700 : 0 });
    await stream();
    await all();
    destination.judge = () => ({ status: 0 });
  }

  // What waits when the server is killed was written by a clock that is set back before the next start.
  set('+10h');
  destination.judge = () => ({ status: 0xa700 });
  await stream();
  await server.kill();
  set('-5h');
  destination.judge = () => ({ status: 0 });
  server = start();
  await server.listening;
  await all();
  assert.equal(destination.repeated + destination.conflicting, 0);
  assert.equal(await server.stop(), 0);
});
