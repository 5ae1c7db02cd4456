import assert from 'node:assert/strict';
import { test } from 'node:test';
import { differenceOf, type Identity, queueOf, refusalsOf, sealOf } from '../../../src/distribution/index.js';

const SECRET = 'a-secret-of-the-tests';
const identity: Identity = {
  model: { name: 'mcnet', version: '1.0.0', sha256: 'a'.repeat(64) },
  configurationDigest: 'c'.repeat(64),
  softwareVersion: '0.1.0',
};
const variants: [string, Identity][] = [
  ['version', { ...identity, model: { ...identity.model, version: '1.0.1' } }],
  ['weights', { ...identity, model: { ...identity.model, sha256: 'b'.repeat(64) } }],
  ['configuration', { ...identity, configurationDigest: 'd'.repeat(64) }],
  ['software', { ...identity, softwareVersion: '0.2.0' }],
];

test('whoever differs in anything that decides the result has another queue, and is told in what', () => {
  assert.equal(queueOf(identity), queueOf(structuredClone(identity)));
  assert.match(queueOf(identity), /^correct-[0-9a-f]{32}$/);
  for (const [what, other] of variants) {
    assert.notEqual(queueOf(other), queueOf(identity), what);
    assert.ok(differenceOf(identity, other).startsWith(what), differenceOf(identity, other));
  }
  assert.equal(differenceOf(identity, identity), '');
});

test('a worker refuses what it would do differently, what it has not, and whom it cannot trust', () => {
  const about = { id: 'g1', name: 'radiology', url: 'http://127.0.0.1:1/', deviceUid: '2.25.1' };
  const gateway = { ...about, seal: sealOf(SECRET, about), identities: [identity] };
  assert.deepEqual(refusalsOf([gateway], [identity], SECRET), []);
  for (const [what, other] of variants) {
    const [refusal, ...more] = refusalsOf([gateway], [other], SECRET);
    assert.deepEqual(more, []);
    assert.equal(refusal?.gateway, 'radiology');
    assert.match(refusal!.reason, new RegExp(what));
  }
  const named = { ...identity, model: { ...identity.model, name: 'other' } };
  assert.match(refusalsOf([gateway], [named], SECRET)[0]!.reason, /has no model mcnet/);
  assert.match(refusalsOf([gateway], [identity], 'another-secret-of-it')[0]!.reason, /not sealed/);
});
