import assert from 'node:assert/strict';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { type Clock, type Database, openDatabase } from '../../../src/archive/index.js';
import {
  openEmbeddedQueue,
  PermanentFailure,
  RetryLater,
  retryDelay,
  type WorkerOptions,
} from '../../../src/queue/index.js';
import { atEnd, eventually, temporaryFolder } from '../pipeline/synthetic.js';

class ManualClock implements Clock {
  at = Date.now();
  now(): number {
    return this.at;
  }
}

async function open(t: TestContext, clock: Clock = { now: () => Date.now() }) {
  const path = join(await temporaryFolder(t), 'queue.sqlite');
  const db: Database = await openDatabase(path);
  const queue = openEmbeddedQueue(db, clock, { maxCrashes: 3 });
  atEnd(t, async () => {
    await queue.close(100);
    await db.close();
  });
  return { db, queue, clock };
}

const retry = { baseMs: 4, capMs: 20, maxAttempts: 3 };
const options: WorkerOptions = { concurrency: 2, retry };
const job = (key: string, priority = 0) => ({ kind: 'k', key, payload: { n: 1 }, priority });

test('runs in order of priority, then of arrival, and never more at a time than allowed', async (t) => {
  const { db, queue } = await open(t);
  db.transaction(() => {
    for (const key of ['a', 'b', 'c', 'd']) queue.add(job(key));
    queue.add(job('stat', 9));
  });
  const order: string[] = [];
  let now = 0;
  let most = 0;
  queue.work('k', options, async ({ key }) => {
    order.push(key);
    now += 1;
    most = Math.max(most, now);
    await new Promise((resolve) => setTimeout(resolve, 3));
    now -= 1;
  });
  await eventually('all', () => order.length === 5);
  assert.deepEqual(order, ['stat', 'a', 'b', 'c', 'd']);
  assert.equal(most, 2);
  await eventually('empty', () => queue.stats()[0]!.leased === 0);
  assert.deepEqual(queue.stats(), [{ kind: 'k', queued: 0, leased: 0, dead: 0, oldestMs: 0 }]);
});

test('a job that is rolled back never runs', async (t) => {
  const { db, queue } = await open(t);
  const ran: string[] = [];
  queue.work('k', options, async ({ key }) => {
    ran.push(key);
  });
  assert.throws(() =>
    db.transaction(() => {
      queue.add(job('a'));
      throw new Error('no');
    }),
  );
  queue.add(job('b'));
  await eventually('b', () => ran.length === 1);
  await new Promise((resolve) => setTimeout(resolve, 20));
  assert.deepEqual(ran, ['b']);
});

test('a failing job comes back with growing delay, then is a dead letter with its error; replay revives it', async (t) => {
  const { queue } = await open(t);
  let attempts: number[] = [];
  let fails = true;
  const dead: string[] = [];
  queue.work('k', { ...options, onDead: (_, error) => dead.push(error) }, async (each) => {
    attempts.push(each.attempts);
    if (fails) throw new Error(`failure ${each.attempts}`);
  });
  queue.add(job('a'));
  await eventually('dead', () => dead.length === 1);
  assert.deepEqual(attempts, [1, 2, 3]);
  assert.deepEqual(dead, ['failure 3']);
  assert.equal(queue.dead()[0]?.error, 'failure 3');
  fails = false;
  attempts = [];
  assert.equal(queue.replay('k', 'a'), 1);
  await eventually('done', () => attempts.length === 1 && queue.stats()[0]!.leased === 0);
  assert.equal(queue.state('k', 'a'), undefined);
});

