import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { readAhead } from '../../../src/dicomweb/read-ahead.js';

test('results come in order, with a bound on what is under way, and errors in their turn', async () => {
  let open = 0;
  let most = 0;
  const work = async (n: number) => {
    open += 1;
    most = Math.max(most, open);
    await delay(n % 3);
    open -= 1;
    if (n === 8) throw new Error('eight');
    return n * 10;
  };
  const seen: number[] = [];
  await assert.rejects(async () => {
    for await (const result of readAhead(Array(20).keys(), 4, work)) seen.push(result);
  }, /eight/);
  assert.deepEqual(seen, [0, 10, 20, 30, 40, 50, 60, 70]);
  assert.ok(most >= 2 && most <= 4, `${most}`);
});

test('leaving early starts nothing more', async () => {
  let started = 0;
  for await (const result of readAhead(Array(100).keys(), 3, async (n) => {
    started += 1;
    return n;
  })) {
    if (result === 1) break;
  }
  assert.ok(started <= 5, `${started}`);
});
