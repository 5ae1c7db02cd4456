/**
 * The interpolation kernel of the non-uniform FFT: the exponential of a semicircle of Barnett, Magland and af Klinteberg
 * (SIAM J. Sci. Comput. 41(5), 2019), φ(z) = exp(β(√(1 − (2z/w)²) − 1)) for |z| ≤ w/2, with w = 8 grid points and an
 * oversampling of 2. Its relative error is about 1e-7.
 */
export const KERNEL_WIDTH = 8;
export const OVERSAMPLING = 2;
const BETA = 2.3 * KERNEL_WIDTH;
const TABLE_STEPS = 2048;

function kernel(z: number): number {
  const u = (2 * z) / KERNEL_WIDTH;
  return Math.abs(u) >= 1 ? 0 : Math.exp(BETA * (Math.sqrt(1 - u * u) - 1));
}

/**
 * Weights of the 8 taps for a position between two grid points, tabulated: entry [step][tap] for a fraction of
 * step / TABLE_STEPS above the first tap's reach; read with linear interpolation (error 4e-8).
 * Tap t of a sample at g, with first tap l0 = ⌈g − 4⌉, has weight φ(g − l0 − t).
 */
const table = ((): Float64Array => {
  const values = new Float64Array((TABLE_STEPS + 2) * KERNEL_WIDTH);
  for (let step = 0; step < TABLE_STEPS + 2; step++) {
    for (let tap = 0; tap < KERNEL_WIDTH; tap++) {
      values[step * KERNEL_WIDTH + tap] = kernel(KERNEL_WIDTH / 2 - tap - Math.min(1, step / TABLE_STEPS));
    }
  }
  return values;
})();

/**
 * Writes the 8 weights of the sample at grid position g into `weights` from index `at` on and returns the first tap's
 * grid index ⌈g − 4⌉.
 */
export function kernelWeights(g: number, weights: Float64Array, at: number): number {
  const first = Math.ceil(g - KERNEL_WIDTH / 2);
  const position = (first - (g - KERNEL_WIDTH / 2)) * TABLE_STEPS;
  const step = Math.floor(position);
  const above = position - step;
  const below = 1 - above;
  const from = step * KERNEL_WIDTH;
  for (let tap = 0; tap < KERNEL_WIDTH; tap++) {
    weights[at + tap] = below * table[from + tap]! + above * table[from + KERNEL_WIDTH + tap]!;
  }
  return first;
}

/**
 * What an image of `length` pixels, numbered from −⌊length/2⌋ on, is multiplied by before it is transformed on a grid of
 * `gridLength`: 1 / ∫ φ(z) cos(2π x z / gridLength) dz.
 */
export function deapodisation(length: number, gridLength: number): Float64Array {
  const intervals = 4000;
  const h = KERNEL_WIDTH / intervals;
  const factors = new Float64Array(length);
  for (let i = 0; i < length; i++) {
    const x = i - Math.floor(length / 2);
    let sum = 0;
    for (let j = 0; j <= intervals; j++) {
      const z = -KERNEL_WIDTH / 2 + j * h;
      const simpson = j === 0 || j === intervals ? 1 : j % 2 === 1 ? 4 : 2;
      sum += simpson * kernel(z) * Math.cos((2 * Math.PI * x * z) / gridLength);
    }
    factors[i] = 3 / (sum * h);
  }
  return factors;
}
