import assert from 'node:assert/strict';
import { test } from 'node:test';
import { encodePng, renderPreview } from '../../../src/web/index.js';
import { windowOf } from '../../../src/web/preview.js';

const frame = (pixels: number[], inverted = false) => ({ rows: 1, columns: pixels.length, pixels, inverted });

test('source and derived share the window of the source', () => {
  const source = frame([0, 50, 100]);
  assert.deepEqual([...renderPreview('source', source)!.samples], [0, 127, 255]);
  assert.deepEqual([...renderPreview('derived', source, frame([0, 100, 200]))!.samples], [0, 255, 255]);
  assert.deepEqual([...renderPreview('source', frame([0, 50, 100], true))!.samples], [255, 128, 0]);
});

test('the change is black where there is none, orange where brighter, blue where darker', () => {
  const picture = renderPreview('residual', frame([0, 50, 100]), frame([0, 75, 75]))!;
  assert.equal(picture.channels, 3);
  assert.deepEqual([...picture.samples], [0, 0, 0, 255, 158, 51, 64, 166, 255]);
});

test('nothing is drawn where there is nothing to compare', () => {
  assert.equal(renderPreview('derived', frame([1, 2])), undefined);
  assert.equal(renderPreview('residual', frame([1, 2]), frame([1, 2, 3])), undefined);
});

test('the window leaves out the extremes, and is never empty', () => {
  const pixels = Array.from({ length: 1000 }, (_, i) => (i === 0 ? -30000 : i === 999 ? 30000 : i));
  const { low, high } = windowOf(pixels);
  assert.ok(low >= 0 && high <= 1000, `${low} to ${high}`);
  assert.deepEqual(windowOf([7, 7, 7]), { low: 7, high: 8 });
});

test('a picture with the wrong number of samples is not encoded', async () => {
  await assert.rejects(
    encodePng({ rows: 2, columns: 2, channels: 1, samples: new Uint8Array(3) }),
    /2 x 2 x 1 has 3/,
  );
});
