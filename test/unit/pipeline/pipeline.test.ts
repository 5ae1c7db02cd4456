import assert from 'node:assert/strict';
import { readFile, rename, truncate, unlink } from 'node:fs/promises';
import { type TestContext, test } from 'node:test';
import { observe } from '../../../src/composition/observe.js';
import type { IntakeError } from '../../../src/intake/index.js';
import { openPipeline, type Pipeline, type PipelineOptions } from '../../../src/pipeline/index.js';
import { createLogger, createMetrics } from '../../../src/telemetry/index.js';
import {
  accepted,
  atEnd,
  derivedUid,
  eventually,
  explicitLittleEndian,
  type FakeDerivation,
  FakeDestination,
  type Header,
  invertingModel,
  mrImageStorage,
  reader,
  rules,
  type Slice,
  slice,
  temporaryFolder,
} from './synthetic.js';

type Options = PipelineOptions<Header, FakeDerivation>;
const source = { protocol: 'dimse' as const, peer: 'SCANNER', address: '127.0.0.1' };

async function open(t: TestContext, overrides: Partial<Options> & { data?: string } = {}) {
  const data = overrides.data ?? (await temporaryFolder(t));
  const pacs = new FakeDestination('pacs');
  const pipeline = await openPipeline<Header, FakeDerivation>({
    rules,
    complete: { quiet: 50, maxAge: 60_000 },
    dicom: reader,
    models: new Map([['test', invertingModel()]]),
    destinations: [pacs],
    retry: {
      correct: { baseMs: 5, capMs: 20, maxAttempts: 3 },
      deliver: { baseMs: 10, capMs: 40, refusedMs: 10, maxRefusals: 2 },
    },
    ...overrides,
    data,
  });
  let closed = false;
  const close = async () => {
    if (!closed) await pipeline.close(500);
    closed = true;
  };
  atEnd(t, close);
  return { pipeline, pacs, data, close };
}

type Opened = Awaited<ReturnType<typeof open>>['pipeline'];

async function store(pipeline: Opened, one: Slice, association?: string) {
  const incoming = pipeline.intake.beginDataSet({
    source,
    transferSyntaxUid: explicitLittleEndian,
    sopClassUid: mrImageStorage,
    sopInstanceUid: one.sop,
    ...(association !== undefined && { association }),
  });
  for (let at = 0; at < one.dataSet.length; at += 100)
    await incoming.write(one.dataSet.subarray(at, at + 100));
  return incoming.commit();
}

const slices = (n: number, from = 1) =>
  Array.from({ length: n }, (_, i) => slice({ sop: `1.2.3.4.${from + i}` }));

test('a series is received, corrected and delivered, every slice accounted for', async (t) => {
  const { pipeline, pacs } = await open(t);
  const states: string[] = [];
  const turnarounds: string[] = [];
  pipeline.events.on('series', ({ to }) => states.push(to));
  pipeline.events.on('turnaround', ({ destination, ms }) => turnarounds.push(`${destination} ${ms >= 40}`));
  const sent = slices(12);
  for (const one of sent) assert.equal((await store(pipeline, one)).outcome, 'stored');
  pipeline.start();
  await eventually('delivered', () => pipeline.series.get('1.2.3.4')?.state === 'delivered');

  const view = pipeline.series.get('1.2.3.4')!;
  assert.deepEqual(view.counts, { received: 12, corrected: 12, leftAlone: 0, failed: 0, delivered: 12 });
  assert.equal(view.completeReason, 'nothing new for 0.04 s');
  assert.equal(view.rule, 'brain');
  assert.deepEqual(view.derivedSeries, [derivedUid('1.2.3.4', { model: 'test' })]);
  assert.deepEqual(
    pacs.received,
    sent.map(({ sop }) => derivedUid(sop, { model: 'test' })),
  );
  assert.deepEqual(view.destinations, [
    { name: 'pacs', state: 'delivered', delivered: 12, failed: 0, pending: 0, attempts: 1 },
  ]);
  assert.deepEqual(
    states,
    ['complete', 'corrected', 'delivered'].filter((state) => states.includes(state)),
  );
  await eventually('turnaround', () => turnarounds.length === 1);
  assert.deepEqual(turnarounds, ['pacs true']);
  assert.deepEqual(
    pipeline.queue.stats().map(({ queued, leased, dead }) => queued + leased + dead),
    [0, 0],
  );
});

