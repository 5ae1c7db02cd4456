import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type Clock, type Instance, openArchive } from '../../../src/archive/index.js';
import { openEmbeddedQueue } from '../../../src/queue/index.js';
import {
  completion,
  createSeriesIndex,
  createSeriesTracker,
  PipelineEmitter,
  type SeriesFacts,
  stateOf,
} from '../../../src/series/index.js';
import { atEnd, eventually, temporaryFolder } from '../pipeline/synthetic.js';

const counts = fc.nat({ max: 3 });
const facts: fc.Arbitrary<SeriesFacts> = fc.record({
  completeReason: fc.option(fc.constant('quiet'), { nil: undefined }),
  pending: counts,
  corrected: counts,
  leftAlone: counts,
  failed: counts,
  refused: counts,
  deliveries: fc.record({ pending: counts, delivered: counts, failed: counts }),
});

test('"delivered" is said only when it is true of every instance, and nothing else hides a failure', () => {
  fc.assert(
    fc.property(facts, (f) => {
      const { state, reason } = stateOf(f);
      const received = f.pending + f.corrected + f.leftAlone + f.failed;
      if (state === 'delivered') {
        assert.ok(f.completeReason !== undefined && f.corrected > 0);
        assert.equal(f.pending + f.failed + f.deliveries.pending + f.deliveries.failed, 0);
      }
      if (state === 'left-alone') assert.ok(f.leftAlone === received && received > 0);
      if (f.completeReason === undefined) assert.equal(state, 'receiving');
      if (state === 'failed') assert.notEqual(reason, '');
      if (f.failed > 0 && f.completeReason !== undefined) assert.match(reason, /could not be corrected/);
      if (f.refused > 0) assert.match(reason, /refused on receipt/);
    }),
  );
});

test('completion never comes later than the maximum age and never before the quiet time without a hint', () => {
  const time = fc.nat({ max: 100_000 });
  fc.assert(
    fc.property(time, time, time, time, fc.boolean(), (openedAt, since, quietMs, maxAgeMs, senderEnded) => {
      const lastReceivedAt = openedAt + since;
      const now = lastReceivedAt;
      const { at } = completion(
        { openedAt, lastReceivedAt, quietMs, maxAgeMs, received: 1, senderEnded },
        now,
      );
      assert.ok(at <= openedAt + maxAgeMs || at <= lastReceivedAt + quietMs);
      if (!senderEnded) assert.equal(at, Math.min(lastReceivedAt + quietMs, openedAt + maxAgeMs));
    }),
  );
  const future = {
    openedAt: 5000,
    lastReceivedAt: 5000,
    quietMs: 10,
    maxAgeMs: 100,
    received: 1,
    senderEnded: false,
  };
  assert.equal(completion(future, 1000).at, 1010);
});

type Step = {
  do: 'receive' | 'leave alone' | 'correct' | 'fail' | 'wait' | 'restart' | 'accept' | 'refuse';
  pick: number;
};

const steps: fc.Arbitrary<Step[]> = fc.array(
  fc.record({
    do: fc.constantFrom(
      'receive',
      'receive',
      'leave alone',
      'correct',
      'correct',
      'fail',
      'wait',
      'restart',
      'accept',
      'refuse',
    ),
    pick: fc.nat({ max: 20 }),
  }) as fc.Arbitrary<Step>,
  { minLength: 5, maxLength: 30 },
);

