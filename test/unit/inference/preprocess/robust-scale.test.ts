import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { paddedLayout, padScaled, robustScale } from '../../../../src/inference/preprocess/index.js';

test('integers have the scale that the same values have as floating-point numbers', () => {
  const kinds = [Uint8Array, Int8Array, Uint16Array, Int16Array];
  fc.assert(
    fc.property(
      fc.constantFrom(...kinds),
      fc.array(fc.integer({ min: -32768, max: 65535 }), { minLength: 1, maxLength: 700 }),
      fc.double({ min: 0.1, max: 100, noNaN: true }),
      (Kind, values, percentile) => {
        const pixels = Kind.from(values);
        const normalisation = { kind: 'percentile' as const, percentile };
        assert.equal(
          robustScale(pixels, 1, pixels.length, normalisation),
          robustScale(Float64Array.from(pixels), 1, pixels.length, normalisation),
        );
      },
    ),
    { numRuns: 400 },
  );
});

test('the scale is the nearest-rank percentile of the pixels above a tenth of the bright ones', () => {
  // 100 pixels 1 … 100: the reference is 99, so the head is 10 … 100, and its 50th percentile is the 46th of 91.
  const pixels = Uint16Array.from({ length: 100 }, (_, i) => i + 1);
  assert.equal(robustScale(pixels, 10, 10, { kind: 'percentile', percentile: 50 }), 55);
  assert.equal(robustScale(pixels, 10, 10, { kind: 'percentile', percentile: 100 }), 100);
  assert.equal(robustScale(new Uint16Array(100), 10, 10), 0);
});

test('a slice that needs no padding is brought to the network as one that does', () => {
  const [rows, columns] = [16, 32];
  const pixels = Float64Array.from({ length: rows * columns }, (_, i) => (i === 5 ? Number.NaN : i * 3));
  const exact = padScaled(pixels, rows, columns, paddedLayout(rows, columns, 16), 2, 7);
  const layout = { rows: rows + 2, columns: columns + 4, top: 1, left: 2 };
  const padded = padScaled(pixels, rows, columns, layout, 2, 7);
  for (let row = 0; row < rows; row += 1) {
    for (let column = 0; column < columns; column += 1) {
      assert.equal(exact[row * columns + column], padded[(row + 1) * layout.columns + column + 2]);
    }
  }
  assert.equal(exact[5], 0);
});
