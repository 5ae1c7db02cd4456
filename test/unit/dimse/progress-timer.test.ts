import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ProgressTimer } from '../../../src/dimse/progress-timer.js';
import { sleep } from './scripted-peer.js';

test('whoever keeps moving never meets it; silence does', async () => {
  let silent = 0;
  const timer = new ProgressTimer(
    60,
    () => false,
    () => {
      silent += 1;
    },
  );
  for (let i = 0; i < 12; i += 1) {
    await sleep(15);
    timer.touch();
  }
  assert.equal(silent, 0);
  await sleep(120);
  assert.equal(silent, 1);
});

test('silence that is ours does not count', async () => {
  let silent = 0;
  let ours = true;
  const timer = new ProgressTimer(
    30,
    () => ours,
    () => {
      silent += 1;
    },
  );
  await sleep(120);
  assert.equal(silent, 0);
  ours = false;
  await sleep(120);
  assert.equal(silent, 1);
  timer.stop();
});
