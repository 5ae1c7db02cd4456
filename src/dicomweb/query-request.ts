import type { Request } from 'express';
import { tagOf } from '../dicom/index.js';
import { MatchingError, type MatchingKey, matchingKey } from './matching.js';
import { belongsTo, COMPUTED, type Level } from './query-attributes.js';
import { RequestError } from './store-request.js';

/** A search transaction (PS3.18 8.3.4, 10.6), read and checked. */
export interface Query {
  level: Level;
  /** Matched by the index; undefined is not restricted. */
  studies: readonly string[] | undefined;
  series: readonly string[] | undefined;
  sops: readonly string[] | undefined;
  /** Matched by the objects' headers. */
  keys: readonly MatchingKey[];
  modalitiesInStudy: MatchingKey | undefined;
  /** Tags asked for, or all that belong to the level. */
  include: ReadonlySet<number> | 'all';
  limit: number;
  offset: number;
  /** What was asked for and is not done, a sentence each. */
  warnings: readonly string[];
}

const CONTROLS = new Set(['limit', 'offset', 'fuzzymatching', 'includefield', 'accept']);
const MAX_UIDS = 1000;
const UID_KEYS = {
  study: tagOf('StudyInstanceUID'),
  series: tagOf('SeriesInstanceUID'),
  sop: tagOf('SOPInstanceUID'),
};

/** One attribute by keyword or tag; undefined when it is neither. */
function attributeTag(name: string): number | undefined {
  if (/^[0-9A-F]{8}$/i.test(name)) return Number.parseInt(name, 16);
  try {
    return /^[A-Z][A-Za-z0-9]*$/.test(name) ? tagOf(name) : undefined;
  } catch {
    return undefined;
  }
}

/** `PatientName`, `00100010`, or a path into sequences divided by dots. */
function attributePath(name: string): number[] {
  const path = name.split('.').map(attributeTag);
  if (path.length > 8 || path.includes(undefined)) {
    const shown = /^[\w.]{1,64}$/.test(name) ? `"${name}"` : 'a parameter';
    throw new RequestError(400, `${shown} is neither a DICOM keyword nor a tag of eight hexadecimal digits`);
  }
  return path as number[];
}

function valuesOf(value: unknown): string[] {
  return (Array.isArray(value) ? value : [value]).map((one) => String(one ?? ''));
}

function wholeNumber(name: string, value: unknown): number | undefined {
  if (value === undefined) return undefined;
  if (typeof value !== 'string' || !/^\d{1,9}$/.test(value)) {
    throw new RequestError(400, `${name} must be a whole number`);
  }
  return Number(value);
}

/**
 * Reads the parameters of a search.
 * @param maxResults the most that one answer has
 * @throws RequestError 400 for what cannot be understood; what is understood and not supported becomes a warning
 */
export function parseQuery(request: Request, level: Level, maxResults: number): Query {
  const warnings: string[] = [];
  const keys: MatchingKey[] = [];
  const { study, series } = request.params as { study?: string; series?: string };
  const uids: Record<'study' | 'series' | 'sop', readonly string[] | undefined> = {
    study: study === undefined ? undefined : [study],
    series: series === undefined ? undefined : [series],
    sop: undefined,
  };
  let modalitiesInStudy: MatchingKey | undefined;

  const addUids = (what: keyof typeof uids, values: readonly string[]) => {
    if (values.length > MAX_UIDS) throw new RequestError(400, `more than ${MAX_UIDS} UIDs are asked for`);
    const before = uids[what];
    uids[what] = before === undefined ? values : before.filter((uid) => values.includes(uid));
  };
  const ignored: string[] = [];
  for (const [name, value] of Object.entries(request.query)) {
    if (CONTROLS.has(name.toLowerCase())) continue;
    const path = attributePath(name);
    for (const text of valuesOf(value)) {
      let key: MatchingKey | undefined;
      try {
        key = matchingKey(path, text);
      } catch (error) {
        if (error instanceof MatchingError) throw new RequestError(400, error.message);
        throw error;
      }
      if (key === undefined) continue;
      const [tag] = path;
      const uid = (Object.keys(UID_KEYS) as (keyof typeof UID_KEYS)[]).find((what) => UID_KEYS[what] === tag);
      if (tag === COMPUTED.modalitiesInStudy) modalitiesInStudy = key;
      else if (
        uid === 'study' ||
        (uid !== undefined && (uid !== 'sop' ? level !== 'study' : level === 'instance'))
      ) {
        addUids(uid, key.values);
      } else if (uid === undefined && belongsTo(level, tag!)) keys.push(key);
      else ignored.push(name);
    }
  }
  if (ignored.length > 0) warnings.push(`not matched at this level: ${ignored.join(', ')}`);

  const { limit, offset, fuzzymatching, includefield } = request.query;
  if (fuzzymatching !== undefined && !/^(true|false)$/.test(String(fuzzymatching))) {
    throw new RequestError(400, 'fuzzymatching must be true or false');
  }
  if (fuzzymatching === 'true') {
    warnings.push('The fuzzymatching parameter is not supported. Only literal matching has been performed.');
  }
  const include = new Set<number>();
  let all = false;
  for (const name of valuesOf(includefield).flatMap((list) => list.split(','))) {
    if (name.trim() === 'all') all = true;
    else if (name.trim() !== '') include.add(attributePath(name.trim())[0]!);
  }
  return {
    level,
    studies: uids.study,
    series: uids.series,
    sops: uids.sop,
    keys,
    modalitiesInStudy,
    include: all ? 'all' : include,
    limit: Math.min(wholeNumber('limit', limit) ?? maxResults, maxResults),
    offset: wholeNumber('offset', offset) ?? 0,
    warnings,
  };
}