test('the bytes on disk are the bytes received, behind a meta header of our own', async (t) => {
  const { pipeline } = await open(t);
  const one = slice({ sop: '1.2.3.4.1' });
  const { instance } = await store(pipeline, one);
  const file = await readFile(instance.path);
  assert.deepEqual(file.subarray(instance.dataSetOffset), one.dataSet);
  assert.equal(file.toString('latin1', 128, 132), 'DICM');
  assert.ok(file.includes('SCANNER'));
  assert.equal(pipeline.archive.bytes(), file.length);
});

test('a file is kept to the last byte, preamble and meta header included', async (t) => {
  const { pipeline } = await open(t);
  const one = slice({ sop: '1.2.3.4.1' });
  one.file.write('a preamble', 0);
  const incoming = pipeline.intake.beginFile({ source, study: '1.2.3' });
  await incoming.write(one.file);
  const { instance } = await incoming.commit();
  assert.deepEqual(await readFile(instance.path), one.file);
});

test('an object larger than the memory threshold is streamed and the same on disk', async (t) => {
  const { pipeline } = await open(t);
  const one = slice({ sop: '1.2.3.4.1', pixels: Buffer.alloc(9 * 1024 * 1024, 7) });
  const incoming = pipeline.intake.beginDataSet({
    source,
    transferSyntaxUid: explicitLittleEndian,
    sopClassUid: mrImageStorage,
    sopInstanceUid: one.sop,
  });
  for (let at = 0; at < one.dataSet.length; at += 65_536)
    await incoming.write(one.dataSet.subarray(at, at + 65_536));
  const { instance } = await incoming.commit();
  assert.deepEqual((await readFile(instance.path)).subarray(instance.dataSetOffset), one.dataSet);
  const small = pipeline.intake.beginFile({ source });
  await small.write(one.file);
  assert.equal((await small.commit()).outcome, 'duplicate');
});

test('the same object again is a success without a second run', async (t) => {
  const { pipeline, pacs } = await open(t);
  pipeline.start();
  const one = slice({ sop: '1.2.3.4.1' });
  await store(pipeline, one);
  await eventually('delivered', () => pipeline.series.get('1.2.3.4')?.state === 'delivered');
  assert.equal((await store(pipeline, one)).outcome, 'duplicate');
  const again = pipeline.intake.beginFile({ source });
  await again.write(one.file);
  assert.equal((await again.commit()).outcome, 'duplicate');
  assert.equal(pipeline.series.get('1.2.3.4')?.state, 'delivered');
  assert.equal(pacs.received.length, 1);
});

test('an object that another sender brings again is counted as received from that one', async (t) => {
  const { pipeline } = await open(t);
  const metrics = createMetrics({ processMetrics: false, knownSources: () => ['SCANNER', 'ROUTER'] });
  observe(pipeline.events, metrics, createLogger({ level: 'silent' }));
  const one = slice({ sop: '1.2.3.4.1' });
  await store(pipeline, one);
  const again = pipeline.intake.beginFile({ source: { ...source, protocol: 'dicomweb', peer: 'ROUTER' } });
  await again.write(one.file);
  assert.equal((await again.commit()).outcome, 'duplicate');
  const { body } = await metrics.exposition();
  const received =
    /^mcnet_instances_received_total\{source="(\w+)",protocol="(\w+)",outcome="([\w-]+)"\} (\d+)$/gm;
  assert.deepEqual(
    [...body.matchAll(received)].map((found) => found.slice(1)),
    [
      ['SCANNER', 'dimse', 'stored', '1'],
      ['ROUTER', 'dicomweb', 'duplicate', '1'],
    ],
  );
});

test('ten senders of the same new object at once: stored once', async (t) => {
  const { pipeline } = await open(t);
  const one = slice({ sop: '1.2.3.4.1' });
  const outcomes = await Promise.all(Array.from({ length: 10 }, () => store(pipeline, one)));
  assert.deepEqual(
    outcomes.map(({ outcome }) => outcome),
    ['stored', ...Array.from({ length: 9 }, () => 'duplicate')],
  );
  assert.equal(new Set(outcomes.map(({ instance }) => instance.id)).size, 1);
});

