import { retryDelay } from '../queue/index.js';

export interface Breaker {
  /** Nothing is sent before this time; undefined while the destination answers. */
  readonly until: number | undefined;
  /** Failures in a row. */
  readonly failures: number;
  /** Nothing of a delivery arrived. */
  failed(now: number): void;
  /** Something arrived. Returns how many failures that ended. */
  succeeded(): number;
}

/**
 * Keeps a destination that does not answer from being asked over and over: after each failure a longer pause,
 * after which one delivery tries again.
 */
export function createBreaker(delay: { baseMs: number; capMs: number }, random?: () => number): Breaker {
  let failures = 0;
  let until: number | undefined;
  return {
    get until() {
      return until;
    },
    get failures() {
      return failures;
    },
    failed(now) {
      failures += 1;
      until = now + retryDelay(delay, failures, random);
    },
    succeeded() {
      const ended = failures;
      failures = 0;
      until = undefined;
      return ended;
    },
  };
}
