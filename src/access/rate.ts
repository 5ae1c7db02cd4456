/** Says whether one more is allowed now, for each key apart. */
export interface Rate {
  /** Takes one. @returns milliseconds until the next is allowed; 0: it was. */
  take(key: string): number;
}

const KEYS = 10_000;

/** A token bucket for each key: `perMinute` at once, and as many again each minute. */
export function createRate(perMinute: number, now: () => number = Date.now): Rate {
  const buckets = new Map<string, { tokens: number; at: number }>();
  const perMs = perMinute / 60_000;
  return {
    take(key) {
      const at = now();
      const known = buckets.get(key) ?? { tokens: perMinute, at };
      const tokens = Math.min(perMinute, known.tokens + (at - known.at) * perMs);
      // The latest used stands last, so that the first is the one to forget.
      buckets.delete(key);
      buckets.set(key, { tokens: tokens >= 1 ? tokens - 1 : tokens, at });
      if (buckets.size > KEYS) buckets.delete(buckets.keys().next().value!);
      return tokens >= 1 ? 0 : Math.ceil((1 - tokens) / perMs);
    },
  };
}
