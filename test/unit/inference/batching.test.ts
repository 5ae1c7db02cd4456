import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import fc from 'fast-check';
import {
  type BatchShape,
  createBatcher,
  type Engine,
  type EngineCapacity,
  EngineError,
} from '../../../src/inference/index.js';

interface Run {
  slices: number;
  rows: number;
  columns: number;
  alone: boolean;
}

/** An engine that answers every pixel with its negative, after a while, and keeps a list of its runs. */
function fakeEngine(
  capacity: Partial<EngineCapacity> = {},
  behaviour: (run: Run, nth: number, data: Float32Array) => void | Promise<void> = () => {},
) {
  const runs: Run[] = [];
  let running = 0;
  let mostAtOnce = 0;
  const engine: Engine = {
    capacity: { lanes: 1, batch: 8, pixels: 1e9, ...capacity },
    load: () => Promise.resolve(),
    async run(data: Float32Array, shape: BatchShape, alone = false) {
      const run = { slices: shape[0], rows: shape[2], columns: shape[3], alone };
      runs.push(run);
      running += 1;
      mostAtOnce = Math.max(mostAtOnce, running);
      try {
        await behaviour(run, runs.length, data);
        return data.map((value) => -value);
      } finally {
        running -= 1;
      }
    },
    close: () => Promise.resolve(),
    describe: () => ({ engine: 'cpu', device: '', provider: '', threads: 1, version: '', refused: [] }),
  };
  return { engine, runs, mostAtOnce: () => mostAtOnce };
}

const slice = (value: number, size = 4): Float32Array => new Float32Array(size).fill(value);

test('slices that arrive together run together, in batches of one shape, and each gets its own answer', async () => {
  const { engine, runs } = fakeEngine({}, () => delay(2));
  const batcher = createBatcher(engine, { maxBatch: 4 });
  const answers = await Promise.all(
    Array.from({ length: 12 }, (_, i) =>
      i % 2 === 0 ? batcher.infer(slice(i), 2, 2) : batcher.infer(slice(i, 6), 2, 3),
    ),
  );
  for (const [i, answer] of answers.entries()) {
    assert.deepEqual([...answer.residual], new Array(i % 2 === 0 ? 4 : 6).fill(-i));
  }
  assert.deepEqual(
    runs.map((run) => run.slices),
    [4, 4, 2, 2],
  );
  assert.equal(batcher.depth, 0);
  assert.equal(batcher.running, 0);
});

test('an idle engine gets a slice at once, and is told that it is alone', async () => {
  const { engine, runs } = fakeEngine();
  const batcher = createBatcher(engine, { maxWaitMs: 10_000 });
  const { queueMs } = await batcher.infer(slice(1), 2, 2);
  assert.ok(queueMs < 1000, `waited ${queueMs} ms`);
  assert.deepEqual(runs, [{ slices: 1, rows: 2, columns: 2, alone: true }]);
});

test('after a run, slices wait for company no longer than the bound', async () => {
  const { engine, runs } = fakeEngine();
  const batcher = createBatcher(engine, { maxBatch: 3, maxWaitMs: 60 });
  await batcher.infer(slice(0), 2, 2);
  const first = batcher.infer(slice(1), 2, 2);
  await delay(5);
  const second = batcher.infer(slice(2), 2, 2);
  const [{ batch, queueMs }] = await Promise.all([first, second]);
  assert.equal(batch, 2);
  assert.ok(queueMs >= 55 && queueMs < 1000, `waited ${queueMs} ms`);
  assert.deepEqual(
    runs.map((run) => run.slices),
    [1, 2],
  );
});

test('as many runs at once as the engine has lanes', async () => {
  const { engine, mostAtOnce, runs } = fakeEngine({ lanes: 3, batch: 1 }, () => delay(5));
  const batcher = createBatcher(engine);
  await Promise.all(Array.from({ length: 10 }, (_, i) => batcher.infer(slice(i), 2, 2)));
  assert.equal(mostAtOnce(), 3);
  assert.ok(runs.every((run) => run.slices === 1 && !run.alone));
});

test('a shape with much to do does not starve another', async () => {
  const order: string[] = [];
  const { engine } = fakeEngine({ batch: 2 }, (run) => {
    order.push(`${run.rows}x${run.columns}`);
    return delay(1);
  });
  const batcher = createBatcher(engine, { maxBatch: 2 });
  const many = Array.from({ length: 10 }, (_, i) => batcher.infer(slice(i), 2, 2));
  const one = batcher.infer(slice(99, 9), 3, 3);
  const late = delay(1).then(() =>
    Promise.all(Array.from({ length: 10 }, (_, i) => batcher.infer(slice(i), 2, 2))),
  );
  await Promise.all([...many, one, late]);
  assert.ok(order.indexOf('3x3') <= 6, order.join(' '));
});

