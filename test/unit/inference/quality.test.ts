import assert from 'node:assert/strict';
import { test } from 'node:test';
import { meanQuality, qualityOf, sharpnessOf } from '../../../src/inference/index.js';

const side = 64;

/** A disc with an edge that is `width` pixels wide. */
function disc(width: number): Float64Array {
  return Float64Array.from({ length: side * side }, (_, i) => {
    const radius = Math.hypot((i % side) - 32, Math.floor(i / side) - 32);
    return 1000 * Math.min(1, Math.max(0, (20 - radius) / width + 0.5));
  });
}

test('a wider edge is less sharp and spreads its gradient over more pixels, at any brightness', () => {
  const sharp = sharpnessOf(disc(1), side, side);
  const blurred = sharpnessOf(disc(8), side, side);
  assert.ok(sharp.sharpness > 5 * blurred.sharpness, `${sharp.sharpness} against ${blurred.sharpness}`);
  assert.ok(sharp.gradientEntropy < blurred.gradientEntropy);
  const brighter = sharpnessOf(
    disc(1).map((value) => 3 * value + 100),
    side,
    side,
  );
  assert.ok(Math.abs(brighter.sharpness - sharp.sharpness) < 1e-9);
  assert.ok(Math.abs(brighter.gradientEntropy - sharp.gradientEntropy) < 1e-4);
});

test('slices without contrast, and tiny ones, have no sharpness and do not fail', () => {
  const none = { sharpness: 0, gradientEntropy: 0 };
  assert.deepEqual(sharpnessOf(new Uint16Array(100).fill(7), 10, 10), none);
  assert.deepEqual(sharpnessOf([1, 2, 3, 4], 2, 2), none);
});

test('an unchanged slice has no residual; a changed one has what the definition says', () => {
  const before = Uint16Array.from([3, 4, 0, 0, 0, 0, 0, 0, 0]);
  const same = qualityOf(before, before, 3, 3);
  assert.equal(same.residualEnergy, 0);
  assert.equal(same.maxResidual, 0);
  assert.equal(same.changed, 0);
  const changed = qualityOf(before, Uint16Array.from([3, 1, 0, 0, 0, 4, 0, 0, 0]), 3, 3);
  assert.equal(changed.residualEnergy, (9 + 16) / 25);
  assert.equal(changed.maxResidual, 4);
  assert.equal(changed.changed, 2 / 9);
  const mean = meanQuality([same, changed]);
  assert.equal(mean.residualEnergy, 0.5);
  assert.equal(mean.maxResidual, 4);
});
