/** Gateway and workers as separate processes over a real Redis server. */
import assert from 'node:assert/strict';
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { openArchive } from '../../src/archive/index.js';
import { derivationOf } from '../../src/composition/models.js';
import { loadConfig } from '../../src/config/index.js';
import { createCorrector } from '../../src/correction/index.js';
import { uidFromName } from '../../src/dicom/index.js';
import { startDimseServer, storeInstances } from '../../src/dimse/index.js';
import { startGateway, startWorkerPart, TOKEN } from '../peers/support/distributed.js';
import { mcnet, modelsFolder } from '../peers/support/mcnet.js';
import { atEnd, eventually, needPrograms, temporaryFolder } from '../peers/support/process.js';
import { redisServer } from '../peers/support/redis.js';
import { newSeries, outgoingOf } from '../peers/support/slices.js';
import { within } from '../unit/dimse/scripted-peer.js';

/** Every derived instance of an archive is what this process makes of its source, to the byte. */
async function assertAsDerivedHere(data: string, models: string): Promise<void> {
  const archive = await openArchive(data);
  const corrector = await createCorrector({ model: join(models, 'tiny'), engine: 'cpu' });
  try {
    const derived = archive.db.all<{ id: number }>("SELECT id FROM instances WHERE origin = 'derived'");
    assert.equal(derived.length, 4);
    for (const { id } of derived) {
      const instance = archive.get(id)!;
      const source = archive.get(instance.derivedFrom!)!;
      const { file } = await corrector.correct({
        path: source.path,
        derivation: derivationOf(
          corrector.describe().model,
          loadConfig(),
          uidFromName(`device\n${join(data, 'archive')}\nMCNET`),
          new Date(source.receivedAt),
        ),
      });
      assert.ok(file.equals(await archive.readFile(instance)), instance.sop);
    }
  } finally {
    await corrector.close();
    await archive.close();
  }
}

/** A PACS that counts what it gets, by SOP Instance UID. */
async function pacs(t: TestContext) {
  const received = new Map<string, Buffer[]>();
  const server = await startDimseServer({
    aeTitle: 'PACS',
    host: '127.0.0.1',
    port: 0,
    peers: [{ aeTitle: '*', host: '127.0.0.1' }],
    async onStore({ data, sopInstanceUid }) {
      const parts: Buffer[] = [];
      for await (const part of data) parts.push(part);
      received.set(sopInstanceUid, [...(received.get(sopInstanceUid) ?? []), Buffer.concat(parts)]);
      return { status: 0 };
    },
  });
  atEnd(t, () => server.close(0));
  return { port: server.port, received };
}

const send = (port: number, series: ReturnType<typeof newSeries>) =>
  storeInstances(
    { host: '127.0.0.1', port, calledAeTitle: 'MCNET', callingAeTitle: 'SCANNER' },
    series.instances.map(outgoingOf),
  );

const settings = (models: string, pacsPort: number, more = '') => `models: ${models}
destinations: { pacs: { dimse: { aeTitle: PACS, host: 127.0.0.1, port: ${pacsPort} } } }
rules: [{ name: all, when: { Modality: MR }, model: tiny, to: [pacs], priority: stat, complete: { quiet: 300ms } }]
${more}`;

test('received while Redis is away; corrected when Redis and a worker with the same model come', async (t) => {
  if (!needPrograms(t, 'redis-server')) return;
  const folder = temporaryFolder(t, 'distribution');
  const models = await modelsFolder(folder);
  const { port, received } = await pacs(t);
  const redis = await redisServer(t, false);
  const parts = { redisUrl: redis.url, folder, settings: settings(models, port) };
  const gateway = await startGateway(t, parts);
  const series = newSeries(6);
  for (const { outcome } of await send(gateway.dicomPort, series)) assert.equal(outcome, 'accepted');
  const ready = await gateway.get<{ ready: boolean; checks: { name: string; ok: boolean }[] }>('/readyz');
  assert.equal(ready.ready, true, 'receiving goes on');
  const bad = ready.checks.filter(({ ok }) => !ok).map(({ name }) => name);
  assert.deepEqual(bad, ['redis', 'workers']);

  await redis.start();
  const keys = await eventually('the jobs are published', async () => {
    const names = (await redis.command('KEYS mcnet:correct-*'))
      .split('\r\n')
      .filter((name) => /\.\d+$/.test(name));
    return names.length === 6 ? names : undefined;
  });
  for (const key of keys) {
    const job = await redis.command(`HGETALL ${key}`);
    assert.match(job, /"sop":"[\d.]+"/);
    assert.doesNotMatch(job, /patient|DEMO|\^/i, 'no patient data');
    assert.ok(job.length < 2000, `a job is ids only: ${job.length} bytes`);
  }

  const other = await startWorkerPart(t, {
    ...parts,
    name: 'other',
    settings: settings(models, port, 'seriesNumber: { offset: 7 }'),
  });
  const [refused] = await eventually('it refuses', () => {
    const lines = other.lines("the gateway's jobs are refused");
    return lines.length > 0 ? lines : undefined;
  });
  assert.match(String(refused!.reason), /configuration digest [0-9a-f]{16} is asked for/);
  assert.match(await (await fetch(`${other.url}/metrics`)).text(), /^mcnet_worker_models_refused 1$/m);
  const doctorFile = join(folder, 'other.yaml');
  const doctor = await mcnet(['doctor', '--config', doctorFile]);
  assert.equal(doctor.code, 1);
  assert.match(doctor.stdout, /✗ gateway .*configuration digest/);
  assert.equal(received.size, 0);

  const worker = await startWorkerPart(t, { ...parts, name: 'worker' });
  await eventually('everything is delivered', () => (received.size === 6 ? true : undefined));
  for (const [sop, copies] of received) assert.equal(copies.length, 1, `${sop} came ${copies.length} times`);
  await eventually('the worker has heard that they are kept', async () =>
    /^mcnet_worker_jobs_total\{outcome="corrected"\} 6$/m.test(
      await (await fetch(`${worker.url}/metrics`)).text(),
    )
      ? true
      : undefined,
  );
  assert.equal((await fetch(`${worker.url}/healthz`)).status, 200);
  assert.equal((await fetch(`${worker.url}/readyz`)).status, 200);
  await eventually('the gateway counts it', async () =>
    /^mcnet_gateway_workers 1$/m.test(await (await fetch(`${gateway.url}/metrics`)).text())
      ? true
      : undefined,
  );
  const left = await redis.command('KEYS mcnet:correct-*');
  assert.doesNotMatch(left, /\.\d+\r/, 'no job is left');

  // Without Redis, too, a worker stops when it is told to.
  await redis.kill();
  for (const part of [worker, gateway]) {
    part.child.kill('SIGTERM');
    assert.equal(await within(part.exited, 30_000, 'its end'), 0, part.output());
  }
});

