/** The audit trail: each message against the schema, by xmllint; over TLS syslog; and what a whole server writes. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { createServer } from 'node:tls';
import { fileURLToPath } from 'node:url';
import { openTokens } from '../../src/access/index.js';
import { openAuditTrail } from '../../src/audit/index.js';
import { configSchema } from '../../src/config/index.js';
import { readHeader, string } from '../../src/dicom/index.js';
import { EVERY_EVENT } from '../unit/audit/every-event.js';
import { mcnet, modelsFolder, startMcnet } from './support/mcnet.js';
import { atEnd, eventually, needPrograms, runProgram, temporaryFolder } from './support/process.js';
import { newSeries, writeFiles } from './support/slices.js';
import { startStorescp } from './support/storescp.js';

const SCHEMA = fileURLToPath(new URL('../../../test/unit/audit/audit-message.rng', import.meta.url));

/** Checks each line of a trail by itself; returns them. */
async function valid(t: TestContext, trail: string): Promise<string[]> {
  const folder = temporaryFolder(t, 'messages');
  const lines = readFileSync(trail, 'utf8').trimEnd().split('\n');
  const files = lines.map((line, i) => {
    const file = join(folder, `${i}.xml`);
    writeFileSync(file, line);
    return file;
  });
  const { code, stderr } = await runProgram('xmllint', ['--noout', '--nonet', '--relaxng', SCHEMA, ...files]);
  assert.equal(code, 0, stderr);
  return lines;
}

test('every kind of message is valid, and the schema refuses what is not', async (t) => {
  if (!needPrograms(t, 'xmllint')) return;
  const config = configSchema.parse({ data: temporaryFolder(t) });
  const trail = await openAuditTrail({ config });
  for (const event of EVERY_EVENT) trail.record(event);
  await trail.close();
  const lines = await valid(t, join(config.data, 'audit', 'audit.xml'));
  const folder = temporaryFolder(t);
  for (const [from, to] of [
    [/EventDateTime="[^"]*"/, 'EventDateTime="today"'],
    [/csd-code="110120"/, ''],
    [/<AuditSourceIdentification.*/, '</AuditMessage>'],
    [/UserIsRequestor="false"/, 'UserIsRequestor="no"'],
  ] as const) {
    const file = join(folder, 'bad.xml');
    writeFileSync(file, lines[0]!.replace(from, to));
    const { code } = await runProgram('xmllint', ['--noout', '--relaxng', SCHEMA, file]);
    assert.notEqual(code, 0, to);
  }
});

test('by TLS each message comes whole to a repository with the right certificate, also after an interruption', async (t) => {
  if (!needPrograms(t, 'openssl')) return;
  const folder = temporaryFolder(t);
  const [key, certificate] = [join(folder, 'key.pem'), join(folder, 'cert.pem')];
  await runProgram('openssl', [
    ...['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', '-subj', '/CN=audit'],
    ...['-addext', 'subjectAltName=IP:127.0.0.1', '-keyout', key, '-out', certificate],
  ]);
  let received = Buffer.alloc(0);
  let connections = 0;
  const repository = createServer({ key: readFileSync(key), cert: readFileSync(certificate) }, (socket) => {
    connections += 1;
    socket.on('error', () => undefined);
    socket.on('data', (chunk) => {
      received = Buffer.concat([received, chunk]);
      if (connections === 1 && received.length > 2000) socket.destroy();
    });
  }).listen(0, '127.0.0.1');
  await once(repository, 'listening');
  atEnd(t, () => repository.close());
  const { port } = repository.address() as AddressInfo;
  const problems: (string | undefined)[] = [];
  const config = configSchema.parse({
    data: folder,
    audit: { syslog: { host: '127.0.0.1', port, ca: certificate } },
  });
  const trail = await openAuditTrail({ config, onProblem: (_sink, problem) => problems.push(problem) });
  const frames = () => {
    const found: string[] = [];
    let at = 0;
    for (;;) {
      const length = /^(\d+) /.exec(received.toString('latin1', at, at + 8));
      if (!length) return found;
      at += length[0].length;
      found.push(received.toString('utf8', at, at + Number(length[1])));
      at += Number(length[1]);
    }
  };
  trail.record({ event: 'login', user: { id: 'before' }, outcome: 'success' });
  await eventually('the first message', () => (frames().length > 0 ? true : undefined));
  assert.match(
    frames()[0]!,
    /^<85>1 \S+ \S+ mcnet \d+ DICOM\+RFC3881 - \ufeff<AuditMessage>.*UserID="before".*<\/AuditMessage>$/,
  );
  for (let i = 0; i < 10; i++) trail.record({ event: 'start' });
  await eventually('the connection is there again', () => (connections > 1 ? true : undefined));
  trail.record({ event: 'logout', user: { id: 'after' }, outcome: 'success' });
  await eventually('the last message', () => (received.includes('UserID="after"') ? true : undefined));
  await trail.close();

  const stranger = configSchema.parse({
    data: join(folder, 'b'),
    audit: { syslog: { host: '127.0.0.1', port } },
  });
  const told: (string | undefined)[] = [];
  const second = await openAuditTrail({
    config: stranger,
    onProblem: (_sink, problem) => told.push(problem),
  });
  await eventually('the certificate is refused', () => (told.length > 0 ? true : undefined));
  assert.match(String(told[0]), /syslog to 127\.0\.0\.1:\d+: .*self[- ]signed/);
  assert.equal(second.problems().length, 1);
  await second.close();
});

