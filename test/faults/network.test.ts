/** The network is cut, without a word to anybody: between gateway and worker, before a PACS, behind a modality. */
import assert from 'node:assert/strict';
import { mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { TOKEN } from '../peers/support/distributed.js';
import { modelsFolder } from '../peers/support/mcnet.js';
import {
  eventually,
  freePort,
  needPrograms,
  startProgram,
  temporaryFolder,
} from '../peers/support/process.js';
import { fileOf, newSeries } from '../peers/support/slices.js';
import { startDestination } from './support/destination.js';
import { withoutMoment } from './support/moment.js';
import { otherNetwork } from './support/network.js';
import { seeded, setting } from './support/random.js';
import { sendUntilAcknowledged } from './support/sender.js';
import { type Incarnation, startIncarnation } from './support/server.js';

const seed = setting('MCNET_FAULTS_SEED', 2026);
const catchUpMs = 120_000;

test('gateway and workers: cuts of the line, kills of a worker, of Redis and of the gateway', async (t) => {
  if (!needPrograms(t, 'redis-server', 'ip')) return;
  const network = otherNetwork(t, 1);
  if (network === undefined) return;
  const folder = temporaryFolder(t, 'network');
  const data = join(folder, 'var');
  const models = await modelsFolder(folder);
  const [dicomPort, httpPort, workersPort, redisPort] = [
    await freePort(),
    await freePort(),
    await freePort(),
    await freePort(),
  ];
  const series = Array.from({ length: 12 }, () => newSeries(30, 96));
  const slices = 12 * 30;
  const common = (port: number) => `models: ${models}
engine: cpu
destinations: { pacs: { dimse: { aeTitle: PACS, host: 127.0.0.1, port: ${port} } } }
rules: [{ name: all, when: { Modality: MR }, model: tiny, to: [pacs], complete: { quiet: 300ms } }]
retry: { first: 100ms, max: 1s }
`;
  const write = (name: string, text: string) => {
    const path = join(folder, `${name}.yaml`);
    writeFileSync(path, text);
    return path;
  };
  const receiving = `data: ${data}
dimse: { port: ${dicomPort} }
http: { port: ${httpPort} }
`;
  const sendAll = async (onAcknowledged: (sop: string) => void) => {
    for (const { instances } of series) await sendUntilAcknowledged(instances, { dicomPort, onAcknowledged });
  };

  const undisturbed = await startDestination(t);
  const alone = startIncarnation(t, [
    'serve',
    '--config',
    write('alone', receiving + common(undisturbed.port)),
  ]);
  await alone.listening;
  await sendAll(() => {});
  await eventually('all is delivered', () => undisturbed.kept.size >= slices || undefined, catchUpMs);
  await alone.stop();
  rmSync(data, { recursive: true });

  const destination = await startDestination(t);
  const redisUrl = `redis://${network.near}:${redisPort}`;
  const startRedis = async () => {
    const options = ['--save', '', '--appendonly', 'no', '--protected-mode', 'no', '--dir', folder];
    const redis = startProgram(t, 'redis-server', [
      '--port',
      String(redisPort),
      '--bind',
      network.near,
      ...options,
    ]);
    await eventually('redis-server listens', () => redis.output().includes('Ready to accept') || undefined);
    return redis;
  };
  const distributed = `queue: ${redisUrl}
distribution:
  token: ${TOKEN}
  lease: 2s
  listen: { host: ${network.near}, port: ${workersPort} }
`;
  const gatewayFile = write('gateway', receiving + distributed + common(destination.port));
  const workerFile = (name: string) =>
    write(name, `data: ${join(folder, name)}\nhttp: { port: 0 }\n${distributed}${common(destination.port)}`);
  const startGateway = () => startIncarnation(t, ['gateway', '--config', gatewayFile]);
  const startFar = () =>
    startIncarnation(t, ['worker', '--config', workerFile('far')], () => {}, network.there);

  let redis = await startRedis();
  let gateway = startGateway();
  await gateway.listening;
  const near = startIncarnation(t, ['worker', '--config', workerFile('near')]);
  let far = startFar();

  const acknowledged = new Set<string>();
  let sending = true;
  const sent = sendAll((sop) => acknowledged.add(sop)).finally(() => {
    sending = false;
  });
  sent.catch(() => {});
  const random = seeded(seed);
  const faults = { cuts: 0, farKills: 0, redisKills: 0, gatewayKills: 0 };
  for (let turn = 0; turn < 16 || (sending && turn < 40); turn += 1) {
    await delay(300 + random() * 700);
    if (turn % 2 === 0) {
      network.cut();
      await delay(200 + random() * 3500);
      network.heal();
      faults.cuts += 1;
    } else if (turn % 8 === 1) {
      await far.kill();
      far = startFar();
      faults.farKills += 1;
    } else if (turn % 8 === 3) {
      redis.child.kill('SIGKILL');
      await redis.exited;
      await delay(random() * 1000);
      redis = await startRedis();
      faults.redisKills += 1;
    } else if (turn % 8 === 5) {
      await gateway.kill();
      gateway = startGateway();
      faults.gatewayKills += 1;
    }
  }
  await sent;
  assert.equal(acknowledged.size, slices);
  await eventually('all is delivered', () => destination.kept.size >= slices || undefined, catchUpMs).catch(
    (error: Error) => {
      const tails = ([gateway, near, far] as Incarnation[]).map((each) => each.output()).join('\n---\n');
      throw new Error(`${error.message}: ${destination.kept.size} of ${slices}\n${tails}`);
    },
  );
  await eventually(
    'every series is delivered',
    async () => {
      const answer = await fetch(`http://127.0.0.1:${httpPort}/api/series?state=delivered`);
      const { series: found } = (await answer.json()) as { series: unknown[] };
      return found.length === series.length || undefined;
    },
    catchUpMs,
  );
  const lost = [...undisturbed.kept.keys()].filter((sop) => !destination.kept.has(sop));
  const duplicated = [...destination.kept.keys()].filter((sop) => !undisturbed.kept.has(sop));
  const changed = [...undisturbed.kept].filter(([sop, bytes]) => {
    const here = destination.kept.get(sop);
    return here !== undefined && !withoutMoment(here).equals(withoutMoment(bytes));
  });
  console.log(
    JSON.stringify({
      run: 'network',
      seed,
      ...faults,
      slices,
      acknowledged: acknowledged.size,
      delivered: destination.kept.size,
      deliveredAgain: destination.repeated,
      lost: lost.length,
      duplicated: duplicated.length + destination.conflicting,
      changed: changed.length,
    }),
  );
  assert.deepEqual(lost, []);
  assert.deepEqual(duplicated, []);
  assert.equal(destination.conflicting, 0);
  assert.equal(changed.length, 0, 'bytes differ from the undisturbed run');
  assert.equal(await near.stop(), 0);
  assert.equal(await far.stop(), 0);
  assert.equal(await gateway.stop(), 0);
});

test('a modality and a PACS vanish in the middle of an object: both are given up, nothing half is kept, and all comes', async (t) => {
  if (!needPrograms(t, 'ip', 'storescu', 'storescp')) return;
  const network = otherNetwork(t, 2);
  if (network === undefined) return;
  const folder = temporaryFolder(t, 'vanish');
  const [dicomPort, httpPort, pacsPort] = [await freePort(), await freePort(), 11113];
  const config = join(folder, 'mcnet.yaml');
  const data = join(folder, 'var');
  writeFileSync(
    config,
    `data: ${data}
models: ${await modelsFolder(folder)}
dimse: { host: 0.0.0.0, port: ${dicomPort} }
http: { port: ${httpPort} }
engine: cpu
peers: [{ aeTitle: "*", host: ${network.far} }, { aeTitle: "*", host: 127.0.0.1 }]
limits: { idle: 2s }
destinations: { pacs: { dimse: { aeTitle: PACS, host: ${network.far}, port: ${pacsPort}, timeout: 2s } } }
rules: [{ name: all, when: { Modality: MR }, model: tiny, to: [pacs], complete: { quiet: 300ms } }]
retry: { first: 100ms, max: 500ms }
`,
  );
  const aborted: string[] = [];
  const delivering: string[] = [];
  const server = startIncarnation(t, ['serve', '--config', config], ({ msg, reason }) => {
    if (msg === 'association aborted') aborted.push(String(reason));
    if (msg === 'delivery failed') delivering.push(String(reason));
  });
  await server.listening;
  const api = `http://127.0.0.1:${httpPort}`;
  const associations = async () => {
    const metrics = await (await fetch(`${api}/metrics`)).text();
    return Number(/^mcnet_associations (\d+)$/m.exec(metrics)?.[1]);
  };
  const { instances } = newSeries(12, 256);
  const send = (onAcknowledged: (sop: string) => void) =>
    sendUntilAcknowledged(instances, { dicomPort, onAcknowledged });

  // The modality: DCMTK's, on the other side. It sends the same object again and again until the line is cut.
  const one = join(folder, 'one.dcm');
  writeFileSync(one, fileOf(instances[0]!));
  const [program, ...args] = [
    ...network.there,
    'storescu',
    '-aet',
    'SCANNER',
    '-aec',
    'MCNET',
    '--repeat',
    '100000',
    network.near,
    String(dicomPort),
    one,
  ];
  const modality = startProgram(t, program!, args);
  await eventually('it is sending', async () => (await associations()) === 1 || undefined);
  await delay(200);
  network.cut();
  await eventually('the server gives it up', () => aborted.length > 0 || undefined);
  assert.match(aborted[0]!, /no byte moved for 2 s/);
  assert.equal(await associations(), 0);
  assert.deepEqual(readdirSync(join(data, 'incoming')), []);
  modality.child.kill('SIGKILL');
  network.heal();

  const received = join(folder, 'received');
  mkdirSync(received);
  const [listener, ...listenerArgs] = [
    ...network.there,
    'storescp',
    '-aet',
    'PACS',
    '-od',
    received,
    '--sleep-after',
    '1',
    String(pacsPort),
  ];
  startProgram(t, listener!, listenerArgs);
  await send(() => {});
  await eventually('it gets some', () => readdirSync(received).length > 0 || undefined);
  network.cut();
  await eventually('the server gives it up', () => delivering.length > 0 || undefined);
  network.heal();
  await eventually(
    'all of it is delivered',
    async () => {
      const answer = await fetch(`${api}/api/series?state=delivered`);
      return ((await answer.json()) as { series: unknown[] }).series.length === 1 || undefined;
    },
    catchUpMs,
  );
  assert.equal(readdirSync(received).length, 12);
  assert.equal(await server.stop(), 0);
});
