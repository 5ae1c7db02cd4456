/** Certificates that are renewed while the server runs, as an authority's client does it: files are written over. */
import assert from 'node:assert/strict';
import { copyFileSync, readFileSync, writeFileSync } from 'node:fs';
import { request } from 'node:https';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { connect as connectSecurely, type TLSSocket } from 'node:tls';
import { type Identity, identity } from './support/certificates.js';
import { mcnet, modelsFolder, startMcnet } from './support/mcnet.js';
import { atEnd, eventually, needPrograms, runProgram, temporaryFolder } from './support/process.js';

/** Whether the page is served with a certificate of this authority. */
function pageTrusts(url: string, { ca }: Identity): Promise<boolean> {
  return new Promise((resolve) => {
    request(`${url}/healthz`, { ca: readFileSync(ca), agent: false }, (response) => {
      response.resume();
      resolve(response.statusCode === 200);
    })
      .on('error', () => resolve(false))
      .end();
  });
}

async function echoes(port: number, { key, cert, ca }: Identity): Promise<boolean> {
  const secure = ['+tls', key, cert, '+cf', ca];
  const { code } = await runProgram('echoscu', [
    ...secure,
    ...['-to', '5', '-aec', 'MCNET', '127.0.0.1', String(port)],
  ]);
  return code === 0;
}

async function openConnection(t: TestContext, port: number, { key, cert, ca }: Identity): Promise<TLSSocket> {
  const [ours, authority] = [{ key: readFileSync(key), cert: readFileSync(cert) }, readFileSync(ca)];
  const socket = connectSecurely({ host: '127.0.0.1', port, ...ours, ca: authority });
  atEnd(t, () => socket.destroy());
  await new Promise<void>((resolve, reject) => {
    socket.once('secureConnect', resolve);
    socket.once('error', reject);
  });
  return socket;
}

test('a renewed certificate is shown without a restart; one that cannot be used leaves the one before', async (t) => {
  if (!needPrograms(t, 'openssl', 'echoscu')) return;
  const [first, second] = await Promise.all([identity(t), identity(t)]);
  const folder = temporaryFolder(t);
  const own: Identity = { key: join(folder, 'key'), cert: join(folder, 'cert'), ca: join(folder, 'ca') };
  const install = ({ key, cert, ca }: Identity) => {
    copyFileSync(ca, own.ca);
    copyFileSync(cert, own.cert);
    copyFileSync(key, own.key);
  };
  install(first);
  const server = await startMcnet(t, folder, `models: ${await modelsFolder(folder)}\nrules: []\n`, {
    dimse: `{ key: ${own.key}, cert: ${own.cert}, ca: ${own.ca} }`,
    http: `{ key: ${own.key}, certificate: ${own.cert} }`,
  });
  assert.deepEqual(
    [await pageTrusts(server.url, first), await pageTrusts(server.url, second)],
    [true, false],
  );
  assert.ok(await echoes(server.dicomPort, first));
  const before = await openConnection(t, server.dicomPort, first);

  install(second);
  await eventually('the renewed certificate is shown', async () =>
    (await pageTrusts(server.url, second)) ? true : undefined,
  );
  assert.equal(await pageTrusts(server.url, first), false);
  assert.ok(await echoes(server.dicomPort, second), 'associations too');
  assert.equal(
    await echoes(server.dicomPort, { ...first, ca: second.ca }),
    false,
    'callers, by the new authority',
  );
  assert.equal(before.readyState, 'open', 'who was connected stays so');
  assert.match(String(server.lines('the configuration was read again')[0]?.why), /^a certificate changed$/);

  // The certificate of another key: neither listener takes it.
  copyFileSync(first.cert, own.cert);
  const [refusal] = await eventually('it is refused', () => {
    const lines = server.lines('the configuration cannot be used; the one before stays in force');
    return lines.length > 0 ? lines : undefined;
  });
  assert.match(String(refusal!.reason), /dimse\.tls\.cert: .*certificate is not that of the key/);
  assert.match(String(refusal!.reason), /http\.tls\.certificate: .*certificate is not that of the key/);
  assert.ok(await pageTrusts(server.url, second));
  assert.ok(await echoes(server.dicomPort, second));
  const config = join(folder, 'mcnet.yaml');
  assert.notEqual((await mcnet(['check-config', config])).code, 0);

  // SIGHUP is for those who do not want to wait.
  install(second);
  writeFileSync(own.cert, readFileSync(second.cert));
  process.kill(server.pid, 'SIGHUP');
  await eventually('it is well again', () =>
    server.lines('the configuration was read again').some(({ why }) => why === 'SIGHUP') ? true : undefined,
  );
  assert.equal(await server.kill('SIGTERM'), 0);
});
