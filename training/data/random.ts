/**
 * A small seeded generator, so that a data set is a function of its recipe: xoshiro128** (Blackman and Vigna, 2021),
 * its state filled by splitmix32 from a seed and a path of labels.
 */
export interface Random {
  /** Uniform in [0, 1), 32 bits of resolution. */
  uniform(): number;
  /** Uniform in [low, high). */
  between(low: number, high: number): number;
  /** Uniform integer in [0, count). */
  integer(count: number): number;
  /** Standard normal (Marsaglia's polar method). */
  normal(): number;
  /** One element, all equally likely. The list must not be empty. */
  pick<T>(list: readonly T[]): T;
  /** One index, with probability in proportion to its weight. */
  weighted(weights: readonly number[]): number;
}

function hash(label: string | number): number {
  const text = String(label);
  let h = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) h = Math.imul(h ^ text.charCodeAt(i), 0x01000193);
  return h >>> 0;
}

/**
 * @param seed whole number
 * @param path labels that name a stream of its own below that seed (a subject, a slice): streams of different paths are independent,
 *   so results do not depend on the order in which workers draw.
 */
export function createRandom(seed: number, ...path: (string | number)[]): Random {
  let mix = hash(seed);
  for (const label of path) mix = (Math.imul(mix, 0x85ebca6b) ^ hash(label)) >>> 0;
  const state = new Uint32Array(4);
  for (let i = 0; i < 4; i++) {
    mix = (mix + 0x9e3779b9) >>> 0;
    let z = mix;
    z = Math.imul(z ^ (z >>> 16), 0x21f0aaad);
    z = Math.imul(z ^ (z >>> 15), 0x735a2d97);
    state[i] = (z ^ (z >>> 15)) >>> 0;
  }
  let spare = Number.NaN;
  const next = (): number => {
    const s1 = state[1]!;
    const times5 = Math.imul(s1, 5);
    const result = Math.imul((times5 << 7) | (times5 >>> 25), 9) >>> 0;
    const t = s1 << 9;
    state[2]! ^= state[0]!;
    state[3]! ^= s1;
    state[1]! ^= state[2]!;
    state[0]! ^= state[3]!;
    state[2]! ^= t;
    const s3 = state[3]!;
    state[3] = (s3 << 11) | (s3 >>> 21);
    return result;
  };
  const uniform = (): number => next() / 4294967296;
  return {
    uniform,
    between: (low, high) => low + (high - low) * uniform(),
    integer: (count) => Math.floor(uniform() * count),
    normal() {
      if (!Number.isNaN(spare)) {
        const value = spare;
        spare = Number.NaN;
        return value;
      }
      for (;;) {
        const u = 2 * uniform() - 1;
        const v = 2 * uniform() - 1;
        const s = u * u + v * v;
        if (s > 0 && s < 1) {
          const scale = Math.sqrt((-2 * Math.log(s)) / s);
          spare = v * scale;
          return u * scale;
        }
      }
    },
    pick(list) {
      if (list.length === 0) throw new RangeError('pick: the list is empty');
      return list[Math.floor(uniform() * list.length)]!;
    },
    weighted(weights) {
      let total = 0;
      for (const weight of weights) total += weight;
      let left = uniform() * total;
      for (let i = 0; i < weights.length; i++) {
        left -= weights[i]!;
        if (left < 0) return i;
      }
      return weights.length - 1;
    },
  };
}
