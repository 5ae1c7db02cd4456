/** DICOM over TLS with client certificates, both ways, against DCMTK. Certificates are made by openssl for the test. */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { type DimseTls, echo, storeInstances } from '../../src/dimse/index.js';
import { sharedSeries } from './support/data.js';
import { outgoing, startReceiver } from './support/dimse.js';
import { needPrograms, runProgram, temporaryFolder } from './support/process.js';
import { startStorescp } from './support/storescp.js';

interface Identity {
  key: string;
  cert: string;
  ca: string;
}

async function openssl(...args: string[]): Promise<void> {
  const { code, stderr } = await runProgram('openssl', args);
  assert.equal(code, 0, stderr);
}

/** A certificate authority, and a certificate for 127.0.0.1 that it signed. */
async function identity(t: TestContext): Promise<Identity> {
  const folder = temporaryFolder(t, 'tls');
  const at = (name: string) => join(folder, name);
  const rsa = ['-newkey', 'rsa:2048', '-nodes'];
  await openssl(
    'req',
    '-x509',
    ...rsa,
    '-days',
    '2',
    '-subj',
    '/CN=ca',
    '-keyout',
    at('ca.key'),
    '-out',
    at('ca.pem'),
  );
  await openssl('req', ...rsa, '-subj', '/CN=node', '-keyout', at('node.key'), '-out', at('node.csr'));
  writeFileSync(at('names'), 'subjectAltName=IP:127.0.0.1');
  const sign = [
    'x509',
    '-req',
    '-days',
    '2',
    '-in',
    at('node.csr'),
    '-extfile',
    at('names'),
    '-CAcreateserial',
  ];
  await openssl(...sign, '-CA', at('ca.pem'), '-CAkey', at('ca.key'), '-out', at('node.pem'));
  return { key: at('node.key'), cert: at('node.pem'), ca: at('ca.pem') };
}

const loaded = ({ key, cert, ca }: Identity): DimseTls => ({
  key: readFileSync(key),
  cert: readFileSync(cert),
  ca: readFileSync(ca),
});

test('a server with TLS: echoscu with a certificate gets in, others do not', async (t) => {
  if (!needPrograms(t, 'openssl', 'echoscu')) return;
  const ours = await identity(t);
  const strangers = await identity(t);
  const { server, events } = await startReceiver(t, { tls: loaded(ours) });
  const run = (...tls: string[]) =>
    runProgram('echoscu', [...tls, '-to', '5', '-aec', 'MCNET', '127.0.0.1', String(server.port)]);
  const good = await run('+tls', ours.key, ours.cert, '+cf', ours.ca);
  assert.equal(good.code, 0, good.stdout + good.stderr);
  assert.notEqual((await run('+tls', strangers.key, strangers.cert, '+cf', ours.ca)).code, 0);
  assert.notEqual((await run()).code, 0);
  assert.ok(events.some(({ event, info }) => event === 'rejected' && /TLS/.test(info.reason ?? '')));

  const target = { host: '127.0.0.1', port: server.port, calledAeTitle: 'MCNET', callingAeTitle: 'X' };
  await echo({ ...target, tls: loaded(ours) });
  await assert.rejects(echo({ ...target, tls: { ca: loaded(ours).ca! }, timeouts: { associateMs: 3000 } }));
  await assert.rejects(echo({ ...target, tls: loaded(strangers) }), { code: 'connect' });
});

test('storescp with TLS takes our instances', async (t) => {
  if (!needPrograms(t, 'openssl', 'storescp')) return;
  const files = sharedSeries(t, 'a02');
  if (files === undefined) return;
  const ours = await identity(t);
  const { port, files: stored } = await startStorescp(t, ['+tls', ours.key, ours.cert, '+cf', ours.ca]);
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