test('other bytes under a known UID are a new version, corrected and delivered, and audited', async (t) => {
  const { pipeline, pacs } = await open(t);
  pipeline.start();
  await store(pipeline, slice({ sop: '1.2.3.4.1' }));
  await eventually('delivered', () => pipeline.series.get('1.2.3.4')?.state === 'delivered');
  const second = await store(pipeline, slice({ sop: '1.2.3.4.1', pixels: Buffer.alloc(64, 9) }));
  assert.equal(second.outcome, 'new-version');
  assert.equal(second.instance.version, 2);
  await eventually('sent again', () => pacs.received.length === 2);
  await eventually('delivered', () => pipeline.series.get('1.2.3.4')?.state === 'delivered');
  assert.equal(new Set(pacs.received).size, 1);
  assert.equal(pipeline.series.get('1.2.3.4')?.counts.received, 1);
  assert.equal(pipeline.archive.versions('1.2.3', '1.2.3.4', '1.2.3.4.1').length, 2);
  const audited = pipeline.archive.db.all<{ event: string }>(
    "SELECT event FROM audit WHERE sop = '1.2.3.4.1'",
  );
  assert.deepEqual(
    audited.map(({ event }) => event),
    ['other object under a known UID kept as a version'],
  );
});

test('keep-first keeps the first and says so; refuse refuses', async (t) => {
  const first = slice({ sop: '1.2.3.4.1' });
  const other = slice({ sop: '1.2.3.4.1', pixels: Buffer.alloc(64, 9) });
  const keeping = await open(t, { duplicates: 'keep-first' });
  await store(keeping.pipeline, first);
  assert.equal((await store(keeping.pipeline, other)).outcome, 'kept-first');
  assert.equal(keeping.pipeline.archive.versions('1.2.3', '1.2.3.4', '1.2.3.4.1').length, 1);
  const refusing = await open(t, { duplicates: 'refuse' });
  await store(refusing.pipeline, first);
  await assert.rejects(store(refusing.pipeline, other), { code: 'duplicate-conflict', status: 0x0111 });
});

test('the same SOP Instance UID in two series is two objects', async (t) => {
  const { pipeline } = await open(t);
  const a = await store(pipeline, slice({ sop: '1.2.3.9', series: '1.2.3.4' }));
  const b = await store(pipeline, slice({ sop: '1.2.3.9', series: '1.2.3.5' }));
  assert.equal(b.outcome, 'stored');
  assert.notEqual(a.instance.path, b.instance.path);
});

test('bad objects are refused with the standard status, nothing is kept, and the series shows it', async (t) => {
  const { pipeline } = await open(t);
  pipeline.start();
  const one = slice({ sop: '1.2.3.4.1' });
  const rejected: string[] = [];
  pipeline.events.on('rejected', ({ code, sop }) => rejected.push(`${code} ${sop ?? '-'}`));
  const send = async (file: Buffer, study?: string) => {
    const incoming = pipeline.intake.beginFile({ source, ...(study !== undefined && { study }) });
    await incoming.write(file);
    return incoming.commit();
  };
  const refused = (code: string, status: number) => (error: unknown) => {
    assert.equal((error as IntakeError).code, code);
    assert.equal((error as IntakeError).status, status);
    return true;
  };
  await assert.rejects(send(Buffer.alloc(300)), refused('not-dicom', 0xc000));
  await assert.rejects(send(one.file.subarray(0, -10)), refused('truncated', 0xc000));
  await assert.rejects(send(one.file, '1.2.99'), refused('mismatch', 0xa900));
  const lying = pipeline.intake.beginDataSet({
    source,
    transferSyntaxUid: explicitLittleEndian,
    sopClassUid: '1.2.840.10008.5.1.4.1.1.2',
    sopInstanceUid: one.sop,
  });
  await lying.write(one.dataSet);
  await assert.rejects(lying.commit(), refused('mismatch', 0xa900));
  const evil = Buffer.from(one.file.toString('latin1').replaceAll('1.2.3.4.1', '../../..x'), 'latin1');
  await assert.rejects(send(evil), refused('malformed', 0xc000));
  assert.deepEqual(rejected, [
    'not-dicom -',
    'truncated 1.2.3.4.1',
    'mismatch -',
    'mismatch 1.2.3.4.1',
    'malformed -',
  ]);

  assert.equal(pipeline.archive.bytes(), 0);
  await eventually('failed', () => pipeline.series.get('1.2.3.4')?.state === 'failed', 60_000);
  assert.deepEqual(
    pipeline.series.get('1.2.3.4')?.refused.map(({ sop, reason }) => ({ sop, reason })),
    [{ sop: '1.2.3.4.1', reason: 'ends inside its pixel data' }],
  );
  await send(one.file);
  assert.deepEqual(pipeline.series.get('1.2.3.4')?.refused, []);
  await eventually('delivered', () => pipeline.series.get('1.2.3.4')?.state === 'delivered');
});