test('a permanent failure is not tried again; RetryLater waits as long as it says', async (t) => {
  const { queue } = await open(t);
  const ran: string[] = [];
  queue.work('k', options, async (each) => {
    ran.push(each.key);
    if (each.key === 'never') throw new PermanentFailure('cannot work');
    if (ran.filter((key) => key === 'later').length < 5) throw new RetryLater('wait', 1, false);
  });
  queue.add(job('never'));
  queue.add(job('later'));
  await eventually('both settled', () => queue.stats()[0]!.queued + queue.stats()[0]!.leased === 0);
  assert.equal(ran.filter((key) => key === 'never').length, 1);
  assert.equal(ran.filter((key) => key === 'later').length, 5);
  assert.equal(queue.state('k', 'never')?.state, 'dead');
});

test('a key that is added again while it runs, runs once more; while it waits, it does not', async (t) => {
  const { queue } = await open(t);
  let ran = 0;
  let release = () => {};
  queue.add(job('a'));
  queue.add(job('a'));
  queue.work('k', options, async () => {
    ran += 1;
    await new Promise<void>((resolve) => {
      release = resolve;
    });
  });
  await eventually('running', () => ran === 1);
  queue.add(job('a'));
  queue.add(job('a'));
  release();
  await eventually('running again', () => ran === 2);
  release();
  await eventually('gone', () => queue.state('k', 'a') === undefined);
  assert.equal(ran, 2);
});

test('the end of a job and its work are one transaction', async (t) => {
  const { db, queue } = await open(t);
  queue.add(job('a'));
  let ran = 0;
  queue.work('k', options, async (_, context) => {
    ran += 1;
    await db
      .commit(() => {
        assert.equal(context.complete(), true);
        if (ran === 1) throw new Error('the work failed after complete()');
      })
      .catch(() => {
        throw new RetryLater('again', 0);
      });
  });
  await eventually('done', () => ran === 2 && queue.state('k', 'a') === undefined);
});

test('a hanging job loses its lease, somebody else does it, and its late end changes nothing', async (t) => {
  const clock = new ManualClock();
  const { queue } = await open(t, clock);
  const contexts: boolean[] = [];
  let ran = 0;
  let over = false;
  let release = () => {};
  queue.work('k', { ...options, leaseMs: 1000, timeoutMs: 5 }, async (_, context) => {
    ran += 1;
    if (ran === 1) {
      context.signal.addEventListener('abort', () => {
        over = true;
      });
      await new Promise<void>((resolve) => {
        release = resolve;
      });
      contexts.push(context.complete());
    } else {
      contexts.push(context.complete());
    }
  });
  queue.add(job('a'));
  await eventually('hangs beyond its time', () => ran === 1 && over);
  clock.at += 2000;
  queue.wake('k');
  await eventually('done by another', () => ran === 2);
  release();
  await eventually('both over', () => contexts.length === 2);
  assert.deepEqual(contexts, [true, false]);
});

test('a process that stood still longer than its leases does nothing twice', async (t) => {
  const clock = new ManualClock();
  const { queue } = await open(t, clock);
  const ran: string[] = [];
  const done: boolean[] = [];
  let release = () => {};
  queue.work('k', { ...options, leaseMs: 1000 }, async ({ key }, context) => {
    ran.push(key);
    if (key === 'a') {
      await new Promise<void>((resolve) => {
        release = resolve;
      });
    }
    done.push(context.complete());
  });
  queue.add(job('a'));
  await eventually('under way', () => ran.length === 1);
  clock.at += 600_000;
  queue.add(job('b'));
  await eventually('the next one is done', () => done.length === 1);
  release();
  await eventually('both are done', () => done.length === 2);
  assert.deepEqual(ran, ['a', 'b']);
  assert.deepEqual(done, [true, true]);
});

