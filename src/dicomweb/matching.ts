import { dictionaryVr, keywordOf } from '../dicom/index.js';
import { jsonTag } from './dicom-json.js';
import type { JsonAttribute, JsonDataSet, JsonValue, PersonName } from './json-model.js';

/** A key of a query: where its attribute is, and what is looked for. */
export interface MatchingKey {
  /** Tags from the top level down; more than one leads into sequences. */
  path: readonly number[];
  vr: string;
  /** Any one of them may match. */
  values: readonly string[];
}

/** What is looked for cannot be; the message is a sentence without the value, which may be a patient's. */
export class MatchingError extends Error {
  override name = 'MatchingError';
}

const LISTS = new Set(['UI', 'CS']);
const NUMERIC = new Set(['DS', 'IS', 'FL', 'FD', 'SL', 'SS', 'SV', 'UL', 'US', 'UV']);
const MAX_VALUE = 1024;

function nameOf(path: readonly number[]): string {
  return path.map((tag) => keywordOf(tag) ?? jsonTag(tag)).join('.');
}

function rangeOf(text: string): { from: string; to: string } {
  const dash = text.indexOf('-');
  if (dash < 0) return { from: text, to: text };
  return { from: text.slice(0, dash), to: text.slice(dash + 1) };
}

const WELL_FORMED: Readonly<Record<string, RegExp>> = {
  DA: /^(\d{8})?$/,
  TM: /^(\d{2}(\d{2}(\d{2}(\.\d{1,6})?)?)?)?$/,
  DT: /^(\d{4,14}(\.\d{1,6})?([+]\d{4})?)?$/,
};

/**
 * Reads the value of a key. UIDs and code strings may be lists, divided by comma or backslash (PS3.18 8.3.4.1);
 * other values only by backslash, which no single value can contain.
 * @returns undefined where there is nothing to match (universal matching)
 * @throws MatchingError for a date or time that is none
 */
export function matchingKey(path: readonly number[], text: string): MatchingKey | undefined {
  if (text.length > MAX_VALUE * (text.includes('.') ? 64 : 1)) {
    throw new MatchingError(`the value for ${nameOf(path)} is too long`);
  }
  const known = dictionaryVr(path.at(-1)!);
  const vr = known === 'xs' ? 'US' : known;
  const values = text
    .split(LISTS.has(vr) ? /[,\\]/ : /\\/)
    .map((value) => value.trim())
    .filter((value) => value !== '');
  if (values.length === 0 || values.includes('*')) return undefined;
  const form = WELL_FORMED[vr];
  for (const value of values) {
    const { from, to } = rangeOf(plain(vr, value));
    if (form && (!form.test(from) || !form.test(to) || from + to === '')) {
      throw new MatchingError(`the value for ${nameOf(path)} is no ${vr} and no range of them`);
    }
    if (vr === 'SQ') throw new MatchingError(`${nameOf(path)} is a sequence: name an attribute within it`);
  }
  return { path, vr, values };
}

/** Dates and times without the divisions of the older standard, 2024.01.31 and 10:11:12. */
function plain(vr: string, text: string): string {
  if (vr === 'DA') return text.replaceAll('.', '');
  return vr === 'TM' ? text.replaceAll(':', '') : text;
}

function matchesRange(vr: string, key: string, value: string): boolean {
  const { from, to } = rangeOf(plain(vr, key));
  const stored = plain(vr, value.trim());
  if (stored === '') return false;
  // Less precise ends stand for all that begins with them.
  const upTo = to === '' ? undefined : to.replace(/\.$/, '');
  return (
    (from === '' || stored >= from || stored.startsWith(from)) &&
    (upTo === undefined || stored.slice(0, upTo.length) <= upTo)
  );
}

/** `*` and `?` without a regular expression's backtracking: linear in pattern times text. */
function matchesWildcard(pattern: string, text: string): boolean {
  let p = 0;
  let t = 0;
  let star = -1;
  let mark = 0;
  while (t < text.length) {
    if (p < pattern.length && (pattern[p] === '?' || (pattern[p] !== '*' && pattern[p] === text[t]))) {
      p += 1;
      t += 1;
    } else if (pattern[p] === '*') {
      star = p;
      mark = t;
      p += 1;
    } else if (star >= 0) {
      p = star + 1;
      mark += 1;
      t = mark;
    } else return false;
  }
  while (pattern[p] === '*') p += 1;
  return p === pattern.length;
}

function matchesText(vr: string, key: string, value: string): boolean {
  const fold = (text: string) =>
    vr === 'PN'
      ? text
          .normalize('NFC')
          .toLowerCase()
          .replace(/[ ^]+$/, '')
      : text.normalize('NFC');
  return matchesWildcard(fold(key), fold(value));
}

function matchesValue(vr: string, key: string, value: JsonValue): boolean {
  if (value === null) return false;
  if (vr === 'PN') {
    const name = value as PersonName;
    return [name.Alphabetic, name.Ideographic, name.Phonetic].some(
      (group) => group !== undefined && matchesText(vr, key, group),
    );
  }
  if (typeof value === 'object') return false;
  if (vr === 'DA' || vr === 'TM' || vr === 'DT') return matchesRange(vr, key, String(value));
  if (NUMERIC.has(vr)) return Number(key) === Number(value);
  if (vr === 'UI') return key === value;
  return matchesText(vr, key, String(value));
}

/** Whether one of the attribute's values is what is looked for. PS3.4 C.2.2.2 */
export function matchesAttribute(
  key: Pick<MatchingKey, 'vr' | 'values'>,
  attribute: JsonAttribute | undefined,
): boolean {
  return (attribute?.Value ?? []).some((value) =>
    key.values.some((wanted) => matchesValue(key.vr, wanted, value)),
  );
}

/** Whether a data set has what is looked for; within sequences, in any item. */
export function matches(key: MatchingKey, dataSet: JsonDataSet): boolean {
  const [tag, ...rest] = key.path;
  const attribute = dataSet[jsonTag(tag!)];
  if (rest.length === 0) return matchesAttribute(key, attribute);
  return (attribute?.Value ?? []).some(
    (item) =>
      typeof item === 'object' && item !== null && matches({ ...key, path: rest }, item as JsonDataSet),
  );
}
