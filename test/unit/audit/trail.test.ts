import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { openAuditTrail } from '../../../src/audit/index.js';
import { configSchema } from '../../../src/config/index.js';
import { EVERY_EVENT } from './every-event.js';

const folder = mkdtempSync(join(tmpdir(), 'mcnet-audit-'));
after(() => rmSync(folder, { recursive: true }));
let count = 0;

function configOf(audit: object = {}) {
  return configSchema.parse({ data: join(folder, String(count++)), audit });
}

test('every message is a line of its own, on disk once it is flushed, readable by its owner only', async () => {
  const config = configOf();
  const trail = await openAuditTrail({ config });
  for (const event of EVERY_EVENT) trail.record(event);
  await trail.flush();
  const path = join(config.data, 'audit', 'audit.xml');
  const lines = readFileSync(path, 'utf8').split('\n');
  assert.equal(lines.pop(), '');
  assert.equal(lines.length, EVERY_EVENT.length);
  for (const line of lines) assert.match(line, /^<AuditMessage><EventIdentification .*<\/AuditMessage>$/);
  assert.equal(statSync(path).mode & 0o777, 0o600);
  await trail.close();
  const again = await openAuditTrail({ config });
  again.record({ event: 'start' });
  await again.close();
  assert.equal(readFileSync(path, 'utf8').split('\n').length, EVERY_EVENT.length + 2, 'appended');
});

test('nothing is lost of what is recorded while the disk is busy', async () => {
  const config = configOf();
  const trail = await openAuditTrail({ config });
  for (let i = 0; i < 300; i++) {
    trail.record({ event: 'logout', user: { id: `user-${i}` }, outcome: 'success' });
    if (i % 7 === 0) await new Promise(setImmediate);
  }
  await trail.close();
  const text = readFileSync(join(config.data, 'audit', 'audit.xml'), 'utf8');
  const seen = [...text.matchAll(/UserID="user-(\d+)"/g)].map(([, i]) => Number(i));
  assert.deepEqual(
    seen,
    Array.from({ length: 300 }, (_, i) => i),
  );
});

test('text cannot break out of its place', async () => {
  const config = configOf();
  const trail = await openAuditTrail({ config });
  const evil = '"/><AuditMessage x="\n<!--&#10;]]>\u0000\ud800';
  trail.record({ event: 'login', user: { id: evil, address: evil }, outcome: 'success', reason: evil });
  await trail.close();
  const text = readFileSync(join(config.data, 'audit', 'audit.xml'), 'utf8');
  assert.equal(text.split('\n').length, 2);
  assert.equal(text.match(/<AuditMessage/g)?.length, 1);
  assert.match(
    text,
    /UserID="&quot;\/&gt;&lt;AuditMessage x=&quot;&#10;&lt;!--&amp;#10;\]\]&gt;\ufffd\ufffd"/,
  );
});

test('a file that is large enough is put aside, and the oldest go', async () => {
  const config = configOf({ file: { rotate: 2000, keep: 3 } });
  const trail = await openAuditTrail({ config });
  for (let i = 0; i < 30; i++) {
    trail.record({ event: 'logout', user: { id: `user-${i}` }, outcome: 'success' });
    await trail.flush();
  }
  await trail.close();
  const names = readdirSync(join(config.data, 'audit')).sort();
  assert.equal(names.length, 4);
  const all = names.map((name) => readFileSync(join(config.data, 'audit', name), 'utf8')).join('');
  assert.match(all, /user-29"/);
  const seen = [...all.matchAll(/user-(\d+)"/g)].map(([, i]) => Number(i)).sort((a, b) => a - b);
  assert.deepEqual(
    seen,
    Array.from({ length: seen.length }, (_, i) => 30 - seen.length + i),
    'no gap',
  );
});

test('a trail that cannot be opened keeps the server from starting', async () => {
  const config = configOf({ file: { path: '/dev/null/audit.xml' } });
  await assert.rejects(
    openAuditTrail({ config }),
    /the audit trail \/dev\/null\/audit\.xml cannot be opened/,
  );
});

test('by UDP each message is one RFC 5424 datagram', async () => {
  const receiver = createSocket('udp4');
  receiver.bind(0, '127.0.0.1');
  await once(receiver, 'listening');
  const config = configOf({
    syslog: { host: '127.0.0.1', port: receiver.address().port, transport: 'udp' },
  });
  const received: string[] = [];
  const all = new Promise<void>((resolve) => {
    receiver.on('message', (message) => {
      received.push(message.toString('utf8'));
      if (received.length === EVERY_EVENT.length) resolve();
    });
  });
  const trail = await openAuditTrail({ config });
  for (const event of EVERY_EVENT) trail.record(event);
  await all;
  await trail.close();
  receiver.close();
  const lines = readFileSync(join(config.data, 'audit', 'audit.xml'), 'utf8')
    .trimEnd()
    .split('\n');
  const header = /^<85>1 \d{4}-\d\d-\d\dT[\d:.]+Z \S+ mcnet \d+ DICOM\+RFC3881 - \ufeff/;
  for (const message of received) assert.match(message, header);
  assert.deepEqual(
    received.map((message) => message.replace(header, '')),
    lines,
  );
});
