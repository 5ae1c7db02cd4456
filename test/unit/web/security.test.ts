/** What strangers and devices may send: paths that climb, bodies that never end, headers that break, scripts in headers of images. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, request } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { type TestContext, test } from 'node:test';
import express, { type ErrorRequestHandler } from 'express';
import { promptBody } from '../../../src/web/security.js';
import { startArchiveServer } from '../dicomweb/archive-server.js';
import { startFakeServer } from './fake-server.js';
import { hostileObject, SCRIPT, SERIES, STUDY } from './hostile-object.js';
import { registeredRoutes } from './registered-routes.js';

interface Answer {
  status: number;
  headers: Record<string, string | string[] | undefined>;
  body: string;
}

/** A request whose path goes out exactly as it is written; fetch would tidy it. */
function raw(
  url: string,
  path: string,
  options: { method?: string; headers?: Record<string, string>; body?: string | Buffer } = {},
): Promise<Answer> {
  const { hostname, port } = new URL(url);
  return new Promise((resolve, reject) => {
    const { method = 'GET', headers = {}, body } = options;
    const outgoing = request({ hostname, port, path, method, headers, agent: false }, (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (chunk: string) => {
        text += chunk;
      });
      response.on('end', () =>
        resolve({ status: response.statusCode ?? 0, headers: response.headers, body: text }),
      );
    });
    outgoing.on('error', reject);
    outgoing.end(body);
  });
}

const CLIMBING = [
  '..',
  '%2e%2e',
  '..%2f..%2f..%2f..%2fetc%2fpasswd',
  '..%5c..%5cetc%5cpasswd',
  '....%2f%2fetc%2fpasswd',
  '%252e%252e%252fetc%252fpasswd',
  '%c0%ae%c0%ae%c0%afetc',
  '1.2%00.3',
  '1.2%0d%0aX-Evil:%201',
  '1.2;x=..',
  `1.${'2'.repeat(70)}`,
  '1..2',
  '*',
  "1'%20OR%20'1'='1",
  '%3Cscript%3E',
];

test('no UID or name in any route leads out of its place', async (t) => {
  const { server, store } = await startArchiveServer(t);
  await store(hostileObject('1.2.840.99.1.1.1'));
  const routes = registeredRoutes(server.app).filter(({ path }) => path.includes(':'));
  assert.ok(routes.length > 15);
  for (const { method, path } of routes) {
    const parameters = [...path.matchAll(/:\w+/g)].map(([name]) => name);
    for (const name of parameters) {
      for (const evil of CLIMBING) {
        const at = path
          .replace(name, evil)
          .replaceAll(/:study/g, STUDY)
          .replaceAll(/:series/g, SERIES)
          .replaceAll(/:\w+/g, '1')
          .replaceAll(/\*\w+/g, '00100010');
        const answer = await raw(server.url, at, { method, headers: { origin: server.url } });
        // A series called ".." is tidied away by nobody here: what is left may be another route of the same server.
        assert.ok([400, 404, 406, 415].includes(answer.status), `${method} ${at} answered ${answer.status}`);
        assert.doesNotMatch(answer.body, /root:|node_modules|\/work\/|at .*\.js:/, at);
        assert.equal(answer.headers['x-evil'], undefined);
      }
    }
  }
  for (const path of [
    '/../package.json',
    '/..%2f..%2fpackage.json',
    '/%2e%2e/%2e%2e/package.json',
    '//etc/passwd',
    '/login/../../app.ts',
    '/.env',
    '/.git/config',
  ]) {
    const answer = await raw(server.url, path);
    assert.ok(answer.status >= 400 && answer.status < 500, `${path} answered ${answer.status}`);
    assert.doesNotMatch(answer.body, /"name"|import /);
  }
});

test('bodies that are too large are refused before they are kept, headers too', async (t) => {
  const fake = await startFakeServer();
  t.after(() => fake.close());
  const origin = { origin: fake.url };
  const form = { ...origin, 'content-type': 'application/x-www-form-urlencoded' };
  const json = { ...origin, 'content-type': 'application/json' };
  const access = await startFakeServer({
    settings: { data: '/nonexistent', access: { tokens: '/nonexistent/t' } },
  });
  t.after(() => access.close());
  assert.equal(
    (await raw(fake.url, '/login', { method: 'POST', headers: form, body: `name=${'a'.repeat(5000)}` }))
      .status,
    413,
  );
  assert.equal(
    (await raw(fake.url, '/login', { method: 'POST', headers: form, body: 'a&'.repeat(1000) })).status,
    413,
  );
  assert.equal(
    (await raw(fake.url, '/api/fetch', { method: 'POST', headers: json, body: `"${'a'.repeat(20_000)}"` }))
      .status,
    413,
  );
  const deep = '['.repeat(8000) + ']'.repeat(8000);
  assert.equal(
    (await raw(fake.url, '/api/fetch', { method: 'POST', headers: json, body: deep })).status,
    400,
  );
  assert.equal(
    (await raw(fake.url, '/api/fetch', { method: 'POST', headers: json, body: '{"__proto__":{"x":1}}' }))
      .status,
    400,
  );
  assert.equal(
    (await raw(fake.url, '/api/series', { headers: { 'x-long': 'a'.repeat(20_000) } })).status,
    431,
  );
  assert.equal((await raw(fake.url, `/api/series?${'a'.repeat(20_000)}`)).status, 431);
  // To somebody without credentials the answer comes, although the body goes on.
  const refused = await raw(access.url, '/dicom-web/studies', {
    method: 'POST',
    headers: { 'content-type': 'application/dicom' },
    body: Buffer.alloc(900_000),
  });
  assert.equal(refused.status, 401);
});