test('what may not be corrected is kept with its reason; a mixed series goes on', async (t) => {
  const { pipeline, pacs } = await open(t);
  await store(pipeline, slice({ sop: '1.2.3.5.1', series: '1.2.3.5', values: { Modality: 'CT' } }));
  await store(pipeline, slice({ sop: '1.2.3.6.1', series: '1.2.3.6', values: { BodyPartExamined: 'KNEE' } }));
  await store(pipeline, slice({ sop: '1.2.3.4.1' }));
  await store(pipeline, slice({ sop: '1.2.3.4.2', values: { Modality: 'SR' } }));
  pipeline.start();
  await eventually('mixed delivered', () => pipeline.series.get('1.2.3.4')?.state === 'delivered');
  assert.equal(pipeline.series.get('1.2.3.4')?.reason, '1 of 2 left alone');
  await eventually('left alone', () => pipeline.series.list({ state: 'left-alone' }).length === 2, 60_000);
  assert.equal(pipeline.series.get('1.2.3.5')?.reason, 'Modality is CT');
  assert.match(pipeline.series.get('1.2.3.6')!.reason, /no rule matches \(brain: BodyPartExamined is KNEE\)/);
  assert.equal(pacs.received.length, 1);
});

test('own output that comes back is kept and left alone, changed or not', async (t) => {
  const { pipeline } = await open(t);
  pipeline.start();
  await store(pipeline, slice({ sop: '1.2.3.4.1' }));
  await eventually('delivered', () => pipeline.series.get('1.2.3.4')?.state === 'delivered');
  const series = derivedUid('1.2.3.4', { model: 'test' });
  const sop = derivedUid('1.2.3.4.1', { model: 'test' });
  const derived = pipeline.archive.versions('1.2.3', series, sop)[0]!;
  const back = pipeline.intake.beginFile({ source });
  await back.write(await readFile(derived.path));
  assert.equal((await back.commit()).outcome, 'duplicate');
  const changed = await store(pipeline, slice({ sop, series, pixels: Buffer.alloc(64, 1) }));
  assert.equal(changed.instance.state, 'left-alone');
  assert.match(changed.instance.reason, /output of this server coming back/);
  assert.equal(pipeline.archive.get(derived.id)?.current, true);
  const renamed = await store(
    pipeline,
    slice({ sop: '1.2.8', series: '1.2.9', values: { ImageType: 'DERIVED\\PRIMARY' } }),
  );
  assert.equal(renamed.instance.state, 'left-alone');
});

test('a late slice reopens the series and goes out under the same derived series', async (t) => {
  const { pipeline, pacs } = await open(t);
  for (const one of slices(3)) await store(pipeline, one);
  pipeline.start();
  await eventually('delivered', () => pipeline.series.get('1.2.3.4')?.state === 'delivered');
  const reopened: string[] = [];
  pipeline.events.on('series', ({ to }) => reopened.push(to));
  for (const one of slices(2, 4)) await store(pipeline, one);
  assert.equal(reopened[0], 'receiving');
  await eventually('delivered', () => pacs.received.length === 5);
  await eventually('delivered', () => pipeline.series.get('1.2.3.4')?.state === 'delivered');
  assert.equal(pacs.received.length, 5);
  assert.equal(new Set(pacs.received).size, 5);
  assert.equal(pipeline.series.get('1.2.3.4')?.derivedSeries.length, 1);
});

