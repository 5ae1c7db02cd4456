import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { createRandom } from '../../data/index.js';
import { fft2, fftInPlace, fftPlan, inverseFft2, smoothEvenLength } from '../../simulation/index.js';

function direct(re: Float64Array, im: Float64Array): { re: Float64Array; im: Float64Array } {
  const n = re.length;
  const outRe = new Float64Array(n);
  const outIm = new Float64Array(n);
  for (let k = 0; k < n; k++) {
    for (let j = 0; j < n; j++) {
      const a = (-2 * Math.PI * ((j * k) % n)) / n;
      outRe[k]! += re[j]! * Math.cos(a) - im[j]! * Math.sin(a);
      outIm[k]! += re[j]! * Math.sin(a) + im[j]! * Math.cos(a);
    }
  }
  return { re: outRe, im: outIm };
}

test('every length from 1 to 130, and large primes, agree with the direct sum', () => {
  const random = createRandom(1);
  for (const n of [...Array.from({ length: 130 }, (_, i) => i + 1), 460, 512, 509, 37 * 11]) {
    const re = Float64Array.from({ length: n }, () => random.normal());
    const im = Float64Array.from({ length: n }, () => random.normal());
    const expected = direct(re, im);
    fftInPlace(fftPlan(n), re, im);
    for (let k = 0; k < n; k++) {
      const error = Math.hypot(re[k]! - expected.re[k]!, im[k]! - expected.im[k]!);
      assert.ok(error < 1e-10 * n, `length ${n}, bin ${k}: ${error}`);
    }
  }
});

test('the two-dimensional transform inverts, and keeps energy', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 48 }),
      fc.integer({ min: 1, max: 48 }),
      fc.integer(),
      (rows, columns, seed) => {
        const random = createRandom(seed);
        const re = Float64Array.from({ length: rows * columns }, () => random.normal());
        const im = Float64Array.from({ length: rows * columns }, () => random.normal());
        const [a, b] = [re.slice(), im.slice()];
        fft2(a, b, rows, columns);
        let before = 0;
        let after = 0;
        for (let i = 0; i < re.length; i++) {
          before += re[i]! ** 2 + im[i]! ** 2;
          after += (a[i]! ** 2 + b[i]! ** 2) / re.length;
        }
        assert.ok(Math.abs(after / before - 1) < 1e-10);
        inverseFft2(a, b, rows, columns);
        for (let i = 0; i < re.length; i++) {
          assert.ok(Math.abs(a[i]! - re[i]!) < 1e-10 && Math.abs(b[i]! - im[i]!) < 1e-10);
        }
      },
    ),
    { numRuns: 40, seed: 8 },
  );
});

test('interleaved sequences are transformed each on its own, also by the chirp', () => {
  for (const n of [12, 41]) {
    const random = createRandom(n);
    const vector = 3;
    const re = Float64Array.from({ length: n * vector + 2 }, () => random.normal());
    const im = Float64Array.from({ length: n * vector + 2 }, () => random.normal());
    const expected = Array.from({ length: vector }, (_, q) =>
      direct(
        Float64Array.from({ length: n }, (_, p) => re[2 + p * vector + q]!),
        Float64Array.from({ length: n }, (_, p) => im[2 + p * vector + q]!),
      ),
    );
    fftInPlace(fftPlan(n), re, im, 2, vector);
    for (let q = 0; q < vector; q++) {
      for (let p = 0; p < n; p++) {
        assert.ok(Math.abs(re[2 + p * vector + q]! - expected[q]!.re[p]!) < 1e-9);
        assert.ok(Math.abs(im[2 + p * vector + q]! - expected[q]!.im[p]!) < 1e-9);
      }
    }
  }
});

test('lengths', () => {
  assert.equal(smoothEvenLength(254), 256);
  assert.equal(smoothEvenLength(7), 8);
  assert.equal(smoothEvenLength(301), 320);
  assert.throws(() => fftPlan(0), /whole length/);
});
