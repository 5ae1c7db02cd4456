import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { openArchive } from '../../../src/archive/index.js';
import {
  createFetching,
  createPulling,
  daysUntil,
  type Fetch,
  FetchError,
  type Fetching,
  findSeries,
  type Keys,
  type Source,
} from '../../../src/fetch/index.js';
import { openEmbeddedQueue } from '../../../src/queue/index.js';

type Study = Record<string, string>;

/** A source of studies and series; `send` says how many instances of a series have arrived after it was asked. */
class FakeSource implements Source {
  readonly name = 'pacs';
  readonly parallel = 1;
  readonly asked: [string, Record<string, string>][] = [];
  readonly sent: string[] = [];

  constructor(
    public studies: Study[],
    public series: Study[],
    private readonly send: (series: string) => Promise<void> | void,
  ) {}

  async find(level: 'STUDY' | 'SERIES', keys: Keys) {
    this.asked.push([level, Object.fromEntries(keys)]);
    const study = keys.get('StudyInstanceUID');
    return (level === 'STUDY' ? this.studies : this.series)
      .filter((entry) => study === undefined || study === '' || entry.StudyInstanceUID === study)
      .map((entry) => ({
        values: (keyword: string) => (entry[keyword] === undefined ? [] : [entry[keyword]]),
      }));
  }

  async retrieve({ series }: { series: string }) {
    this.sent.push(series);
    await this.send(series);
  }

  echo = async () => 'here';
}

const STUDY = '1.2.3';

async function open(t: TestContext, source: (arrive: (series: string, count: number) => void) => Source) {
  const data = mkdtempSync(join(tmpdir(), 'fetching-'));
  const archive = await openArchive(data);
  const queue = openEmbeddedQueue(archive.db, archive.clock);
  let sops = 0;
  const arrive = (series: string, count: number) =>
    archive.db.transaction(() => {
      const known = archive.db.get<{ id: number }>('SELECT id FROM series WHERE series = ?', series);
      const id =
        known?.id ??
        archive.db.run(
          "INSERT INTO series (study, series, origin, opened_at, last_received_at) VALUES (?, ?, 'received', 0, 0)",
          STUDY,
          series,
        ).id;
      for (let i = 0; i < count; i += 1) {
        sops += 1;
        archive.db.run(
          `INSERT INTO instances (series_id, sop, version, current, sop_class, transfer_syntax, digest, bytes, path,
             data_set_offset, origin, source_protocol, source_peer, source_address, received_at, state)
           VALUES (?, ?, 1, 1, '1', '1', '', 1, ?, 0, 'received', 'dimse', '', '', 0, 'left-alone')`,
          id,
          `1.2.9.${sops}`,
          `${sops}`,
        );
      }
    });
  const opened = source(arrive);
  const ended: Fetch[] = [];
  const tell: (() => void)[] = [];
  const fetching = createFetching({
    archive,
    queue,
    sources: [opened],
    retry: { baseMs: 5, capMs: 10 },
    onEnd(fetch) {
      ended.push(fetch);
      for (const told of tell.splice(0)) told();
    },
  });
  // The queue's timers do not keep a process alive.
  const alive = setInterval(() => {}, 1000);
  t.after(async () => {
    clearInterval(alive);
    await queue.close(500);
    await archive.close();
    rmSync(data, { recursive: true });
  });
  /** Resolves when so many fetches have ended. */
  const whenEnded = async (count: number) => {
    while (ended.length < count) await new Promise<void>((resolve) => tell.push(resolve));
    return ended;
  };
  return { archive, queue, fetching, whenEnded, arrive };
}

const seriesOf = (uid: string, instances?: number): Study => ({
  StudyInstanceUID: STUDY,
  SeriesInstanceUID: uid,
  Modality: 'MR',
  ...(instances !== undefined && { NumberOfSeriesRelatedInstances: String(instances) }),
});

