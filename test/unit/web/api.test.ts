import assert from 'node:assert/strict';
import { request } from 'node:http';
import { after, before, test } from 'node:test';
import { inflateSync } from 'node:zlib';
import {
  ClientError,
  listSeries,
  retryFailedSeries,
  retrySeries,
  serverStatus,
  showSeries,
  startWebServer,
} from '../../../src/web/index.js';
import { fakeSeries, startFakeServer } from './fake-server.js';

type Fake = Awaited<ReturnType<typeof startFakeServer>>;
let fake: Fake;
before(async () => {
  fake = await startFakeServer();
});
after(() => fake.close());

/** A request with headers that fetch does not let anybody set. */
function raw(path: string, headers: Record<string, string>, method = 'GET') {
  return new Promise<{ status: number; body: string }>((resolve, reject) => {
    const outgoing = request({ host: '127.0.0.1', port: fake.port, path, method, headers }, (response) => {
      let body = '';
      response.setEncoding('utf8').on('data', (text: string) => {
        body += text;
      });
      response.on('end', () => resolve({ status: response.statusCode ?? 0, body }));
    });
    outgoing.on('error', reject).end();
  });
}

async function get(path: string, init?: RequestInit) {
  const response = await fetch(`${fake.url}${path}`, init);
  const text = await response.text();
  return {
    status: response.status,
    headers: response.headers,
    text,
    json: () => JSON.parse(text) as unknown,
  };
}

test('the list, filtered by state and limited; the command line sees the same', async () => {
  const all = fakeSeries();
  assert.equal((await listSeries({ url: fake.url })).length, all.length);
  const failed = await listSeries({ url: fake.url }, { state: ['failed', 'receiving'], limit: 1 });
  assert.deepEqual(
    failed.map((series) => series.state),
    ['receiving'],
  );
  for (const query of [
    'state=odd',
    'state=failed,odd',
    'limit=0',
    'limit=x',
    'limit=1e3',
    'limit=1001',
    'offset=-1',
  ]) {
    const answer = await get(`/api/series?${query}`);
    assert.equal(answer.status, 400, query);
    assert.equal(typeof (answer.json() as { error?: unknown }).error, 'string');
  }
});

test('one series, its slices and its retry', async () => {
  const { series } = fake.all[3]!;
  assert.equal((await showSeries({ url: fake.url }, series)).state, 'failed');
  assert.deepEqual(await retrySeries({ url: fake.url }, series), { corrections: 0, deliveries: 2 });
  assert.deepEqual(fake.retried, [series]);
  const { slices } = (await get(`/api/series/${series}/slices`)).json() as { slices: unknown[] };
  assert.equal(slices.length, 60);
  assert.equal((await serverStatus({ url: fake.url })).model.name, 'mcnet');
});

test('every series that failed is tried again, page after page', async () => {
  const failed = fake.all.filter(({ state }) => state === 'failed').map(({ series }) => series);
  assert.ok(failed.length > 0);
  fake.retried.length = 0;
  assert.deepEqual(await retryFailedSeries({ url: fake.url }), {
    series: failed,
    retried: { deliveries: failed.length },
  });
  assert.deepEqual(fake.retried, failed);
  for (const after of ['-1', 'x', '1.5']) {
    assert.equal((await get(`/api/series/retry?after=${after}`, { method: 'POST' })).status, 400);
  }
});

test('what is not known is 404, what is no UID 400', async () => {
  for (const path of ['', '/slices', '/retry']) {
    const method = path === '/retry' ? 'POST' : 'GET';
    assert.equal((await get(`/api/series/1.2.3${path}`, { method })).status, 404);
    for (const uid of [
      '..%2f..%2fetc',
      'abc',
      `1.${'2'.repeat(70)}`,
      '1.2%00',
      '1.2%0d%0aX:y',
      '%3Cscript%3E',
    ]) {
      assert.equal((await get(`/api/series/${uid}${path}`, { method })).status, 400, uid);
    }
  }
  await assert.rejects(
    showSeries({ url: fake.url }, '1.2.3'),
    (error: unknown) => error instanceof ClientError && /no series 1\.2\.3 is known/.test(error.message),
  );
});

test('a preview is a PNG of the frame that was asked for', async () => {
  for (const [of, channels] of [
    ['source', 1],
    ['derived', 1],
    ['residual', 3],
  ] as const) {
    const response = await fetch(`${fake.url}/api/instances/30/preview.png?of=${of}`);
    assert.equal(response.status, 200);
    assert.equal(response.headers.get('content-type'), 'image/png');
    const png = Buffer.from(await response.arrayBuffer());
    assert.equal(png.toString('latin1', 1, 4), 'PNG');
    assert.deepEqual(
      [png.readUInt32BE(16), png.readUInt32BE(20), png[24], png[25]],
      [256, 256, 8, channels === 1 ? 0 : 2],
    );
    const data = inflateSync(png.subarray(41, 41 + png.readUInt32BE(33)));
    assert.equal(data.length, 256 * (256 * channels + 1));
  }
  assert.equal((await get('/api/instances/61/preview.png')).status, 404);
  for (const path of ['x/preview.png', '1/preview.png?of=all', '1/preview.png?frame=0', '0/preview.png']) {
    assert.equal((await get(`/api/instances/${path}`)).status, 400, path);
  }
});

