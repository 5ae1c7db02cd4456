import assert from 'node:assert/strict';
import { test } from 'node:test';
import { derivationOf } from '../../../src/composition/models.js';
import { derivedUids } from '../../../src/dicom/index.js';

const model = { name: 'mcnet', version: '1.0.0', sha256: 'ab'.repeat(32) };
const source = { seriesInstanceUid: '2.25.1', sopInstanceUid: '2.25.2' };

function derivation(precision: 'auto' | 'float32', offset = 1) {
  return derivationOf(model, { precision, seriesNumber: { offset } }, '2.25.3', new Date(0));
}

test('what the configuration lets decide the result decides the derived UIDs', () => {
  const exact = derivation('float32');
  for (const other of [derivation('auto'), derivation('float32', 2)]) {
    assert.notEqual(other.configurationDigest, exact.configurationDigest);
    assert.notEqual(derivedUids(source, other).sopInstanceUid, derivedUids(source, exact).sopInstanceUid);
  }
  assert.deepEqual(derivation('float32'), exact);
});
