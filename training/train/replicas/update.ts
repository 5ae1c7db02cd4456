import type { AdamConfig } from '../../network/index.js';
import { meet, type SharedMemory } from './shared.js';

/** One update of the weights. */
export interface Update {
  /** Of each replica: its share of the batch's slices, which its gradient counts by. */
  readonly shares: readonly number[];
  /** See `adamFactors`. */
  readonly rate: number;
  readonly epsilon: number;
  /** Decay of the moving averages; missing: they stay. */
  readonly averageDecay?: number;
}

/**
 * This replica's part of an update, over an equal part of all weights: the gradients of all replicas are added up in
 * their order, so that the result depends on nothing but their number; then Adam and the moving averages. Moving
 * statistics become the mean of the replicas'. Every replica must call it.
 *
 * @returns the gradient's norm over all weights
 */
export function updatePart(
  memory: SharedMemory,
  replica: number,
  { beta1, beta2, clip }: AdamConfig,
  { shares, rate, epsilon, averageDecay }: Update,
): number {
  const values = new Float32Array(memory.values);
  const first = new Float32Array(memory.first);
  const second = new Float32Array(memory.second);
  const gradients = memory.gradients.map((buffer) => new Float32Array(buffer));
  const partOf = (count: number, at: number) => Math.floor((count * at) / memory.replicas);
  const [from, to] = [partOf(memory.learned, replica), partOf(memory.learned, replica + 1)];
  const statistics = values.length - memory.learned;
  const sum = gradients[0]!;
  const norms = new Float64Array(memory.norms);
  norms[replica] = add(sum, gradients, shares, from, to);
  meet(memory);
  const norm = Math.sqrt(norms.reduce((whole, part) => whole + part, 0));
  const factor = clip === undefined || norm <= clip ? 1 : clip / norm;
  const averages = new Float32Array(memory.averages);
  const decay = averageDecay ?? 1;
  // One pass for all of them: what costs is that they lie in memory.
  for (let i = from; i < to; i += 1) {
    const gradient = sum[i]! * factor;
    const m = beta1 * first[i]! + gradient;
    const v = beta2 * second[i]! + gradient * gradient;
    const value = values[i]! - (m * rate) / (Math.sqrt(v) + epsilon);
    first[i] = m;
    second[i] = v;
    values[i] = value;
    averages[i] = averaged(averages[i]!, value, decay);
  }
  const [begin, end] = [replica, replica + 1].map((at) => memory.learned + partOf(statistics, at)) as [
    number,
    number,
  ];
  add(sum, gradients, shares, begin, end);
  values.set(sum.subarray(begin, end), begin);
  for (let i = begin; i < end; i += 1) averages[i] = averaged(averages[i]!, values[i]!, decay);
  return norm;
}

/** A decay of 1 leaves the average exactly as it is. */
function averaged(average: number, value: number, decay: number): number {
  return decay === 1 ? average : value + decay * (average - value);
}

/**
 * The sum of the gradients by their shares, in their order, written to `sum`, which is the first of them.
 *
 * @returns its squared norm
 */
function add(
  sum: Float32Array,
  gradients: readonly Float32Array[],
  shares: readonly number[],
  from: number,
  to: number,
): number {
  let squares = 0;
  // Three more in each pass: one gradient at a time would read and write the sum as often.
  for (let next = 1; next === 1 || next < gradients.length; next += 3) {
    const own = next === 1 ? shares[0]! : 1;
    const [ofA, ofB, ofC] = [next, next + 1, next + 2].map((at) => shares[at] ?? 0) as [
      number,
      number,
      number,
    ];
    const [a, b, c] = [ofA, ofB, ofC].map((share, at) => (share > 0 ? gradients[next + at] : sum)) as [
      Float32Array,
      Float32Array,
      Float32Array,
    ];
    squares = 0;
    for (let i = from; i < to; i += 1) {
      const whole = own * sum[i]! + ofA * a[i]! + ofB * b[i]! + ofC * c[i]!;
      sum[i] = whole;
      squares += whole * whole;
    }
  }
  return squares;
}
