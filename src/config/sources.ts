/** Keys of the archives that series are fetched from, and of what is pulled from them by rule. */
import { z } from 'zod';
import { didYouMean, type Problem, valueAt } from './explain.js';
import { outgoingTls } from './tls.js';
import {
  aeTitle,
  host,
  httpHeaders,
  httpUrl,
  match,
  milliseconds,
  strict,
  targetPort,
  text,
  whole,
} from './values.js';

const source = strict({
  dimse: strict({
    aeTitle,
    host,
    port: targetPort,
    callingAeTitle: aeTitle.optional(),
    tls: outgoingTls.optional(),
    retrieve: z.enum(['move', 'get'], { error: 'move or get' }).default('move'),
    moveDestination: aeTitle.optional(),
  }).optional(),
  dicomweb: strict({
    url: text('an http or https address without user, password and query', httpUrl),
    headers: httpHeaders,
    timeout: milliseconds.prefault('60s'),
  }).optional(),
  parallel: whole(1, 16, 'series at a time').default(1),
}).refine((value) => Number(value.dimse !== undefined) + Number(value.dicomweb !== undefined) === 1, {
  error: 'exactly one of dimse and dicomweb',
});

/** `sources`: archives that can be asked, by name. */
export const sources = z
  .record(
    text('a name of letters, digits, dash, underscore', (name) => /^[A-Za-z0-9][A-Za-z0-9_-]*$/.test(name)),
    source,
    { error: 'a mapping of names to sources' },
  )
  .prefault({});

/** `pull`: what is asked for again and again. */
export const pull = z
  .array(
    strict({
      name: text('a name for the pull rule'),
      source: text('the name of a source'),
      every: milliseconds.prefault('10m'),
      days: whole(0, 365, 'days before today').default(1),
      query: z.record(
        text("a DICOM attribute's keyword such as Modality", (key) => /^[A-Z][A-Za-z0-9]*$/.test(key)),
        match,
        { error: 'a mapping of DICOM keywords to values' },
      ),
    }),
    { error: 'a list of { name, source, every, days, query }' },
  )
  .prefault([]);

/** Every pull rule names a source that there is, and has a name of its own. */
export function pullProblems(raw: unknown): Problem[] {
  const pulls = valueAt(raw, ['pull']);
  if (!Array.isArray(pulls)) return [];
  const configured = valueAt(raw, ['sources']);
  const known = typeof configured === 'object' && configured !== null ? Object.keys(configured) : [];
  const problems: Problem[] = [];
  const names = new Map<unknown, number>();
  for (const [index, rule] of pulls.entries()) {
    const name = valueAt(rule, ['name']);
    const earlier = names.get(name);
    if (typeof name === 'string' && earlier !== undefined) {
      const message = `"${name}" is already the name of pull[${earlier}]; expected a name of its own`;
      problems.push({ path: ['pull', index, 'name'], message });
    }
    names.set(name, index);
    const from = valueAt(rule, ['source']);
    if (typeof from !== 'string' || known.includes(from)) continue;
    const near = didYouMean(from, known);
    const hint = near
      ? `did you mean "${near}"?`
      : `expected one of: ${known.join(', ') || '(none is configured)'}`;
    problems.push({ path: ['pull', index, 'source'], message: `"${from}" is not a source; ${hint}` });
  }
  return problems;
}

/** One entry of `sources`: exactly one of `dimse` and `dicomweb` is set. */
export type SourceConfig = z.output<typeof source>;
/** One entry of `pull`. */
export type PullRule = z.output<typeof pull>[number];