test('leases of a dead process are due again; a job that kills it again and again is given up', async (t) => {
  const path = join(await temporaryFolder(t), 'queue.sqlite');
  const db = await openDatabase(path);
  atEnd(t, () => db.close());
  const clock = new ManualClock();
  openEmbeddedQueue(db, clock).add(job('poison'));
  for (let death = 0; death < 3; death++) {
    const queue = openEmbeddedQueue(db, clock, { maxCrashes: 3 });
    let started = false;
    queue.work('k', options, () => {
      started = true;
      return new Promise(() => {});
    });
    await eventually('started', () => started);
  }
  const queue = openEmbeddedQueue(db, clock, { maxCrashes: 3 });
  const dead: string[] = [];
  queue.work('k', { ...options, onDead: (_, error) => dead.push(error) }, async () => {
    assert.fail('it ran a fourth time');
  });
  await eventually('given up', () => dead.length === 1);
  assert.equal(dead[0], 'the server died 3 times while working on it');
});

test('a stop gives running jobs back without counting a failure', async (t) => {
  const { db, queue } = await open(t);
  queue.add(job('a'));
  let aborted = false;
  queue.work('k', options, (_, { signal }) => {
    return new Promise((_resolve, reject) => {
      signal.addEventListener('abort', () => {
        aborted = true;
        reject(new Error('stopping'));
      });
    });
  });
  await eventually('running', () => queue.stats()[0]!.leased === 1);
  await queue.close(10);
  assert.equal(aborted, true);
  const row = db.get<{ state: string }>("SELECT state FROM jobs WHERE key = 'a'");
  assert.equal(row?.state, 'queued');
});

test('a due time from a clock that ran ahead is brought back', async (t) => {
  const path = join(await temporaryFolder(t), 'queue.sqlite');
  const db = await openDatabase(path);
  atEnd(t, () => db.close());
  const ahead = new ManualClock();
  ahead.at += 365 * 24 * 3600_000;
  openEmbeddedQueue(db, ahead).add(job('a'));
  const clock = new ManualClock();
  const queue = openEmbeddedQueue(db, clock);
  let ran = false;
  queue.work('k', options, async () => {
    ran = true;
  });
  await eventually('ran', () => ran);
});

test('a job that is worked on at every death waits longer after each, while the others go on', async (t) => {
  const path = join(await temporaryFolder(t), 'queue.sqlite');
  const db = await openDatabase(path);
  atEnd(t, () => db.close());
  const clock = new ManualClock();
  const delays: number[] = [];
  openEmbeddedQueue(db, clock).add(job('a'));
  for (let death = 1; death <= 8; death += 1) {
    db.run("UPDATE jobs SET state = 'leased', token = 'of the dead'");
    const queue = openEmbeddedQueue(db, clock, { maxCrashes: 8 });
    delays.push(queue.state('k', 'a')!.runAt - clock.now());
    await queue.close();
  }
  assert.deepEqual(delays, [0, 0, 1000, 2000, 3000, 4000, 5000, 0], 'at the last it is given up at once');
});

test('a clock that was set back by hours: what was due in a second is due in a second', async (t) => {
  const path = join(await temporaryFolder(t), 'queue.sqlite');
  const db = await openDatabase(path);
  atEnd(t, () => db.close());
  const before = new ManualClock();
  before.at += 3 * 3600_000;
  const first = openEmbeddedQueue(db, before);
  first.add(job('a'));
  let failures = 0;
  first.work('k', { ...options, retry: { ...options.retry, baseMs: 600_000, capMs: 600_000 } }, async () => {
    failures += 1;
    throw new Error('not now');
  });
  await eventually('failed once', () => failures === 1 && first.stats()[0]!.leased === 0);
  await first.close();
  const clock = new ManualClock();
  const queue = openEmbeddedQueue(db, clock);
  const due = queue.state('k', 'a')!.runAt - clock.now();
  assert.ok(due > 250_000 && due <= 600_000, `due in ${due} ms`);
});

test('the delay doubles up to its cap and is spread over its upper half', () => {
  const policy = { baseMs: 100, capMs: 1000 };
  const longest = [1, 2, 3, 4, 5, 60].map((attempts) => retryDelay(policy, attempts, () => 1));
  assert.deepEqual(longest, [100, 200, 400, 800, 1000, 1000]);
  assert.equal(
    retryDelay(policy, 3, () => 0),
    200,
  );
});
