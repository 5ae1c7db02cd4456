/** Mutated STOW-RS requests over HTTP: a status of the standard or a closed connection, and good requests beside them served. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readdir } from 'node:fs/promises';
import { createConnection } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import { encodeDataSet, explicitLE, type Item, mrImage, nativePixels, part10 } from '../dicom/encode.js';
import { startArchiveServer } from './archive-server.js';

const SEED = 20261123;
const KNOWN = new Set([200, 202, 400, 409, 413, 415, 503, 507]);
const BOUNDARY = 'fuzz-boundary';
const TYPE = `multipart/related; type="application/dicom"; boundary=${BOUNDARY}`;

function object(sop: string): Buffer {
  const extra: Item = [
    [0x0020000d, 'UI', '1.2.3'],
    [0x0020000e, 'UI', '1.2.3.1'],
    [0x00080018, 'UI', sop],
  ];
  const header = encodeDataSet(explicitLE, mrImage({ extra }));
  return part10(explicitLE, Buffer.concat([header, nativePixels(explicitLE, Array(24).fill(7), 16)]));
}

function related(files: readonly Buffer[]): Buffer {
  const head = Buffer.from(`--${BOUNDARY}\r\nContent-Type: application/dicom\r\n\r\n`);
  return Buffer.concat([
    ...files.flatMap((file) => [head, file, Buffer.from('\r\n')]),
    Buffer.from(`--${BOUNDARY}--\r\n`),
  ]);
}

const good = related([object('1.2.3.1.1'), object('1.2.3.1.2'), object('1.2.3.1.3')]);

/** Bytes changed, removed, put in or repeated, at random and at the places that a multipart reader looks at. */
const mutations = fc.array(
  fc.record({
    kind: fc.constantFrom('set', 'cut', 'insert', 'repeat', 'swap' as const),
    at: fc.oneof(
      fc.nat(good.length - 1),
      fc.constantFrom(0, 2, good.indexOf('\r\n\r\n'), good.indexOf('DICM'), good.lastIndexOf('--')),
    ),
    length: fc.oneof(fc.integer({ min: 1, max: 8 }), fc.integer({ min: 1, max: good.length })),
    bytes: fc.oneof(
      fc.uint8Array({ minLength: 1, maxLength: 12 }).map((bytes) => Buffer.from(bytes)),
      fc
        .constantFrom(
          '\r\n',
          '\r\n\r\n',
          `\r\n--${BOUNDARY}`,
          `\r\n--${BOUNDARY}--`,
          `--${BOUNDARY}\r\n`,
          'DICM',
          '\0\0',
        )
        .map((text) => Buffer.from(text)),
      fc.constant(Buffer.alloc(20_000, 0x2d)),
    ),
  }),
  { minLength: 1, maxLength: 6 },
);

function mutated(of: typeof mutations extends fc.Arbitrary<infer M> ? M : never): Buffer {
  let body = good;
  for (const { kind, at: wanted, length, bytes } of of) {
    const at = Math.min(wanted, body.length);
    const end = Math.min(body.length, at + length);
    const [before, middle, after] = [body.subarray(0, at), body.subarray(at, end), body.subarray(end)];
    if (kind === 'set')
      body = Buffer.concat([before, bytes, body.subarray(Math.min(body.length, at + bytes.length))]);
    else if (kind === 'cut') body = Buffer.concat([before, after]);
    else if (kind === 'insert') body = Buffer.concat([before, bytes, middle, after]);
    else if (kind === 'repeat') body = Buffer.concat([before, middle, middle, after]);
    else body = Buffer.concat([after, middle, before]);
  }
  return body.subarray(0, 1024 * 1024);
}

test('mutated multipart bodies and requests that break off, beside good ones', async (t) => {
  const server = await startArchiveServer(t);
  const post = (body: Buffer, type: string, path = '') =>
    fetch(`${server.url}/studies${path}`, { method: 'POST', headers: { 'content-type': type }, body });
  let served = 0;
  const beside = async () => {
    served += 1;
    const answer = await post(related([object(`1.2.3.2.${served}`)]), TYPE);
    assert.equal(answer.status, 200, await answer.text());
  };
  /** Announces more than it sends. */
  const breakOff = async (body: Buffer) => {
    const { hostname, port } = new URL(server.url);
    const socket = createConnection({ host: hostname, port: Number(port) });
    socket.on('error', () => {});
    socket.resume();
    socket.write(
      `POST /dicom-web/studies HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\nContent-Type: ${TYPE}\r\nContent-Length: ${good.length + 100}\r\n\r\n`,
    );
    socket.end(body.subarray(0, good.length));
    await once(socket, 'close');
  };
  const types = fc.oneof(
    { weight: 6, arbitrary: fc.constant(TYPE) },
    fc.constantFrom(
      'application/dicom',
      `multipart/related; boundary=${BOUNDARY}`,
      'multipart/related; type="application/dicom"',
      'multipart/related; type="application/dicom"; boundary=""',
      `multipart/related; type="application/dicom"; boundary="${'b'.repeat(300)}"`,
      `multipart/form-data; boundary=${BOUNDARY}`,
      `multipart/related; type="text/plain"; boundary=${BOUNDARY}`,
    ),
  );
  const seen = new Map<number, number>();
  const rss = process.memoryUsage().rss;
  await fc.assert(
    fc.asyncProperty(mutations, types, fc.nat(9), async (of, type, way) => {
      const body = mutated(of);
      const other = way < 3 ? beside() : undefined;
      if (way === 9) await breakOff(body);
      else {
        const answer = await post(body, type, way === 8 ? '/1.2.3' : '').catch((error: unknown) => {
          // The server may close while the client is still sending.
          assert.match(String((error as Error).cause ?? error), /closed|ECONNRESET|EPIPE/);
        });
        if (answer) {
          await answer.text();
          seen.set(answer.status, (seen.get(answer.status) ?? 0) + 1);
          assert.ok(KNOWN.has(answer.status), `${answer.status}`);
        }
      }
      await other;
    }),
    { seed: SEED, numRuns: 300, interruptAfterTimeLimit: 4000, markInterruptAsFailure: false },
  );
  t.diagnostic(`${JSON.stringify(Object.fromEntries(seen))}, ${served} good requests`);
  assert.ok([200, 400].every((status) => (seen.get(status) ?? 0) > 0));
  assert.ok(served > 0);
  assert.ok(process.memoryUsage().rss - rss < 400 * 2 ** 20, 'memory stays bounded');
  await beside();
  // What was taken is whole, and nothing half lies about.
  const { archive } = server.pipeline;
  const rows = archive.db.all<{ id: number }>('SELECT id FROM instances');
  assert.ok(rows.length >= served);
  for (const { id } of rows) assert.equal(await archive.check(archive.get(id)!), undefined);
  assert.deepEqual(await readdir(join(archive.files.root, 'incoming')), []);
});