test('the page, probes and metrics', async () => {
  const page = await get('/');
  assert.equal(page.status, 200);
  assert.match(page.text, /<title>MC-Net<\/title>/);
  const files = [...page.text.matchAll(/(?:src|href)="\.\/([^"]+)"/g)].map(([, file]) => file!);
  assert.ok(files.length >= 3, page.text);
  for (const file of files) assert.equal((await get(`/${file}`)).status, 200, file);
  assert.equal((await get('/healthz')).status, 200);
  assert.equal((await get('/readyz')).status, 200);
  assert.match((await get('/metrics')).text, /^# TYPE mcnet_slice_latency_seconds histogram$/m);
  assert.equal((await get('/nothing')).status, 404);
  assert.equal((await get('/..%2fapp.ts')).status, 404);
});

test('not ready is 503 and says what is missing', async (t) => {
  const other = await startFakeServer({
    ready: () => ({ ready: false, checks: [{ name: 'archive', ok: false, message: 'read-only' }] }),
  });
  t.after(() => other.close());
  const response = await fetch(`${other.url}/readyz`);
  assert.equal(response.status, 503);
  assert.match(await response.text(), /read-only/);
});

test('every answer carries the security headers, none says what it runs on', async () => {
  for (const path of ['/', '/api/series', '/nothing', '/healthz', '/api/series/x']) {
    const { headers } = await get(path);
    assert.match(
      headers.get('content-security-policy') ?? '',
      /default-src 'none'.*frame-ancestors 'none'/,
      path,
    );
    assert.doesNotMatch(headers.get('content-security-policy') ?? '', /unsafe|https?:|\*/);
    assert.equal(headers.get('x-content-type-options'), 'nosniff');
    // With no-referrer, browsers send forms with `Origin: null`: nobody could log in.
    assert.equal(headers.get('referrer-policy'), 'same-origin');
    assert.equal(headers.get('x-powered-by'), null);
    assert.equal(headers.get('access-control-allow-origin'), null);
  }
});

test('other names than our own are refused: DNS rebinding', async () => {
  for (const host of [
    'evil.example',
    'evil.example:8080',
    'localhost.evil.example',
    'a b',
    '127.0.0.1.evil.example',
  ]) {
    assert.ok([400, 421].includes((await raw('/api/series', { host })).status), host);
  }
  for (const host of [
    'localhost',
    'LOCALHOST:8080',
    '127.0.0.1',
    '[::1]:8080',
    '10.0.0.5:8080',
    'mcnet.example',
  ]) {
    assert.equal((await raw('/api/series', { host })).status, 200, host);
  }
  assert.equal((await raw('/metrics', { host: 'mcnet:8080' })).status, 200);
});

test("requests from other sites' pages change nothing", async () => {
  const path = `/api/series/${fake.all[0]!.series}/retry`;
  const before = fake.retried.length;
  const foreign: Record<string, string>[] = [
    { origin: 'http://evil.example' },
    { origin: 'null' },
    { 'sec-fetch-site': 'cross-site' },
    { 'sec-fetch-site': 'same-site' },
  ];
  for (const headers of foreign) {
    assert.equal(
      (await raw(path, { host: '127.0.0.1', ...headers }, 'POST')).status,
      403,
      JSON.stringify(headers),
    );
  }
  assert.equal(fake.retried.length, before);
  const own = {
    host: `127.0.0.1:${fake.port}`,
    origin: `http://127.0.0.1:${fake.port}`,
    'sec-fetch-site': 'same-origin',
  };
  assert.equal((await raw(path, own, 'POST')).status, 202);
});

test('a failure inside is logged, and answered without its text', async (t) => {
  const broken = await startFakeServer({
    status: () => {
      throw new Error('secret of the inside');
    },
  });
  t.after(() => broken.close());
  const response = await fetch(`${broken.url}/api/status`);
  const text = await response.text();
  assert.equal(response.status, 500);
  assert.doesNotMatch(text, /secret|\.js/);
  assert.match(broken.log.join(''), /secret of the inside/);
});

test('malformed requests are 400 with a sentence', async () => {
  const answer = await get('/api/series/%E0%A4%A');
  assert.equal(answer.status, 400);
  assert.doesNotMatch(answer.text, /\.js|stack/);
});

test('the client says in a sentence what is wrong', async () => {
  const closed = await startFakeServer();
  const gone = closed.url;
  await closed.close();
  await assert.rejects(
    listSeries({ url: gone }),
    (error: unknown) =>
      error instanceof ClientError &&
      error.message.startsWith(`no server answers at ${gone} (ECONNREFUSED); `),
  );
  await assert.rejects(listSeries({ url: 'nonsense' }), /is not an address/);
  await assert.rejects(listSeries({ url: fake.url }, { state: ['odd'] }), /state must be one or more of/);
});

test('an address that is taken is a sentence', async () => {
  await assert.rejects(
    startWebServer(() => undefined, { host: '127.0.0.1', port: fake.port }),
    new RegExp(`http cannot listen on 127\\.0\\.0\\.1:${fake.port}: another program listens there`),
  );
});
