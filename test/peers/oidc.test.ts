/** Logging in at a real OpenID Connect provider, on loopback: authorization code flow with PKCE, state and nonce. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, type TestContext, test } from 'node:test';
import Provider from 'oidc-provider';
import { startFakeServer } from '../unit/web/fake-server.js';
import { atEnd, freePort } from './support/process.js';

const folder = mkdtempSync(join(tmpdir(), 'mcnet-oidc-'));
after(() => rmSync(folder, { recursive: true }));
const SECRET = 'a-client-secret-of-thirty-two-characters';
writeFileSync(join(folder, 'secret'), `${SECRET}\n`);

const GROUPS: Record<string, string[]> = {
  maria: ['mr-staff', 'staff'],
  otto: ['kitchen'],
  'a b': ['mr-staff'],
};

/** A provider at which whoever comes is the person of the login hint, and agrees. */
async function startProvider(t: TestContext, redirectUrl: string) {
  const port = await freePort();
  const issuer = `http://127.0.0.1:${port}`;
  let person = 'maria';
  const provider = new Provider(issuer, {
    clients: [{ client_id: 'mcnet', client_secret: SECRET, redirect_uris: [redirectUrl] }],
    pkce: { required: () => true },
    claims: { openid: ['sub'], profile: ['preferred_username', 'groups'] },
    conformIdTokenClaims: false,
    features: { devInteractions: { enabled: false } },
    cookies: { keys: ['test'] },
    async findAccount(_context: unknown, id: string) {
      return {
        accountId: id,
        claims: () => ({ sub: id, preferred_username: id, groups: GROUPS[id] ?? [] }),
      };
    },
    interactions: { url: (_context: unknown, { uid }: { uid: string }) => `/interaction/${uid}` },
  });
  const callback = provider.callback();
  const server = createServer(async (request, response) => {
    if (!request.url?.startsWith('/interaction/')) return callback(request, response);
    const { params } = await provider.interactionDetails(request, response);
    const grant = new provider.Grant({ accountId: person, clientId: 'mcnet' });
    grant.addOIDCScope(String(params.scope));
    const result = { login: { accountId: person }, consent: { grantId: await grant.save() } };
    const to = await provider.interactionResult(request, response, result);
    response.writeHead(303, { location: to }).end();
  });
  server.listen(port, '127.0.0.1');
  await once(server, 'listening');
  atEnd(t, () => {
    server.close();
    server.closeAllConnections();
  });
  return {
    issuer,
    is(name: string) {
      person = name;
    },
  };
}

/** A browser that follows redirects and keeps cookies by host and port. */
function browser() {
  const jars = new Map<string, Map<string, string>>();
  return {
    jars,
    async open(url: string, stopAt?: (url: string) => boolean): Promise<{ url: string; response: Response }> {
      let at = url;
      for (let hops = 0; hops < 20; hops++) {
        const { host } = new URL(at);
        const jar = jars.get(host) ?? new Map<string, string>();
        jars.set(host, jar);
        const cookie = [...jar].map(([name, value]) => `${name}=${value}`).join('; ');
        const response = await fetch(at, { redirect: 'manual', headers: { accept: 'text/html', cookie } });
        for (const set of response.headers.getSetCookie()) {
          const [, name, value] = /^([^=]+)=([^;]*)/.exec(set)!;
          if (value === '') jar.delete(name!);
          else jar.set(name!, value!);
        }
        const next = response.headers.get('location');
        if (next === null) return { url: at, response };
        await response.arrayBuffer();
        at = new URL(next, at).href;
        if (stopAt?.(at)) return { url: at, response };
      }
      throw new Error('redirected for ever');
    },
  };
}

async function start(t: TestContext, oidc: object = {}) {
  const port = await freePort();
  const redirectUrl = `http://127.0.0.1:${port}/login/callback`;
  const provider = await startProvider(t, redirectUrl);
  const fake = await startFakeServer({
    port,
    settings: {
      data: mkdtempSync(join(folder, 'data-')),
      access: {
        oidc: {
          issuer: provider.issuer,
          clientId: 'mcnet',
          clientSecretFile: join(folder, 'secret'),
          redirectUrl,
          roles: { technologist: ['mr-staff'] },
          ...oidc,
        },
      },
    },
  });
  atEnd(t, () => fake.close());
  return { provider, fake };
}

test('a person of the right group logs in and comes back to the page that was asked for', async (t) => {
  const { fake } = await start(t);
  const person = browser();
  const page = await person.open(`${fake.url}/api/status?x=1`);
  assert.match(page.url, /\/login\?next=%2Fapi%2Fstatus%3Fx%3D1$/);
  const link = /href="(\/login\/start[^"]*)"/.exec(await page.response.text())![1]!;
  const { url, response } = await person.open(fake.url + link.replaceAll('&amp;', '&'));
  assert.equal(url, `${fake.url}/api/status?x=1`);
  assert.equal(response.status, 200);
  const session = await person.open(`${fake.url}/api/session`);
  assert.deepEqual(await session.response.json(), {
    configured: true,
    name: 'maria',
    role: 'technologist',
    by: 'session',
  });
  assert.deepEqual(fake.heard.at(-1), 'in maria');
});

test('who has no group that counts, or a name that cannot be one, is not let in', async (t) => {
  const { provider, fake } = await start(t);
  for (const [name, why] of [
    ['otto', /otto has no role here/],
    ['a b', /preferred_username is no name for a user/],
  ] as const) {
    provider.is(name);
    const person = browser();
    const { response } = await person.open(`${fake.url}/login/start`);
    assert.equal(response.status, 401);
    assert.match(await response.text(), why);
    assert.equal((await fetch(`${fake.url}/api/session`)).status, 200);
    const session = await person.open(`${fake.url}/api/session`);
    assert.deepEqual(await session.response.json(), { configured: true });
  }
});

test('a callback is good once, in the browser that began, with the state that it was given', async (t) => {
  const { fake } = await start(t);
  const person = browser();
  const callback = await person.open(`${fake.url}/login/start?next=/`, (url) => url.includes('/callback'));
  // Another person's browser, lured to the address: it would be logged in as somebody else.
  const other = await browser().open(callback.url);
  assert.equal(other.response.status, 401);
  const host = new URL(fake.url).host;
  const cookies = new Map(person.jars.get(host));
  const forged = callback.url.replace(/state=[^&]+/, 'state=forged');
  const answer = await fetch(forged, {
    redirect: 'manual',
    headers: { cookie: [...cookies].map(([name, value]) => `${name}=${value}`).join('; ') },
  });
  assert.equal(answer.status, 401);
  const again = await person.open(callback.url);
  assert.equal(again.response.status, 401, 'the first try has used it up');
});

test('an issuer that does not answer is a sentence; the server runs on', async (t) => {
  const { fake } = await start(t, { issuer: `http://127.0.0.1:${await freePort()}` });
  const { response } = await browser().open(`${fake.url}/login/start`);
  assert.equal(response.status, 502);
  assert.match(await response.text(), /the issuer http:\/\/127\.0\.0\.1:\d+ cannot be asked/);
  assert.equal((await fetch(`${fake.url}/healthz`)).status, 200);
});
