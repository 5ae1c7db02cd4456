/** How busy the parts of the benchmark were, and which of them held it back. */
import { availableParallelism } from 'node:os';
import { firstThreadMs, firstThreadWaitedMs, processorMs } from '../pipeline/processes.js';

/** Pids of each part. */
export type Parts = Record<string, readonly number[]>;

/** One phase: slices, seconds, and what its parts used of the processor meanwhile. */
export interface Load {
  slices: number;
  seconds: number;
  /** Processor ms a slice of each part, over all its processes and threads. */
  processorMs: Record<string, number>;
  /** Share of the time in which the busiest first thread of a part was on a processor: 1 is all of it. */
  busy: Record<string, number>;
  /** Share of the time in which the first thread that waited longest was ready and had no processor. */
  queued: Record<string, number>;
}

/** A thread that is on a processor so much of the time has no room for more. */
const SATURATED = 0.85;

/** Runs a phase of so many slices; `work` resolves with the seconds that it took. */
export async function loadOf(parts: Parts, slices: number, work: () => Promise<number>): Promise<Load> {
  const names = Object.keys(parts);
  const used = () =>
    names.map((name) =>
      parts[name]!.map((pid) => ({
        all: processorMs(pid),
        first: firstThreadMs(pid),
        queued: firstThreadWaitedMs(pid),
      })),
    );
  const before = used();
  const startedAt = performance.now();
  const seconds = await work();
  const wallMs = performance.now() - startedAt;
  const after = used();
  const load: Load = { slices, seconds, processorMs: {}, busy: {}, queued: {} };
  for (const [i, name] of names.entries()) {
    const grown = (what: 'all' | 'first' | 'queued') =>
      after[i]!.map((now, j) => now[what] - before[i]![j]![what]);
    load.processorMs[name] = grown('all').reduce((sum, ms) => sum + ms, 0) / slices;
    load.busy[name] = Math.max(0, ...grown('first')) / wallMs;
    load.queued[name] = Math.max(0, ...grown('queued')) / wallMs;
  }
  return load;
}

/**
 * What held a phase back, from what was measured.
 * @param engines slices a second that the simulated engines could do; undefined when none was needed
 */
export function heldBackBy(load: Load, engines: number | undefined): string {
  const { slices, seconds, processorMs: ms, busy, queued } = load;
  const rate = slices / seconds;
  if (engines !== undefined && rate > SATURATED * engines) return 'the engines';
  const total = Object.values(ms).reduce((sum, value) => sum + value, 0);
  const cores = availableParallelism();
  const inUse = (total * rate) / 1000;
  const share = (part: number) => `${Math.round(part * 100)} %`;
  const full = Object.entries(busy)
    .filter(([, part]) => part > SATURATED)
    .map(([name, part]) => `the ${name}'s first thread (${share(part)} busy)`);
  if (inUse > SATURATED * cores) {
    full.push(`the ${cores} cores of this machine (${inUse.toFixed(1)} in use by all parts together)`);
  }
  if (full.length > 0) return full.join(', ');
  const starved = Object.entries(queued)
    .filter(([name, part]) => part + busy[name]! > SATURATED)
    .map(
      ([name, part]) =>
        `the ${name}'s first thread (${share(busy[name]!)} busy, ${share(part)} without a core)`,
    );
  if (starved.length > 0) return `other work on these cores: ${starved.join(', ')}`;
  const most = share(Math.max(...Object.values(busy)));
  return `waiting: for the disk, or for one another (${inUse.toFixed(1)} of ${cores} cores in use, the busiest first thread ${most})`;
}