test('the expected count, the released association and the maximum age can each decide', async (t) => {
  const waiting = async (complete: { quiet: number; maxAge: number }) => {
    const { pipeline } = await open(t, { rules: rules.map((rule) => ({ ...rule, complete })) });
    pipeline.start();
    return pipeline;
  };
  const reasonOf = (pipeline: Pipeline, series: string) => pipeline.series.get(series)?.completeReason;
  const counting = await waiting({ quiet: 300_000, maxAge: 600_000 });
  const counted = { ImagesInAcquisition: '2', AcquisitionNumber: '1' };
  await store(counting, slice({ sop: '1.1.1', series: '1.1', values: counted }));
  await store(counting, slice({ sop: '1.1.2', series: '1.1', values: counted }));
  await eventually('by count', () => reasonOf(counting, '1.1') === 'expected count: 2 of 2');

  const ageing = await waiting({ quiet: 300_000, maxAge: 200 });
  await store(ageing, slice({ sop: '1.2.1', series: '1.2' }));
  await eventually('by age', () => reasonOf(ageing, '1.2') === 'maximum age of 0.2 s');

  const patient = await waiting({ quiet: 300_000, maxAge: 600_000 });
  await store(patient, slice({ sop: '1.3.1', series: '1.3' }), 'a');
  await store(patient, slice({ sop: '1.3.2', series: '1.3' }), 'a');
  patient.associationEnded('a');
  await eventually('by release', () => reasonOf(patient, '1.3') !== undefined);
  assert.match(reasonOf(patient, '1.3')!, /ended the association and was quiet for 1 s/);
});

test('a slice that cannot be corrected is named; the others are delivered; retry heals', async (t) => {
  let broken = true;
  const model = invertingModel(async (sop) => {
    if (broken && sop === '1.2.3.4.2')
      throw Object.assign(new Error('pixel data does not decode'), { permanent: true });
    if (broken && sop === '1.2.3.4.3') throw new Error('the engine is busy');
  });
  const { pipeline, pacs } = await open(t, { models: new Map([['test', model]]) });
  for (const one of slices(4)) await store(pipeline, one);
  pipeline.start();
  await eventually('failed', () => pipeline.series.get('1.2.3.4')?.state === 'failed');
  const view = pipeline.series.get('1.2.3.4')!;
  assert.equal(view.reason, '2 of 4 could not be corrected');
  assert.deepEqual(view.failures, [
    { sop: '1.2.3.4.2', reason: 'pixel data does not decode' },
    { sop: '1.2.3.4.3', reason: 'the engine is busy' },
  ]);
  assert.equal(pacs.received.length, 2);
  assert.equal(pipeline.queue.dead().length, 2);
  broken = false;
  assert.deepEqual(await pipeline.retry('1.2.3.4'), { instances: 2, deliveries: 0, reclassified: 0 });
  await eventually('delivered', () => pipeline.series.get('1.2.3.4')?.state === 'delivered');
  assert.equal(new Set(pacs.received).size, 4);
  assert.equal(await pipeline.retry('9.9.9'), undefined);
});

test('every series that failed is tried again, some at a time, and no other', async (t) => {
  let broken = true;
  const model = invertingModel(async (sop) => {
    if (broken && !sop.startsWith('1.2.9.'))
      throw Object.assign(new Error('the model is broken'), { permanent: true });
  });
  const { pipeline } = await open(t, { models: new Map([['test', model]]) });
  pipeline.start();
  for (const series of ['1.2.1', '1.2.2', '1.2.9', '1.2.3']) {
    await store(pipeline, slice({ series, sop: `${series}.1` }));
  }
  const inState = (state: 'failed' | 'delivered') =>
    pipeline.series
      .list({ state })
      .map(({ series }) => series)
      .sort();
  await eventually('three failed', () => inState('failed').length === 3 && inState('delivered').length === 1);
  broken = false;
  const first = await pipeline.retryFailed(0, 2);
  assert.deepEqual([first.series, first.instances], [['1.2.1', '1.2.2'], 2]);
  const second = await pipeline.retryFailed(first.next!, 2);
  assert.deepEqual([second.series, second.instances, second.next], [['1.2.3'], 1, undefined]);
  await eventually('all are delivered', () => inState('delivered').length === 4);
});

test('retry takes up what was left alone when the rules have changed', async (t) => {
  const first = await open(t, { rules: [] });
  first.pipeline.start();
  await store(first.pipeline, slice({ sop: '1.2.3.4.1' }));
  await first.close();
  const second = await open(t, { data: first.data });
  second.pipeline.start();
  assert.deepEqual(await second.pipeline.retry('1.2.3.4'), { instances: 0, deliveries: 0, reclassified: 1 });
  await eventually('delivered', () => second.pipeline.series.get('1.2.3.4')?.state === 'delivered', 60_000);
});

