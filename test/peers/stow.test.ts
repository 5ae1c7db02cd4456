import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type TestContext, test } from 'node:test';
import express from 'express';
import { createStoreProvider, echo, stow } from '../../src/dicomweb/index.js';
import { declaredInstance } from '../../src/dicomweb/meta-header.js';
import { createFakeIntake } from '../unit/dicomweb/fake-intake.js';
import { sharedSeries } from './support/data.js';
import { startOrthanc } from './support/orthanc.js';
import { atEnd, needPrograms, runProgram } from './support/process.js';

interface Known {
  path: string;
  bytes: Buffer;
  sopInstanceUid: string;
  sopClassUid: string;
}

function known(path: string): Known {
  const bytes = readFileSync(path);
  const declared = declaredInstance(bytes);
  assert.ok(declared, path);
  return { path, bytes, ...declared };
}

/** Our provider on a free port, keeping files in memory. */
async function startProvider(t: TestContext) {
  const fake = createFakeIntake();
  const server = createServer(
    express().use(
      '/dicom-web',
      createStoreProvider({
        intake: fake.intake,
        limits: { requestBytes: 1e9, instanceBytes: 1e8, instances: 1000 },
        senderOf: async () => 'ORTHANC',
      }),
    ),
  );
  atEnd(t, () => {
    server.close();
    server.closeAllConnections();
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return { ...fake, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/dicom-web` };
}

test('Orthanc as destination: every instance is accepted and arrives unchanged; it may be sent again', async (t) => {
  if (!needPrograms(t, 'Orthanc')) return;
  const files = sharedSeries(t, 'a12');
  if (!files) return;
  const orthanc = await startOrthanc(t);
  const sent = files.map(known);
  const instances = sent.map((instance) => ({ ...instance, file: async () => instance.bytes }));
  assert.match(await echo({ url: orthanc.dicomWebUrl }), /answered 200/);
  for (const turn of ['first', 'second']) {
    const outcomes = await stow({ url: orthanc.dicomWebUrl }, instances, { batch: 7, connections: 2 });
    assert.deepEqual(
      outcomes.map((o) => [o.sopInstanceUid, o.outcome]),
      sent.map((s) => [s.sopInstanceUid, 'accepted']),
      `${turn} time`,
    );
  }
  const ids = await orthanc.get<string[]>('/instances');
  assert.equal(ids.length, sent.length);
  for (const id of ids) {
    const bytes = await orthanc.file(id);
    const original = sent.find((s) => s.sopInstanceUid === declaredInstance(bytes)?.sopInstanceUid);
    assert.ok(original && bytes.equals(original.bytes), `instance ${id} differs from what was sent`);
  }
});

test('Orthanc refuses one instance of a batch: only that one is refused', async (t) => {
  if (!needPrograms(t, 'Orthanc')) return;
  const files = sharedSeries(t, 'a12');
  if (!files) return;
  const orthanc = await startOrthanc(t);
  const sent = files.slice(0, 4).map(known);
  const outcomes = await stow(
    { url: orthanc.dicomWebUrl },
    sent.map((instance, index) => ({
      ...instance,
      file: async () => (index === 2 ? Buffer.alloc(4000, 'not DICOM') : instance.bytes),
    })),
  );
  assert.deepEqual(
    outcomes.map((o) => (o.outcome === 'accepted' ? 'accepted' : 'not accepted')),
    ['accepted', 'accepted', 'not accepted', 'accepted'],
    JSON.stringify(outcomes),
  );
  assert.equal((await orthanc.get<string[]>('/instances')).length, 3);
});

test("Orthanc's own STOW-RS client against our provider", async (t) => {
  if (!needPrograms(t, 'Orthanc')) return;
  const files = sharedSeries(t, 'a12');
  if (!files) return;
  const provider = await startProvider(t);
  const orthanc = await startOrthanc(t, {
    DicomWeb: { Enable: true, Root: '/dicom-web/', Servers: { mcnet: [`${provider.url}/`] } },
  });
  const sent = files.map(known);
  await stow(
    { url: orthanc.dicomWebUrl },
    sent.map((instance) => ({ ...instance, file: async () => instance.bytes })),
  );
  const [series] = await orthanc.get<string[]>('/series');
  const response = await fetch(`http://127.0.0.1:${orthanc.httpPort}/dicom-web/servers/mcnet/stow`, {
    method: 'POST',
    body: JSON.stringify({ Resources: [series], Synchronous: true }),
  });
  assert.equal(response.status, 200, `${await response.text()} ${orthanc.output()}`);
  assert.equal(provider.stored.size, sent.length);
  for (const { sopInstanceUid, bytes } of sent) {
    assert.ok(
      provider.stored.get(sopInstanceUid)?.equals(bytes),
      `${sopInstanceUid} differs from what was sent`,
    );
  }
});

test('curl with a multipart body and with a single instance', async (t) => {
  if (!needPrograms(t, 'curl')) return;
  const files = sharedSeries(t, 'a12');
  if (!files) return;
  const provider = await startProvider(t);
  const [first, second] = files.slice(0, 2).map(known);
  const single = await runProgram('curl', [
    ...[
      '-sS',
      '-w',
      '\n%{http_code}',
      '-H',
      'Content-Type: application/dicom',
      '-H',
      'Transfer-Encoding: chunked',
    ],
    ...['--data-binary', `@${first!.path}`, `${provider.url}/studies`],
  ]);
  assert.match(single.stdout, /\n200$/, single.stderr);
  const related = await runProgram('curl', [
    ...['-sS', '-w', '\n%{http_code}', '-H', 'Content-Type: multipart/related; type="application/dicom"'],
    ...['-H', 'Accept: application/dicom+xml', '-F', `file=@${second!.path};type=application/dicom`],
    `${provider.url}/studies`,
  ]);
  assert.match(related.stdout, /\n200$/, related.stderr);
  assert.match(related.stdout, /<NativeDicomModel/);
  for (const instance of [first!, second!]) {
    assert.ok(provider.stored.get(instance.sopInstanceUid)?.equals(instance.bytes));
  }
});
