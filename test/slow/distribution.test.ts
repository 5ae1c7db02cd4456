/** Two gateways, two workers and Redis, each killed again and again while slices stream in. */
import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { startDimseServer, storeInstances } from '../../src/dimse/index.js';
import {
  type Gateway,
  startGateway,
  startWorkerPart,
  type WorkerPart,
} from '../peers/support/distributed.js';
import { modelsFolder } from '../peers/support/mcnet.js';
import { atEnd, eventually, freePort, needPrograms, temporaryFolder } from '../peers/support/process.js';
import { redisServer } from '../peers/support/redis.js';
import { newSeries, outgoingOf } from '../peers/support/slices.js';

const SERIES = 24;
const SLICES = 15;

test('kills of workers, Redis and gateways lose nothing and double nothing', async (t) => {
  if (!needPrograms(t, 'redis-server')) return;
  const folder = temporaryFolder(t, 'distribution');
  const models = await modelsFolder(folder);
  const received = new Map<string, Buffer>();
  let differing = 0;
  const pacs = await startDimseServer({
    aeTitle: 'PACS',
    host: '127.0.0.1',
    port: 0,
    peers: [{ aeTitle: '*', host: '127.0.0.1' }],
    async onStore({ data, sopInstanceUid }) {
      const parts: Buffer[] = [];
      for await (const part of data) parts.push(part);
      const bytes = Buffer.concat(parts);
      // A gateway that was killed between the PACS' answer and its own note of it sends once more.
      if (received.get(sopInstanceUid)?.equals(bytes) === false) differing += 1;
      received.set(sopInstanceUid, bytes);
      return { status: 0 };
    },
  });
  atEnd(t, () => pacs.close(0));
  const redis = await redisServer(t);
  const settings = `models: ${models}
destinations: { pacs: { dimse: { aeTitle: PACS, host: 127.0.0.1, port: ${pacs.port} } } }
rules: [{ name: all, when: { Modality: MR }, model: tiny, to: [pacs], deliver: slice, complete: { quiet: 500ms } }]
retry: { first: 200ms, max: 1s }
log: { level: debug }
`;
  const startOne = async (index: number) => {
    const own = join(folder, `gateway${index}`);
    mkdirSync(own, { recursive: true });
    const ports = gatewayPorts[index]!;
    const parts = {
      redisUrl: redis.url,
      folder: own,
      settings,
      distribution: `name: gateway${index}`,
      ports,
    };
    return startGateway(t, parts);
  };
  const startWorkerNow = (index: number) =>
    startWorkerPart(t, {
      redisUrl: redis.url,
      folder,
      name: `worker${index}`,
      settings,
      // One of them has one gateway's folder mounted.
      distribution: `lease: 2s${index === 0 ? `, folders: { gateway0: ${join(folder, 'gateway0', 'var')} }` : ''}`,
    });
  const portsOf = async () => ({
    dicom: await freePort(),
    http: await freePort(),
    workers: await freePort(),
  });
  const gatewayPorts = [await portsOf(), await portsOf()];
  const gateways: Gateway[] = [await startOne(0), await startOne(1)];
  const workers: WorkerPart[] = [await startWorkerNow(0), await startWorkerNow(1)];
  const outputs: string[] = [];

  /** Sends until every slice was acknowledged, as a modality does. */
  const sendAll = async (index: number) => {
    for (let n = 0; n < SERIES / 2; n += 1) {
      let left = newSeries(SLICES, 96).instances;
      while (left.length > 0) {
        const target = {
          host: '127.0.0.1',
          port: gatewayPorts[index]!.dicom,
          calledAeTitle: 'MCNET',
          callingAeTitle: 'SCANNER',
        };
        const outcomes = await storeInstances(target, left.map(outgoingOf)).catch(() => []);
        const taken = new Set(
          outcomes.filter(({ outcome }) => outcome === 'accepted').map((each) => each.sopInstanceUid),
        );
        left = left.filter(({ sopInstanceUid }) => !taken.has(sopInstanceUid));
        if (left.length > 0) await new Promise((resolve) => setTimeout(resolve, 100));
      }
    }
  };
  const kills = { worker: 0, redis: 0, gateway: 0 };
  let sending = true;
  const killing = (async () => {
    for (let turn = 0; sending || turn < 9; turn += 1) {
      const before = received.size;
      await eventually(
        'something moves',
        () => (received.size >= before + 5 || !sending ? true : undefined),
        60_000,
      );
      if (turn % 3 === 0) {
        const index = (turn / 3) % 2;
        workers[index]!.child.kill('SIGKILL');
        outputs.push(workers[index]!.output());
        workers[index] = await startWorkerNow(index);
        kills.worker += 1;
      } else if (turn % 3 === 1) {
        await redis.kill();
        await redis.start();
        kills.redis += 1;
      } else {
        const index = Math.floor(turn / 3) % 2;
        gateways[index]!.child.kill('SIGKILL');
        outputs.push(gateways[index]!.output());
        await gateways[index]!.exited;
        gateways[index] = await startOne(index);
        kills.gateway += 1;
      }
    }
  })();
  await Promise.all([sendAll(0), sendAll(1)]);
  sending = false;
  await killing;
  const all = SERIES * SLICES;
  await eventually(
    'every slice is delivered',
    () => (received.size >= all ? true : undefined),
    120_000,
  ).catch((error: Error) => {
    const tail = [...gateways, ...workers].map(({ output }) => output().slice(-3000)).join('\n----\n');
    throw new Error(`${error.message}: ${received.size} of ${all}\n${tail}`);
  });
  assert.equal(received.size, all);
  assert.equal(differing, 0, 'what came twice was the same');
  for (const gateway of gateways) {
    await eventually(
      'every series is delivered',
      async () => {
        const { series } = await gateway.get<{ series: { state: string }[] }>('/api/series');
        return series.length === SERIES / 2 && series.every(({ state }) => state === 'delivered')
          ? true
          : undefined;
      },
      60_000,
    );
  }
  t.diagnostic(`${JSON.stringify(kills)} kills, ${all} slices, 0 lost, 0 differing`);
  assert.ok(kills.worker >= 3 && kills.redis >= 3 && kills.gateway >= 3);
  for (const part of [...workers, ...gateways]) {
    part.child.kill('SIGTERM');
    assert.equal(await part.exited, 0, part.output().slice(-3000));
  }
});
