import assert from 'node:assert/strict';
import { scryptSync } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, type TestContext, test } from 'node:test';
import { openTokens, openUsers, ROLES, type Role } from '../../../src/access/index.js';
import { createAccessTable, ROUTE_ACCESS } from '../../../src/web/route-access.js';
import { startArchiveServer } from '../dicomweb/archive-server.js';
import { startFakeServer } from './fake-server.js';
import { registeredRoutes } from './registered-routes.js';

const folder = mkdtempSync(join(tmpdir(), 'mcnet-web-access-'));
after(() => rmSync(folder, { recursive: true }));
const users = join(folder, 'users.json');
const tokens = join(folder, 'tokens.json');
const PASSWORD = 'a quiet brass kettle';
const token = {} as Record<Role, string>;
before(async () => {
  for (const role of ROLES) token[role] = openTokens(tokens).add(role, role);
  // A hash that is cheap to check: what is real of it is tested beside the users file.
  const salt = Buffer.alloc(16, 7);
  const key = scryptSync(PASSWORD, salt, 32, { N: 1024, r: 8, p: 1 });
  const hash = `$scrypt$ln=10,r=8,p=1$${salt.toString('base64url')}$${key.toString('base64url')}`;
  const at = new Date().toISOString();
  const user = (name: string, role: Role) => ({ name, role, hash, createdAt: at, passwordChangedAt: at });
  const all = [user('maria', 'technologist'), user('victor', 'viewer'), user('nina', 'admin')];
  writeFileSync(users, JSON.stringify({ users: all }));
});

type Fake = Awaited<ReturnType<typeof startFakeServer>>;

async function start(t: TestContext, access: object = {}): Promise<Fake> {
  const data = mkdtempSync(join(folder, 'data-'));
  const fake = await startFakeServer({ settings: { data, access: { users, tokens, ...access } } });
  t.after(() => fake.close());
  return fake;
}

interface Answer {
  status: number;
  headers: Record<string, string | string[] | undefined>;
  text: string;
}

/** A request with any header, whose connection is not used again. */
function ask(
  url: string,
  path: string,
  options: { method?: string; headers?: Record<string, string>; body?: string; from?: string } = {},
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const { method = 'GET', headers = {}, body, from } = options;
    const outgoing = request(
      `${url}${path}`,
      { method, agent: false, headers, ...(from !== undefined && { localAddress: from }) },
      (response) => {
        let text = '';
        const take = () => resolve({ status: response.statusCode ?? 0, headers: response.headers, text });
        if (String(response.headers['content-type']).startsWith('text/event-stream')) {
          take();
          outgoing.destroy();
          return;
        }
        response.setEncoding('utf8').on('data', (chunk: string) => {
          text += chunk;
        });
        response.on('end', take);
      },
    );
    outgoing.on('error', reject);
    outgoing.end(body);
  });
}

const bearer = (role: Role) => ({ authorization: `Bearer ${token[role]}` });
const form = (url: string) => ({ 'content-type': 'application/x-www-form-urlencoded', origin: url });

async function logIn(fake: Fake, name = 'maria', password = PASSWORD): Promise<Answer & { cookie: string }> {
  const body = new URLSearchParams({ name, password, next: '/' }).toString();
  const answer = await ask(fake.url, '/login', { method: 'POST', headers: form(fake.url), body });
  const cookie = (answer.headers['set-cookie'] as unknown as string[] | undefined)
    ?.map((each) => each.split(';', 1)[0]!)
    .find((each) => each.startsWith('mcnet=') && each.length > 10);
  return { ...answer, cookie: cookie ?? '' };
}

/** An address that a route answers at, with a UID and a number where it has a parameter. */
function example(path: string): string {
  return path
    .replaceAll(/\*\w+/g, '7FE00010')
    .replaceAll(/:instance\b/g, '1')
    .replaceAll(/:frames\b/g, '1')
    .replaceAll(/:\w+/g, '1.2.3');
}

