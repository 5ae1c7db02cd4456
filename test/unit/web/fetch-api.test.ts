import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import type { Fetch, Source, Wanted } from '../../../src/fetch/index.js';
import { startFakeServer } from './fake-server.js';

async function start(t: TestContext) {
  const requested: Wanted[] = [];
  let problem: Error | undefined;
  const source: Source = {
    name: 'pacs',
    parallel: 1,
    async find(level, keys) {
      if (problem) throw problem;
      if (keys.get('PatientID') === 'NOBODY') return [];
      const values: Record<string, string> = {
        StudyInstanceUID: '1.2.3',
        PatientID: 'P-1',
        ...(level === 'SERIES' && { SeriesInstanceUID: '1.2.3.4' }),
      };
      return [{ values: (keyword) => (values[keyword] === undefined ? [] : [values[keyword]]) }];
    },
    retrieve: async () => {},
    echo: async () => '',
  };
  const fetchOf = (wanted: Wanted, id: number): Fetch => ({
    ...wanted,
    ...{
      id,
      requestedBy: 'request',
      state: 'waiting',
      received: 0,
      attempts: 0,
      message: '',
      requestedAt: 1,
    },
  });
  const server = await startFakeServer({
    fetching: {
      sources: new Map([['pacs', source]]),
      async request(wanted) {
        requested.push(...wanted);
        return wanted.map(fetchOf);
      },
      get: (id) => (id === 7 ? fetchOf({ source: 'pacs', study: '1.2.3' }, 7) : undefined),
      list: (limit) => [fetchOf({ source: 'pacs', study: '1.2.3' }, limit)],
    },
    pulls: () => [{ name: 'all', source: 'pacs', matching: 3 }],
  });
  t.after(() => server.close());
  const post = async (body: unknown, headers = {}) => {
    const response = await fetch(`${server.url}/api/fetch`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...headers },
      body: typeof body === 'string' ? body : JSON.stringify(body),
    });
    return {
      status: response.status,
      body: (await response.json()) as { error?: string; fetches?: Fetch[] },
    };
  };
  return {
    server,
    requested,
    post,
    fail: (error: Error) => {
      problem = error;
    },
  };
}

test('UIDs are asked for without asking the source; identifiers are looked up there first', async (t) => {
  const { post, requested, fail } = await start(t);
  const named = await post({ source: 'pacs', patientId: 'P-1' });
  assert.equal(named.status, 202);
  fail(new Error('PACS at 10.0.0.5:104: the connection timed out'));
  const direct = await post({ source: 'pacs', study: '1.2.3', series: '1.2.3.4' });
  assert.equal(direct.status, 202);
  assert.equal(direct.body.fetches?.[0]?.state, 'waiting');
  assert.deepEqual(requested, [
    { source: 'pacs', study: '1.2.3', series: '1.2.3.4' },
    { source: 'pacs', study: '1.2.3', series: '1.2.3.4' },
  ]);
  const unreachable = await post({ source: 'pacs', accessionNumber: 'A-1' });
  assert.deepEqual(
    [unreachable.status, unreachable.body.error],
    [502, 'PACS at 10.0.0.5:104: the connection timed out'],
  );
});

test('requests that name nothing, too much or nonsense are refused in words without their values', async (t) => {
  const { post, requested, server } = await start(t);
  const expectRefusal = async (body: unknown, status: number, error: RegExp) => {
    const answer = await post(body);
    assert.equal(answer.status, status, JSON.stringify(answer.body));
    assert.match(answer.body.error!, error);
    assert.ok(!JSON.stringify(answer.body).includes('SECRET'));
  };
  await expectRefusal({ source: 'SECRET', study: '1.2' }, 400, /source must be one of pacs/);
  await expectRefusal(
    { source: 'pacs' },
    400,
    /one of study, series, accessionNumber, patientId must be given/,
  );
  await expectRefusal({ source: 'pacs', modality: 'MR' }, 400, /must be given/);
  await expectRefusal({ source: 'pacs', study: 'SECRET' }, 400, /study does not have the form/);
  await expectRefusal({ source: 'pacs', patientId: 'SECRET*' }, 400, /patientId does not have the form/);
  await expectRefusal({ source: 'pacs', patientId: '!SECRET' }, 400, /patientId does not have the form/);
  await expectRefusal({ source: 'pacs', patientId: 1 }, 400, /patientId does not have the form/);
  await expectRefusal({ source: 'pacs', patientName: 'SECRET' }, 400, /unknown key/);
  await expectRefusal([], 400, /JSON object/);
  await expectRefusal('{"source": SECRET', 400, /malformed/);
  await expectRefusal({ source: 'pacs', patientId: 'NOBODY' }, 404, /pacs has no series that matches/);
  const foreign = await post({ source: 'pacs', study: '1.2.3' }, { origin: 'https://evil.example' });
  assert.equal(foreign.status, 403);
  assert.deepEqual(requested, []);
  assert.ok(!server.log.join('').includes('SECRET'));
});

test('fetches and sources can be looked at', async (t) => {
  const { server } = await start(t);
  const get = async (path: string) => {
    const response = await fetch(server.url + path);
    return { status: response.status, body: (await response.json()) as Record<string, unknown> };
  };
  assert.equal((await get('/api/fetch/7')).body.id, 7);
  assert.equal((await get('/api/fetch/8')).status, 404);
  assert.equal((await get('/api/fetch/x')).status, 404);
  assert.equal((await get('/api/fetch?limit=0')).status, 400);
  assert.equal(((await get('/api/fetch?limit=3')).body.fetches as Fetch[])[0]?.source, 'pacs');
  assert.deepEqual((await get('/api/sources')).body, {
    sources: ['pacs'],
    pulls: [{ name: 'all', source: 'pacs', matching: 3 }],
  });
});
