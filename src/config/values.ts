/** The values that keys of the configuration have. */
import { isIP } from 'node:net';
import { z } from 'zod';
import { parseByteSize } from './byte-size.js';
import { parseDuration } from './duration.js';

// Every message is what stands behind "expected" in the sentence that explain.ts makes of it.

export function text(expected: string, holds: (value: string) => boolean = (value) => value.length > 0) {
  return z.string({ error: expected }).refine(holds, { error: expected });
}

export function whole(min: number, max: number, what: string) {
  const expected = `${what}, a whole number from ${min} to ${max}`;
  return z.int({ error: expected }).min(min, { error: expected }).max(max, { error: expected });
}

export const flag = z.boolean({ error: 'true or false' });
export function share(what: string) {
  const expected = `${what}, a number from 0 to 1`;
  return z.number({ error: expected }).min(0, { error: expected }).max(1, { error: expected });
}

export const milliseconds = (() => {
  const expected = 'a duration such as 500ms, 5s, 10m, 2h or 7d';
  return z
    .string({ error: expected })
    .refine((value) => parseDuration(value) !== undefined, { error: expected, abort: true })
    .transform((value) => parseDuration(value)!);
})();

export const bytes = (() => {
  const expected = 'an amount of bytes such as 65536, 512MB or 4GiB';
  return z
    .union([z.string(), z.int().nonnegative()], { error: expected })
    .refine((value) => parseByteSize(String(value)) !== undefined, { error: expected, abort: true })
    .transform((value) => parseByteSize(String(value))!);
})();

/** PS3.5 6.2 AE: 16 characters of the default repertoire at most, no backslash, no control character, not only blanks. */
export const aeTitle = text(
  'an AE title: 1 to 16 printable ASCII characters without backslash',
  (value) => /^[\x20-\x5b\x5d-\x7e]{1,16}$/.test(value) && value.trim() === value && value !== '',
);

export const host = text(
  'a host name or an IP address',
  (value) => isIP(value) !== 0 || /^(?!-)[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*\.?$/.test(value),
);

export const listenPort = whole(0, 65535, 'a TCP port (0: any free one)');
export const targetPort = whole(1, 65535, 'a TCP port');

export function httpUrl(value: string): boolean {
  try {
    const url = new URL(value);
    return (
      (url.protocol === 'http:' || url.protocol === 'https:') && url.username === '' && url.search === ''
    );
  } catch {
    return false;
  }
}

/** A mapping with these keys and no others. */
export const strict = <Shape extends z.core.$ZodLooseShape>(shape: Shape) => z.strictObject(shape);

const matchValue = z
  .union([z.string(), z.number(), z.boolean()], { error: 'a text or a number' })
  .transform((value) => String(value));

/** A value or several, each as text. */
export const match = z
  .union([matchValue.transform((value) => [value]), z.array(matchValue).min(1)], {
    error: 'a value or a list of values',
  })
  .transform((values): readonly string[] => values);

/** Header fields that are sent with every request. */
export const httpHeaders = z
  .record(
    text('an HTTP header name', (name) => /^[A-Za-z0-9!#$%&'*+.^_`|~-]+$/.test(name)),
    text('a header value on one line', (value) => /^[\x20-\x7e]*$/.test(value)),
    { error: 'a mapping of header names to values' },
  )
  .prefault({});
