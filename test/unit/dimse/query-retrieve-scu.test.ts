import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { DataSetWriter, string, strings, tagOf } from '../../../src/dicom/index.js';
import {
  DimseError,
  type DimseTarget,
  find,
  get,
  move,
  QueryRefused,
  type QueryRetrieveOptions,
  QueryStatus,
  queryRetrieveProviders,
  type RetrievedInstance,
  startDimseServer,
} from '../../../src/dimse/index.js';

const MR = '1.2.840.10008.5.1.4.1.1.4';
const EXPLICIT = '1.2.840.10008.1.2.1';
const STUDY = { study: '1.2.3', series: '1.2.3.4' };

function instance(n: number): RetrievedInstance {
  const writer = new DataSetWriter(256);
  writer.value(tagOf('SOPClassUID'), 'UI', Buffer.from(MR));
  writer.value(tagOf('SOPInstanceUID'), 'UI', Buffer.from(`1.2.3.4.${n}`));
  const bytes = writer.finish();
  return {
    sopClassUid: MR,
    sopInstanceUid: `1.2.3.4.${n}`,
    transferSyntaxUid: EXPLICIT,
    alternatives: [],
    open: async () => bytes,
  };
}

/** An archive whose answers a test gives, and what it was asked. */
async function archive(t: TestContext, options: Partial<QueryRetrieveOptions> = {}): Promise<DimseTarget> {
  const server = await startDimseServer({
    aeTitle: 'PACS',
    host: '127.0.0.1',
    port: 0,
    peers: [{ aeTitle: '*', host: '127.0.0.1' }],
    storesToRequestor: true,
    onStore: async () => ({ status: 0 }),
    services: queryRetrieveProviders({
      permits: async () => true,
      async *find() {},
      select: () => [instance(1), instance(2), instance(3)],
      targetOf: () => undefined,
      ...options,
    }),
  });
  t.after(() => server.close(0));
  return { host: '127.0.0.1', port: server.port, calledAeTitle: 'PACS', callingAeTitle: 'MCNET' };
}

async function failure(work: Promise<unknown>): Promise<DimseError> {
  const error = await work.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  assert.ok(error instanceof DimseError, String(error));
  return error;
}

const key = (keyword: string, vr: string, value = '') => ({ tag: tagOf(keyword), vr, value });

test('C-FIND: keys as they are given, in a character set that holds them; every match', async (t) => {
  const asked: string[] = [];
  const target = await archive(t, {
    async *find(identifier) {
      asked.push(string(identifier, 'QueryRetrieveLevel') ?? '', ...strings(identifier, 'PatientName'));
      for (const n of [1, 2]) {
        const bytes = Buffer.from(`1.2.3.${n}`);
        yield { elements: [{ tag: tagOf('SeriesInstanceUID'), vr: 'UI', bytes }], allKeysSupported: n === 1 };
      }
    },
  });
  const found = await find(target, 'SERIES', [
    key('PatientName', 'PN', 'Müller^Jürg'),
    key('SeriesInstanceUID', 'UI'),
  ]);
  assert.deepEqual(asked, ['SERIES', 'Müller^Jürg']);
  assert.deepEqual(
    found.map((match) => string(match, 'SeriesInstanceUID')),
    ['1.2.3.1', '1.2.3.2'],
  );
  const tooMany = await failure(find(target, 'SERIES', [], { limit: 1 }));
  assert.deepEqual([tooMany.code, tooMany.transient], ['local', false]);
  assert.match(tooMany.message, /more than 1 matches: narrow the query/);
});

test('refusals are told apart: a mistake that stays, and a moment that passes', async (t) => {
  const refusing = (status: number) =>
    archive(t, {
      // biome-ignore lint/correctness/useYield: it refuses before it yields anything.
      async *find() {
        throw new QueryRefused(status, 'no');
      },
      select: () => {
        throw new QueryRefused(status, 'no');
      },
      targetOf: () => ({ host: '127.0.0.1', port: 9, calledAeTitle: 'A', callingAeTitle: 'B' }),
    });
  for (const [status, transient] of [
    [QueryStatus.identifierDoesNotMatch, false],
    [0xa700, true],
    [0xc001, true],
    [0x0124, false],
  ] as const) {
    const target = await refusing(status);
    for (const work of [() => find(target, 'STUDY', []), () => move(target, 'MCNET', STUDY)]) {
      const error = await failure(work());
      assert.deepEqual([error.code, error.status, error.transient], ['status', status, transient]);
      assert.match(error.message, /^PACS at 127\.0\.0\.1:\d+ answered C-(FIND|MOVE) with 0x/);
    }
  }
  const unknown = await failure(move(await archive(t), 'NOBODY', STUDY));
  assert.deepEqual([unknown.status, unknown.transient], [QueryStatus.moveDestinationUnknown, false]);
  assert.match(unknown.message, /add this node, by the AE title/);
});

test('C-GET: every object comes on the same association; what we refuse is counted as failed', async (t) => {
  const target = await archive(t);
  const seen: string[] = [];
  const progress: number[] = [];
  const all = await get(
    target,
    STUDY,
    {
      async onStore({ sopInstanceUid, callingAeTitle, data }) {
        for await (const _ of data);
        seen.push(sopInstanceUid);
        assert.equal(callingAeTitle, 'MCNET');
        return { status: 0 };
      },
    },
    { onProgress: ({ completed }) => progress.push(completed) },
  );
  assert.deepEqual(all, { completed: 3, failed: 0, warning: 0 });
  assert.deepEqual(seen, ['1.2.3.4.1', '1.2.3.4.2', '1.2.3.4.3']);
  assert.equal(progress.at(-1), 3);

  const some = await failure(
    get(target, STUDY, {
      onStore: async ({ sopInstanceUid }) => ({ status: sopInstanceUid.endsWith('2') ? 0xa700 : 0 }),
    }),
  );
  assert.deepEqual([some.status, some.transient], [QueryStatus.suboperationsWithFailures, true]);
  assert.match(some.message, /2 sent, 1 failed/);
});

test('a peer without the service is named; a cancelled retrieval ends', async (t) => {
  const plain = await startDimseServer({
    aeTitle: 'PACS',
    host: '127.0.0.1',
    port: 0,
    peers: [{ aeTitle: '*', host: '127.0.0.1' }],
    onStore: async () => ({ status: 0 }),
  });
  t.after(() => plain.close(0));
  const target = { host: '127.0.0.1', port: plain.port, calledAeTitle: 'PACS', callingAeTitle: 'MCNET' };
  const nobody = { onStore: async () => ({ status: 0 }) };
  for (const [work, what] of [
    [() => find(target, 'STUDY', []), /does not offer queries/],
    [() => move(target, 'MCNET', STUDY), /does not offer retrieval \(C-MOVE/],
    [() => get(target, STUDY, nobody), /does not offer retrieval \(C-GET/],
  ] as const) {
    const error = await failure(work());
    assert.deepEqual([error.code, error.transient], ['not-accepted', false]);
    assert.match(error.message, what);
  }
  const stop = new AbortController();
  const slow = await archive(t, {
    select: () =>
      new Promise((resolve) => {
        stop.signal.addEventListener('abort', () => setImmediate(() => resolve([])));
        stop.abort();
      }),
  });
  const cancelled = await failure(get(slow, STUDY, nobody, { signal: stop.signal }));
  assert.equal(cancelled.code, 'cancelled');
});