test('a body that drips in is cut off; one that is whole in time is not', async (t) => {
  const app = express();
  app.use(promptBody(300));
  app.post('/x', express.json(), (_request, response) => {
    response.json({ ok: true });
  });
  app.get('/slow', (_request, response) => {
    setTimeout(() => response.json({ ok: true }), 600);
  });
  app.use(((_error, _request, response, _next) => response.status(400).end()) satisfies ErrorRequestHandler);
  const server = createServer(app).listen(0, '127.0.0.1');
  t.after(() => server.close());
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const socket = connect(port, '127.0.0.1');
  socket.on('error', () => undefined);
  socket.write(
    'POST /x HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n',
  );
  const drip = setInterval(() => socket.write(' '), 50);
  socket.resume();
  await new Promise((resolve) => socket.on('close', resolve));
  clearInterval(drip);
  const url = `http://127.0.0.1:${port}`;
  const whole = await fetch(`${url}/x`, {
    method: 'POST',
    body: '{}',
    headers: { 'content-type': 'application/json' },
  });
  assert.equal(whole.status, 200);
  assert.equal((await fetch(`${url}/slow`)).status, 200, 'a slow answer is not a slow body');
});

test('nothing that a client sends becomes a header of its own', async (t) => {
  const { server, store } = await startArchiveServer(t);
  await store(hostileObject('1.2.840.99.1.1.1'));
  const crlf = '%0d%0aX-Evil:%201%0d%0a%0d%0a<script>';
  for (const path of [
    `/login?next=/${crlf}`,
    `/dicom-web/studies?includefield=${crlf}`,
    `/dicom-web/studies?PatientName=${crlf}&fuzzymatching=true`,
    `/dicom-web/studies?${crlf}=1`,
    `/dicom-web/studies/${STUDY}/series/${SERIES}/instances/1.2.840.99.1.1.1/rendered?viewport=${crlf}&window=1,2`,
    `/dicom-web/studies/${STUDY}/metadata?accept=${crlf}`,
    `/api/series?state=${crlf}`,
    `/${crlf}`,
  ]) {
    const { status, headers } = await raw(server.url, path);
    assert.ok(status < 500, `${path} answered ${status}`);
    assert.equal(headers['x-evil'], undefined, path);
    for (const value of Object.values(headers)) assert.doesNotMatch(String(value), /<script>|\r|\n/, path);
  }
  // Two requests in one, by two lengths: the parser takes neither.
  for (const smuggled of [
    'POST /api/fetch HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /x HTTP/1.1\r\n\r\n',
    'POST /api/fetch HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nabcde',
    'GET /api/series HTTP/1.1\r\nHost: 127.0.0.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n',
    'GET /api/series HTTP/1.1\r\nHost: 127.0.0.1\r\nX: a\rb\r\n\r\n',
  ]) {
    const socket = connect(server.port, '127.0.0.1');
    let text = '';
    socket.setEncoding('latin1').on('data', (chunk: string) => {
      text += chunk;
    });
    socket.on('error', () => undefined);
    socket.write(smuggled);
    await new Promise((resolve) => socket.on('close', resolve));
    assert.match(text, /^HTTP\/1\.1 4\d\d /, smuggled);
    assert.equal(text.match(/HTTP\/1\.1/g)?.length, 1, smuggled);
  }
});

/** Every address that shows something of an object. */
async function everyView(t: TestContext, everything: boolean): Promise<Answer[]> {
  const { server, store, pipeline } = await startArchiveServer(t);
  const { instance } = await store(hostileObject('1.2.840.99.1.1.1', { everything }));
  const object = `/dicom-web/studies/${STUDY}/series/${SERIES}/instances/1.2.840.99.1.1.1`;
  const paths = [
    '/',
    '/api/series',
    `/api/series/${SERIES}`,
    `/api/series/${SERIES}/slices`,
    `/api/instances/${instance.id}/preview.png?of=derived`,
    '/api/status',
    '/dicom-web/studies?includefield=all',
    '/dicom-web/series?includefield=all',
    '/dicom-web/instances?includefield=all',
    `/dicom-web/studies/${STUDY}/metadata`,
    `${object}/metadata`,
    `${object}/bulkdata/00100010`,
    `/login?next=${encodeURIComponent(SCRIPT)}`,
    `/nothing/${encodeURIComponent(SCRIPT)}`,
  ];
  assert.ok(pipeline.archive.bytes() > 0);
  return Promise.all(
    paths.map(async (path) => {
      const answer = await raw(server.url, path, { headers: { accept: '*/*' } });
      return { ...answer, headers: { ...answer.headers, path } };
    }),
  );
}

for (const everything of [false, true]) {
  test(`a script in ${everything ? 'every' : 'every free'} text attribute is never markup`, async (t) => {
    const answers = await everyView(t, everything);
    assert.ok(
      answers.filter(({ body }) => body.includes('onerror')).length >= 5,
      'it is stored, and shown as text',
    );
    for (const { status, headers, body } of answers) {
      const path = String(headers.path);
      assert.ok(status < 500, `${path} answered ${status}`);
      assert.equal(headers['x-content-type-options'], 'nosniff', path);
      const policy = String(headers['content-security-policy']);
      assert.match(policy, /default-src 'none'/, path);
      assert.doesNotMatch(policy, /script-src[^;]*'unsafe-inline'/, path);
      if (/html|svg|xml;|text\/xml/.test(String(headers['content-type']))) {
        assert.doesNotMatch(body, /<script>alert|<img src=x|onerror=alert\(1\)>/, path);
      }
    }
  });
}
