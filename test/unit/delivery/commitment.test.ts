import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import type { Commitment, CommitmentReport, Deliverable, SopReference } from '../../../src/delivery/index.js';
import { openPipeline } from '../../../src/pipeline/index.js';
import {
  atEnd,
  eventually,
  explicitLittleEndian,
  type FakeDerivation,
  FakeDestination,
  type Header,
  invertingModel,
  mrImageStorage,
  reader,
  rules,
  slice,
  temporaryFolder,
} from '../pipeline/synthetic.js';

type Request = Commitment['request'];

/** Accepts everything, and commits as the test says. */
class CommittingDestination extends FakeDestination {
  readonly transactions: { uid: string; references: readonly SopReference[] }[] = [];
  readonly commitment: Commitment;

  constructor(answer: Request, timeoutMs = 60_000) {
    super('pacs');
    this.commitment = {
      timeoutMs,
      reason: (code) => ({ text: `reason ${code}`, transient: code === 272 }),
      request: (uid, references, options) => {
        this.transactions.push({ uid, references });
        return answer(uid, references, options);
      },
    };
  }
}

const committed = (transactionUid: string, references: readonly SopReference[]): CommitmentReport => ({
  transactionUid,
  committed: references,
  failed: [],
});

async function open(t: TestContext, pacs: FakeDestination, data?: string) {
  const folder = data ?? (await temporaryFolder(t));
  const pipeline = await openPipeline<Header, FakeDerivation>({
    rules: rules.map((rule) => ({ ...rule, complete: { quiet: 250, maxAge: 60_000 } })),
    complete: { quiet: 250, maxAge: 60_000 },
    dicom: reader,
    models: new Map([['test', invertingModel()]]),
    destinations: [pacs],
    retry: { deliver: { baseMs: 10, capMs: 40, refusedMs: 10, maxRefusals: 2 } },
    data: folder,
  });
  let closed = false;
  const close = async () => {
    if (!closed) await pipeline.close(500);
    closed = true;
  };
  atEnd(t, close);
  pipeline.start();
  const state = () => pipeline.series.get('1.2.3.4')?.state;
  const store = async (count: number) => {
    for (let n = 1; n <= count; n += 1) {
      const one = slice({ sop: `1.2.3.4.${n}` });
      const incoming = pipeline.intake.beginDataSet({
        source: { protocol: 'dimse', peer: 'SCANNER', address: '127.0.0.1' },
        transferSyntaxUid: explicitLittleEndian,
        sopClassUid: mrImageStorage,
        sopInstanceUid: one.sop,
      });
      await incoming.write(one.dataSet);
      await incoming.commit();
    }
  };
  return { pipeline, data: folder, close, state, store };
}

const unique = (sops: readonly string[]) => new Set(sops).size;

test('accepted is not delivered: committed is', async (t) => {
  const pacs = new CommittingDestination(async () => {});
  const { pipeline, store, state } = await open(t, pacs);
  const turnarounds: string[] = [];
  pipeline.events.on('turnaround', ({ destination }) => turnarounds.push(destination));
  await store(3);
  await eventually('asked', () => pacs.transactions.length === 1 && state() === 'corrected');
  const { uid, references } = pacs.transactions[0]!;
  assert.deepEqual(references.map(({ sopInstanceUid }) => sopInstanceUid).sort(), [...pacs.received].sort());
  assert.equal(state(), 'corrected');
  assert.equal(pipeline.series.get('1.2.3.4')!.destinations[0]!.pending, 3);
  assert.equal(await pipeline.delivery.commitmentReport(committed('2.25.1', references)), false);
  assert.equal(state(), 'corrected');
  assert.deepEqual(turnarounds, []);

  assert.equal(await pipeline.delivery.commitmentReport(committed(uid, references)), true);
  await eventually('delivered', () => state() === 'delivered');
  assert.deepEqual(turnarounds, ['pacs']);
  assert.equal(await pipeline.delivery.commitmentReport(committed(uid, references)), true, 'once more');
  assert.equal(pacs.received.length, 3);
  assert.equal(pacs.transactions.length, 1);
});

test('a report on the same association is taken at once', async (t) => {
  const pacs = new CommittingDestination(async (uid, references, { onReport, reported }) => {
    assert.equal(await onReport(committed(uid, references)), true);
    assert.ok(reported.aborted, 'nobody waits any longer');
  });
  const { store, state } = await open(t, pacs);
  await store(2);
  await eventually('delivered', () => state() === 'delivered');
});