test('out of memory halves the batch until it fits, and later batches stay small', async () => {
  const { engine, runs } = fakeEngine({ batch: 8 }, (run) => {
    if (run.slices > 2) throw new EngineError('out-of-memory', 'Failed to allocate memory');
  });
  const batcher = createBatcher(engine, { maxBatch: 8 });
  const first = await Promise.all(Array.from({ length: 8 }, (_, i) => batcher.infer(slice(i), 2, 2)));
  assert.deepEqual(
    first.map((answer) => answer.residual[0]),
    [-0, -1, -2, -3, -4, -5, -6, -7],
  );
  assert.deepEqual(
    runs.map((run) => run.slices),
    [8, 4, 2, 2, 2, 2],
  );
  runs.length = 0;
  await Promise.all(Array.from({ length: 4 }, (_, i) => batcher.infer(slice(i), 2, 2)));
  assert.deepEqual(
    runs.map((run) => run.slices),
    [2, 2],
  );
});

test('a single slice that does not fit is given back as out of memory; the next one runs', async () => {
  const { engine } = fakeEngine({}, (run) => {
    if (run.rows === 50) throw new EngineError('out-of-memory', 'Failed to allocate memory');
  });
  const batcher = createBatcher(engine);
  await assert.rejects(batcher.infer(slice(1, 2500), 50, 50), { code: 'out-of-memory' });
  assert.equal((await batcher.infer(slice(3), 2, 2)).residual[0], -3);
});

test('a slice that the network refuses fails by itself, not with its batch', async () => {
  const { engine } = fakeEngine({ batch: 4 }, (_run, _nth, data) => {
    if (data.includes(13)) throw new EngineError('failed', 'refused');
  });
  const batcher = createBatcher(engine, { maxBatch: 4 });
  const outcomes = await Promise.allSettled([1, 13, 2, 3].map((value) => batcher.infer(slice(value), 2, 2)));
  assert.deepEqual(
    outcomes.map((one) => one.status),
    ['fulfilled', 'rejected', 'fulfilled', 'fulfilled'],
  );
});

test('a crash is tried again, and ends after a few attempts', async () => {
  let crashes = 2;
  const { engine } = fakeEngine({}, () => {
    if (crashes-- > 0) throw new EngineError('crashed', 'gone');
  });
  const batcher = createBatcher(engine);
  assert.equal((await batcher.infer(slice(5), 2, 2)).residual[0], -5);
  crashes = Number.POSITIVE_INFINITY;
  await assert.rejects(batcher.infer(slice(5), 2, 2), { code: 'crashed' });
});

test('aborting takes a waiting slice out of the queue', async () => {
  const { engine, runs } = fakeEngine({ batch: 1 }, () => delay(20));
  const batcher = createBatcher(engine);
  const abort = new AbortController();
  const running = batcher.infer(slice(1), 2, 2);
  const waiting = batcher.infer(slice(2), 2, 2, { signal: abort.signal });
  await delay(5);
  assert.equal(batcher.depth, 1);
  abort.abort(new Error('not wanted any more'));
  await assert.rejects(waiting, /not wanted any more/);
  assert.equal(batcher.depth, 0);
  await running;
  assert.equal(runs.length, 1);
});

test('closing rejects what waits, waits for what runs, and refuses what comes', async () => {
  const { engine } = fakeEngine({ batch: 1 }, () => delay(20));
  const batcher = createBatcher(engine);
  const running = batcher.infer(slice(1), 2, 2);
  const waiting = batcher.infer(slice(2), 2, 2);
  await delay(5);
  const closing = batcher.close();
  await assert.rejects(waiting, { code: 'closed' });
  await closing;
  assert.equal((await running).residual[0], -1);
  await assert.rejects(batcher.infer(slice(3), 2, 2), { code: 'closed' });
});

test('values that are not rows × columns are refused before they reach the engine', async () => {
  const { engine, runs } = fakeEngine();
  await assert.rejects(createBatcher(engine).infer(slice(1), 3, 3), /4 values are not 3 × 3/);
  assert.equal(runs.length, 0);
});

test('whatever arrives when, and whatever fails on the way, every slice gets its own answer', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.record({ shape: fc.integer({ min: 1, max: 3 }), pause: fc.integer({ min: 0, max: 2 }) }), {
        maxLength: 30,
      }),
      fc.integer({ min: 1, max: 4 }),
      fc.integer({ min: 1, max: 5 }),
      fc.array(fc.constantFrom('crashed', 'out-of-memory', 'failed', undefined), { maxLength: 4 }),
      async (arrivals, lanes, maxBatch, faults) => {
        const { engine, mostAtOnce } = fakeEngine({ lanes }, async (run, nth) => {
          const fault = faults[nth - 1];
          await delay(run.rows % 2);
          if (fault === 'crashed' || (fault !== undefined && run.slices > 1))
            throw new EngineError(fault, 'injected');
        });
        const batcher = createBatcher(engine, { maxBatch, maxWaitMs: 1 });
        const answers: Promise<void>[] = [];
        for (const [i, { shape, pause }] of arrivals.entries()) {
          if (pause > 0) await delay(pause);
          const answer = batcher.infer(slice(i, shape * 2), shape, 2);
          answers.push(
            answer.then(({ residual }) => assert.deepEqual([...residual], new Array(shape * 2).fill(-i))),
          );
        }
        await Promise.all(answers);
        assert.ok(mostAtOnce() <= lanes);
        assert.equal(batcher.depth, 0);
      },
    ),
    { numRuns: 30 },
  );
});
