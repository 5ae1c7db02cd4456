/** A Redis server that lets in only whom it knows: by password, as a user of its ACL, over TLS. */
import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { storeInstances } from '../../src/dimse/index.js';
import { connectRedis } from '../../src/distribution/index.js';
import { identity } from '../peers/support/certificates.js';
import { startGateway, startWorkerPart } from '../peers/support/distributed.js';
import { mcnet, modelsFolder } from '../peers/support/mcnet.js';
import { atEnd, eventually, needPrograms, temporaryFolder } from '../peers/support/process.js';
import { type RedisServer, redisServer } from '../peers/support/redis.js';
import { newSeries, outgoingOf } from '../peers/support/slices.js';

const PASSWORD = 'open-sesame-0815';
const WRONG = 'let-me-in-4711';

/** A series goes through a gateway and a worker that are let in as `access` says; what both have said meanwhile. */
async function throughRedis(t: TestContext, redis: RedisServer, access: string): Promise<string> {
  const folder = temporaryFolder(t, 'secured');
  const settings = `models: ${await modelsFolder(folder)}
rules: [{ name: all, when: { Modality: MR }, model: tiny, complete: { quiet: 300ms } }]
log: { level: debug }
${access}`;
  const parts = { redisUrl: redis.url, folder, settings };
  const gateway = await startGateway(t, parts);
  const worker = await startWorkerPart(t, { ...parts, name: 'worker' });
  const { seriesUid, instances } = newSeries(4, 96);
  const target = { host: '127.0.0.1', port: gateway.dicomPort, calledAeTitle: 'MCNET', callingAeTitle: 'X' };
  for (const { outcome } of await storeInstances(target, instances.map(outgoingOf)))
    assert.equal(outcome, 'accepted');
  await eventually(
    'all are corrected',
    async () => {
      const view = await gateway.get<{ counts?: { corrected: number } }>(`/api/series/${seriesUid}`);
      return view.counts?.corrected === 4 ? true : undefined;
    },
    60_000,
  );
  const doctor = await mcnet(['doctor', '--config', join(folder, 'gateway.yaml')]);
  assert.match(doctor.stdout, /redis.*version 7|redis.*version [6-9]/);
  const said = [gateway.output(), worker.output(), doctor.stdout, doctor.stderr].join('\n');
  for (const part of [worker, gateway]) {
    part.child.kill('SIGTERM');
    assert.equal(await part.exited, 0);
  }
  return said;
}

test('a password from a file opens it, and is never said', async (t) => {
  if (!needPrograms(t, 'redis-server')) return;
  const redis = await redisServer(t, true, { options: ['--requirepass', PASSWORD] });
  const file = join(temporaryFolder(t, 'secret'), 'password');
  writeFileSync(file, `${PASSWORD}\n`);
  const said = await throughRedis(t, redis, `redis: { passwordFile: ${file} }`);
  assert.doesNotMatch(said, new RegExp(PASSWORD));
});

test('a user of its ACL with no more rights than the example gives, over TLS with certificates on both sides', async (t) => {
  if (!needPrograms(t, 'redis-server', 'openssl')) return;
  const tls = await identity(t);
  const rights = `mcnet on >${PASSWORD} ~mcnet:* &* +@all -@dangerous +info`;
  const acl = ['--user', 'default', 'off', '--user', ...rights.split(' ')];
  const redis = await redisServer(t, true, { tls, options: acl });
  const { ca, cert, key } = tls;
  const access = `redis: { username: mcnet, password: ${PASSWORD}, tls: { ca: ${ca}, cert: ${cert}, key: ${key} } }`;
  const said = await throughRedis(t, redis, access);
  assert.doesNotMatch(said, new RegExp(PASSWORD));
});

test('whom it does not let in says so without the password, is not ready, and goes on receiving', async (t) => {
  if (!needPrograms(t, 'redis-server', 'openssl')) return;
  const redis = await redisServer(t, true, { options: ['--requirepass', PASSWORD] });
  const folder = temporaryFolder(t, 'refused');
  mkdirSync(folder, { recursive: true });
  const settings = `models: ${await modelsFolder(folder)}
rules: [{ name: all, when: { Modality: MR }, model: tiny }]
redis: { password: ${WRONG} }`;
  const parts = { redisUrl: redis.url, folder, settings };
  const gateway = await startGateway(t, parts);
  const worker = await startWorkerPart(t, { ...parts, name: 'worker' });
  const refused = /Redis at 127\.0\.0\.1:\d+ cannot be used: .*(WRONGPASS|NOAUTH)/;
  for (const url of [gateway.url, worker.url]) {
    const text = await eventually('it says why', async () => {
      const answer = await (await fetch(`${url}/readyz`)).text();
      return refused.test(answer) ? answer : undefined;
    });
    assert.doesNotMatch(text, new RegExp(WRONG));
  }
  assert.equal((await fetch(`${worker.url}/readyz`)).status, 503);
  const { instances } = newSeries(1, 96);
  const target = { host: '127.0.0.1', port: gateway.dicomPort, calledAeTitle: 'MCNET', callingAeTitle: 'X' };
  const [stored] = await storeInstances(target, instances.map(outgoingOf));
  assert.equal(stored?.outcome, 'accepted');
  for (const part of [worker, gateway]) {
    part.child.kill('SIGTERM');
    assert.equal(await part.exited, 0);
    assert.doesNotMatch(part.output(), new RegExp(WRONG));
  }
});

test('a server whose certificate nobody vouches for is not spoken to', async (t) => {
  if (!needPrograms(t, 'redis-server', 'openssl')) return;
  const redis = await redisServer(t, true, { tls: await identity(t) });
  const connection = connectRedis(redis.url, 'test', { password: PASSWORD });
  atEnd(t, () => connection.close());
  await eventually('it says why', () =>
    /cannot be used: .*(CERT|certificate|SELF_SIGNED)/i.test(connection.problem()) ? true : undefined,
  );
  assert.notEqual(connection.client.status, 'ready');
});

test('gateway and worker say once why they cannot use Redis, and when they can', async (t) => {
  if (!needPrograms(t, 'redis-server')) return;
  const redis = await redisServer(t, true, { options: ['--requirepass', PASSWORD] });
  const folder = temporaryFolder(t, 'wrong');
  const settings = `models: ${await modelsFolder(folder)}
rules: [{ name: all, when: { Modality: MR }, model: tiny }]
redis: { password: ${WRONG} }`;
  const parts = { redisUrl: redis.url, folder, settings };
  for (const part of [await startGateway(t, parts), await startWorkerPart(t, { ...parts, name: 'worker' })]) {
    const away = () => part.lines('Redis is away');
    await eventually('it says why', () => away().find(({ reason }) => /WRONGPASS/.test(String(reason))));
    const said = away().length;
    await redis.command(`AUTH ${PASSWORD}\r\nCONFIG SET requirepass ${WRONG}`);
    await eventually('Redis is there', () => part.lines('Redis is there')[0]);
    assert.equal(away().length, said, 'each try in vain is not a line');
    await redis.command(`AUTH ${WRONG}\r\nCONFIG SET requirepass ${PASSWORD}`);
    part.child.kill('SIGTERM');
    assert.equal(await part.exited, 0);
  }
});
