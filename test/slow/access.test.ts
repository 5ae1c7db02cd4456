/** Access as an operator sets it up: users and tokens by the command line, TLS, and a server that refuses to start. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { request } from 'node:https';
import { join } from 'node:path';
import { test } from 'node:test';
import { startWebServer } from '../../src/web/index.js';
import { CLI, mcnet, modelsFolder, startMcnet } from '../peers/support/mcnet.js';
import {
  atEnd,
  needPrograms,
  PEER_ENVIRONMENT,
  runProgram,
  temporaryFolder,
} from '../peers/support/process.js';
import { startFakeServer } from '../unit/web/fake-server.js';

const PASSWORD = 'a quiet brass kettle';

/** `mcnet` with a line on its standard input. */
async function mcnetWith(input: string, ...args: string[]): Promise<{ code: number | null; text: string }> {
  const child = spawn(process.execPath, [CLI, ...args], { env: PEER_ENVIRONMENT });
  let text = '';
  child.stdout.on('data', (chunk: Buffer) => {
    text += chunk.toString();
  });
  child.stderr.on('data', (chunk: Buffer) => {
    text += chunk.toString();
  });
  child.stdin.end(input);
  const code = await new Promise<number | null>((resolve) => child.on('close', resolve));
  return { code, text };
}

test('users and tokens made by the command line open a running server', async (t) => {
  const folder = temporaryFolder(t);
  const [users, tokens] = [join(folder, 'users.json'), join(folder, 'tokens.json')];
  const added = await mcnetWith(`${PASSWORD}\n`, 'user', 'add', 'maria', '-r', 'viewer', '--users', users);
  assert.equal(added.code, 0, added.text);
  assert.doesNotMatch(readFileSync(users, 'utf8') + added.text, /kettle/);
  const short = await mcnetWith('short\n', 'user', 'add', 'otto', '-r', 'viewer', '--users', users);
  assert.equal(short.code, 1);
  assert.match(short.text, /the password is shorter than 12 characters; choose another one/);
  assert.equal((await mcnet(['token', 'add', 'x', '-r', 'root', '--tokens', tokens])).code, 2);
  assert.equal((await mcnet(['token', 'add', 'x', '-r', 'viewer'])).code, 2, 'no file is named');
  const token = (await mcnet(['token', 'add', 'ops', '-r', 'viewer', '--tokens', tokens])).stdout.trim();
  const listed = await mcnet(['token', 'ls', '--tokens', tokens]);
  assert.match(listed.stdout, /^ops +viewer +\S+ +never$/m);
  assert.ok(!listed.stdout.includes(token));

  const models = await modelsFolder(folder);
  const settings = `models: ${models}\nengine: cpu\nrules: [{ name: MR, when: { Modality: MR }, model: tiny }]\naccess: { users: ${users}, tokens: ${tokens} }\n`;
  const server = await startMcnet(t, folder, settings);
  const ls = (more: string[], env = {}) => mcnet(['series', 'ls', '--url', server.url, ...more], env);
  const refused = await ls([]);
  assert.equal(refused.code, 1);
  assert.match(refused.stderr, /log in, or show a token/);
  assert.equal((await ls(['--token', token])).code, 0);
  assert.equal((await ls([], { MCNET_TOKEN: token })).code, 0);
  const body = new URLSearchParams({ name: 'maria', password: PASSWORD });
  const headers = { origin: server.url };
  const login = await fetch(`${server.url}/login`, { method: 'POST', body, headers, redirect: 'manual' });
  assert.equal(login.status, 303);
  const cookie = login.headers.getSetCookie().at(-1)!.split(';', 1)[0]!;
  assert.equal((await fetch(`${server.url}/api/series`, { headers: { cookie } })).status, 200);
  assert.equal(await server.kill('SIGTERM'), 0);
  assert.doesNotMatch(server.output(), /kettle|mcnet_[0-9a-f]{16}_/, 'no secret is in the log');
  const again = await startMcnet(t, folder, settings);
  assert.equal(
    (await fetch(`${again.url}/api/series`, { headers: { cookie } })).status,
    200,
    'a restart keeps sessions',
  );
});

test('beyond loopback the server refuses to start until it is said who may come', async (t) => {
  const folder = temporaryFolder(t);
  const config = join(folder, 'mcnet.yaml');
  writeFileSync(config, `data: ${join(folder, 'var')}\nhttp: { host: 0.0.0.0, port: 0 }\n`);
  const { code, stderr } = await mcnet(['serve', '--config', config]);
  assert.equal(code, 2);
  assert.match(
    stderr,
    /http\.host \(line 2\): "0\.0\.0\.0" is reachable from other machines, and nothing says who may use/,
  );
  assert.equal(existsSync(join(folder, 'var')), false);
});

test('http.tls: HTTPS with the given certificate, no session over plain HTTP, a bad file is named', async (t) => {
  if (!needPrograms(t, 'openssl')) return;
  const folder = temporaryFolder(t);
  const [key, certificate] = [join(folder, 'key.pem'), join(folder, 'cert.pem')];
  const made = await runProgram('openssl', [
    ...['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', '-subj', '/CN=localhost'],
    ...['-addext', 'subjectAltName=IP:127.0.0.1', '-keyout', key, '-out', certificate],
  ]);
  assert.equal(made.code, 0, made.stderr);
  const fake = await startFakeServer();
  atEnd(t, () => fake.close());
  const server = await startWebServer(fake.app, { host: '127.0.0.1', port: 0, tls: { certificate, key } });
  atEnd(t, () => server.close(100));
  assert.match(server.url, /^https:\/\/127\.0\.0\.1:/);
  const answer = await new Promise<{ status?: number | undefined; hsts: unknown }>((resolve, reject) => {
    request(`${server.url}healthz`, { ca: readFileSync(certificate) }, (response) => {
      resolve({ status: response.statusCode, hsts: response.headers['strict-transport-security'] });
      response.resume();
    })
      .on('error', reject)
      .end();
  });
  assert.deepEqual(answer, { status: 200, hsts: 'max-age=31536000' });
  const at = { host: '127.0.0.1', port: 0 };
  const missing = { certificate, key: join(folder, 'none.pem') };
  await assert.rejects(
    startWebServer(fake.app, { ...at, tls: missing }),
    /none\.pem cannot be read \(ENOENT\)/,
  );
  await assert.rejects(
    startWebServer(fake.app, { ...at, tls: { certificate: key, key } }),
    /http\.tls: .*key\.pem and .*key\.pem cannot be used/,
  );
});