test('a series is fetched when all that the source has is in the archive; until then it is asked again', async (t) => {
  let rounds = 0;
  const { fetching, whenEnded, queue, archive } = await open(
    t,
    (arrive) =>
      new FakeSource([], [seriesOf('1.2.3.1', 5)], (series) => {
        rounds += 1;
        if (rounds === 1) arrive(series, 3);
        if (rounds === 2) throw new FetchError('it could not send everything', true);
        if (rounds === 3) arrive(series, 2);
      }),
  );
  const [asked] = await fetching.request([{ source: 'pacs', study: STUDY, series: '1.2.3.1' }], 'request');
  assert.equal(asked?.state, 'waiting');
  const payload = archive.db.get<{ payload: string }>('SELECT payload FROM jobs')!.payload;
  assert.deepEqual(JSON.parse(payload), { fetch: asked!.id, study: STUDY, series: '1.2.3.1' });
  fetching.start();
  const [done] = await whenEnded(1);
  assert.deepEqual(
    [done?.state, done?.received, done?.expected, done?.attempts, rounds],
    ['fetched', 5, 5, 3, 3],
  );
  assert.equal(queue.state('fetch:pacs', String(asked!.id)), undefined);
});

test('what a source does not have, or never sends whole, is failed and says why; asking again begins anew', async (t) => {
  let generous = false;
  const { fetching, whenEnded } = await open(
    t,
    (arrive) =>
      new FakeSource([], [seriesOf('1.2.3.1', 5)], (series) => {
        if (generous) arrive(series, 5);
      }),
  );
  fetching.start();
  await fetching.request([{ source: 'pacs', study: STUDY, series: '1.2.3.9' }], 'request');
  const [absent] = await whenEnded(1);
  assert.deepEqual([absent?.state, absent?.message], ['failed', 'pacs does not have this series']);
  await fetching.request([{ source: 'pacs', study: STUDY, series: '1.2.3.1' }], 'request');
  const [, silent] = await whenEnded(2);
  assert.equal(silent?.state, 'failed');
  assert.match(silent!.message, /nothing of it arrived: check that the AE title/);
  assert.equal(silent?.attempts, 8);
  generous = true;
  await fetching.request([{ source: 'pacs', study: STUDY, series: '1.2.3.1' }], 'request');
  const [, , again] = await whenEnded(3);
  assert.deepEqual([again?.state, again?.id, again?.message], ['fetched', silent?.id, '']);
  await assert.rejects(
    fetching.request([{ source: 'vna', study: STUDY }], 'request'),
    /"vna" is not a source/,
  );
});

test('a source that is not there is waited for, however long', async (t) => {
  let down = 20;
  const { fetching, whenEnded } = await open(
    t,
    (arrive) =>
      new FakeSource([], [seriesOf('1.2.3.1')], (series) => {
        down -= 1;
        if (down > 0) throw Object.assign(new Error('refused'), { code: 'connect', transient: true });
        arrive(series, 1);
      }),
  );
  fetching.start();
  await fetching.request([{ source: 'pacs', study: STUDY, series: '1.2.3.1' }], 'request');
  const [done] = await whenEnded(1);
  assert.deepEqual([done?.state, done?.attempts], ['fetched', 20]);
});

test('a whole study is its series', async (t) => {
  const { fetching, whenEnded } = await open(
    t,
    (arrive) =>
      new FakeSource([], [seriesOf('1.2.3.1', 1), seriesOf('1.2.3.2', 2)], (series) =>
        arrive(series, Number(series.at(-1))),
      ),
  );
  fetching.start();
  await fetching.request([{ source: 'pacs', study: STUDY }], 'request');
  await whenEnded(2);
  assert.deepEqual(
    fetching
      .list(10)
      .map(({ series = '', state }) => [series, state])
      .sort(),
    [
      ['', 'fetched'],
      ['1.2.3.1', 'fetched'],
      ['1.2.3.2', 'fetched'],
    ],
  );
});