test('whatever happens in whatever order, the state tells the truth and every obligation has its job', async (t) => {
  const data = await temporaryFolder(t);
  const clock: Clock & { at: number } = { at: Date.now(), now: () => clock.at };
  const archive = await openArchive(data, clock);
  atEnd(t, () => archive.close());
  const { db } = archive;
  const queue = openEmbeddedQueue(db, clock);
  atEnd(t, () => queue.close(0));
  const index = createSeriesIndex(archive, queue);
  let run = 0;

  const property = fc.asyncProperty(steps, async (story) => {
    run += 1;
    const series = `1.2.${run}`;
    const events = new PipelineEmitter();
    let tracker = createSeriesTracker(archive, queue, events, { quiet: 1000, maxAge: 1e9 });
    tracker.start();
    const instances = new Map<number, 'pending' | 'corrected' | 'left-alone' | 'failed'>();
    const deliveries = new Map<number, 'pending' | 'delivered' | 'failed'>();
    let complete = false;
    let n = 0;

    const add = async (state: 'pending' | 'left-alone' | 'derived', from?: Instance) => {
      n += 1;
      const part = await archive.files.createPart();
      await part.write([Buffer.from('x')]);
      return archive.add(
        part,
        {
          study: '1.2',
          series: from === undefined ? series : `1.3.${run}`,
          sop: `${series}.${n}`,
          version: 1,
          sopClass: '1.2',
          transferSyntax: '1.2',
          digest: '',
          dataSetOffset: 0,
          origin: from === undefined ? 'received' : 'derived',
          ...(from !== undefined && { derivedFrom: from.id, sourceSeries: from.seriesId }),
          source: { protocol: 'file', peer: '', address: '' },
          state,
          destinations: ['pacs'],
          receivedAt: clock.at,
        },
        (instance) => {
          if (from === undefined) tracker.received(instance, undefined, undefined);
          else {
            db.run("UPDATE instances SET state = 'corrected' WHERE id = ?", from.id);
            tracker.derived(from, instance);
          }
        },
      );
    };
    const choose = <K, V>(from: Map<K, V>, wanted: V, pick: number) => {
      const matching = [...from].filter(([, value]) => value === wanted);
      return matching.length === 0 ? undefined : matching[pick % matching.length]![0];
    };

    for (const step of story) {
      if (step.do === 'receive' || step.do === 'leave alone') {
        const state = step.do === 'receive' ? 'pending' : 'left-alone';
        instances.set((await add(state)).id, state);
        complete = false;
      } else if (step.do === 'correct') {
        const id = choose(instances, 'pending', step.pick);
        if (id === undefined) continue;
        deliveries.set((await add('derived', archive.get(id)!)).id, 'pending');
        instances.set(id, 'corrected');
      } else if (step.do === 'fail') {
        const id = choose(instances, 'pending', step.pick);
        if (id === undefined) continue;
        db.transaction(() => {
          db.run("UPDATE instances SET state = 'failed', reason = 'no' WHERE id = ?", id);
          tracker.changed(archive.get(id)!.seriesId);
        });
        instances.set(id, 'failed');
      } else if (step.do === 'wait' || step.do === 'restart') {
        if (step.do === 'wait') clock.at += 1500;
        tracker.stop();
        tracker = createSeriesTracker(archive, queue, events, { quiet: 1000, maxAge: 1e9 });
        tracker.start();
        if (instances.size > 0 && !complete && step.do === 'wait') {
          await eventually('complete', () => index.get(series)?.completeReason !== undefined);
          complete = true;
        }
      } else {
        const id = choose(deliveries, 'pending', step.pick);
        const row = db.get<{ enqueued: number }>(
          'SELECT enqueued FROM deliveries WHERE instance_id = ?',
          id ?? -1,
        );
        if (id === undefined || row?.enqueued !== 1) continue;
        const state = step.do === 'accept' ? 'delivered' : 'failed';
        db.transaction(() => {
          db.run('UPDATE deliveries SET state = ? WHERE instance_id = ?', state, id);
          tracker.changed(index.get(series)!.id);
        });
        deliveries.set(id, state);
      }

      const view = index.get(series);
      if (view === undefined) continue;
      const count = <V>(of: Map<number, V>, wanted: V) =>
        [...of.values()].filter((value) => value === wanted).length;
      const expected = stateOf({
        completeReason: complete ? 'quiet' : undefined,
        pending: count(instances, 'pending'),
        corrected: count(instances, 'corrected'),
        leftAlone: count(instances, 'left-alone'),
        failed: count(instances, 'failed'),
        refused: 0,
        deliveries: {
          pending: count(deliveries, 'pending'),
          delivered: count(deliveries, 'delivered'),
          failed: count(deliveries, 'failed'),
        },
      });
      assert.equal(view.state, expected.state, step.do);
      const owes = complete && count(instances, 'pending') === 0 && count(deliveries, 'pending') > 0;
      if (owes)
        assert.ok(queue.state('deliver:pacs', String(view.id)), 'deliveries are owed and there is no job');
      if (!complete && view.completeReason !== undefined) assert.fail('complete without a reason to be');
    }
    tracker.stop();
  });
  await fc.assert(property, { numRuns: 25, seed: 2026, endOnFailure: true });
});