test('every registered route: listed, 401 without credentials, 403 for each role that may not, served to each that may', async (t) => {
  const data = mkdtempSync(join(folder, 'data-'));
  const { server } = await startArchiveServer(t, {}, { data, access: { users, tokens, open: [] } });
  const routes = registeredRoutes(server.app);
  assert.ok(routes.length >= 30, `${routes.length} routes`);
  const unlisted = routes.filter(
    ({ method, path }) => !ROUTE_ACCESS.some((each) => each.method === method && each.path === path),
  );
  assert.deepEqual(unlisted, [], 'name these in src/web/route-access.ts');
  const gone = ROUTE_ACCESS.filter(
    ({ method, path }) =>
      !['/login.css', '/login.js', '/icon.svg'].includes(path) &&
      !routes.some((each) => each.method === method && each.path === path),
  );
  assert.deepEqual(
    gone.map(({ path }) => path),
    [],
    'these are not registered any more',
  );

  for (const { method, path } of routes) {
    const { allowed } = ROUTE_ACCESS.find((each) => each.method === method && each.path === path)!;
    const at = example(path);
    const headers = { accept: 'application/json' };
    const stranger = await ask(server.url, at, { method, headers });
    if (allowed === 'everyone') {
      assert.ok(!server.heard.some((each) => each.endsWith(` ${at}`)), `${method} ${at}`);
      continue;
    }
    assert.equal(stranger.status, 401, `${method} ${at}`);
    assert.match(String(stranger.headers['www-authenticate']), /^Bearer/);
    for (const role of ROLES) {
      const answer = await ask(server.url, at, { method, headers: { ...headers, ...bearer(role) } });
      const refused = answer.status === 401 || answer.status === 403;
      assert.equal(refused, !allowed.includes(role), `${role}: ${method} ${at} answered ${answer.status}`);
    }
  }
});

test('what is not listed answers admins only: unknown paths, other cases, a slash at the end', async (t) => {
  const fake = await start(t);
  for (const path of [
    '/nothing',
    '/API/series',
    '/api/series/',
    '/api/Series',
    '/api//series',
    '/dicom-web/x',
  ]) {
    assert.equal((await ask(fake.url, path)).status, 401, path);
    assert.equal((await ask(fake.url, path, { headers: bearer('technologist') })).status, 403, path);
    assert.notEqual((await ask(fake.url, path, { headers: bearer('admin') })).status, 403, path);
  }
  for (const method of ['PUT', 'DELETE', 'PATCH', 'OPTIONS']) {
    assert.equal((await ask(fake.url, '/api/series', { method })).status, 401, method);
    assert.equal(
      (await ask(fake.url, '/api/series', { method, headers: bearer('viewer') })).status,
      403,
      method,
    );
  }
});

test('the page needs a login, and a browser is led there; the login page needs none', async (t) => {
  const fake = await start(t);
  const accept = 'text/html,application/xhtml+xml,*/*;q=0.8';
  for (const path of ['/', '/main.js', '/style.css']) {
    const answer = await ask(fake.url, path, { headers: { accept } });
    assert.equal(answer.status, 303, path);
    assert.equal(answer.headers.location, `/login?next=${encodeURIComponent(path)}`);
  }
  assert.equal((await ask(fake.url, '/api/series', { headers: { accept: '*/*' } })).status, 401);
  const page = await ask(fake.url, '/login?next=/api/x');
  assert.equal(page.status, 200);
  assert.match(page.text, /<form method="post" action="\/login">/);
  for (const file of ['/login.css', '/login.js']) assert.equal((await ask(fake.url, file)).status, 200);
});

test('log in, work, log out; the cookie is the browser’s alone', async (t) => {
  const fake = await start(t);
  const { status, headers, cookie } = await logIn(fake);
  assert.equal(status, 303);
  assert.equal(headers.location, '/');
  const set = (headers['set-cookie'] as unknown as string[]).at(-1)!;
  assert.match(set, /^mcnet=[\w-]{43}; Path=\/; Max-Age=43200; HttpOnly; SameSite=Lax$/);
  const session = JSON.parse((await ask(fake.url, '/api/session', { headers: { cookie } })).text);
  assert.deepEqual(session, { configured: true, name: 'maria', role: 'technologist', by: 'session' });
  assert.equal((await ask(fake.url, '/', { headers: { cookie } })).status, 200);
  assert.equal((await ask(fake.url, '/api/configuration', { headers: { cookie } })).status, 403);
  const out = { method: 'POST', headers: { cookie, origin: fake.url } };
  assert.equal((await ask(fake.url, '/logout', out)).headers.location, '/login');
  assert.equal((await ask(fake.url, '/api/series', { headers: { cookie } })).status, 401);
  assert.deepEqual(
    fake.heard.filter((each) => !/^4/.test(each)),
    ['in maria', 'out maria'],
  );
});

