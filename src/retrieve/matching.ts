/** Attribute matching of C-FIND (PS3.4 C.2.2.2): single value, list of UID, universal, wildcard and range. */

const TEXT_WITH_WILDCARDS = new Set(['AE', 'CS', 'LO', 'LT', 'PN', 'SH', 'ST', 'UC', 'UR', 'UT']);

/** Whether one of an attribute's values matches the key's values. A key without values matches everything. */
export function matches(vr: string, key: readonly string[], values: readonly string[]): boolean {
  const wanted = key.filter((value) => value !== '');
  if (wanted.length === 0) return true;
  if (vr === 'UI') return values.some((value) => wanted.includes(value));
  const [first] = wanted;
  if (TEXT_WITH_WILDCARDS.has(vr)) {
    // A list is defined for UIDs alone; taken as alternatives it does what who sends it means.
    if (first === '*') return true;
    return wanted.some((pattern) => values.some((value) => matchesText(vr, pattern, value)));
  }
  if (vr === 'DA' || vr === 'TM' || vr === 'DT')
    return values.some((value) => matchesTime(vr, first!, value));
  return values.some((value) => wanted.some((one) => one === value || numberOf(one) === numberOf(value)));
}

function numberOf(text: string): number | string {
  const value = Number(text);
  return Number.isNaN(value) ? text : value;
}

/** `*` stands for any characters, `?` for one. Never more steps than pattern times value. */
function matchesPattern(pattern: readonly string[], value: readonly string[]): boolean {
  let at = 0;
  let p = 0;
  let star = -1;
  let resume = 0;
  while (at < value.length) {
    if (pattern[p] === '*') {
      star = p;
      resume = at;
      p += 1;
    } else if (p < pattern.length && (pattern[p] === '?' || pattern[p] === value[at])) {
      p += 1;
      at += 1;
    } else if (star >= 0) {
      // The last star takes one character more.
      p = star + 1;
      resume += 1;
      at = resume;
    } else return false;
  }
  while (pattern[p] === '*') p += 1;
  return p === pattern.length;
}

/** Person names: without regard to case, and to empty components at the end; also each of their component groups alone. */
function matchesText(vr: string, pattern: string, value: string): boolean {
  if (vr !== 'PN') return matchesPattern([...pattern], [...value]);
  const name = [...withoutEmptyEnd(pattern).toLowerCase()];
  return [value, ...value.split('=')].some((group) =>
    matchesPattern(name, [...withoutEmptyEnd(group).toLowerCase()]),
  );
}

function withoutEmptyEnd(name: string): string {
  return name.replace(/[\^ ]+$/, '');
}

/** Dates and times, single or as a range `from-to`, `from-` or `-to` (PS3.4 C.2.2.2.5). */
function matchesTime(vr: string, key: string, value: string): boolean {
  const range = rangeOf(vr, key);
  const plain = padded(vr, value, '0');
  return range.from <= plain && plain <= range.to;
}

/** First and last value that a date or time key matches, padded to their full length. */
export function rangeOf(vr: string, key: string): { from: string; to: string } {
  // In a DT a dash may also begin the offset from UTC: "-0500" at the end after a time.
  const dash = vr === 'DT' ? /^(.*?)-(?!\d{4}$)(.*)$/.exec(key) : /^(.*?)-(.*)$/.exec(key);
  const [from, to] = dash === null ? [key, key] : [dash[1]!, dash[2]!];
  return { from: from === '' ? '' : padded(vr, from, '0'), to: to === '' ? '\uffff' : padded(vr, to, '9') };
}

const FULL_LENGTH: Record<string, number> = { DA: 8, TM: 13, DT: 21 };

/** "10" → "100000.000000" or "109999.999999"; the old forms 2004.01.31 and 10:30:00 lose their separators. */
function padded(vr: string, text: string, filler: string): string {
  const plain = (vr === 'DA' ? text.replaceAll('.', '') : text.replaceAll(':', '')).trim();
  const length = FULL_LENGTH[vr]!;
  if (vr === 'DA') return plain;
  const point = length - 7;
  const whole = plain.length > point || plain.includes('.') ? plain : `${plain.padEnd(point, filler)}.`;
  return whole.padEnd(length, filler).slice(0, length);
}
