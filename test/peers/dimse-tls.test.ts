/** DICOM over TLS with client certificates, both ways, against DCMTK. Certificates are made by openssl for the test. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { connect } from 'node:tls';
import { checkTls } from '../../src/composition/tls.js';
import { ConfigError, loadConfig } from '../../src/config/index.js';
import { echo, storeInstances } from '../../src/dimse/index.js';
import { type Identity, identity, loaded, openssl } from './support/certificates.js';
import { sharedSeries } from './support/data.js';
import { outgoing, startReceiver } from './support/dimse.js';
import { mcnet, modelsFolder } from './support/mcnet.js';
import { startNode } from './support/node.js';
import { needPrograms, runProgram, temporaryFolder } from './support/process.js';
import { startStorescp } from './support/storescp.js';

/** DCMTK's options for a connection that shows this certificate. */
const showing = ({ key, cert, ca }: Identity) => ['+tls', key, cert, '+cf', ca];

function echoscu(port: number, ...tls: string[]) {
  return runProgram('echoscu', [...tls, '-to', '5', '-aec', 'MCNET', '127.0.0.1', String(port)]);
}

test('a server with TLS: echoscu with a certificate gets in, others do not', async (t) => {
  if (!needPrograms(t, 'openssl', 'echoscu')) return;
  const [ours, strangers] = await Promise.all([identity(t), identity(t)]);
  const { server, events } = await startReceiver(t, { tls: loaded(ours) });
  const good = await echoscu(server.port, ...showing(ours));
  assert.equal(good.code, 0, good.stdout + good.stderr);
  const accepted = events.find(({ event }) => event === 'accepted')?.info.tls;
  assert.equal(accepted?.client?.subject, 'CN=node');
  assert.match(accepted?.protocol ?? '', /^TLSv1\.[23]$/);
  assert.notEqual((await echoscu(server.port, ...showing({ ...strangers, ca: ours.ca }))).code, 0);
  assert.notEqual((await echoscu(server.port, '+tla', '+cf', ours.ca)).code, 0);
  assert.notEqual((await echoscu(server.port)).code, 0);
  assert.ok(events.some(({ event, info }) => event === 'rejected' && /TLS/.test(info.reason ?? '')));

  const target = { host: '127.0.0.1', port: server.port, calledAeTitle: 'MCNET', callingAeTitle: 'X' };
  await echo({ ...target, tls: loaded(ours) });
  await assert.rejects(echo({ ...target, tls: { ca: loaded(ours).ca! }, timeouts: { associateMs: 3000 } }));
  await assert.rejects(echo({ ...target, tls: loaded(strangers) }), { code: 'connect' });
});

test('client certificates that need not be shown must be good when they are', async (t) => {
  if (!needPrograms(t, 'openssl', 'echoscu')) return;
  const [ours, strangers] = await Promise.all([identity(t), identity(t)]);
  const { server, events } = await startReceiver(t, {
    tls: { ...loaded(ours), clientCertificates: 'optional' },
  });
  assert.equal((await echoscu(server.port, '+tla', '+cf', ours.ca)).code, 0);
  assert.equal((await echoscu(server.port, ...showing(ours))).code, 0);
  assert.notEqual((await echoscu(server.port, ...showing({ ...strangers, ca: ours.ca }))).code, 0);
  assert.ok(events.some(({ info }) => /certificate is not accepted/.test(info.reason ?? '')));

  const { server: asksNobody } = await startReceiver(t, {
    tls: { ...loaded(ours), clientCertificates: 'none' },
  });
  assert.equal((await echoscu(asksNobody.port, '+tla', '+cf', ours.ca)).code, 0);
});

test('a plain port and a secure one, as configured: profiles of the standard, nothing older', async (t) => {
  if (!needPrograms(t, 'openssl', 'echoscu', 'storescu')) return;
  const files = sharedSeries(t, 'a02');
  if (files === undefined) return;
  const ours = await identity(t);
  const { port, securePort, pipeline } = await startNode(t, {
    dimse: {
      host: '127.0.0.1',
      port: 0,
      tls: { ...ours, port: 0, clientCertificates: 'required' },
    },
  });
  assert.ok(securePort !== undefined && securePort !== port);
  assert.equal((await echoscu(port)).code, 0);
  assert.notEqual((await echoscu(port, ...showing(ours))).code, 0);
  for (const profile of ['+py', '+px', '+pz']) {
    const { code, stdout, stderr } = await echoscu(securePort, ...showing(ours), profile);
    assert.equal(code, 0, profile + stdout + stderr);
  }
  const retired = await echoscu(securePort, ...showing(ours), '+pa', '+cs', 'TLS_RSA_WITH_AES_128_CBC_SHA');
  assert.notEqual(retired.code, 0);
  await assert.rejects(
    new Promise<void>((resolve, reject) => {
      const socket = connect({
        host: '127.0.0.1',
        port: securePort,
        minVersion: 'TLSv1.1',
        maxVersion: 'TLSv1.1',
        ciphers: 'DEFAULT@SECLEVEL=0',
        ...loaded(ours),
      });
      socket.on('secureConnect', () => {
        socket.destroy();
        resolve();
      });
      socket.on('error', reject);
    }),
    /alert|version/i,
  );
  const sent = await runProgram('storescu', [
    ...showing(ours),
    ...['-aec', 'MCNET', '127.0.0.1', String(securePort)],
    ...files.slice(0, 3),
  ]);
  assert.equal(sent.code, 0, sent.stderr);
  const { count } = pipeline.archive.db.get<{ count: number }>('SELECT COUNT(*) AS count FROM instances')!;
  assert.equal(count, 3);
});