test('a page that is open and not used does not keep its session', async (t) => {
  const fake = await start(t, { session: { idle: '1s' } });
  const { cookie } = await logIn(fake);
  const begun = performance.now();
  let answers = 0;
  while ((await ask(fake.url, '/api/status', { headers: { cookie } })).status === 200) {
    answers += 1;
    assert.ok(performance.now() - begun < 5000, 'the session goes on');
    await new Promise((done) => setTimeout(done, 100));
  }
  assert.ok(answers > 3, `${answers} answers`);
  assert.equal((await ask(fake.url, '/api/events', { headers: { cookie } })).status, 401);
  const used = (await logIn(fake)).cookie;
  for (let i = 0; i < 4; i += 1) {
    await new Promise((done) => setTimeout(done, 400));
    assert.equal((await ask(fake.url, '/api/series', { headers: { cookie: used } })).status, 200);
  }
});

test('a wrong password and an unknown name look the same, and are limited by name and by address', async (t) => {
  const fake = await start(t, { rate: { logins: 3 } });
  const [wrong, unknown] = [
    await logIn(fake, 'maria', 'wrong password!!'),
    await logIn(fake, 'mario', PASSWORD),
  ];
  assert.deepEqual([wrong.status, unknown.status, wrong.cookie, unknown.cookie], [401, 401, '', '']);
  assert.equal(wrong.text, unknown.text);
  assert.equal((await logIn(fake)).status, 303);
  const limited = await logIn(fake);
  assert.equal(limited.status, 429);
  assert.ok(Number(limited.headers['retry-after']) > 0);
  // From another address the name is still limited, other names are not.
  const elsewhere = (name: string) =>
    ask(fake.url, '/login', {
      method: 'POST',
      headers: form(fake.url),
      body: new URLSearchParams({ name, password: 'wrong password!!' }).toString(),
      from: '127.0.0.2',
    });
  assert.equal((await elsewhere('maria')).status, 401);
  assert.equal((await elsewhere('maria')).status, 429);
  assert.equal((await elsewhere('victor')).status, 401);
});

test('cross-site requests change nothing: no session, no retry, no logout', async (t) => {
  const fake = await start(t);
  const { cookie } = await logIn(fake);
  const path = `/api/series/${fake.all[3]!.series}/retry`;
  const post = (headers: Record<string, string>, to = path) =>
    ask(fake.url, to, { method: 'POST', headers: { cookie, ...headers } });
  for (const headers of [
    {},
    { origin: 'http://evil.example' },
    { origin: 'null' },
    { 'sec-fetch-site': 'cross-site' },
    { 'sec-fetch-site': 'none' },
    { origin: fake.url.replace('127.0.0.1', 'localhost') },
  ] as Record<string, string>[]) {
    assert.equal((await post(headers)).status, 403, JSON.stringify(headers));
    assert.equal((await post(headers, '/logout')).status, 403, JSON.stringify(headers));
  }
  assert.deepEqual(fake.retried, []);
  assert.equal((await post({ origin: fake.url })).status, 202);
  assert.equal((await post({ 'sec-fetch-site': 'same-origin' })).status, 202);
  // As a browser sends it that has been told to say nothing of where it comes from.
  assert.equal((await post({ origin: 'null', 'sec-fetch-site': 'same-origin' })).status, 202);
  assert.equal((await post({ origin: 'null', 'sec-fetch-site': 'cross-site' })).status, 403);
  // A login form on a stranger's page cannot put somebody into the stranger's session.
  const body = new URLSearchParams({ name: 'maria', password: PASSWORD }).toString();
  for (const origin of ['http://evil.example', undefined]) {
    const headers = { 'content-type': 'application/x-www-form-urlencoded', ...(origin && { origin }) };
    const answer = await ask(fake.url, '/login', { method: 'POST', headers, body });
    assert.equal(answer.status, 403);
    assert.equal(answer.headers['set-cookie'], undefined);
  }
  // A program's token is not sent by itself: it needs no such proof.
  assert.equal((await ask(fake.url, path, { method: 'POST', headers: bearer('technologist') })).status, 202);
});

