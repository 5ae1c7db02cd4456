import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import type { Instance } from '../../../src/archive/index.js';
import { createWorkerPort, type Verdict } from '../../../src/distribution/index.js';
import { isSealed, sealOf } from '../../../src/distribution/secret.js';

const SECRET = 'a-secret-of-the-tests';
const file = Buffer.from('a derived instance');
const sha256 = createHash('sha256').update(file).digest('hex');
const described = {
  queue: 'correct-1',
  study: '1.2',
  series: '1.2.3',
  sop: '1.2.3.4',
  sopClass: '1.2.840.10008.5.1.4.1.1.4',
  transferSyntax: '1.2.840.10008.1.2.1',
  sha256,
  quality: {},
  ms: {},
};

async function port(t: TestContext, verdict: Verdict = 'kept') {
  const data = mkdtempSync(join(tmpdir(), 'mcnet-port-'));
  t.after(() => rmSync(data, { recursive: true, force: true }));
  const stored = join(data, 'stored.dcm');
  writeFileSync(stored, 'a source');
  const returned: string[] = [];
  const failures: string[] = [];
  const listener = createWorkerPort({
    secret: SECRET,
    data,
    largest: 1000,
    find: (study, series, sop) =>
      study === '1.2' && series === '1.2.3' && sop === '1.2.3.4'
        ? ({ path: stored, bytes: 8, transferSyntax: '1.2.840.10008.1.2.1' } as Instance)
        : undefined,
    dispatcher: {
      async returned(instance, { sop }, bytes) {
        returned.push(`${instance} ${sop} ${bytes}`);
        return verdict;
      },
      failed(instance, { message, permanent }) {
        failures.push(`${instance} ${message} ${permanent}`);
        return verdict;
      },
    },
  });
  const server = createServer(listener).listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  t.after(() => server.close());
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const ask = (path: string, options: RequestInit = {}) =>
    fetch(url + path, {
      ...options,
      headers: { authorization: `Bearer ${SECRET}`, ...(options.headers as Record<string, string>) },
    });
  const put = (description: object | string, body: string | Buffer = file, type = 'application/dicom') =>
    ask('/instances/7/derived', {
      method: 'PUT',
      headers: {
        'mc-net-result': typeof description === 'string' ? description : JSON.stringify(description),
        'content-type': type,
      },
      body,
    });
  return { url, ask, put, returned, failures, data };
}

test('nothing without the secret', async (t) => {
  const { url, returned } = await port(t);
  for (const authorization of ['', 'Bearer ', 'Bearer other', `Basic ${SECRET}`, SECRET]) {
    for (const [path, method] of [
      ['/dicom-web/studies/1.2/series/1.2.3/instances/1.2.3.4', 'GET'],
      ['/instances/7/derived', 'PUT'],
    ] as const) {
      const answer = await fetch(url + path, { method, headers: { authorization } });
      assert.equal(answer.status, 401);
      assert.equal(answer.headers.get('www-authenticate'), 'Bearer');
    }
  }
  assert.deepEqual(returned, []);
});

test('a source is given as stored, by its UIDs only', async (t) => {
  const { ask } = await port(t);
  const path = '/dicom-web/studies/1.2/series/1.2.3/instances/1.2.3.4';
  const answer = await ask(path, { headers: { accept: 'application/dicom; transfer-syntax=*' } });
  assert.equal(answer.status, 200);
  assert.equal(answer.headers.get('content-type'), 'application/dicom; transfer-syntax=1.2.840.10008.1.2.1');
  assert.equal(await answer.text(), 'a source');
  assert.equal((await ask(path, { headers: { accept: 'image/png' } })).status, 406);
  assert.equal((await ask('/dicom-web/studies/1.2/series/1.2.3/instances/1.2.3.5')).status, 404);
  assert.equal((await ask('/dicom-web/studies/1.2')).status, 404);
  assert.equal((await ask('/dicom-web/studies/1.2/series/../../../etc/instances/1')).status, 404);
});

test('a derived instance is taken when it is the one described; the verdict is the status', async (t) => {
  const { put, returned } = await port(t);
  assert.equal((await put(described)).status, 204);
  assert.deepEqual(returned, ['7 1.2.3.4 a derived instance']);
  assert.equal((await put({ ...described, sha256: '0'.repeat(64) })).status, 422);
  assert.equal((await put({ ...described, sop: '../1' })).status, 400);
  assert.equal((await put('{')).status, 400);
  assert.equal((await put(described, Buffer.alloc(1001))).status, 413);
  assert.equal(returned.length, 1);
  assert.equal((await (await port(t, 'unwanted')).put(described)).status, 409);
  assert.equal((await (await port(t, 'later')).put(described)).status, 503);
});

test('memory that is used again keeps what comes and goes at the same time apart', async (t) => {
  const { ask, put, returned } = await port(t);
  const path = '/dicom-web/studies/1.2/series/1.2.3/instances/1.2.3.4';
  const bodies = Array.from({ length: 8 }, (_, i) => Buffer.alloc(990 - i, 97 + i));
  for (let round = 0; round < 4; round += 1) {
    returned.splice(0);
    await Promise.all(
      bodies.map(async (body) => {
        const own = createHash('sha256').update(body).digest('hex');
        assert.equal((await put({ ...described, sha256: own }, body)).status, 204);
        assert.equal(await (await ask(path)).text(), 'a source');
      }),
    );
    assert.deepEqual(returned.sort(), bodies.map((body) => `7 1.2.3.4 ${body}`).sort());
  }
});

test('a file in the exchange folder is taken by its name, and no other file', async (t) => {
  const { put, returned, data } = await port(t);
  const { mkdirSync, existsSync } = await import('node:fs');
  mkdirSync(join(data, 'exchange'));
  const name = '3f2a1c9e-0000-4000-8000-000000000001.dcm';
  writeFileSync(join(data, 'exchange', name), file);
  assert.equal((await put(described, JSON.stringify({ file: name }), 'application/json')).status, 204);
  assert.deepEqual(returned, ['7 1.2.3.4 a derived instance']);
  assert.equal(existsSync(join(data, 'exchange', name)), false);
  for (const other of ['../stored.dcm', '/etc/passwd', name]) {
    const { status } = await put(described, JSON.stringify({ file: other }), 'application/json');
    assert.equal(status, other === name ? 422 : 400, other);
  }
});

test('a failure is taken with its reason', async (t) => {
  const { ask, failures } = await port(t);
  const say = (body: string) => ask('/instances/7/failure', { method: 'POST', body });
  const told = { queue: 'correct-1', message: 'it is a localizer', permanent: true };
  assert.equal((await say(JSON.stringify(told))).status, 204);
  assert.deepEqual(failures, ['7 it is a localizer true']);
  assert.equal((await say('{}')).status, 400);
  assert.equal((await ask('/instances/7/failure')).status, 405);
  assert.equal((await ask('/instances/x/failure')).status, 404);
});

test('an address in Redis that somebody else wrote is told by its seal', () => {
  const gateway = { id: 'a', url: 'http://127.0.0.1:1/' };
  const seal = sealOf(SECRET, gateway);
  assert.ok(isSealed(SECRET, { ...gateway, seal }));
  assert.ok(!isSealed(SECRET, { ...gateway, url: 'http://127.0.0.2:1/', seal }));
  assert.ok(!isSealed('another-secret-of-it', { ...gateway, seal }));
});