test('conditions go to the source where it can match them, and are looked at again', async () => {
  const source = new FakeSource(
    [
      { StudyInstanceUID: STUDY, StudyDate: '20260102', StudyDescription: 'HEAD' },
      { StudyInstanceUID: '1.2.4', StudyDate: '20260102', StudyDescription: 'KNEE' },
    ],
    [
      { ...seriesOf('1.2.3.1', 7), SeriesDescription: 'T1 mprage' },
      { ...seriesOf('1.2.3.2'), SeriesDescription: 'T1 localizer' },
      { ...seriesOf('1.2.3.3'), Modality: 'CT', SeriesDescription: 'T1' },
    ],
    () => {},
  );
  const found = await findSeries(source, {
    StudyDate: ['20260101-20260131'],
    StudyDescription: ['HEAD', 'BRAIN'],
    Modality: ['MR'],
    SeriesDescription: ['*T1*', '!*localizer*'],
  });
  assert.deepEqual(found, [{ study: STUDY, series: '1.2.3.1', instances: 7 }]);
  assert.deepEqual(source.asked, [
    ['STUDY', { StudyInstanceUID: '', StudyDate: '20260101-20260131', StudyDescription: '' }],
    [
      'SERIES',
      {
        SeriesInstanceUID: '',
        NumberOfSeriesRelatedInstances: '',
        Modality: 'MR',
        SeriesDescription: '',
        StudyInstanceUID: STUDY,
      },
    ],
  ]);
  source.asked.length = 0;
  await findSeries(source, { SeriesInstanceUID: ['1.2.3.1'] });
  assert.deepEqual(
    source.asked.map(([level]) => level),
    ['SERIES'],
  );
});

test('a rule fetches each series once, again when it has grown, and never what this server made', async (t) => {
  const source = new FakeSource(
    [{ StudyInstanceUID: STUDY }],
    [seriesOf('1.2.3.1', 2), seriesOf('1.2.3.7', 1)],
    () => {},
  );
  const requests: string[] = [];
  const states = new Map<string, Fetch>();
  const { archive, arrive } = await open(t, () => source);
  arrive('1.2.3.7', 1);
  archive.db.run("UPDATE series SET origin = 'derived' WHERE series = '1.2.3.7'");
  let looked: () => void = () => {};
  const fetching: Fetching = {
    sources: new Map([['pacs', source]]),
    async request(wanted, by) {
      for (const { series = '' } of wanted) {
        requests.push(series);
        states.set(series, {
          ...{ id: 1, source: 'pacs', study: STUDY, series, requestedBy: by, state: 'fetched' },
          ...{ received: 2, expected: 2, attempts: 1, message: '', requestedAt: 0, finishedAt: Date.now() },
        });
      }
      return [];
    },
    get: () => undefined,
    of: ({ series = '' }) => states.get(series),
    list: () => [],
    start() {},
  };
  const find = source.find.bind(source);
  source.find = async (level, keys) => {
    if (level === 'STUDY') looked();
    return find(level, keys);
  };
  const looks = async (count: number) => {
    for (let i = 0; i < count; i += 1) {
      await new Promise<void>((resolve) => {
        looked = resolve;
      });
    }
  };
  const pulling = createPulling({
    archive,
    fetching,
    rules: [{ name: 'all', source: 'pacs', every: 5, days: 1, query: { Modality: ['MR'] } }],
  });
  pulling.start();
  await looks(3);
  assert.deepEqual(requests, ['1.2.3.1']);
  source.series = [seriesOf('1.2.3.1', 3)];
  await looks(2);
  assert.equal(requests.length >= 2, true);
  states.get('1.2.3.1')!.expected = 3;
  const before = requests.length;
  await looks(3);
  assert.ok(requests.length - before <= 1, 'only what a look had found already');
  // What failed for somebody else is asked for by the rule, too; what failed for the rule waits.
  states.set('1.2.3.1', { ...states.get('1.2.3.1')!, state: 'failed', requestedBy: 'request' });
  const failedBefore = requests.length;
  await looks(3);
  assert.ok(requests.length > failedBefore);
  states.set('1.2.3.1', { ...states.get('1.2.3.1')!, state: 'failed', requestedBy: 'all' });
  const ruleFailed = requests.length;
  await looks(3);
  assert.ok(requests.length - ruleFailed <= 1);
  await pulling.close();
  assert.equal(pulling.views()[0]?.matching, 1);
});

test('days are days of this place, over months and years', () => {
  assert.equal(daysUntil(new Date(2026, 0, 1, 0, 30), 1), '20251231-20260101');
  assert.equal(daysUntil(new Date(2026, 2, 1, 23, 59), 0), '20260301-20260301');
});