test('what is not committed is sent again', async (t) => {
  let lost = '';
  const pacs = new CommittingDestination(async (uid, references, { onReport }) => {
    const [first, ...others] = references;
    if (lost !== '') {
      await onReport(committed(uid, references));
      return;
    }
    lost = first!.sopInstanceUid;
    await onReport({
      transactionUid: uid,
      committed: others,
      failed: [{ ...first!, reason: 274 }],
    });
  });
  const { pipeline, store, state } = await open(t, pacs);
  const refused: string[] = [];
  pipeline.events.on('delivery', ({ sop, outcome }) => outcome === 'refused' && refused.push(sop));
  await store(4);
  await eventually('delivered', () => state() === 'delivered');
  assert.equal(pacs.received.length, 5);
  assert.deepEqual(
    pacs.received.filter((sop) => sop === lost),
    [lost, lost],
  );
  assert.deepEqual(refused, [lost]);
  const again = pacs.transactions.slice(1).flatMap(({ references }) => references);
  assert.ok(again.some(({ sopInstanceUid }) => sopInstanceUid === lost));
});

test('a destination that never commits to an instance: failed, with its reason', async (t) => {
  const pacs = new CommittingDestination(async (uid, references, { onReport }) => {
    await onReport({
      transactionUid: uid,
      committed: [],
      failed: references.map((reference) => ({ ...reference, reason: 274 })),
    });
  });
  const { pipeline, store, state } = await open(t, pacs);
  await store(1);
  await eventually('failed', () => state() === 'failed');
  assert.equal(pacs.received.length, 2);
  assert.match(pipeline.series.get('1.2.3.4')!.failures[0]!.reason, /not committed by pacs: reason 274/);
});

test('no report in time: asked again under a new transaction, not sent again', async (t) => {
  const pacs = new CommittingDestination(async (uid, references, { onReport }) => {
    if (pacs.transactions.length < 3) return;
    await onReport(committed(uid, references));
  }, 30);
  const { pipeline, store, state } = await open(t, pacs);
  await store(2);
  await eventually('delivered', () => state() === 'delivered');
  assert.equal(unique(pacs.transactions.map(({ uid }) => uid)), 3);
  assert.equal(pacs.received.length, 2);
  const [first] = pacs.transactions;
  const late = await pipeline.delivery.commitmentReport(committed(first!.uid, first!.references));
  assert.equal(late, false, 'a transaction that was given up is not known any more');
});

test('a destination that cannot be asked is asked later; one without the service ends in a failure', async (t) => {
  const unreachable = new CommittingDestination(async (uid, references, { onReport }) => {
    if (unreachable.transactions.length < 3)
      throw Object.assign(new Error('connection refused'), { transient: true });
    await onReport(committed(uid, references));
  });
  const reachable = await open(t, unreachable);
  await reachable.store(1);
  await eventually('delivered', () => reachable.state() === 'delivered');
  assert.equal(unreachable.received.length, 1);

  const without = new CommittingDestination(async () => {
    throw Object.assign(new Error('does not offer Storage Commitment'), { transient: false });
  });
  const { pipeline, store, state } = await open(t, without);
  await store(1);
  await eventually('failed', () => state() === 'failed');
  assert.equal(without.transactions.length, 2);
  assert.equal(without.received.length, 1);
  assert.match(pipeline.series.get('1.2.3.4')!.failures[0]!.reason, /does not offer Storage Commitment/);
  await pipeline.retry('1.2.3.4');
  await eventually('asked once more', () => without.transactions.length > 2);
  assert.equal(without.received.length, 1, 'it has it: only the commitment is missing');
});

test('the report that comes after a restart finds its transaction', async (t) => {
  const before = new CommittingDestination(async () => {});
  const first = await open(t, before);
  await first.store(2);
  await eventually('asked', () => before.transactions.length === 1);
  await first.close();

  const after = new CommittingDestination(async () => {});
  const second = await open(t, after, first.data);
  const { uid, references } = before.transactions[0]!;
  assert.equal(second.state(), 'corrected');
  assert.equal(await second.pipeline.delivery.commitmentReport(committed(uid, references)), true);
  await eventually('delivered', () => second.state() === 'delivered');
  assert.deepEqual(after.received, []);
  assert.deepEqual(after.transactions, []);
});

test('commitment no longer wanted: what was accepted counts', async (t) => {
  const before = new CommittingDestination(async () => {});
  const first = await open(t, before);
  await first.store(2);
  await eventually('asked', () => before.transactions.length === 1);
  await first.close();
  const after = new FakeDestination('pacs');
  const second = await open(t, after, first.data);
  await eventually('delivered', () => second.state() === 'delivered');
  assert.deepEqual(after.received, []);
});

test('the destination that is asked has the data set first', async (t) => {
  const order: string[] = [];
  class Ordered extends CommittingDestination {
    override async send(instances: readonly Deliverable[], options = {}) {
      const outcomes = await super.send(instances, options);
      order.push(`sent ${outcomes.length}`);
      return outcomes;
    }
  }
  const pacs = new Ordered(async (uid, references, { onReport }) => {
    order.push(`asked ${references.length}`);
    await onReport(committed(uid, references));
  });
  const { store, state } = await open(t, pacs);
  await store(3);
  await eventually('delivered', () => state() === 'delivered');
  let left = 0;
  for (const step of order) {
    const [what, count] = step.split(' ');
    left += what === 'sent' ? Number(count) : -Number(count);
    assert.ok(left >= 0, order.join(', '));
  }
  assert.equal(left, 0);
});