test('a refused instance is never "sent": named, tried again, then failed; retry sends only it', async (t) => {
  const { pipeline, pacs } = await open(t);
  const bad = derivedUid('1.2.3.4.2', { model: 'test' });
  pacs.judge = (sop) =>
    sop === bad
      ? { outcome: 'refused', status: 0xa900, message: 'does not match SOP class', transient: false }
      : accepted;
  for (const one of slices(3)) await store(pipeline, one);
  pipeline.start();
  await eventually('dead letter', () => pipeline.queue.dead().length === 1);
  assert.equal(pipeline.series.get('1.2.3.4')?.state, 'failed');
  const view = pipeline.series.get('1.2.3.4')!;
  assert.equal(view.reason, '1 delivery refused');
  assert.equal(view.counts.delivered, 2);
  assert.deepEqual(view.failures, [{ sop: bad, reason: 'pacs: does not match SOP class' }]);
  assert.equal(view.destinations[0]?.state, 'failed');
  assert.equal(pacs.attempts.get(bad), 2);
  const [dead] = pipeline.queue.dead();
  assert.equal(dead?.kind, 'deliver:pacs');
  assert.ok(dead?.error?.includes(bad));
  pacs.judge = () => accepted;
  assert.deepEqual(await pipeline.retry('1.2.3.4'), { instances: 0, deliveries: 1, reclassified: 0 });
  await eventually('delivered', () => pipeline.series.get('1.2.3.4')?.state === 'delivered');
  assert.deepEqual([...pacs.attempts.values()].sort(), [1, 1, 3]);
});

test('a destination that loses one in three and aborts gets everything, once, in order of the series', async (t) => {
  const { pipeline, pacs } = await open(t);
  let n = 0;
  pacs.judge = () => {
    n += 1;
    if (n === 7) throw new Error('association aborted by the peer');
    if (n % 3 === 0) return { outcome: 'lost', message: 'no response', transient: true };
    return n % 5 === 0
      ? { outcome: 'warning', status: 0xb000, message: 'coerced', transient: false }
      : accepted;
  };
  const sent = slices(20);
  for (const one of sent) await store(pipeline, one);
  pipeline.start();
  await eventually('delivered', () => pipeline.series.get('1.2.3.4')?.state === 'delivered');
  assert.equal(pacs.received.length, 20);
  assert.equal(new Set(pacs.received).size, 20);
  assert.equal(pipeline.series.get('1.2.3.4')?.counts.delivered, 20);
});

test('a destination that is away is asked less and less, others go on, and it catches up by itself', async (t) => {
  const pacs = new FakeDestination('pacs', () => ({
    outcome: 'lost',
    message: 'connection refused',
    transient: true,
  }));
  const vna = new FakeDestination('vna');
  const { pipeline } = await open(t, {
    destinations: [pacs, vna],
    rules: rules.map((rule) => ({ ...rule, to: ['pacs', 'vna'] })),
  });
  const breaker: boolean[] = [];
  pipeline.events.on('breaker', ({ open: isOpen }) => breaker.push(isOpen));
  pipeline.start();
  for (let series = 1; series <= 6; series++) {
    await store(pipeline, slice({ sop: `1.5.${series}.1`, series: `1.5.${series}` }));
  }
  await eventually('vna has all', () => vna.received.length === 6);
  await eventually('breaker is open', () => breaker.length >= 4);
  const view = pipeline.series.get('1.5.1')!;
  assert.equal(view.state, 'corrected');
  assert.equal(view.destinations.find(({ name }) => name === 'vna')?.state, 'delivered');
  const waiting = view.destinations.find(({ name }) => name === 'pacs');
  assert.equal(waiting?.lastError, 'connection refused');
  assert.equal(waiting?.pending, 1);
  pacs.judge = () => accepted;
  await eventually('all delivered', () => pipeline.series.list({ state: 'delivered' }).length === 6);
  assert.equal(pacs.received.length, 6);
  assert.equal(breaker.at(-1), false);
  assert.equal(pacs.mostOpen, 1);
});