test('forged credentials are refused, and are heard of', async (t) => {
  const fake = await start(t);
  const good = token.admin;
  const forged = [
    'Bearer x',
    'Bearer ',
    `Bearer ${good.slice(0, -1)}${good.endsWith('a') ? 'b' : 'a'}`,
    `Bearer ${good} `.repeat(2),
    `Bearer mcnet_${'0'.repeat(16)}_${'A'.repeat(43)}`,
    `Basic ${Buffer.from('maria:a quiet brass kettle').toString('base64')}`,
    'Basic ####',
    `Digest ${good}`,
  ];
  for (const authorization of forged) {
    const answer = await ask(fake.url, '/api/series', { headers: { authorization } });
    assert.equal(answer.status, 401, authorization);
    // With a token that is not good, a good session does not help.
    const { cookie } = authorization === forged[0] ? await logIn(fake) : { cookie: '' };
    if (cookie) {
      assert.equal((await ask(fake.url, '/api/series', { headers: { authorization, cookie } })).status, 401);
    }
  }
  assert.ok(fake.heard.filter((each) => each === '401 /api/series').length >= forged.length);
  for (const cookie of ['mcnet=', 'mcnet=x', `mcnet=${'A'.repeat(43)}`, `mcnet=${'A'.repeat(5000)}`]) {
    assert.equal((await ask(fake.url, '/api/series', { headers: { cookie } })).status, 401);
  }
  const basic = `Basic ${Buffer.from(`anything:${good}`).toString('base64')}`;
  assert.equal((await ask(fake.url, '/api/series', { headers: { authorization: basic } })).status, 200);
  assert.equal((await ask(fake.url, '/api/series', { headers: { 'x-remote-user': 'root' } })).status, 401);
});

test('a new password and a removed person end sessions', async (t) => {
  const fake = await start(t);
  const first = await logIn(fake, 'nina');
  const status = async (cookie: string) =>
    (await ask(fake.url, '/api/series', { headers: { cookie } })).status;
  assert.equal(await status(first.cookie), 200);
  await openUsers(users).setPassword('nina', 'another brass kettle');
  await new Promise((resolve) => setTimeout(resolve, 1100)); // what the server read of the file counts for a second
  assert.equal(await status(first.cookie), 401);
  const second = await logIn(fake, 'nina', 'another brass kettle');
  assert.equal(await status(second.cookie), 200);
  openUsers(users).remove('nina');
  await new Promise((resolve) => setTimeout(resolve, 1100));
  assert.equal(await status(second.cookie), 401);
});

test('health and metrics are open by configuration', async (t) => {
  const closed = await start(t, { open: [] });
  const open = await start(t, { open: ['health', 'metrics'] });
  for (const path of ['/healthz', '/readyz', '/metrics']) {
    assert.equal((await ask(closed.url, path)).status, 401, path);
    assert.equal((await ask(closed.url, path, { headers: bearer('monitor') })).status, 200, path);
    assert.equal((await ask(open.url, path)).status, 200, path);
  }
  const byDefault = await start(t);
  assert.equal((await ask(byDefault.url, '/readyz')).status, 200);
  assert.equal((await ask(byDefault.url, '/metrics')).status, 401);
});

