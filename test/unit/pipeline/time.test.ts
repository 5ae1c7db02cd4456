/** Time that passes slowly, fast, or backwards: clocks that are set, and a destination that is away for a day. */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { type Clock, monotonicClock } from '../../../src/archive/index.js';
import { openPipeline, type Pipeline } from '../../../src/pipeline/index.js';
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
  slice,
  temporaryFolder,
} from './synthetic.js';

const minute = 60_000;
const hour = 60 * minute;

class SetClock implements Clock {
  readonly #real = monotonicClock();
  constructor(public ahead: number) {}
  now(): number {
    return this.#real.now() + this.ahead;
  }
}

async function open(
  t: TestContext,
  o: {
    data: string;
    clock: Clock;
    pacs: FakeDestination;
    quiet?: number;
    model?: ReturnType<typeof invertingModel>;
  },
): Promise<Pipeline & { end(): Promise<void> }> {
  const pipeline = await openPipeline<Header, FakeDerivation>({
    data: o.data,
    rules: rules.map((rule) => ({ ...rule, complete: { quiet: o.quiet ?? 40, maxAge: 2 * minute } })),
    dicom: reader,
    models: new Map([['test', o.model ?? invertingModel()]]),
    destinations: [o.pacs],
    clock: o.clock,
  });
  let ended: Promise<void> | undefined;
  const end = () => {
    ended ??= pipeline.close(500);
    return ended;
  };
  atEnd(t, end);
  return { ...pipeline, end };
}

async function receive(pipeline: Pipeline, series: string, number: number): Promise<void> {
  const incoming = pipeline.intake.beginFile({ source: { protocol: 'dimse', peer: 'SCANNER', address: '' } });
  await incoming.write(slice({ study: series, series: `${series}.1`, sop: `${series}.1.${number}` }).file);
  await incoming.commit();
}

test('the clock of timers and leases does not follow the wall clock', () => {
  const clock = monotonicClock();
  const { now } = Date;
  const before = clock.now();
  try {
    for (const shift of [-5 * hour, 5 * hour]) {
      Date.now = () => now() + shift;
      assert.ok(Math.abs(clock.now() - before) < minute);
    }
  } finally {
    Date.now = now;
  }
});

for (const [what, ahead] of [
  ['back', -5 * hour],
  ['forward', 5 * hour],
] as const) {
  test(`the clock is set ${what} between two starts: what was open is completed, what waited is sent`, async (t) => {
    const data = await temporaryFolder(t);
    const away = new FakeDestination('pacs', () => ({ outcome: 'lost', message: 'away', transient: true }));
    const first = await open(t, { data, clock: new SetClock(0), pacs: away, quiet: 40 });
    first.start();
    await receive(first, '1.2.1', 1);
    await eventually('it was tried', () => away.sends === 1);
    await eventually('it waits', () => first.queue.state('deliver:pacs', '1')?.state === 'queued');
    await first.end();
    const open2 = await open(t, { data, clock: new SetClock(0), pacs: away, quiet: 60_000 });
    open2.start();
    await receive(open2, '1.2.2', 1);
    await open2.end();

    const pacs = new FakeDestination('pacs');
    const last = await open(t, { data, clock: new SetClock(ahead), pacs });
    const due = last.queue.state('deliver:pacs', '1')!.runAt - last.archive.clock.now();
    assert.ok(due <= 15 * minute, `due in ${due} ms`);
    last.archive.db.run('UPDATE series SET quiet_ms = 50 WHERE completed_at IS NULL');
    last.start();
    last.queue.replay('deliver:pacs', '1');
    await eventually('both are delivered', () => last.series.list({ state: 'delivered' }).length === 2);
    assert.deepEqual([...pacs.attempts.values()], [1, 1]);
  });
}

test('an engine that is away for an hour: instances wait, no attempt is counted, and nothing fails', async (t) => {
  const clock = new SetClock(0);
  const pacs = new FakeDestination('pacs');
  let away = true;
  let attempts = 0;
  const model = invertingModel(async () => {
    attempts += 1;
    if (away) throw Object.assign(new Error('the device is lost'), { waits: true });
  });
  const pipeline = await open(t, { data: await temporaryFolder(t), clock, pacs, model });
  const failures: string[] = [];
  pipeline.events.on('correctionFailed', ({ reason }) => failures.push(reason));
  pipeline.start();
  for (const number of [1, 2, 3]) await receive(pipeline, '1.2.1', number);
  const jobs = () =>
    pipeline.archive.db.all<{ state: string; attempts: number; error: string | null }>(
      "SELECT state, attempts, error FROM jobs WHERE kind = 'correct' ORDER BY id",
    );
  const waits = () => jobs().every(({ state }) => state === 'queued');
  await eventually('they wait', () => attempts > 0 && waits());
  for (let passed = 0; passed < hour; passed += minute) {
    clock.ahead += minute;
    pipeline.queue.wake('correct');
    const before = attempts;
    await eventually('it was tried', () => attempts > before && waits());
  }
  assert.ok(jobs().some(({ error }) => error === 'the device is lost'));
  assert.ok(jobs().every((job) => job.attempts === 0));
  assert.deepEqual(failures, []);
  away = false;
  clock.ahead += minute;
  pipeline.queue.wake('correct');
  await eventually('delivered', () => pipeline.series.get('1.2.1.1')?.state === 'delivered');
});

test('a destination that is away for a day: asked ever less, nothing lost, order kept, resumed by itself', async (t) => {
  const clock = new SetClock(0);
  const pacs = new FakeDestination('pacs', () => ({ outcome: 'lost', message: 'away', transient: true }));
  const pipeline = await open(t, { data: await temporaryFolder(t), clock, pacs });
  pipeline.start();
  const kind = 'deliver:pacs';
  /** Nothing is being sent, and nothing may be before some time has passed. */
  const rests = () => {
    const { db } = pipeline.archive;
    if (db.get("SELECT 1 FROM jobs WHERE kind = ? AND state = 'leased'", kind) !== undefined) return false;
    if ((pipeline.delivery.breakers()[0]?.until ?? 0) > clock.now()) return true;
    return db.get('SELECT 1 FROM jobs WHERE kind = ? AND run_at <= ?', kind, clock.now()) === undefined;
  };
  for (let quarter = 0; quarter < 96; quarter += 1) {
    if (quarter % 4 === 0) {
      const series = `1.2.${quarter / 4 + 1}`;
      for (const number of [1, 2, 3, 4]) await receive(pipeline, series, number);
      await eventually('its delivery waits', () => pipeline.series.get(`${series}.1`)?.state === 'corrected');
    }
    clock.ahead += 15 * minute;
    pipeline.queue.wake(kind);
    await eventually('it rests', rests);
  }
  const attempts = pacs.sends;
  assert.ok(attempts > 30 && attempts < 200, `${attempts} attempts in a day`);
  assert.equal(pacs.received.length, 0);
  assert.equal(pipeline.queue.dead().length, 0);

  pacs.judge = () => accepted;
  clock.ahead += 30 * minute;
  pipeline.queue.wake(kind);
  await eventually(
    'all are delivered',
    () => pipeline.series.list({ state: 'delivered' }).length === 24,
    60_000,
  );
  assert.equal(pacs.received.length, 96);
  for (let series = 1; series <= 24; series += 1) {
    const sops = [1, 2, 3, 4].map((number) => derivedUid(`1.2.${series}.1.${number}`, { model: 'test' }));
    assert.deepEqual(
      pacs.received.filter((sop) => sops.includes(sop)),
      sops,
    );
  }
});
