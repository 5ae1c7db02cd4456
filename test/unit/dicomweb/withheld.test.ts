/** Who is handed what: what waits for a person or was rejected, and whose headers a masked page may see. */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { loadConfig } from '../../../src/config/index.js';
import { find, get as retrieve } from '../../../src/dimse/index.js';
import { encodeDataSet, explicitLE, mrImage, nativePixels, part10 } from '../dicom/encode.js';
import { eventually } from '../pipeline/synthetic.js';
import { startNode } from '../retrieve/query-retrieve-node.js';
import { startArchiveServer } from './archive-server.js';

const AT_PAGE = { 'sec-fetch-site': 'same-origin' };

async function start(t: TestContext, patient: 'full' | 'initials' | 'masked') {
  const server = await startArchiveServer(t, {}, { page: { patient } }, { hold: 'until accepted' });
  const store = async (sop: string) => {
    const header = mrImage({
      extra: [
        [0x0020000d, 'UI', '1.1'],
        [0x0020000e, 'UI', '1.1.1'],
        [0x00080018, 'UI', sop],
        [0x00100010, 'PN', 'Secret^Name'],
        [0x00100020, 'LO', 'SECRET-7'],
      ],
    });
    const pixels = nativePixels(
      explicitLE,
      Array.from({ length: 24 }, (_, i) => i),
      16,
    );
    await server.store(part10(explicitLE, Buffer.concat([encodeDataSet(explicitLE, header), pixels])));
  };
  const { pipeline } = server;
  const corrected = (count: number) =>
    eventually('corrected', () => {
      const view = pipeline.series.get('1.1.1');
      return view?.state === 'corrected' && view.counts.corrected === count;
    });
  pipeline.start();
  await store('1.1.1.1');
  await store('1.1.1.2');
  await corrected(2);
  const derived = pipeline.series.get('1.1.1')!.derivedSeries[0]!;
  const ask = async (path: string, headers: Record<string, string> = {}) => {
    const answer = await fetch(`${server.url}${path}`, { headers: { accept: '*/*', ...headers } });
    const text = await answer.text();
    return { status: answer.status, text, list: () => JSON.parse(text) as object[] };
  };
  return { ...server, store, corrected, derived, ask };
}

/** What a peer finds and gets over DIMSE. */
async function pulls(t: TestContext, { pipeline }: Awaited<ReturnType<typeof start>>) {
  const config = {
    ...loadConfig(),
    dimse: { host: '127.0.0.1', port: 0 },
    peers: [{ aeTitle: 'PULL', host: '127.0.0.1' }],
  };
  const port = await startNode(t, config, pipeline);
  const target = { host: '127.0.0.1', port, calledAeTitle: 'MCNET', callingAeTitle: 'PULL' };
  return async () => {
    const found = async (level: 'STUDY' | 'SERIES' | 'IMAGE', keyword: number, vr: string) => {
      const keys = [
        { tag: 0x0020000d, vr: 'UI', value: '1.1' },
        { tag: keyword, vr, value: '' },
      ];
      return find(target, level as 'STUDY' | 'SERIES', keys);
    };
    const studies = await found('STUDY', 0x00201208, 'IS');
    const series = await found('SERIES', 0x0020000e, 'UI');
    const sent: string[] = [];
    await retrieve(
      target,
      { study: '1.1' },
      {
        async onStore({ sopInstanceUid, data }) {
          for await (const _ of data);
          sent.push(sopInstanceUid);
          return { status: 0 };
        },
      },
    );
    const text = (dataSet: (typeof studies)[number], tag: number) =>
      dataSet.elements
        .get(tag)!
        .bytes.toString('latin1')
        .replace(/[\0 ]+$/, '');
    return {
      instances: text(studies[0]!, 0x00201208),
      series: series.map((one) => text(one, 0x0020000e)).sort(),
      sent: sent.length,
    };
  };
}