test('a whole server: who sent, saw and did what, and to whom it went', async (t) => {
  if (!needPrograms(t, 'storescu', 'storescp', 'findscu', 'echoscu', 'xmllint')) return;
  const folder = temporaryFolder(t);
  const scans = join(folder, 'scans');
  const { seriesUid: series, instances } = newSeries(3);
  const first = readHeader(readFileSync(writeFiles(scans, instances)[0]!));
  const study = first.studyInstanceUid;
  const patientId = string(first.dataSet, 'PatientID')!;
  assert.ok(patientId.length > 2);
  const pacs = await startStorescp(t);
  const tokens = join(folder, 'tokens.json');
  const token = (role: 'technologist' | 'reader') => openTokens(tokens).add(role, role);
  const [technologist, reader] = [token('technologist'), token('reader')];
  const server = await startMcnet(
    t,
    folder,
    `engine: cpu
models: ${await modelsFolder(folder)}
access: { tokens: ${tokens} }
peers: [{ aeTitle: MODALITY, host: 127.0.0.1 }]
destinations: { pacs: { dimse: { aeTitle: PACS, host: 127.0.0.1, port: ${pacs.port} } } }
rules: [{ name: MR, when: { Modality: MR }, model: tiny, to: [pacs], complete: { quiet: 2s } }]
`,
  );
  const dimse = (program: string, ...args: string[]) =>
    runProgram(program, [
      '-aet',
      'MODALITY',
      '-aec',
      'MCNET',
      '127.0.0.1',
      String(server.dicomPort),
      ...args,
    ]);
  assert.equal((await dimse('storescu', '+sd', scans)).code, 0);
  await runProgram('echoscu', ['-aet', 'STRANGER', '-aec', 'MCNET', '127.0.0.1', String(server.dicomPort)]);
  const get = (path: string, bearer: string, method = 'GET') =>
    fetch(server.url + path, { method, headers: { authorization: `Bearer ${bearer}` } });
  await eventually('the series is delivered', async () => {
    const { series } = (await (await get('/api/series', technologist)).json()) as {
      series: { state: string }[];
    };
    return series.some(({ state }) => state === 'delivered') ? true : undefined;
  });
  for (let i = 0; i < 5; i++) await (await get(`/dicom-web/studies/${study}/metadata`, reader)).arrayBuffer();
  await (await get('/dicom-web/studies?PatientID=secret', reader)).arrayBuffer();
  await (await get(`/api/series/${series}/retry`, technologist, 'POST')).arrayBuffer();
  assert.equal((await get('/api/series', `${technologist}x`)).status, 401);
  assert.equal((await get('/api/series', reader)).status, 403);
  assert.equal((await dimse('findscu', '-S', '-k', 'QueryRetrieveLevel=STUDY', '-k', 'PatientID=*')).code, 0);
  assert.equal(await server.kill('SIGTERM'), 0);

  const lines = await valid(t, join(folder, 'var', 'audit', 'audit.xml'));
  const those = (...parts: string[]) => lines.filter((line) => parts.every((part) => line.includes(part)));
  const id = (code: string) => `<EventID csd-code="${code}"`;
  assert.ok(lines[0]!.includes('"110120"') && lines.at(-1)!.includes('"110121"'), 'start first, stop last');
  const patient = `ParticipantObjectID="${patientId}"`;
  const about = [`ParticipantObjectID="${study}"`, patient];
  assert.equal(
    those(id('110102'), 'UserID="MODALITY" UserIsRequestor="true"', ...about).length,
    1,
    'store begun',
  );
  const stored = those(id('110104'), 'UserID="MODALITY" UserIsRequestor="true"', ...about);
  assert.equal(stored.length, 1, 'stored');
  assert.match(stored[0]!, /<SOPClass UID="1\.2\.840\.10008\.5\.1\.4\.1\.1\.4" NumberOfInstances="3"\/>/);
  assert.match(stored[0]!, /NetworkAccessPointID="127\.0\.0\.1" NetworkAccessPointTypeCode="2"/);
  assert.ok(
    those(id('110102'), 'UserID="PACS"', 'UserID="MCNET" UserIsRequestor="true"', ...about).length >= 1,
  );
  assert.ok(those(id('110104'), 'UserID="PACS"', 'NumberOfInstances="3"', ...about).length >= 1, 'delivered');
  const viewed = those(
    id('110103'),
    'EventActionCode="R"',
    'UserID="reader" UserIsRequestor="true"',
    ...about,
  );
  assert.equal(viewed.length, 1, 'five looks at one study are one message');
  assert.equal(
    those(id('110103'), 'EventActionCode="U"', '"retry"', 'UserID="technologist"', ...about).length,
    1,
  );
  const queries = those(id('110112')).map((line) =>
    Buffer.from(/<ParticipantObjectQuery>([^<]*)</.exec(line)![1]!, 'base64').toString(),
  );
  assert.ok(queries.includes('/dicom-web/studies?PatientID=secret'));
  assert.ok(
    queries.some((query) => /QueryRetrieveLevel=STUDY/.test(query) && /PatientID=\*/.test(query)),
    String(queries),
  );
  assert.equal(those(id('110113'), 'UserID="STRANGER"', '"110126"').length, 1, 'rejected association');
  assert.equal(those(id('110113'), 'UserID="unknown"', '"110126"', '/api/series').length, 1, 'forged token');
  assert.equal(
    those(id('110113'), 'UserID="reader"', '"110132"', '/api/series').length,
    1,
    'without the right',
  );
  assert.ok(!server.output().includes(patientId), 'the patient stands in the trail alone');
  assert.equal((await mcnet(['--version'])).code, 0);
});