test('a Redis server that has stopped answering holds nobody who stops', async (t) => {
  if (!needPrograms(t, 'redis-server')) return;
  const folder = temporaryFolder(t, 'distribution');
  const models = await modelsFolder(folder);
  const { port, received } = await pacs(t);
  const redis = await redisServer(t);
  const parts = { redisUrl: redis.url, folder, settings: settings(models, port) };
  const gateway = await startGateway(t, parts);
  const worker = await startWorkerPart(t, { ...parts, name: 'worker' });
  await send(gateway.dicomPort, newSeries(2));
  await eventually('everything is delivered', () => (received.size === 2 ? true : undefined));

  process.kill(redis.pid(), 'SIGSTOP');
  for (const part of [worker, gateway]) part.child.kill('SIGTERM');
  for (const part of [worker, gateway])
    assert.equal(await within(part.exited, 30_000, 'its end'), 0, part.output());
});

test('what a worker derives is byte for byte what one process derives, over the network and by a shared folder', async (t) => {
  if (!needPrograms(t, 'redis-server')) return;
  const folder = temporaryFolder(t, 'distribution');
  const models = await modelsFolder(folder);
  const redis = await redisServer(t);
  const series = newSeries(4);
  const results: Map<string, Buffer[]>[] = [];
  for (const [name, distribution] of [
    ['network', ''],
    ['folder', `name: gateway, folders: { gateway: ${join(folder, 'folder', 'var')} }`],
  ] as const) {
    const { port, received } = await pacs(t);
    const own = join(folder, name);
    mkdirSync(own);
    const parts = { redisUrl: redis.url, folder: own, settings: settings(models, port), distribution };
    const gateway = await startGateway(t, parts);
    const worker = await startWorkerPart(t, { ...parts, name: 'worker' });
    await send(gateway.dicomPort, series);
    await eventually('everything is delivered', () => (received.size === 4 ? true : undefined));
    const { series: views } = await gateway.get<{ series: { series: string }[] }>('/api/series');
    assert.equal(views.length, 1);
    assert.match(await (await fetch(`${worker.url}/metrics`)).text(), /^mcnet_worker_detours_total 0$/m);
    assert.deepEqual(readdirSync(join(gateway.data, 'exchange')), []);
    results.push(received);
    for (const part of [worker, gateway]) {
      part.child.kill('SIGTERM');
      assert.equal(await within(part.exited, 30_000, 'its end'), 0, part.output());
    }
    await assertAsDerivedHere(gateway.data, models);
  }
  const uids = results.map((received) => [...received.keys()].sort());
  assert.deepEqual(uids[0], uids[1]);
});

test('a gateway or worker without a secret or a Redis server says so and does not start', async (t) => {
  const folder = temporaryFolder(t, 'distribution');
  const models = await modelsFolder(folder);
  const rules = `models: ${models}\nrules: [{ name: all, model: tiny }]\ndata: ${join(folder, 'var')}\n`;
  const run = async (command: string, text: string) => {
    const file = join(folder, 'c.yaml');
    writeFileSync(file, rules + text);
    return mcnet([command, '--config', file]);
  };
  for (const command of ['gateway', 'worker']) {
    const embedded = await run(command, '');
    assert.equal(embedded.code, 2);
    assert.match(embedded.stderr, /queue: "embedded"/);
    const open = await run(command, 'queue: "redis://127.0.0.1:1"\n');
    assert.equal(open.code, 2);
    assert.match(open.stderr, /distribution\.token is missing/);
  }
  const example = await run(
    'gateway',
    'queue: "redis://127.0.0.1:1"\ndistribution: { token: replace-this-by-your-own-secret }\n',
  );
  assert.equal(example.code, 2);
  assert.match(example.stderr, /is the one of the example/);
  const short = await run('gateway', `queue: "redis://127.0.0.1:1"\ndistribution: { token: short }\n`);
  assert.equal(short.code, 2);
  assert.doesNotMatch(short.stderr, /"short"/);
  assert.ok(TOKEN.length >= 16);
});
