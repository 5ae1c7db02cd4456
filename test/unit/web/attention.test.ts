import assert from 'node:assert/strict';
import { test } from 'node:test';
import { canRetry, isMoving, waitsForReview, whyToLook } from '../../../src/web/attention.js';
import type { SeriesView } from '../../../src/web/views.js';

const series = (changes: Partial<SeriesView> = {}): SeriesView => ({
  id: 1,
  study: '1.2',
  series: '1.2.3',
  state: 'delivered',
  reason: '',
  counts: { received: 20, corrected: 20, leftAlone: 0, failed: 0, delivered: 20 },
  expected: 20,
  lastReceivedAt: 0,
  destinations: [{ name: 'pacs', state: 'delivered', delivered: 20, failed: 0, attempts: 1 }],
  failures: [],
  ...changes,
});
const review = (verdict: 'accepted' | 'rejected') => ({ verdict, comment: '', reviewer: 'maria', at: 1 });
const away = {
  name: 'pacs',
  state: 'waiting' as const,
  delivered: 0,
  failed: 0,
  attempts: 3,
  lastError: 'nothing listens there',
};

test('nobody has to look at what went as it should, is under way, or is left alone by rule', () => {
  for (const changes of [
    {},
    { state: 'receiving', counts: { received: 3, corrected: 2, leftAlone: 0, failed: 0, delivered: 0 } },
    { state: 'complete', destinations: [] },
    { state: 'left-alone', reason: 'a localizer' },
    { remarks: [{ kind: 'skipped', count: 20 }] },
  ] satisfies Partial<SeriesView>[])
    assert.deepEqual(whyToLook(series(changes)), [], JSON.stringify(changes));
});

test('in progress is what goes on by itself', () => {
  const waiting = { ...away, attempts: 0, lastError: undefined as never };
  for (const [moves, changes] of [
    [true, { state: 'receiving' }],
    [true, { state: 'complete' }],
    [true, { state: 'corrected', destinations: [waiting] }],
    [true, { state: 'corrected', destinations: [waiting], hold: true, review: review('accepted') }],
    [false, { state: 'corrected', destinations: [] }],
    [false, { state: 'corrected', destinations: [waiting], hold: true }],
    [false, { state: 'corrected', destinations: [waiting], review: review('rejected') }],
    [false, {}],
    [false, { state: 'failed' }],
  ] satisfies [boolean, Partial<SeriesView>][])
    assert.equal(isMoving(series(changes)), moves, JSON.stringify(changes));
});

test('what needs a person is said with its reason, the most pressing first', () => {
  for (const [changes, ...why] of [
    [{ state: 'failed', reason: '2 of 20 could not be corrected' }, '2 of 20 could not be corrected'],
    [
      { state: 'corrected', hold: true, destinations: [{ ...away, lastError: undefined as never }] },
      'waits for somebody to accept or reject it',
    ],
    [{ state: 'corrected', destinations: [away] }, 'not delivered to pacs: nothing listens there'],
    [{ expected: 130 }, 'only 20 of 130 expected images came'],
    [{ refused: [{ sop: '1', reason: 'truncated', at: 0 }] }, '1 refused on receipt'],
    [
      {
        flagged: 3,
        hold: true,
        state: 'corrected',
        destinations: [away],
        remarks: [
          { kind: 'contrast', count: 2 },
          { kind: 'residual', count: 1 },
          { kind: 'skipped', count: 9 },
        ],
      },
      'not delivered to pacs: nothing listens there',
      'waits for somebody to accept or reject it',
      'flagged: 2 have a contrast that the model is not made for, 1 would be changed more than the rule allows',
    ],
  ] satisfies [Partial<SeriesView>, ...string[]][])
    assert.deepEqual(whyToLook(series(changes)), why);
});

test('who has looked need not look again; a rejected series is not waited for', () => {
  const flagged = { flagged: 2, remarks: [{ kind: 'matrix', count: 2 }] };
  assert.equal(whyToLook(series(flagged)).length, 1);
  assert.deepEqual(whyToLook(series({ ...flagged, review: review('accepted') })), []);
  const rejected = series({
    ...flagged,
    state: 'corrected',
    hold: true,
    destinations: [away],
    review: review('rejected'),
  });
  assert.deepEqual(whyToLook(rejected), []);
  assert.equal(canRetry(rejected), false);
  assert.equal(waitsForReview(rejected), false);
  // An acceptance does not make a destination answer.
  const accepted = series({ state: 'corrected', destinations: [away], review: review('accepted') });
  assert.equal(whyToLook(accepted).length, 1);
  assert.equal(canRetry(accepted), true);
});