test('deliver: slice sends each as it is corrected', async (t) => {
  const { pipeline, pacs } = await open(t, {
    rules: rules.map((rule) => ({ ...rule, deliver: 'slice' as const, complete: { quiet: 60_000 } })),
  });
  pipeline.start();
  await store(pipeline, slice({ sop: '1.2.3.4.1' }));
  await eventually('first', () => pacs.received.length === 1);
  await store(pipeline, slice({ sop: '1.2.3.4.2' }));
  await eventually('second', () => pacs.received.length === 2);
  assert.equal(pipeline.series.get('1.2.3.4')?.state, 'receiving');
});

test('a destination that is gone from the configuration is an error, not silence', async (t) => {
  const away = new FakeDestination('pacs', () => ({ outcome: 'lost', message: 'away', transient: true }));
  const first = await open(t, { destinations: [away] });
  first.pipeline.start();
  await store(first.pipeline, slice({ sop: '1.2.3.4.1' }));
  await eventually('tried', () => away.sends > 0);
  await first.close();
  const second = await open(t, { data: first.data, destinations: [] });
  second.pipeline.start();
  await eventually('failed', () => second.pipeline.series.get('1.2.3.4')?.state === 'failed');
  assert.deepEqual(
    second.pipeline.series.get('1.2.3.4')?.failures.map(({ reason }) => reason),
    ['pacs: destination "pacs" is not configured any more'],
  );
});

test('a stop in the middle goes on after the start, with timers, and without doing anything twice', async (t) => {
  const first = await open(t);
  for (const one of slices(5)) await store(first.pipeline, one);
  await first.close();
  const second = await open(t, { data: first.data });
  assert.equal(second.pipeline.recovery.crashed, false);
  second.pipeline.start();
  await eventually('delivered', () => second.pipeline.series.get('1.2.3.4')?.state === 'delivered');
  assert.equal(second.pacs.received.length, 5);
  await second.close();
  const third = await open(t, { data: first.data });
  third.pipeline.start();
  assert.equal(third.pipeline.series.get('1.2.3.4')?.state, 'delivered');
  assert.equal(third.pacs.sends, 0);
});

test('a damaged derived file is made again before it is sent', async (t) => {
  const pacs = new FakeDestination('pacs', () => ({ outcome: 'lost', message: 'away', transient: true }));
  const { pipeline } = await open(t, { destinations: [pacs] });
  for (const one of slices(2)) await store(pipeline, one);
  pipeline.start();
  await eventually('corrected', () => pipeline.series.get('1.2.3.4')?.state === 'corrected');
  const [derived] = pipeline.archive.derivedFrom(
    pipeline.series.instances(pipeline.series.get('1.2.3.4')!.id)[0]!.id,
  );
  await truncate(derived!.path, 10);
  pacs.judge = () => accepted;
  await eventually('delivered', () => pipeline.series.get('1.2.3.4')?.state === 'delivered');
  assert.equal(pacs.received.length, 2);
  assert.equal((await readFile(derived!.path)).length, derived!.bytes);
});

test('an acknowledged file that vanished is an error on the series, and a resend heals it', async (t) => {
  const first = await open(t);
  const one = slice({ sop: '1.2.3.4.1' });
  const { instance } = await store(first.pipeline, one);
  await first.close();
  await unlink(instance.path);
  const second = await open(t, { data: first.data });
  second.pipeline.start();
  await eventually('failed', () => second.pipeline.series.get('1.2.3.4')?.state === 'failed');
  assert.match(
    second.pipeline.series.get('1.2.3.4')!.failures[0]!.reason,
    /the file is missing; send the object again/,
  );
  assert.equal((await store(second.pipeline, one)).outcome, 'stored');
  await eventually('delivered', () => second.pipeline.series.get('1.2.3.4')?.state === 'delivered');
  assert.deepEqual(second.pipeline.series.get('1.2.3.4')?.failures, []);
});

test('a file that vanished and came back by other means: a resend finds it whole, and it is corrected after all', async (t) => {
  const first = await open(t);
  const one = slice({ sop: '1.2.3.4.1' });
  const { instance } = await store(first.pipeline, one);
  await first.close();
  await rename(instance.path, `${instance.path}.aside`);
  const second = await open(t, { data: first.data });
  second.pipeline.start();
  await eventually('failed', () => second.pipeline.series.get('1.2.3.4')?.state === 'failed');
  await rename(`${instance.path}.aside`, instance.path);
  assert.equal((await store(second.pipeline, one)).outcome, 'duplicate');
  await eventually('delivered', () => second.pipeline.series.get('1.2.3.4')?.state === 'delivered');
  assert.deepEqual(second.pipeline.series.get('1.2.3.4')?.failures, []);
});

