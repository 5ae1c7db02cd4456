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
  add(sum, gradients, shares, from, to);
  const norms = new Float64Array(memory.norms);
  norms[replica] = squaredNorm(sum, from, to);
  meet(memory);
  const norm = Math.sqrt(norms.reduce((whole, part) => whole + part, 0));
  const factor = clip === undefined || norm <= clip ? 1 : clip / norm;
  for (let i = from; i < to; i += 1) {
    const gradient = sum[i]! * factor;
    const m = beta1 * first[i]! + gradient;
    const v = beta2 * second[i]! + gradient * gradient;
    first[i] = m;
    second[i] = v;
    values[i] = values[i]! - (m * rate) / (Math.sqrt(v) + epsilon);
  }
  const [begin, end] = [replica, replica + 1].map((at) => memory.learned + partOf(statistics, at)) as [
    number,
    number,
  ];
  add(sum, gradients, shares, begin, end);
  values.set(sum.subarray(begin, end), begin);
  if (averageDecay !== undefined) {
    const averages = new Float32Array(memory.averages);
    average(averages, values, averageDecay, from, to);
    average(averages, values, averageDecay, begin, end);
  }
  return norm;
}

/** The sum of the gradients by their shares, written to `sum`, which is the first of them. */
function add(
  sum: Float32Array,
  gradients: readonly Float32Array[],
  shares: readonly number[],
  from: number,
  to: number,
): void {
  const first = shares[0]!;
  if (first !== 1) for (let i = from; i < to; i += 1) sum[i] = sum[i]! * first;
  for (let replica = 1; replica < gradients.length; replica += 1) {
    const share = shares[replica]!;
    if (share === 0) continue;
    const gradient = gradients[replica]!;
    for (let i = from; i < to; i += 1) sum[i] = sum[i]! + share * gradient[i]!;
  }
}

function squaredNorm(values: Float32Array, from: number, to: number): number {
  let sum = 0;
  for (let i = from; i < to; i += 1) sum += values[i]! * values[i]!;
  return sum;
}

/** In the form of the compiled engine: a decay of 1 leaves the averages exactly as they are. */
function average(
  averages: Float32Array,
  values: Float32Array,
  decay: number,
  from: number,
  to: number,
): void {
  for (let i = from; i < to; i += 1) averages[i] = values[i]! + decay * (averages[i]! - values[i]!);
}
