import assert from 'node:assert/strict';
import { test } from 'node:test';
import { nextMessageId } from '../../../src/dimse/message-id.js';

test('ids count up, wrap from 65535 to 1, and skip those in use', () => {
  assert.equal(nextMessageId(0, new Set()), 1);
  assert.equal(nextMessageId(65_534, new Set()), 65_535);
  assert.equal(nextMessageId(65_535, new Set()), 1);
  assert.equal(nextMessageId(65_534, new Set([65_535, 1, 2])), 3);
});

test('no id is left: an error, not an endless search', () => {
  const all = { has: () => true, size: 65_535 };
  assert.throws(() => nextMessageId(5, all), RangeError);
});