test('storescp with TLS takes our instances', async (t) => {
  if (!needPrograms(t, 'openssl', 'storescp')) return;
  const files = sharedSeries(t, 'a02');
  if (files === undefined) return;
  const ours = await identity(t);
  const { port, files: stored } = await startStorescp(t, showing(ours));
  const target = {
    host: '127.0.0.1',
    port,
    calledAeTitle: 'PACS',
    callingAeTitle: 'MCNET',
    tls: loaded(ours),
  };
  const outcomes = await storeInstances(target, files.map(outgoing));
  for (const outcome of outcomes) assert.equal(outcome.outcome, 'accepted', outcome.message);
  assert.equal(stored().length, files.length);
});

test('mcnet doctor echoes over TLS; check-config reads every key and certificate', async (t) => {
  if (!needPrograms(t, 'openssl', 'storescp')) return;
  const [ours, strangers] = await Promise.all([identity(t), identity(t)]);
  const { port } = await startStorescp(t, showing(ours));
  const folder = temporaryFolder(t);
  const models = await modelsFolder(folder);
  const at = (name: string) => join(folder, name);
  const write = (name: string, ca: string, key = ours.key, cert = ours.cert) => {
    const file = at(name);
    writeFileSync(
      file,
      `data: ${folder}/var
models: ${models}
engine: cpu
disk: { low: 1, critical: 1 }
rules: [{ name: head, model: tiny }]
dimse: { host: 127.0.0.1, port: 11112, tls: { port: 2762, key: ${key}, cert: ${cert}, ca: ${ours.ca} } }
destinations:
  pacs: { dimse: { aeTitle: PACS, host: 127.0.0.1, port: ${port}, tls: { ca: ${ca} } } }
`,
    );
    return file;
  };
  const good = write('good.yaml', ours.ca);
  const checked = await mcnet(['check-config', good]);
  assert.equal(checked.code, 0, checked.stderr);
  const healthy = await mcnet(['doctor', '--config', good]);
  assert.match(healthy.stdout, /✓ pacs +PACS at 127\.0\.0\.1:\d+ answered C-ECHO over TLS in \d+ ms/);
  const distrusted = await mcnet(['doctor', '--config', write('other-ca.yaml', strangers.ca)]);
  assert.equal(distrusted.code, 1);
  assert.match(distrusted.stdout, /✗ pacs +PACS at 127\.0\.0\.1:\d+ \(TLS\): .*(certificate|self.signed)/i);

  const absent = await mcnet(['check-config', write('a.yaml', at('no-such.pem'))]);
  assert.equal(absent.code, 2);
  assert.match(absent.stderr, /destinations\.pacs\.dimse\.tls\.ca: .*no-such\.pem: there is no such file/);

  const expectProblem = (file: string, problem: RegExp, now = Date.now()) =>
    assert.throws(
      () => checkTls(loadConfig({ file }), now),
      (error) => error instanceof ConfigError && problem.test(error.message),
    );
  expectProblem(
    write('b.yaml', ours.ca, strangers.key),
    /dimse\.tls\.cert: .*node\.pem: its certificate is not that of the key/,
  );
  expectProblem(write('c.yaml', ours.ca, ours.cert), /dimse\.tls\.key: .*: it is not a private key/);
  expectProblem(
    write('d.yaml', ours.ca, ours.key, ours.key),
    /dimse\.tls\.cert: .*: it is not a certificate/,
  );
  await openssl('rsa', '-aes128', '-passout', 'pass:secret', '-in', ours.key, '-out', at('locked.key'));
  expectProblem(write('e.yaml', ours.ca, at('locked.key')), /locked\.key: it is encrypted; expected/);
  const days = (count: number) => Date.now() + count * 24 * 3600 * 1000;
  assert.deepEqual(checkTls(loadConfig({ file: good })), []);
  assert.match(checkTls(loadConfig({ file: good }), days(70))[0]!, /^dimse\.tls\.cert: .*expires on/);
  expectProblem(good, /dimse\.tls\.cert: .*node\.pem: its certificate expired on/, days(100));
});