test("a trusted proxy's header names the person; nobody else's does", async (t) => {
  const proxy = {
    addresses: ['127.0.0.2'],
    userHeader: 'X-Remote-User',
    groupsHeader: 'X-Remote-Groups',
    roles: { technologist: ['mr-staff'], admin: ['pacs'] },
  };
  const fake = await start(t, { proxy });
  const from = '127.0.0.2';
  const headers = { 'x-remote-user': 'maria', 'x-remote-groups': 'staff, mr-staff' };
  const session = await ask(fake.url, '/api/session', { headers, from });
  assert.deepEqual(JSON.parse(session.text), {
    configured: true,
    name: 'maria',
    role: 'technologist',
    by: 'proxy',
  });
  assert.equal((await ask(fake.url, '/api/series', { headers, from })).status, 200);
  assert.equal((await ask(fake.url, '/api/series', { headers })).status, 401, 'not from the proxy');
  const nobody = { 'x-remote-user': 'x', 'x-remote-groups': 'mr-staffing' };
  assert.equal((await ask(fake.url, '/api/series', { headers: nobody, from })).status, 401, 'no group');
  const two = { ...headers, 'x-remote-user': 'maria, root' };
  assert.equal((await ask(fake.url, '/api/series', { headers: two, from })).status, 401, 'two names');
  const path = `/api/series/${fake.all[3]!.series}/retry`;
  assert.equal((await ask(fake.url, path, { method: 'POST', headers, from })).status, 403, 'cross-site');
  const own = { ...headers, origin: fake.url };
  assert.equal((await ask(fake.url, path, { method: 'POST', headers: own, from })).status, 202);
});

test('behind a proxy that does TLS: secure cookies, HSTS, and the address that the proxy names', async (t) => {
  const fake = await start(t, { proxy: { addresses: ['127.0.0.2'] } });
  const from = '127.0.0.2';
  const body = new URLSearchParams({ name: 'maria', password: PASSWORD }).toString();
  const forwarded = { 'x-forwarded-proto': 'https', 'x-forwarded-for': '10.9.9.9, 192.0.2.7' };
  const headers = { ...form(fake.url), ...forwarded };
  const answer = await ask(fake.url, '/login', { method: 'POST', headers, body, from });
  assert.match(String(answer.headers['set-cookie']), /__Host-mcnet=[\w-]{43};.*; Secure$/);
  assert.match(String(answer.headers['strict-transport-security']), /max-age=/);
  const direct = await ask(fake.url, '/login', { method: 'POST', headers, body });
  assert.match(String(direct.headers['set-cookie']), /^mcnet=[\w-]{43};/);
  assert.equal(direct.headers['strict-transport-security'], undefined);
});

test('too many requests of one address without credentials are put off', async (t) => {
  const fake = await start(t, { rate: { requests: 5 } });
  for (let i = 0; i < 5; i++) {
    assert.equal((await ask(fake.url, '/api/series', { headers: bearer('viewer') })).status, 200);
  }
  const limited = await ask(fake.url, '/api/series', { headers: bearer('viewer') });
  assert.equal(limited.status, 429);
  assert.equal(limited.headers['retry-after'], '12');
  assert.equal((await ask(fake.url, '/api/series', { headers: bearer('admin') })).status, 200);
});

test('after the login nobody is led to another host', async (t) => {
  const fake = await start(t);
  for (const next of [
    '//evil.example',
    '/\\evil.example',
    'http://evil.example',
    'evil',
    '/a\r\nX: y',
    '/\t/evil.example',
  ]) {
    const body = new URLSearchParams({ name: 'maria', password: PASSWORD, next }).toString();
    const answer = await ask(fake.url, '/login', { method: 'POST', headers: form(fake.url), body });
    assert.deepEqual([answer.status, answer.headers.location], [303, '/'], next);
  }
  const page = await ask(fake.url, `/login?next=${encodeURIComponent('/"><script>alert(1)</script>')}`);
  assert.doesNotMatch(page.text, /<script>/);
});

test('without access configured everybody here may everything, and there is nothing to log in to', async (t) => {
  const fake = await startFakeServer();
  t.after(() => fake.close());
  assert.equal((await ask(fake.url, '/login')).headers.location, '/');
  assert.deepEqual(JSON.parse((await ask(fake.url, '/api/session')).text), {
    configured: false,
    name: 'local',
    role: 'admin',
    by: 'open',
  });
});

test('a pattern of the table matches one segment, no more and no less', () => {
  const table = createAccessTable(['/', '/main.js'], []);
  const admins = ['admin'];
  assert.deepEqual(table.allowedAt('GET', '/api/series/1.2/3'), admins);
  assert.deepEqual(table.allowedAt('GET', '/api/instances/1/previewXpng'), admins);
  assert.deepEqual(table.allowedAt('GET', '/x/api/series'), admins);
  assert.deepEqual(table.allowedAt('POST', '/main.js'), admins);
  assert.notDeepEqual(table.allowedAt('HEAD', '/main.js'), admins);
});
