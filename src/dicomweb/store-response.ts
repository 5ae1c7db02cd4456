import { type JsonAttribute, type JsonDataSet, TAG } from './json-model.js';
import type { DeclaredInstance } from './meta-header.js';

/** Failure Reason (0008,1197) as PS3.18 table I.2-2 has it. */
export const FAILURE = {
  outOfResources: 0xa700,
  dataSetMismatch: 0xa900,
  cannotUnderstand: 0xc000,
  processingFailure: 0x0110,
} as const;

/** How one part of a store request ended. */
export type StoreResult =
  | { stored: true; study: string; series: string; sop: string; sopClass: string }
  | { stored: false; declared?: DeclaredInstance; reason: number; code: string };

function uid(value: string): JsonAttribute {
  return { vr: 'UI', Value: [value] };
}

function url(base: string, ...path: string[]): JsonAttribute {
  return { vr: 'UR', Value: [[base, ...path].join('/')] };
}

function sequence(found: JsonDataSet[]): JsonAttribute {
  return { vr: 'SQ', Value: found };
}

/**
 * The Store Instances Response Module (PS3.18 table I.2-1).
 * Failures that belong to no known instance stand in the Other Failures Sequence.
 * @param base the service's root, for the retrieve URLs.
 */
export function storeResponse(results: readonly StoreResult[], base: string): JsonDataSet {
  const referenced: JsonDataSet[] = [];
  const failed: JsonDataSet[] = [];
  const other: JsonDataSet[] = [];
  const studies = new Set<string>();
  for (const result of results) {
    if (result.stored) {
      studies.add(result.study);
      referenced.push({
        [TAG.referencedSopClassUid]: uid(result.sopClass),
        [TAG.referencedSopInstanceUid]: uid(result.sop),
        [TAG.retrieveUrl]: url(
          base,
          'studies',
          result.study,
          'series',
          result.series,
          'instances',
          result.sop,
        ),
      });
    } else {
      const reason: JsonAttribute = { vr: 'US', Value: [result.reason] };
      if (!result.declared) other.push({ [TAG.failureReason]: reason });
      else {
        failed.push({
          [TAG.referencedSopClassUid]: uid(result.declared.sopClassUid),
          [TAG.referencedSopInstanceUid]: uid(result.declared.sopInstanceUid),
          [TAG.failureReason]: reason,
        });
      }
    }
  }
  const [study] = studies;
  return {
    ...(study !== undefined && studies.size === 1 ? { [TAG.retrieveUrl]: url(base, 'studies', study) } : {}),
    ...(failed.length > 0 ? { [TAG.failedSopSequence]: sequence(failed) } : {}),
    ...(referenced.length > 0 ? { [TAG.referencedSopSequence]: sequence(referenced) } : {}),
    ...(other.length > 0 ? { [TAG.otherFailuresSequence]: sequence(other) } : {}),
  };
}

/**
 * The status of a store request that could be read (PS3.18 table 10.5.3-1): 200 everything is stored, 202 something
 * is not, 409 nothing is. Where nothing is stored and trying again may help, 507 (disk or quota full) or 503.
 */
export function storeStatus(results: readonly StoreResult[]): number {
  const failures = results.filter((result) => !result.stored);
  if (failures.length === 0) return 200;
  if (failures.length < results.length) return 202;
  if (failures.some(({ code }) => code === 'disk-full' || code === 'quota-exceeded')) return 507;
  if (failures.some((failure) => failure.code === 'io')) return 503;
  return 409;
}
