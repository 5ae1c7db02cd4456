/** The kinds of values that configuration files hold. */
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

/** A mapping that knows its keys. */
export const strict = <Shape extends z.core.$ZodLooseShape>(shape: Shape) => z.strictObject(shape);
