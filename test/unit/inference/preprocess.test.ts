import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import {
  applyResidual,
  paddedLayout,
  robustScale,
  toNetworkInput,
  zeroLevel,
} from '../../../src/inference/preprocess/index.js';

const options = { multiple: 16, normalisation: { kind: 'percentile', percentile: 99.5 } } as const;
const size = fc.record({ rows: fc.integer({ min: 1, max: 70 }), columns: fc.integer({ min: 1, max: 70 }) });
/** A slice of stored values: a head, a background, some of them negative. */
const slice = size.chain(({ rows, columns }) =>
  fc.record({
    rows: fc.constant(rows),
    columns: fc.constant(columns),
    pixels: fc.array(
      fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 4095 }), fc.integer({ min: -50, max: 50 })),
      { minLength: rows * columns, maxLength: rows * columns },
    ),
  }),
);

describe('the robust scale', () => {
  test('grows with the intensities and does not depend on how they are stored', () => {
    fc.assert(
      fc.property(slice, fc.integer({ min: 2, max: 7 }), ({ rows, columns, pixels }, factor) => {
        const scale = robustScale(pixels, rows, columns);
        assert.equal(robustScale(Int16Array.from(pixels), rows, columns), scale);
        assert.equal(robustScale(Float64Array.from(pixels), rows, columns), scale);
        const larger = pixels.map((value) => value * factor);
        assert.equal(robustScale(larger, rows, columns), scale * factor);
      }),
    );
  });

  test('is a pixel’s distance from the zero level, or 0 for a slice with nothing in it', () => {
    fc.assert(
      fc.property(slice, ({ rows, columns, pixels }) => {
        const scale = robustScale(pixels, rows, columns);
        const zero = zeroLevel(pixels);
        assert.equal(zero, Math.min(0, ...pixels));
        if (pixels.every((value) => value === zero)) assert.equal(scale, 0);
        else assert.ok(scale > 0 && pixels.includes(scale + zero));
      }),
    );
  });

  test('does not see the order of the pixels, nor pixels that are no numbers', () => {
    fc.assert(
      fc.property(slice, ({ rows, columns, pixels }) => {
        const scale = robustScale(pixels, rows, columns);
        assert.equal(robustScale([...pixels].reverse(), rows, columns), scale);
        const strange = [...pixels, Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
        assert.equal(robustScale(strange, 1, strange.length), scale);
      }),
    );
  });

  test('is the 99.5th percentile of the head: background, noise of air and one bright pixel do not move it', () => {
    const head = Array.from({ length: 1000 }, (_, i) => 500 + i);
    const air = Array.from({ length: 5000 }, (_, i) => i % 20);
    assert.equal(robustScale(head, 1, 1000), 500 + 994);
    assert.equal(robustScale([...head, ...air], 1, 6000), 500 + 994);
    assert.equal(robustScale([...head, ...new Array<number>(9000).fill(0)], 1, 10_000), 500 + 994);
    assert.equal(robustScale([...head, 60_000], 1, 1001), 500 + 995);
    assert.equal(robustScale(head, 1, 1000, { kind: 'percentile', percentile: 50 }), 500 + 499);
  });

  test('refuses sizes and percentiles that cannot be', () => {
    assert.throws(() => robustScale([1, 2], 1, 3), /1×3 pixels expected, got 2/);
    for (const percentile of [0, -1, 101, Number.NaN]) {
      assert.throws(() => robustScale([1], 1, 1, { kind: 'percentile', percentile }), RangeError);
    }
  });
});

describe('the network’s input', () => {
  test('holds the slice, scaled and not clipped, and its mirror image around it', () => {
    fc.assert(
      fc.property(slice, ({ rows, columns, pixels }) => {
        const input = toNetworkInput(pixels, rows, columns, options);
        assert.equal((input.rows % 16) + (input.columns % 16), 0);
        assert.ok(input.rows - rows < 16 && input.columns - columns < 16);
        assert.ok(input.data.every(Number.isFinite));
        if (input.scale === 0) {
          assert.ok(input.data.every((value) => value === 0));
          return;
        }
        const zero = zeroLevel(pixels);
        const mirrored = (index: number, length: number): number => {
          let at = index;
          while (at < 0 || at >= length) at = length === 1 ? 0 : at < 0 ? -at : 2 * (length - 1) - at;
          return at;
        };
        for (let row = 0; row < input.rows; row += 1) {
          for (let column = 0; column < input.columns; column += 1) {
            const source = mirrored(row - input.top, rows) * columns + mirrored(column - input.left, columns);
            const expected = Math.fround((pixels[source]! - zero) / input.scale);
            assert.equal(input.data[row * input.columns + column], expected);
          }
        }
      }),
      { numRuns: 60 },
    );
  });

  test('is what it was for a slice in other units', () => {
    fc.assert(
      fc.property(slice, ({ rows, columns, pixels }) => {
        const doubled = pixels.map((value) => value * 2);
        assert.deepEqual(
          toNetworkInput(doubled, rows, columns, options).data,
          toNetworkInput(pixels, rows, columns, options).data,
        );
      }),
    );
  });

  test('a slice that fits is not padded; one without pixels is refused', () => {
    assert.deepEqual(paddedLayout(64, 48, 16), { rows: 64, columns: 48, top: 0, left: 0 });
    assert.deepEqual(paddedLayout(65, 47, 16), { rows: 80, columns: 48, top: 7, left: 0 });
    assert.throws(() => toNetworkInput([], 0, 4, options), /a slice of 0×4 has no pixels/);
  });
});

describe('the residual', () => {
  const range = { min: 0, max: 4095 };

  test('of zero, of less than half a stored value, or of no number leaves every pixel bit-identical', () => {
    fc.assert(
      fc.property(slice, fc.constantFrom(0, 0.4, -0.4, Number.NaN), ({ rows, columns, pixels }, change) => {
        const stored = Int16Array.from(pixels);
        const layout = paddedLayout(rows, columns, 16);
        const scale = Math.max(1, robustScale(stored, rows, columns));
        const residual = new Float32Array(layout.rows * layout.columns).fill(change / scale);
        assert.deepEqual(applyResidual(stored, rows, columns, residual, layout, scale, range), stored);
      }),
    );
  });

  test('lands on the pixel it was computed for, rounded, inside the range; the input is left alone', () => {
    fc.assert(
      fc.property(slice, fc.integer({ min: 1, max: 300 }), ({ rows, columns, pixels }, scale) => {
        const stored = Int16Array.from(pixels);
        const before = stored.slice();
        const layout = paddedLayout(rows, columns, 16);
        const residual = Float32Array.from(
          { length: layout.rows * layout.columns },
          (_, i) => Math.sin(i) * 3,
        );
        const corrected = applyResidual(stored, rows, columns, residual, layout, scale, range);
        assert.deepEqual(stored, before);
        assert.ok(corrected instanceof Int16Array);
        corrected.forEach((value, i) => {
          const at = (layout.top + Math.floor(i / columns)) * layout.columns + layout.left + (i % columns);
          const change = Math.round(residual[at]! * scale);
          const expected = Math.min(range.max, Math.max(range.min, stored[i]! + change));
          assert.equal(value, change === 0 ? stored[i] : expected);
        });
      }),
    );
  });

  test('takes a slice back to itself: the input’s own difference from the clean slice restores it', () => {
    fc.assert(
      fc.property(slice, fc.integer({ min: 1, max: 9 }), ({ rows, columns, pixels }, seed) => {
        const clean = Uint16Array.from(pixels, (value) => Math.abs(value));
        const corrupted = clean.map((value, i) => Math.max(0, value + Math.round(40 * Math.sin(i * seed))));
        const input = toNetworkInput(corrupted, rows, columns, options);
        if (input.scale === 0) return;
        const residual = new Float32Array(input.rows * input.columns);
        for (let i = 0; i < clean.length; i += 1) {
          const at = (input.top + Math.floor(i / columns)) * input.columns + input.left + (i % columns);
          residual[at] = (clean[i]! - corrupted[i]!) / input.scale;
        }
        const restored = applyResidual(corrupted, rows, columns, residual, input, input.scale, {
          min: 0,
          max: 65_535,
        });
        assert.deepEqual(restored, clean);
      }),
    );
  });

  test('of another size is refused', () => {
    const layout = paddedLayout(4, 4, 16);
    const residual = new Float32Array(256);
    const apply =
      (rows: number, columns: number, values = residual, place = layout) =>
      () =>
        applyResidual(new Uint16Array(16), rows, columns, values, place, 1, range);
    assert.throws(apply(4, 5), /4×5 pixels expected, got 16/);
    assert.throws(apply(4, 4, new Float32Array(4)), /a residual of 16×16 expected, got 4 values/);
    assert.throws(apply(4, 4, residual, { ...layout, top: 14 }), /does not lie inside 16×16/);
  });
});
