/**
 * Time for timers and leases: never runs backwards inside the process and is not moved by a change of the
 * wall clock. Milliseconds since the epoch, as the wall clock stood when the process began.
 */
export interface Clock {
  now(): number;
}

/** A clock anchored once to the wall clock and driven by the monotonic clock of the machine from then on. */
export function monotonicClock(): Clock {
  const anchor = Date.now() - performance.now();
  return { now: () => Math.round(anchor + performance.now()) };
}