test('a resend that heals a file just when its damage fails the correction starts it anew', async (t) => {
  const first = await open(t);
  const one = slice({ sop: '1.2.3.4.1' });
  const { instance } = await store(first.pipeline, one);
  await first.close();
  await unlink(instance.path);
  const { pipeline } = await open(t, { data: first.data });
  const archive = pipeline.archive as { exclusively: typeof pipeline.archive.exclusively };
  const { exclusively } = archive;
  let healed = 0;
  // Between the look that finds the damage and the end of the job that it fails.
  archive.exclusively = async (key, work) => {
    const found = await exclusively(key, work);
    if (typeof found === 'string' && /missing/.test(found)) {
      healed += 1;
      assert.equal((await store(pipeline, one)).outcome, 'stored');
    }
    return found;
  };
  pipeline.start();
  await eventually('delivered', () => pipeline.series.get('1.2.3.4')?.state === 'delivered');
  assert.equal(healed, 1);
  assert.deepEqual(pipeline.series.get('1.2.3.4')?.failures, []);
});

test('a correction that fails for the damage while a resend is healing the file starts anew', async (t) => {
  const first = await open(t);
  const one = slice({ sop: '1.2.3.4.1' });
  const { instance } = await store(first.pipeline, one);
  await first.close();
  await unlink(instance.path);
  const { pipeline } = await open(t, { data: first.data });
  const archive = pipeline.archive as Pick<typeof pipeline.archive, 'exclusively' | 'heal' | 'get'> & {
    -readonly [K in 'exclusively' | 'heal']: (typeof pipeline.archive)[K];
  };
  const { exclusively, heal } = archive;
  let resent: ReturnType<typeof store> | undefined;
  let healing = false;
  archive.exclusively = async (key, work) => {
    const found = await exclusively(key, work);
    if (typeof found === 'string' && /missing/.test(found) && resent === undefined) {
      resent = store(pipeline, one);
      await eventually('on its way to be healed', () => healing);
    }
    return found;
  };
  archive.heal = async (...order) => {
    healing = true;
    await eventually('failed meanwhile', () => archive.get(instance.id)?.state === 'failed');
    return heal(...order);
  };
  pipeline.start();
  await eventually('delivered', () => pipeline.series.get('1.2.3.4')?.state === 'delivered');
  assert.equal((await resent)?.outcome, 'stored');
  assert.deepEqual(pipeline.series.get('1.2.3.4')?.failures, []);
});

test('what failed for a damage that is known no more, when the power went between the two, starts anew', async (t) => {
  const { pipeline } = await open(t);
  const one = slice({ sop: '1.2.3.4.1' });
  const { instance } = await store(pipeline, one);
  pipeline.archive.db.run(
    "UPDATE instances SET state = 'failed', reason = 'the file is missing; send the object again' WHERE id = ?",
    instance.id,
  );
  pipeline.start();
  await eventually('not corrected', () => pipeline.archive.get(instance.id)?.state === 'failed');
  assert.equal((await store(pipeline, one)).outcome, 'duplicate');
  await eventually('delivered', () => pipeline.series.get('1.2.3.4')?.state === 'delivered');
});

test('a second server on the same data folder is refused', async (t) => {
  const { data } = await open(t);
  await assert.rejects(open(t, { data }), /in use by another process/);
});

test('a listener that throws does not harm the pipeline', async (t) => {
  const { pipeline } = await open(t);
  const errors: unknown[] = [];
  pipeline.events.on('listenerError', (error) => errors.push(error));
  pipeline.events.on('received', () => {
    throw new Error('a bug in the metrics');
  });
  pipeline.events.on('series', () => {
    throw new Error('a bug on the page');
  });
  pipeline.start();
  await store(pipeline, slice({ sop: '1.2.3.4.1' }));
  await eventually('delivered', () => pipeline.series.get('1.2.3.4')?.state === 'delivered');
  assert.ok(errors.length >= 2);
});
