import type { z } from 'zod';
import { placeOf, schemaAt } from './keys.js';

/** One thing wrong with the configuration: where, and a sentence about it. */
export interface Problem {
  path: readonly PropertyKey[];
  message: string;
}

/** A path as people write it: `rules[0].to[1]`, `destinations.pacs.dimse`. */
export function pathText(path: readonly PropertyKey[]): string {
  let out = '';
  for (const key of path) {
    if (typeof key === 'number') out += `[${key}]`;
    else out += out === '' ? String(key) : `.${String(key)}`;
  }
  return out === '' ? '(the whole file)' : out;
}

/** The value below a path in what was read, undefined where there is none. */
export function valueAt(root: unknown, path: readonly PropertyKey[]): unknown {
  let here: unknown = root;
  for (const key of path) {
    if (typeof here !== 'object' || here === null) return undefined;
    here = (here as Record<PropertyKey, unknown>)[key];
  }
  return here;
}

/** Edit distance of two words, after Levenshtein. */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const cost = a[i - 1] === b[j - 1] ? 0 : 1;
      next.push(Math.min(row[j]! + 1, next[j - 1]! + 1, row[j - 1]! + cost));
    }
    row = next;
  }
  return row[b.length]!;
}

/** The known word nearest to a mistyped one, or undefined when none is near. */
export function didYouMean(word: string, known: readonly string[]): string | undefined {
  const ranked = known
    .map((candidate) => ({ candidate, d: distance(word.toLowerCase(), candidate.toLowerCase()) }))
    .sort((a, b) => a.d - b.d);
  const best = ranked[0];
  return best && best.d <= Math.max(2, Math.floor(word.length / 3)) ? best.candidate : undefined;
}

function shown(path: readonly PropertyKey[], value: unknown): string {
  if (path.includes('headers') || path.includes('token') || path.includes('password') || path[0] === 'queue')
    return 'the value (not shown)';
  const json = JSON.stringify(value) ?? String(value);
  return json.length > 120 ? `${json.slice(0, 117)}...` : json;
}

function expectation(schema: z.core.$ZodType, issue: z.core.$ZodIssue): string {
  const here = schemaAt(schema, issue.path);
  if (here && issue.code === 'invalid_type' && issue.expected === 'object') {
    const place = placeOf(here);
    if (place.kind === 'object') return `a mapping with the keys ${Object.keys(place.shape).join(', ')}`;
  }
  return issue.message;
}

function keyProblems(schema: z.core.$ZodType, issue: z.core.$ZodIssueUnrecognizedKeys): Problem[] {
  const here = schemaAt(schema, issue.path);
  const place = here ? placeOf(here) : undefined;
  const known = place?.kind === 'object' ? Object.keys(place.shape) : [];
  return issue.keys.map((key) => {
    const near = didYouMean(key, known);
    const hint = near ? `did you mean "${near}"?` : `known keys: ${known.join(', ')}`;
    return { path: [...issue.path, key], message: `unknown key; ${hint}` };
  });
}

/** Turns what the schema found into problems that name the value and what was expected. */
export function explain(schema: z.core.$ZodType, error: z.core.$ZodError, raw: unknown): Problem[] {
  return error.issues.flatMap((issue): Problem[] => {
    if (issue.code === 'unrecognized_keys') return keyProblems(schema, issue);
    if (issue.code === 'invalid_key') {
      const expected = issue.issues[0]?.message ?? 'another name';
      return [{ path: issue.path, message: `the name is not accepted; expected ${expected}` }];
    }
    const value = valueAt(raw, issue.path);
    const expected = expectation(schema, issue);
    const message =
      value === undefined
        ? `is missing; expected ${expected}`
        : `${shown(issue.path, value)} is not accepted; expected ${expected}`;
    return [{ path: issue.path, message }];
  });
}
