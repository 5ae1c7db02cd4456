/**
 * A PACS that misbehaves: each time in another way, beside one that does not. In the end both have the same derived
 * slices, once each and with the same bytes; what one refuses for good is named, and a retry sends it.
 */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { CLI, modelsFolder } from '../peers/support/mcnet.js';
import { eventually, freePort, runProgram, temporaryFolder } from '../peers/support/process.js';
import { newSeries } from '../peers/support/slices.js';
import { type KeptDestination, startDestination } from './support/destination.js';
import { seeded } from './support/random.js';
import { type Relay, startRelay } from './support/relay.js';
import { sendUntilAcknowledged } from './support/sender.js';
import { startIncarnation } from './support/server.js';

const enoughMs = 90_000;

interface Scene {
  pacs: KeptDestination;
  vna: KeptDestination;
  line: Relay;
  api: string;
  series: number;
  slices: number;
}

interface Size {
  series: number;
  slicesOfSeries: number;
  side: number;
}

/** A server between a modality that has sent everything and two destinations. */
async function scene(
  t: TestContext,
  prepare: (scene: Pick<Scene, 'pacs' | 'line'>) => void,
  { settings = '', timeout = '2s' } = {},
  size: Size = { series: 4, slicesOfSeries: 25, side: 64 },
): Promise<Scene> {
  const slices = size.series * size.slicesOfSeries;
  const folder = temporaryFolder(t, 'pacs');
  const [dicomPort, httpPort] = [await freePort(), await freePort()];
  const pacs = await startDestination(t);
  const vna = await startDestination(t);
  const line = await startRelay(t, pacs.port);
  prepare({ pacs, line });
  const config = join(folder, 'mcnet.yaml');
  writeFileSync(
    config,
    `data: ${join(folder, 'var')}
models: ${await modelsFolder(folder)}
dimse: { port: ${dicomPort} }
http: { port: ${httpPort} }
engine: cpu
destinations:
  pacs: { dimse: { aeTitle: PACS, host: 127.0.0.1, port: ${line.port}, timeout: ${timeout}${settings} } }
  vna: { dimse: { aeTitle: PACS, host: 127.0.0.1, port: ${vna.port} } }
rules: [{ name: all, when: { Modality: MR }, model: tiny, to: [pacs, vna], complete: { quiet: 200ms } }]
retry: { first: 100ms, max: 500ms, refusals: 8 }
`,
  );
  const server = startIncarnation(t, ['serve', '--config', config]);
  await server.listening;
  for (let n = 0; n < size.series; n += 1) {
    const { instances } = newSeries(size.slicesOfSeries, size.side);
    await sendUntilAcknowledged(instances, { dicomPort, onAcknowledged: () => {} });
  }
  await eventually('the other destination has all', () => vna.kept.size === slices || undefined, enoughMs);
  return {
    pacs,
    vna,
    line,
    api: `http://127.0.0.1:${httpPort}`,
    series: size.series,
    slices,
  };
}

async function everythingIsThere(
  t: TestContext,
  { pacs, vna, api, line, series, slices }: Scene,
): Promise<void> {
  const delivered = async () => {
    const answer = await fetch(`${api}/api/series?state=delivered`);
    return ((await answer.json()) as { series: unknown[] }).series.length === series || undefined;
  };
  await eventually('every series is delivered', delivered, enoughMs);
  const lost = [...vna.kept.keys()].filter((sop) => !pacs.kept.has(sop));
  const changed = [...vna.kept].filter(([sop, bytes]) => !pacs.kept.get(sop)?.equals(bytes));
  t.diagnostic(
    `slices ${slices}, connections ${line.connections}, delivered again ${pacs.repeated}, lost ${lost.length}, duplicated ${pacs.conflicting}`,
  );
  assert.deepEqual(lost, []);
  assert.deepEqual(changed, []);
  assert.equal(pacs.kept.size, slices);
  assert.equal(pacs.conflicting + vna.conflicting + vna.repeated, 0);
}

test('it has no room for a while, and answers with warnings then', async (t) => {
  const all = await scene(t, ({ pacs }) => {
    pacs.judge = (_sop, attempt) => ({ status: attempt < 4 ? 0xa700 : 0xb000 });
  });
  await everythingIsThere(t, all);
  const metrics = await (await fetch(`${all.api}/metrics`)).text();
  assert.match(
    metrics,
    new RegExp(`mcnet_deliveries_total{destination="pacs",outcome="warning"} ${all.slices}`),
  );
});

test('it refuses one instance for good: named, a dead letter, and sent by a retry', async (t) => {
  let refused = '';
  const all = await scene(t, ({ pacs }) => {
    pacs.judge = (sop) => {
      if (refused === '') refused = sop;
      return { status: sop === refused ? 0xc000 : 0 };
    };
  });
  const failed = await eventually(
    'its series failed',
    async () => {
      const answer = await fetch(`${all.api}/api/series?state=failed`);
      return (
        (await answer.json()) as { series: { series: string; failures: { sop: string; reason: string }[] }[] }
      ).series[0];
    },
    enoughMs,
  );
  assert.deepEqual(
    failed.failures.map(({ sop }) => sop),
    [refused],
  );
  assert.equal(all.pacs.kept.size, all.slices - 1);
  all.pacs.judge = () => ({ status: 0 });
  const retried = await runProgram(process.execPath, [
    CLI,
    'series',
    'retry',
    failed.series,
    '--url',
    all.api,
  ]);
  assert.equal(retried.code, 0, retried.stderr);
  assert.match(retried.stdout, /1 deliveries/);
  await everythingIsThere(t, all);
  assert.equal(all.pacs.repeated, 0, 'only what it had not got was sent again');
});

test('its connections break in the middle of objects', async (t) => {
  const random = seeded(7);
  const all = await scene(t, ({ line }) => {
    line.plan = (n) => (n < 25 ? { cutAfter: Math.floor(random() * 80_000) } : {});
  });
  await everythingIsThere(t, all);
  assert.ok(all.line.connections > 25);
});

test('it falls silent in the middle of an object, the connection standing: given up and tried again', async (t) => {
  const all = await scene(t, ({ line }) => {
    line.plan = (n) => (n < 3 ? { stallAfter: 30_000 + 20_000 * n } : {});
  });
  await everythingIsThere(t, all);
  assert.ok(all.line.connections > 3);
});

test('it is slow but alive: waited for, however long it takes', async (t) => {
  const all = await scene(
    t,
    ({ line }) => {
      line.plan = () => ({ pauseMs: 400, chunk: 16_384 });
    },
    { timeout: '6s' },
    { series: 1, slicesOfSeries: 4, side: 256 },
  );
  await everythingIsThere(t, all);
  assert.equal(all.line.connections, 1, 'no association was given up');
  assert.equal(all.pacs.repeated, 0);
});

test('it says Success and loses one in ten: committed is what it has', async (t) => {
  const random = seeded(11);
  const all = await scene(
    t,
    ({ pacs }) => {
      pacs.judge = () => ({ status: 0, keep: random() >= 0.1 });
    },
    { settings: ', commitment: required, commitmentTimeout: 2s' },
  );
  await everythingIsThere(t, all);
});
