/** Mutated requests to QIDO-RS and WADO-RS: an answer that the standard knows, never a failure of the server. */
import assert from 'node:assert/strict';
import { createConnection, type Socket } from 'node:net';
import { test } from 'node:test';
import fc from 'fast-check';
import { parseAccept } from '../../../src/dicomweb/accept.js';
import { encodeDataSet, explicitLE, mrImage, nativePixels, part10 } from '../dicom/encode.js';
import { get, startArchiveServer } from './archive-server.js';

const SEED = 20261123;
const KNOWN = new Set([200, 206, 400, 404, 405, 406, 421, 431]);

const words = fc.constantFrom(
  ...['studies', 'series', 'instances', 'metadata', 'frames', 'rendered', 'bulkdata', 'thumbnail'],
  ...[
    '1.2.3.4',
    '1.2.3.4.5',
    '1.2.3.4.5.6',
    '1',
    '1,2',
    '0',
    '-1',
    '7FE00010',
    '00081140',
    '..',
    '.',
    '%00',
    '%',
    '%2e%2e',
  ],
);
const INSTANCE = ['studies', '1.2.3.4', 'series', '1.2.3.4.5', 'instances', '1.2.3.4.5.6'];
/** A good address, cut or lengthened by words, one of its words exchanged. */
const paths = fc
  .tuple(fc.nat(6), fc.array(words, { maxLength: 2 }), fc.option(fc.tuple(fc.nat(6), words)))
  .map(([length, more, exchanged]) => {
    const path = [...INSTANCE.slice(0, length), ...more];
    return exchanged === null || path.length === 0
      ? path
      : path.with(Math.min(exchanged[0], Math.max(0, path.length - 1)), exchanged[1]);
  });
const parameters = fc.tuple(
  fc.oneof(
    fc.constantFrom(
      'PatientName',
      '00100010',
      'StudyDate',
      'limit',
      'offset',
      'includefield',
      'fuzzymatching',
    ),
    fc.constantFrom(
      'accept',
      'window',
      'ModalitiesInStudy',
      '00400275.00400009',
      '__proto__',
      'constructor',
      'a[b]',
    ),
    fc.string({ maxLength: 12 }),
  ),
  fc.oneof(
    fc.constantFrom(
      '*',
      '?',
      '20240101-',
      '-',
      '1,2\\3',
      'all',
      '1e9',
      '999999999',
      'true',
      '*/*;q=0',
      "' OR 1=1",
    ),
    fc.string({ maxLength: 40 }),
  ),
);
const accepts = fc.oneof(
  fc.constantFrom(
    '*/*',
    'multipart/related; type="application/dicom"; transfer-syntax=*',
    'image/*, */*;q=0',
  ),
  fc.constantFrom(
    'multipart/related;type=',
    'application/dicom+json;q=2',
    ',,,;;;"',
    'application/octet-stream',
  ),
  fc.string({ maxLength: 60 }).map((text) => text.replaceAll(/[^\x20-\x7e]/g, '')),
);

test('mutated addresses, queries and Accept headers', async (t) => {
  const server = await startArchiveServer(t);
  const pixels = nativePixels(
    explicitLE,
    Array.from({ length: 24 }, (_, i) => i),
    16,
  );
  const file = part10(explicitLE, Buffer.concat([encodeDataSet(explicitLE, mrImage()), pixels]));
  await server.store(file);
  const good = `${server.url}/studies/1.2.3.4/series/1.2.3.4.5/instances/1.2.3.4.5.6`;
  const seen = new Map<number, number>();
  await fc.assert(
    fc.asyncProperty(paths, fc.array(parameters, { maxLength: 3 }), accepts, async (path, query, accept) => {
      const search = query.map(([name, value]) => `${encodeURIComponent(name)}=${encodeURIComponent(value)}`);
      const response = await fetch(`${server.url}/${path.join('/')}?${search.join('&')}`, {
        headers: { accept },
      });
      await response.arrayBuffer();
      seen.set(response.status, (seen.get(response.status) ?? 0) + 1);
      assert.ok(KNOWN.has(response.status), `${response.status} ${response.url} ${accept}`);
    }),
    { seed: SEED, numRuns: 500, interruptAfterTimeLimit: 5000, markInterruptAsFailure: false },
  );
  t.diagnostic(JSON.stringify(Object.fromEntries(seen)));
  assert.ok([200, 400, 404].every((status) => (seen.get(status) ?? 0) > 0));
  assert.ok((await get(good, 'application/dicom')).body.equals(file));
});

test('bytes that are no HTTP, beside a good request', async (t) => {
  const server = await startArchiveServer(t);
  const { hostname, port } = new URL(server.url);
  const sockets: Socket[] = [];
  t.after(() => {
    for (const socket of sockets) socket.destroy();
  });
  await fc.assert(
    fc.asyncProperty(fc.uint8Array({ minLength: 1, maxLength: 400 }), async (bytes) => {
      const socket = createConnection({ host: hostname, port: Number(port) });
      sockets.push(socket);
      socket.on('error', () => {});
      socket.end(Buffer.concat([Buffer.from('GET /dicom-web/studies'), bytes]));
      assert.equal((await get(`${server.url}/studies`)).status, 200);
    }),
    { seed: SEED, numRuns: 60, interruptAfterTimeLimit: 3000, markInterruptAsFailure: false },
  );
});

test('any Accept header is read', () => {
  fc.assert(
    fc.property(fc.string({ maxLength: 300 }), (text) => {
      for (const { quality } of parseAccept(text)) assert.ok(quality >= 0 && quality <= 1);
    }),
    { seed: SEED, numRuns: 2000 },
  );
  const started = performance.now();
  parseAccept(`${'a/b;'.repeat(5000)}"${'\\'.repeat(5000)},`);
  assert.ok(performance.now() - started < 10_000);
  assert.deepEqual(
    parseAccept('a/b;q=0.5, multipart/related; type="x/y; transfer-syntax=1.2"; boundary=q, c/*').map(
      ({ type, multipart, transferSyntax, quality }) => [type, multipart, transferSyntax, quality],
    ),
    [
      ['x/y', true, '1.2', 1],
      ['c/*', false, undefined, 1],
      ['a/b', false, undefined, 0.5],
    ],
  );
});