test('what waits to be accepted, or was rejected, is there for the page and for nobody else', async (t) => {
  const server = await start(t, 'full');
  const { ask, derived, pipeline } = server;
  const pull = await pulls(t, server);
  const paths = ['', '/metadata', '/instances'].map((rest) => `/studies/1.1/series/${derived}${rest}`);
  const seen = async (headers: Record<string, string>) => {
    const series = (await ask('/studies/1.1/series', headers)).list();
    const instances = (await ask('/instances?StudyInstanceUID=1.1', headers)).list();
    const { text: study } = await ask('/studies/1.1', headers);
    const answers = await Promise.all(paths.map(async (path) => (await ask(path, headers)).status));
    return { series: series.length, instances: instances.length, whole: study.includes(derived), answers };
  };
  const hidden = { series: 1, instances: 2, whole: false, answers: [404, 404, 200] };
  const shown = { series: 2, instances: 4, whole: true, answers: [200, 200, 200] };

  assert.deepEqual(await seen({}), hidden, 'held');
  assert.deepEqual(await seen(AT_PAGE), shown, 'the page has to show it');
  assert.deepEqual(await seen({ referer: `${server.origin}/` }), shown, 'also without Fetch Metadata');
  assert.deepEqual(await seen({ referer: 'http://elsewhere.example/' }), hidden);
  assert.deepEqual(await seen({ 'sec-fetch-site': 'cross-site' }), hidden, 'a viewer of another origin');
  assert.deepEqual(await pull(), { instances: '2', series: ['1.1.1'], sent: 2 });

  await pipeline.review('1.1.1', { verdict: 'accepted', comment: '', reviewer: 'maria' });
  assert.deepEqual(await seen({}), shown, 'accepted');
  assert.deepEqual(await pull(), { instances: '4', series: ['1.1.1', derived].sort(), sent: 4 });

  // What comes after the acceptance nobody has seen.
  await server.store('1.1.1.3');
  await server.corrected(3);
  assert.equal((await pull()).sent, 5);
  assert.equal((await ask('/instances')).list().length, 5);
  assert.equal((await ask('/instances', AT_PAGE)).list().length, 6);

  await pipeline.review('1.1.1', { verdict: 'rejected', comment: '', reviewer: 'maria' });
  assert.deepEqual(await pull(), { instances: '3', series: ['1.1.1'], sent: 3 });
  assert.equal((await ask(paths[0]!)).status, 404, 'rejected');
  assert.equal((await ask(paths[0]!, AT_PAGE)).status, 200);
});

test('a page that does not show whom it is about gets pixels, and no answer that names the patient', async (t) => {
  for (const patient of ['masked', 'initials'] as const) {
    const { ask, derived } = await start(t, patient);
    const source = '/studies/1.1/series/1.1.1/instances/1.1.1.1';
    for (const path of [
      '/studies',
      '/series',
      '/instances',
      '/studies?PatientName=Secret*',
      '/studies/1.1',
      '/studies/1.1/metadata',
      '/studies/1.1/series',
      '/studies/1.1/series/1.1.1/metadata',
      source,
      `${source}/metadata`,
      `${source}/bulkdata/00100010`,
      `${source}/bulkdata/7FE00010`,
      `/studies/1.1/series/${derived}`,
      '/Studies/1.1/frames/1',
      '/studies/1.1/metadata/',
    ]) {
      const answer = await ask(path, AT_PAGE);
      assert.ok(answer.status === 403 || answer.status === 404, `${path}: ${answer.status}`);
      assert.doesNotMatch(answer.text, /secret\W/i, path);
      if (path === source) {
        assert.match((await ask(path)).text, /Secret\^Name/, 'programs are asked for who they are');
      }
    }
    for (const path of [`${source}/frames/1`, `${source}/rendered`, `${source}/frames/1/rendered`]) {
      const answer = await ask(path, AT_PAGE);
      assert.equal(answer.status, 200, path);
      assert.doesNotMatch(answer.text, /secret/i, path);
    }
  }
  const { ask } = await start(t, 'full');
  assert.equal((await ask('/studies', AT_PAGE)).status, 200);
});
