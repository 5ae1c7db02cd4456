import assert from 'node:assert/strict';
import { existsSync, readdirSync } from 'node:fs';
import { unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { monotonicClock, openArchive } from '../../../src/archive/index.js';
import { removeRows } from '../../../src/archive/removal.js';
import { IntakeError } from '../../../src/intake/index.js';
import { openPipeline, type Pipeline, type PipelineOptions } from '../../../src/pipeline/index.js';
import { reviewsOf } from '../../../src/series/index.js';
import {
  accepted,
  atEnd,
  derivedUid,
  eventually,
  type FakeDerivation,
  FakeDestination,
  type Header,
  invertingModel,
  reader,
  rules,
  type Slice,
  slice,
  temporaryFolder,
} from '../pipeline/synthetic.js';

const day = 86_400_000;

/** Real time, and what a test adds to it. */
function movableClock() {
  const real = monotonicClock();
  const clock = { ahead: 0, now: () => real.now() + clock.ahead };
  return clock;
}

type Options = PipelineOptions<Header, FakeDerivation>;

async function open(t: TestContext, options: Partial<Options> = {}) {
  const clock = movableClock();
  const data = options.data ?? (await temporaryFolder(t));
  const pacs = new FakeDestination('pacs');
  const pipeline = await openPipeline<Header, FakeDerivation>({
    data,
    rules,
    dicom: reader,
    models: new Map([['test', invertingModel()]]),
    destinations: [pacs],
    clock,
    complete: { quiet: 40, maxAge: 5000 },
    retry: { deliver: { baseMs: 10, capMs: 50, refusedMs: 10, maxRefusals: 2 } },
    ...options,
  });
  let closed: Promise<void> | undefined;
  const close = () => {
    closed ??= pipeline.close(500);
    return closed;
  };
  atEnd(t, close);
  const removed: { series: string; instances: number; why: string }[] = [];
  pipeline.events.on('removed', ({ series, instances, why }) => removed.push({ series, instances, why }));
  return { pipeline, pacs, data, removed, clock, close };
}

const keep = { interval: 3600_000, remember: 365 * day };

async function receive(pipeline: Pipeline, one: Slice, peer = 'SCANNER') {
  const incoming = pipeline.intake.beginFile({ source: { protocol: 'dimse', peer, address: '127.0.0.1' } });
  await incoming.write(one.file);
  return incoming.commit();
}

const slicesOf = (study: string, count = 3, values = {}) =>
  Array.from({ length: count }, (_, i) =>
    slice({ study, series: `${study}.1`, sop: `${study}.1.${i + 1}`, values, pixels: Buffer.alloc(5000, i) }),
  );

/** A delivery's job ends a moment after the last of its slices is delivered. */
const noDelivery = (pipeline: Pipeline) =>
  eventually(
    'no delivery waits',
    () => pipeline.archive.db.get("SELECT 1 FROM jobs WHERE kind = 'deliver:pacs'") === undefined,
  );

async function finish(pipeline: Pipeline, study: string, state: string, values = {}): Promise<Slice[]> {
  const slices = slicesOf(study, 3, values);
  for (const one of slices) await receive(pipeline, one);
  await eventually(`${study} is ${state}`, () => pipeline.series.get(`${study}.1`)?.state === state);
  if (state === 'delivered') await noDelivery(pipeline);
  return slices;
}

function filesIn(data: string): string[] {
  return readdirSync(join(data, 'archive'), { recursive: true, encoding: 'utf8' });
}

test('a delivered series goes after its age, with its derived series, files and folders, audibly', async (t) => {
  const { pipeline, data, removed, clock } = await open(t, { retention: { ...keep, age: 30 * day } });
  pipeline.start();
  await finish(pipeline, '1.2.1', 'delivered');
  clock.ahead = 20 * day;
  await finish(pipeline, '1.2.2', 'delivered');
  const bytes = pipeline.archive.bytes();
  assert.equal(await pipeline.retention.run(), 0);

  clock.ahead = 31 * day;
  assert.equal(await pipeline.retention.run(), 1);
  assert.deepEqual(removed, [{ series: '1.2.1.1', instances: 6, why: 'age' }]);
  assert.equal(pipeline.series.get('1.2.1.1'), undefined);
  assert.equal(pipeline.archive.bytes(), bytes / 2);
  assert.deepEqual(
    filesIn(data).filter((path) => path.includes('1.2.1')),
    [],
  );
  assert.equal(filesIn(data).filter((path) => path.endsWith('.dcm')).length, 6);
  const { db } = pipeline.archive;
  assert.equal(
    db.get("SELECT 1 FROM studies WHERE study = '1.2.1'"),
    undefined,
    'patient data are gone, too',
  );
  assert.equal(db.get('SELECT 1 FROM removals LIMIT 1'), undefined);
  assert.equal(
    db.get<{ series: string }>("SELECT series FROM audit WHERE event = 'series removed by retention'")
      ?.series,
    '1.2.1.1',
  );
  assert.equal(pipeline.series.get('1.2.2.1')?.state, 'delivered');
});

test('what was removed is known: own output and the same object are not corrected again, other bytes are', async (t) => {
  const { pipeline, pacs, clock } = await open(t, { retention: { ...keep, age: day } });
  pipeline.start();
  const [first, second] = await finish(pipeline, '1.2.1', 'delivered');
  clock.ahead = 2 * day;
  assert.equal(await pipeline.retention.run(), 1);
  assert.equal(pacs.received.length, 3);

  const again = await receive(pipeline, first!);
  assert.equal(again.outcome, 'stored');
  assert.ok(existsSync(again.instance.path), 'it is kept: Success was answered');
  assert.equal(again.instance.state, 'left-alone');
  assert.match(again.instance.reason, /removed by retention on \d{4}-\d\d-\d\d/);

  const own = slice({ study: '1.2.1', series: '1.2.77', sop: derivedUid(first!.sop, { model: 'test' }) });
  const back = await receive(pipeline, own);
  assert.equal(back.instance.state, 'left-alone');
  assert.match(back.instance.reason, /this server made its SOP Instance UID/);

  const other = slice({ ...second!, sop: second!.sop, pixels: Buffer.alloc(5000, 99) });
  const late = await receive(pipeline, other);
  assert.equal(late.instance.state, 'pending');
  await eventually('the changed one is delivered', () => pacs.received.length === 4);

  await eventually('settled', () => pipeline.series.get('1.2.1.1')?.state === 'delivered');
  assert.equal((await pipeline.retry('1.2.1.1'))?.reclassified, 1);
  await eventually('a retry corrects it', () => pacs.received.length === 5);

  clock.ahead = 400 * day;
  await pipeline.retention.run();
  clock.ahead = 800 * day;
  await pipeline.retention.run();
  assert.equal(
    pipeline.archive.db.get<{ n: number }>('SELECT COUNT(*) AS n FROM removed')?.n,
    0,
    'forgotten at last',
  );
});

test('nothing that is owed to anybody is removed, however old and however short the space', async (t) => {
  let judge: FakeDestination['judge'] = () => ({ outcome: 'lost', message: 'away', transient: true });
  const pacs = new FakeDestination('pacs', (sop, attempt) => judge(sop, attempt));
  const { pipeline, removed } = await open(t, {
    destinations: [pacs],
    models: new Map([
      [
        'test',
        invertingModel(async (sop) => {
          if (sop.startsWith('1.2.4.'))
            throw Object.assign(new Error('cannot be corrected'), { permanent: true });
        }),
      ],
    ]),
    rules: [
      { ...rules[0]!, when: { Modality: 'MR', BodyPartExamined: 'HEAD' } },
      {
        ...rules[0]!,
        name: 'slow',
        when: { BodyPartExamined: 'BRAIN' },
        complete: { quiet: 3600_000, maxAge: 3600_000 },
      },
    ],
    retention: { ...keep, age: 1, space: 1, free: Number.MAX_SAFE_INTEGER },
  });
  pipeline.start();
  await finish(pipeline, '1.2.1', 'corrected'); // the destination is away
  await finish(pipeline, '1.2.4', 'failed');
  for (const one of slicesOf('1.2.5', 3, { BodyPartExamined: 'BRAIN' })) await receive(pipeline, one);
  assert.equal(await pipeline.retention.run(), 0);

  judge = () => ({ outcome: 'refused', status: 0xa900, message: 'no', transient: false });
  await pipeline.retry('1.2.1.1');
  await eventually('refused', () => pipeline.series.get('1.2.1.1')?.state === 'failed');
  assert.equal(await pipeline.retention.run(), 0);

  judge = () => accepted;
  await pipeline.retry('1.2.1.1');
  await eventually('delivered', () => pipeline.series.get('1.2.1.1')?.state === 'delivered');
  const { db } = pipeline.archive;
  await noDelivery(pipeline);
  db.run(
    'INSERT INTO commitment_requests (peer, transaction_uid, instances, requested_at) VALUES (?, ?, ?, ?)',
    'PACS',
    '1.9',
    JSON.stringify([{ sopClassUid: '1.2', sopInstanceUid: '1.2.1.1.2' }]),
    0,
  );
  assert.equal(await pipeline.retention.run(), 0, 'a peer asked whether it is kept');
  db.run('DELETE FROM commitment_requests');
  db.run("UPDATE series SET hold = 1 WHERE series = '1.2.1.1'");
  assert.equal(await pipeline.retention.run(), 0, 'it waits for a person');
  db.run('UPDATE series SET hold = 0');
  db.run("INSERT INTO reader_studies VALUES ('a', 'a', 'a', 'a', 0)");
  db.run("INSERT INTO reader_cases VALUES ('a', 1, '1.2.1', '1.2.1.1')");
  assert.equal(await pipeline.retention.run(), 0, 'readers look at it');
  db.run('DELETE FROM reader_cases');
  db.run("UPDATE instances SET damage = 'the file is missing' WHERE sop = '1.2.1.1.2'");
  assert.equal(await pipeline.retention.run(), 0, 'damage is for a person');
  db.run('UPDATE instances SET damage = NULL');
  assert.equal(await pipeline.retention.run(), 1);
  assert.deepEqual(removed, [{ series: '1.2.1.1', instances: 6, why: 'age' }]);
  assert.equal(pipeline.series.get('1.2.4.1')?.state, 'failed');
  assert.equal(pipeline.series.get('1.2.5.1')?.state, 'receiving');
});

test('a rejected series is done with, from the decision on; what was decided outlives it', async (t) => {
  const { pipeline, clock, removed } = await open(t, {
    rules: [{ ...rules[0]!, hold: 'until accepted' }],
    retention: { ...keep, age: 30 * day },
  });
  pipeline.start();
  await finish(pipeline, '1.2.1', 'corrected');
  clock.ahead = 40 * day;
  assert.equal(await pipeline.retention.run(), 0, 'nobody has decided yet');
  await pipeline.review('1.2.1.1', { verdict: 'rejected', comment: 'ghosts stay', reviewer: 'maria' });
  clock.ahead = 60 * day;
  assert.equal(await pipeline.retention.run(), 0, 'the decision may still be changed');
  clock.ahead = 71 * day;
  assert.equal(await pipeline.retention.run(), 1);
  assert.deepEqual(removed, [{ series: '1.2.1.1', instances: 6, why: 'age' }]);
  assert.equal(pipeline.series.get('1.2.1.1'), undefined);
  const kept = reviewsOf(pipeline.archive, { series: '1.2.1.1' });
  assert.deepEqual(
    kept.map(({ verdict, comment, reviewer }) => ({ verdict, comment, reviewer })),
    [{ verdict: 'rejected', comment: 'ghosts stay', reviewer: 'maria' }],
  );
  clock.ahead = 300 * day;
  await pipeline.retention.run();
  assert.equal(reviewsOf(pipeline.archive, { series: '1.2.1.1' }).length, 1);
  clock.ahead = (71 + 366) * day;
  await pipeline.retention.run();
  assert.deepEqual(reviewsOf(pipeline.archive, { series: '1.2.1.1' }), [], 'forgotten with its UIDs');
});

test('for space the oldest go first, and only as many as needed; left alone and without destination count as finished', async (t) => {
  const { pipeline, removed } = await open(t, {
    rules: [{ ...rules[0]!, to: [] }],
    retention: { ...keep, space: 60_000 },
  });
  pipeline.start();
  await finish(pipeline, '1.2.1', 'left-alone', { Modality: 'CT' });
  await finish(pipeline, '1.2.2', 'corrected');
  await finish(pipeline, '1.2.3', 'corrected');
  await finish(pipeline, '1.2.4', 'left-alone', { Modality: 'CT' });
  await pipeline.retention.run();
  assert.ok(pipeline.archive.bytes() <= 60_000);
  assert.deepEqual(
    removed.map(({ series, why }) => `${series} ${why}`),
    ['1.2.1.1 space'],
  );
});

test('killed between rows and files: the next start removes the files, and takes nothing for a stray', async (t) => {
  const { pipeline, data, close } = await open(t);
  pipeline.start();
  const slices = await finish(pipeline, '1.2.1', 'delivered');
  await finish(pipeline, '1.2.2', 'delivered');
  const { archive } = pipeline;
  const [kept] = archive.versions('1.2.1', '1.2.1.1', slices[0]!.sop);
  archive.db.transaction(() => removeRows(archive.db, archive.clock, kept!.seriesId));
  // Sent again before its former file went: the file that is there now is the new one.
  await receive(pipeline, slices[0]!);
  await close();

  const second = await openArchive(data);
  atEnd(t, () => second.close());
  assert.deepEqual(second.recovery.quarantined, []);
  assert.deepEqual(second.recovery.damaged, []);
  const left = filesIn(data).filter((path) => path.endsWith('.dcm') && path.includes('/1.2.1/'));
  assert.equal(left.length, 1);
  assert.ok(left[0]!.endsWith(`${slices[0]!.sop}.dcm`));
  assert.equal(second.db.get('SELECT 1 FROM removals LIMIT 1'), undefined);
});

test('a file that an operator removed does not stop its series from going', async (t) => {
  const { pipeline, data } = await open(t, { retention: { ...keep, space: 1 } });
  pipeline.start();
  const slices = await finish(pipeline, '1.2.1', 'delivered');
  await unlink(pipeline.archive.versions('1.2.1', '1.2.1.1', slices[0]!.sop)[0]!.path);
  assert.equal(await pipeline.retention.run(), 1);
  assert.deepEqual(
    filesIn(data).filter((path) => path.includes('1.2.1')),
    [],
  );
});

test('a quota: instances or bytes of one source; what is held already is still a success; room comes back', async (t) => {
  const refused = (error: unknown) =>
    error instanceof IntakeError && error.code === 'quota-exceeded' && error.status === 0xa700;
  const { pipeline, clock } = await open(t, {
    quotas: [
      { source: 'SCANNER', instances: 3 },
      { source: '*', bytes: 12_000 },
    ],
    retention: { ...keep, age: day },
  });
  pipeline.start();
  const slices = await finish(pipeline, '1.2.1', 'delivered');
  await assert.rejects(
    receive(pipeline, slice({ study: '1.2.9', series: '1.2.9.1', sop: '1.2.9.1.1' })),
    refused,
  );
  assert.equal((await receive(pipeline, slices[0]!)).outcome, 'duplicate');

  const others = slicesOf('1.2.6');
  const outcomes = await Promise.allSettled(others.map((one) => receive(pipeline, one, 'OTHER')));
  assert.equal(
    outcomes.filter(({ status }) => status === 'fulfilled').length,
    2,
    'also when they come at once',
  );
  await receive(pipeline, slice({ study: '1.2.7', series: '1.2.7.1', sop: '1.2.7.1.1' }), 'THIRD');

  await eventually('delivered', () => pipeline.series.get('1.2.6.1')?.state === 'delivered');
  await noDelivery(pipeline);
  clock.ahead = 2 * day;
  assert.ok((await pipeline.retention.run()) >= 2);
  await receive(pipeline, slice({ study: '1.2.9', series: '1.2.9.1', sop: '1.2.9.1.1' }));
});
