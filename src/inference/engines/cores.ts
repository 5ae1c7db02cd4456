import { readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';

/** Reads a cgroup's processor quota ("max 100000" or "200000 100000"); undefined where there is none. */
export function quotaOf(cpuMax: string): number | undefined {
  const [quota, period] = cpuMax.trim().split(/\s+/).map(Number);
  if (!quota || !period || !Number.isFinite(quota) || !Number.isFinite(period)) return undefined;
  return Math.max(1, Math.ceil(quota / period));
}

/** Processor cores that this process may use: its affinity and, in a container, its cgroup quota. At least 1. */
export function usableCores(): number {
  const cores = availableParallelism();
  try {
    return Math.min(cores, quotaOf(readFileSync('/sys/fs/cgroup/cpu.max', 'utf8')) ?? cores);
  } catch {
    return cores;
  }
}
