/**
 * When a series counts as complete. An idle timer alone is not completeness: what else is known shortens it,
 * and what comes later is handled, not lost.
 */

export interface Openness {
  /** Milliseconds of the archive's clock. */
  openedAt: number;
  lastReceivedAt: number;
  quietMs: number;
  maxAgeMs: number;
  received: number;
  /** From the header; undefined when it says nothing or contradicts itself. */
  expected?: number | undefined;
  /** An association or request that brought several instances of the series has ended, and none since. */
  senderEnded: boolean;
}

/** Quiet time once the sender has released the association; the configured one if that is shorter. */
export const quietAfterReleaseMs = 1000;

/** When the series will count as complete if nothing else arrives, and what will have decided it. */
export function completion(o: Openness, now: number): { at: number; reason: string } {
  if (o.expected !== undefined && o.received >= o.expected) {
    return { at: now, reason: `expected count: ${o.received} of ${o.expected}` };
  }
  // A time in the future was written under another wall clock.
  const last = Math.min(o.lastReceivedAt, now);
  const opened = Math.min(o.openedAt, now);
  const aged = { at: opened + o.maxAgeMs, reason: `maximum age of ${seconds(o.maxAgeMs)}` };
  const quietMs = o.senderEnded ? Math.min(o.quietMs, quietAfterReleaseMs) : o.quietMs;
  const quiet = {
    at: last + quietMs,
    reason: o.senderEnded
      ? `the sender ended the association and was quiet for ${seconds(quietMs)}`
      : `nothing new for ${seconds(quietMs)}`,
  };
  return quiet.at <= aged.at ? quiet : aged;
}

export interface ExpectedCount {
  count: number;
  /** What it was read from, e.g. the attribute and the acquisition: another one contradicts it. */
  by: string;
}

/**
 * Expected number of instances, where the header gives one: In-concatenation Total Number (0020,9163) or
 * Images in Acquisition (0020,1002). A hint: vendors count frames, acquisitions or slices in the latter, so
 * only a value above 1 in a single-frame object is used.
 */
export function expectedCount(values: (keyword: string) => string[]): ExpectedCount | undefined {
  const integer = (keyword: string) => {
    const value = Number(values(keyword)[0] ?? '');
    return Number.isSafeInteger(value) && value > 0 ? value : undefined;
  };
  const concatenation = integer('InConcatenationTotalNumber');
  if (concatenation !== undefined) {
    return { count: concatenation, by: `concatenation ${values('ConcatenationUID')[0] ?? ''}` };
  }
  const images = integer('ImagesInAcquisition');
  if (images === undefined || images < 2 || (integer('NumberOfFrames') ?? 1) > 1) return undefined;
  return { count: images, by: `acquisition ${values('AcquisitionNumber')[0] ?? ''}` };
}

function seconds(ms: number): string {
  return `${ms / 1000} s`;
}
