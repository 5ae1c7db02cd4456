/** Dispatcher and worker in one process over a real Redis server: order, loss, failures. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import type { Instance } from '../../src/archive/index.js';
import { digestOf } from '../../src/archive/index.js';
import { type Corrected, CorrectionError, type CorrectionRequest } from '../../src/correction/index.js';
import type { Derivation } from '../../src/dicom/index.js';
import {
  announce,
  connectRedis,
  createDispatcher,
  createWorkerPort,
  identityOf,
  type JobEnd,
  queueOf,
  sealOf,
  startCorrectionWorker,
} from '../../src/distribution/index.js';
import { eventually, needPrograms, temporaryFolder } from '../peers/support/process.js';
import { redisServer } from '../peers/support/redis.js';
import { atEnd } from '../unit/pipeline/synthetic.js';

const SECRET = 'a-secret-of-the-tests';
const derivation = (at = new Date(0)): Derivation => ({
  model: { name: 'test', version: '1', sha256: 'a'.repeat(64) },
  configurationDigest: 'c'.repeat(64),
  softwareVersion: '1',
  manufacturer: '',
  deviceUid: '2.25.1',
  at,
});
const ms = { read: 0, decode: 0, preprocess: 0, queue: 0, inference: 0, postprocess: 0, total: 0 };

async function parts(t: TestContext) {
  // Workers and dispatcher close before Redis does.
  const end = { after: (work: () => unknown) => atEnd(t, work) };
  const redis = await redisServer(end);
  const folder = temporaryFolder(t, 'jobs');
  const path = join(folder, 'source.dcm');
  const bytes = Buffer.from('a source');
  writeFileSync(path, bytes);
  const digest = await digestOf('1.2.840.10008.1.2.1', bytes);
  const source = (id: number, priority = 0) =>
    ({
      id,
      study: '1.2',
      series: '1.2.3',
      sop: `1.2.3.${id}`,
      digest,
      path,
      bytes: bytes.length,
      dataSetOffset: 0,
      transferSyntax: '1.2.840.10008.1.2.1',
      priority,
    }) as Instance;
  const connection = connectRedis(redis.url, 'test');
  atEnd(t, () => connection.close());
  const id = randomUUID();
  let republished = 0;
  const dispatcher = createDispatcher({
    redis: connection,
    gateway: id,
    relative: () => 'source.dcm',
    holds: () => false,
    lookEveryMs: 50,
    onRepublished: (jobs) => {
      republished += jobs;
    },
  });
  const server = createServer(
    createWorkerPort({ secret: SECRET, data: folder, largest: 1000, dispatcher, find: () => source(1) }),
  ).listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
  const presence = announce(connection, 'gateway', () => ({
    id,
    name: 'gateway',
    url,
    seal: sealOf(SECRET, { id, url }),
    deviceUid: '2.25.1',
    identities: [identityOf(derivation())],
  }));
  atEnd(t, async () => {
    dispatcher.stop();
    await presence.stop();
    server.closeAllConnections();
    server.close();
  });
  const startWorker = (correct: (request: CorrectionRequest) => Promise<Corrected>, concurrency = 1) => {
    const ends: JobEnd[] = [];
    const worker = startCorrectionWorker({
      redisUrl: redis.url,
      secret: SECRET,
      models: [
        {
          identity: identityOf(derivation()),
          derivation: (_device, at) => derivation(at),
          correct,
          concurrency,
        },
      ],
      engine: () => 'fake',
      folders: {},
      leaseMs: 2000,
      onEnd: (end) => ends.push(end),
    });
    atEnd(t, () => worker.close(0));
    return { worker, ends };
  };
  const correct = (id: number, priority = 0) =>
    dispatcher.correct({ source: source(id, priority), derivation: derivation() }).then((returned) => {
      returned.acknowledge();
      return returned.sop;
    });
  const keyOf = (instance: number) => `mcnet:${queueOf(identityOf(derivation()))}:${id}.${instance}`;
  return { redis, dispatcher, correct, startWorker, keyOf, republished: () => republished };
}

let made = 0;
async function corrected(): Promise<Corrected> {
  made += 1;
  return {
    file: Buffer.from('derived'),
    study: '1.2',
    series: '1.2.4',
    sop: `1.2.4.${made}`,
    sopClass: '1.2.840.10008.5.1.4.1.1.4',
    transferSyntax: '1.2.840.10008.1.2.1',
    frames: 1,
    rows: 1,
    columns: 1,
    quality: {} as Corrected['quality'],
    flags: [],
    ms,
    acknowledge() {},
  };
}

test('STAT goes before routine; what Redis forgets is published again', async (t) => {
  if (!needPrograms(t, 'redis-server')) return;
  const { redis, correct, startWorker, dispatcher, republished } = await parts(t);
  const order: number[] = [];
  const all = [1, 2, 3, 4].map((id) =>
    correct(id, id === 4 ? 100 : id === 3 ? 50 : 0).then(() => order.push(id)),
  );
  await eventually('they are published', async () =>
    (await redis.command('KEYS mcnet:correct-*.4')).includes('.4') ? true : undefined,
  );
  await redis.command('FLUSHALL');
  await eventually('they are published again', async () =>
    (await redis.command('KEYS mcnet:correct-*.4')).includes('.4') ? true : undefined,
  );
  assert.ok(republished() >= 4);
  startWorker(corrected);
  await Promise.all(all);
  assert.deepEqual(order, [4, 3, 1, 2]);
  assert.equal(dispatcher.outstanding, 0);
});

test('why a worker could not correct reaches the gateway; an engine that fails is tried elsewhere first', async (t) => {
  if (!needPrograms(t, 'redis-server')) return;
  const { correct, startWorker } = await parts(t);
  const failing = startWorker(async () => {
    throw new CorrectionError('not-correctable', true, 'it is a localizer');
  });
  await assert.rejects(correct(1), (error: Error) => {
    assert.equal(error.name, 'PermanentFailure');
    assert.match(error.message, /localizer/);
    return true;
  });
  await failing.worker.close(0);
  let calls = 0;
  const engine = startWorker(async () => {
    calls += 1;
    if (calls < 3) throw new CorrectionError('engine', false, 'the device is lost');
    return corrected();
  });
  await correct(2);
  await eventually('the third end', () => (engine.ends.length === 3 ? true : undefined));
  assert.deepEqual(
    engine.ends.map(({ outcome }) => outcome),
    ['returned', 'returned', 'corrected'],
  );
});

test('a worker whose engine fails at everything stops taking jobs for a while', async (t) => {
  if (!needPrograms(t, 'redis-server')) return;
  const { correct, startWorker } = await parts(t);
  const { worker } = startWorker(async () => {
    throw new CorrectionError('engine', false, 'the device is lost');
  }, 4);
  const all = [1, 2, 3, 4, 5, 6].map((id) => correct(id).catch(() => {}));
  await eventually('it pauses', () => (worker.problem().includes('in a row') ? true : undefined));
  assert.match(worker.problem(), /failed 5 times in a row; the last: the device is lost/);
  await worker.close(0);
  startWorker(corrected, 4);
  await Promise.all(all);
});

test('a worker without an engine gives its jobs back and takes no more, and no attempt is counted', async (t) => {
  if (!needPrograms(t, 'redis-server')) return;
  const { correct, startWorker } = await parts(t);
  const { worker, ends } = startWorker(async () => {
    throw new CorrectionError('unavailable', false, 'the device is lost');
  });
  let failed = false;
  const job = correct(1).catch(() => {
    failed = true;
  });
  await eventually('it pauses', () => (worker.problem().includes('no engine works here') ? true : undefined));
  // More than once where the machine is so busy that Redis gives it out again before the worker has paused.
  assert.deepEqual(new Set(ends.map(({ outcome }) => outcome)), new Set(['returned']));
  startWorker(corrected);
  await job;
  assert.equal(failed, false);
});

test('a job that workers end without a result again and again counts as a failure', async (t) => {
  if (!needPrograms(t, 'redis-server')) return;
  const { redis, correct } = await parts(t);
  const job = correct(1);
  const gone = assert.rejects(job, /workers ended it 6 times without a result/);
  let over = false;
  void gone.then(() => {
    over = true;
  });
  while (!over) {
    await redis.command('FLUSHALL');
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  await gone;
});

test('what is left of a job in Redis does not stand in the way of the job', async (t) => {
  if (!needPrograms(t, 'redis-server')) return;
  const { redis, correct, startWorker, keyOf, republished } = await parts(t);
  for (const [id, left] of [
    [1, 'stc 1'],
    [2, 'data {} processedOn 1'],
    [3, 'timestamp 1 finishedOn 2'],
  ] as const) {
    await redis.command(`HSET ${keyOf(id)} ${left}`);
  }
  startWorker(corrected);
  await Promise.all([1, 2, 3].map((id) => correct(id)));
  assert.equal(republished(), 3, 'each was published once more, and that had an effect');
});

test('a job that a worker does not understand is told to the gateway, with the reason', async (t) => {
  if (!needPrograms(t, 'redis-server')) return;
  const { redis, correct, startWorker, keyOf } = await parts(t);
  const job = correct(1);
  await eventually('it is published', async () =>
    (await redis.command(`EXISTS ${keyOf(1)}`)).startsWith(':1') ? true : undefined,
  );
  await redis.command(`HSET ${keyOf(1)} data {}`);
  const refused = assert.rejects(job, (error: Error) => {
    assert.match(error.message, /not one that this worker understands: gateway, instance, study/);
    assert.notEqual(error.name, 'PermanentFailure');
    return true;
  });
  const { ends } = startWorker(corrected);
  await refused;
  await correct(1);
  await eventually('both ends are told', () => (ends.length === 2 ? true : undefined));
  assert.deepEqual(
    ends.map(({ outcome }) => outcome),
    ['failed', 'corrected'],
  );
});

test('a correction that is asked for again goes to the one who asked last', async (t) => {
  if (!needPrograms(t, 'redis-server')) return;
  const { correct, startWorker, dispatcher } = await parts(t);
  const first = assert.rejects(correct(1), /asked for once more/);
  const second = correct(1);
  await first;
  startWorker(corrected);
  await second;
  assert.equal(dispatcher.outstanding, 0);
});
