import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { createRandom, dilate, headMask, maskArea, percentile, squaredDistance } from '../../data/index.js';

test('the distance transform agrees with the search over all pixels', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 14 }),
      fc.integer({ min: 1, max: 14 }),
      fc.integer(),
      (rows, columns, seed) => {
        const random = createRandom(seed);
        const mask = Uint8Array.from({ length: rows * columns }, () => (random.uniform() < 0.2 ? 1 : 0));
        const distance = squaredDistance(mask, rows, columns, [1.5, 0.5]);
        for (let i = 0; i < mask.length; i++) {
          let best = Number.POSITIVE_INFINITY;
          for (let j = 0; j < mask.length; j++) {
            if (mask[j] === 0) continue;
            const dr = 1.5 * (Math.floor(i / columns) - Math.floor(j / columns));
            const dc = 0.5 * ((i % columns) - (j % columns));
            best = Math.min(best, dr * dr + dc * dc);
          }
          assert.ok(distance[i] === best || Math.abs(distance[i]! - best) < 1e-9);
        }
      },
    ),
    { numRuns: 60, seed: 4 },
  );
});

test('the head mask takes the largest piece with its holes, dilated', () => {
  const size = 40;
  const image = new Float32Array(size * size);
  for (let row = 10; row < 30; row++) {
    for (let column = 10; column < 30; column++) {
      const hollow = row > 14 && row < 20 && column > 14 && column < 20;
      image[row * size + column] = hollow ? 0 : 100;
    }
  }
  image[2 * size + 2] = 100;
  const mask = headMask(image, size, size, { dilation: 0 });
  assert.equal(maskArea(mask), 400);
  assert.equal(mask[2 * size + 2], 0);
  const wider = headMask(image, size, size, { dilation: 2 });
  assert.equal(wider[8 * size + 20], 1);
  assert.equal(wider[7 * size + 20], 0);
  assert.deepEqual(dilate(mask, size, size, 2), wider);
  assert.equal(maskArea(headMask(new Float32Array(16), 4, 4)), 0);
});

test('percentile by nearest rank', () => {
  assert.equal(percentile([3, 1, 2, 4], 0.5), 3);
  assert.equal(percentile([3, 1, 2, 4], 1), 4);
  assert.ok(Number.isNaN(percentile([], 0.5)));
});
