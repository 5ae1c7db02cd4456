import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, request as httpRequest, type Server } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { after, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import express from 'express';
import {
  createStoreProvider,
  type StoreEvent,
  type StoreProviderOptions,
} from '../../../src/dicomweb/index.js';
import { items, type JsonDataSet, numberValue, TAG, textValue } from '../../../src/dicomweb/json-model.js';
import { parseNativeXml } from '../../../src/dicomweb/native-model.js';
import { createFakeIntake, FakeIntakeError, MR_IMAGE_STORAGE, part10 } from './fake-intake.js';

const servers: Server[] = [];
after(() => {
  for (const server of servers) {
    server.close();
    server.closeAllConnections();
  }
});

async function serve(overrides: Partial<StoreProviderOptions> & Pick<StoreProviderOptions, 'intake'>) {
  const events: StoreEvent[] = [];
  const ends: { study: string; series: string }[][] = [];
  const app = express();
  app.use(
    '/dicom-web',
    createStoreProvider({
      limits: { requestBytes: 10_000_000, instanceBytes: 1_000_000, instances: 50 },
      senderOf: async () => 'PACS',
      onInstance: (event) => events.push(event),
      onRequestEnd: (end) => ends.push([...end.series]),
      ...overrides,
    }),
  );
  const server = createServer(app);
  servers.push(server);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  return { port, url: `http://127.0.0.1:${port}/dicom-web`, events, ends };
}

function multipart(files: readonly Buffer[], boundary = 'bound'): Buffer {
  return Buffer.concat([
    ...files.flatMap((file) => [
      Buffer.from(`--${boundary}\r\nContent-Type: application/dicom\r\n\r\n`),
      file,
      Buffer.from('\r\n'),
    ]),
    Buffer.from(`--${boundary}--`),
  ]);
}

const TYPE = 'multipart/related; type="application/dicom"; boundary=bound';

async function post(url: string, body: Buffer, headers: Record<string, string> = {}, path = '/studies') {
  const response = await fetch(`${url}${path}`, {
    method: 'POST',
    body: new Uint8Array(body),
    headers: { 'content-type': TYPE, ...headers },
  });
  const text = await response.text();
  return { status: response.status, type: response.headers.get('content-type') ?? '', text };
}

function parse(text: string): JsonDataSet {
  return JSON.parse(text) as JsonDataSet;
}

test('all stored: 200, every instance referenced, bytes unchanged', async () => {
  const fake = createFakeIntake();
  const { url, events, ends } = await serve({ intake: fake.intake });
  const big = part10('1.2.3.2', Buffer.alloc(300_000, '\r\n--boun'));
  const answer = await post(url, multipart([part10('1.2.3.1'), big]));
  assert.equal(answer.status, 200);
  assert.match(answer.type, /^application\/dicom\+json/);
  const body = parse(answer.text);
  assert.equal(textValue(body, TAG.retrieveUrl), `${url}/studies/1.2`);
  assert.deepEqual(
    items(body, TAG.referencedSopSequence).map((item) => [
      textValue(item, TAG.referencedSopClassUid),
      textValue(item, TAG.referencedSopInstanceUid),
      textValue(item, TAG.retrieveUrl),
    ]),
    ['1.2.3.1', '1.2.3.2'].map((sop) => [
      MR_IMAGE_STORAGE,
      sop,
      `${url}/studies/1.2/series/1.2.3/instances/${sop}`,
    ]),
  );
  assert.equal(body[TAG.failedSopSequence], undefined);
  assert.deepEqual(fake.stored.get('1.2.3.2'), big);
  assert.match(fake.began[0]?.association ?? '', /^[0-9a-f-]{36}$/);
  assert.equal(fake.began[0]?.association, fake.began[1]?.association);
  assert.deepEqual(fake.began[0]?.source, { protocol: 'dicomweb', peer: 'PACS', address: '127.0.0.1' });
  assert.deepEqual(
    events.map((event) => [event.outcome, event.bytes]),
    [
      ['stored', part10('1.2.3.1').length],
      ['stored', big.length],
    ],
  );
  assert.deepEqual(ends, [[{ study: '1.2', series: '1.2.3' }]]);
});

test('some fail: 202 with failed, referenced and other failures; good ones behind a bad one are stored', async () => {
  const fake = createFakeIntake((sop) =>
    sop === '1.2.3.2' ? new FakeIntakeError('malformed', 0xc000) : undefined,
  );
  const { url, ends } = await serve({ intake: fake.intake });
  const files = [part10('1.2.3.1'), part10('1.2.3.2'), Buffer.from('not DICOM'), part10('1.2.3.4')];
  const answer = await post(url, multipart(files));
  assert.equal(answer.status, 202);
  const body = parse(answer.text);
  const failed = items(body, TAG.failedSopSequence);
  assert.equal(failed.length, 1);
  assert.equal(textValue(failed[0]!, TAG.referencedSopInstanceUid), '1.2.3.2');
  assert.equal(numberValue(failed[0]!, TAG.failureReason), 0xc000);
  assert.equal(items(body, TAG.otherFailuresSequence).length, 1);
  assert.deepEqual([...fake.stored.keys()], ['1.2.3.1', '1.2.3.4']);
  assert.equal(fake.open(), 0);
  assert.deepEqual(ends, [[{ study: '1.2', series: '1.2.3' }]]);
});

test('all fail: 409; another study than declared is a mismatch; the answer is XML where asked for', async () => {
  const fake = createFakeIntake();
  const { url } = await serve({ intake: fake.intake });
  const answer = await post(
    url,
    multipart([part10('1.2.3.1')]),
    { accept: 'application/dicom+xml' },
    '/studies/1.99',
  );
  assert.equal(answer.status, 409);
  assert.match(answer.type, /^application\/dicom\+xml/);
  const failed = items(parseNativeXml(answer.text)!, TAG.failedSopSequence);
  assert.equal(textValue(failed[0]!, TAG.referencedSopInstanceUid), '1.2.3.1');
  assert.equal(numberValue(failed[0]!, TAG.failureReason), 0xa900);
  assert.equal(fake.stored.size, 0);
});

test('a full disk is 507, another fault of ours 503: the sender may try again', async () => {
  const full = createFakeIntake(() => new FakeIntakeError('disk-full', 0xa700));
  assert.equal(
    (await post((await serve({ intake: full.intake })).url, multipart([part10('1.2.3.1')]))).status,
    507,
  );
  const broken = createFakeIntake(() => new Error('EIO'));
  const answer = await post((await serve({ intake: broken.intake })).url, multipart([part10('1.2.3.1')]));
  assert.equal(answer.status, 503);
  assert.equal(numberValue(items(parse(answer.text), TAG.failedSopSequence)[0]!, TAG.failureReason), 0x0110);
});

test('a single application/dicom body is stored', async () => {
  const fake = createFakeIntake();
  const { url } = await serve({ intake: fake.intake });
  const answer = await post(url, part10('1.2.3.1'), { 'content-type': 'application/dicom' }, '/studies/1.2');
  assert.equal(answer.status, 200);
  assert.deepEqual(fake.stored.get('1.2.3.1'), part10('1.2.3.1'));
});

test('requests that cannot be read: 400, 403, 413, 415, 503', async () => {
  const fake = createFakeIntake();
  const { url } = await serve({ intake: fake.intake });
  const good = multipart([part10('1.2.3.1')]);
  assert.equal((await post(url, good, { 'content-type': 'application/json' })).status, 415);
  assert.equal((await post(url, good, { 'content-encoding': 'gzip' })).status, 415);
  const jsonParts = 'multipart/related; type="application/dicom+json"; boundary=bound';
  assert.equal((await post(url, good, { 'content-type': jsonParts })).status, 415);
  assert.equal(
    (await post(url, good, { 'content-type': 'multipart/related; type="application/dicom"' })).status,
    400,
  );
  assert.equal((await post(url, Buffer.from('--bound--'))).status, 400);
  assert.equal((await post(url, Buffer.from('nothing of the kind'))).status, 400);
  assert.equal((await post(url, good, {}, '/studies/1.2.x')).status, 400);
  assert.equal((await post(url, Buffer.alloc(10_000_001))).status, 413);
  const stranger = await serve({ intake: fake.intake, senderOf: async () => undefined });
  assert.equal((await post(stranger.url, good)).status, 403);
  const full = await serve({ intake: fake.intake, acceptMore: () => ({ reason: 'less than 1 GiB free' }) });
  assert.equal((await post(full.url, good)).status, 503);
  assert.equal(fake.stored.size, 0);
  assert.equal(fake.open(), 0);
});

test('an instance over the limit fails alone', async () => {
  const fake = createFakeIntake();
  const { url } = await serve({ intake: fake.intake });
  const answer = await post(url, multipart([part10('1.2.3.1', Buffer.alloc(1_000_001)), part10('1.2.3.2')]));
  assert.equal(answer.status, 202);
  assert.deepEqual([...fake.stored.keys()], ['1.2.3.2']);
  assert.equal(numberValue(items(parse(answer.text), TAG.failedSopSequence)[0]!, TAG.failureReason), 0xa700);
  assert.equal(fake.aborted(), 1);
});

test('too many instances in one request: 413 with what was stored', async () => {
  const fake = createFakeIntake();
  const { url } = await serve({ intake: fake.intake });
  const files = Array.from({ length: 51 }, (_, i) => part10(`1.2.3.${i + 1}`));
  const answer = await post(url, multipart(files));
  assert.equal(answer.status, 413);
  assert.equal(items(parse(answer.text), TAG.referencedSopSequence).length, 50);
});

test('without the final boundary the last part is not stored, the ones before it are', async () => {
  const fake = createFakeIntake();
  const { url } = await serve({ intake: fake.intake });
  const whole = multipart([part10('1.2.3.1'), part10('1.2.3.2')]);
  const answer = await post(url, whole.subarray(0, whole.length - 12));
  assert.equal(answer.status, 202);
  const body = parse(answer.text);
  assert.equal(textValue(items(body, TAG.failedSopSequence)[0]!, TAG.referencedSopInstanceUid), '1.2.3.2');
  assert.deepEqual([...fake.stored.keys()], ['1.2.3.1']);
  assert.equal(fake.open(), 0);
});

test('a client that hangs up leaves whole instances or nothing', async () => {
  const fake = createFakeIntake();
  const { port, ends } = await serve({ intake: fake.intake });
  const body = multipart([part10('1.2.3.1'), part10('1.2.3.2', Buffer.alloc(200_000))]);
  const socket = connect(port, '127.0.0.1');
  socket.on('error', () => undefined);
  socket.write(
    `POST /dicom-web/studies HTTP/1.1\r\nHost: localhost\r\nContent-Type: ${TYPE}\r\nContent-Length: ${body.length}\r\n\r\n`,
  );
  socket.write(body.subarray(0, body.length - 100_000));
  while (!fake.stored.has('1.2.3.1')) await delay(5);
  socket.destroy();
  while (ends.length === 0) await delay(5);
  assert.deepEqual([...fake.stored.keys()], ['1.2.3.1']);
  assert.equal(fake.open(), 0);
  assert.equal(fake.aborted(), 1);
  assert.deepEqual(ends, [[{ study: '1.2', series: '1.2.3' }]]);
});

test('a disk slower than the network slows the sender: memory stays bounded', async () => {
  let written = 0;
  let open = () => {};
  const gate = new Promise<void>((resolve) => {
    open = resolve;
  });
  const { port } = await serve({
    intake: {
      beginFile: () => ({
        async write(chunk) {
          written += chunk.length;
          await gate;
        },
        commit: async () => {
          throw new FakeIntakeError('not-dicom', 0xc000);
        },
        abort: async () => undefined,
      }),
    },
    limits: { requestBytes: 1e9, instanceBytes: 1e9, instances: 10 },
  });
  const request = httpRequest({
    port,
    host: '127.0.0.1',
    method: 'POST',
    path: '/dicom-web/studies',
    headers: { 'content-type': TYPE },
  });
  request.on('error', () => undefined);
  request.write('--bound\r\nContent-Type: application/dicom\r\n\r\n');
  const block = Buffer.alloc(1 << 20);
  let accepted = 0;
  for (let i = 0; i < 64; i++) {
    if (request.write(block)) accepted += 1;
    else {
      const drained = await Promise.race([once(request, 'drain').then(() => true), delay(150, false)]);
      if (!drained) break;
      accepted += 1;
    }
  }
  assert.ok(accepted < 32, `${accepted} MiB were taken while the disk stood still`);
  assert.ok(written < 1 << 20, `${written} bytes were handed to the disk at a time`);
  open();
  request.destroy();
});
