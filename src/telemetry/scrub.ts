/**
 * Keys whose values identify a person or open a door. Attributes of the patient module and its neighbours (PS3.15
 * table E.1-1 lists them for de-identification), and credentials. Matched without case, as a part of the key.
 */
const CONFIDENTIAL =
  /patient|physician|operator|performer|person|birth|accession|institution|address(?!es$)|telephone|comment|description|authorization|cookie|password|passwd|secret|token|credential|headers/i;
/** Keys that the pattern would catch, but that are technical. */
const ALLOWED = new Set(['remoteAddress', 'localAddress', 'address', 'peers']);

const DEPTH = 6;
const TEXT = 2000;

function error(value: Error): Record<string, unknown> {
  const code: unknown = (value as { code?: unknown }).code;
  return {
    type: value.name,
    message: value.message.slice(0, TEXT),
    ...(typeof code === 'string' || typeof code === 'number' ? { code } : {}),
    stack: value.stack?.slice(0, 2 * TEXT),
    ...(value.cause instanceof Error ? { cause: error(value.cause) } : {}),
  };
}

/**
 * Copies what is about to be logged, without what must not be: values of confidential keys become "[redacted]",
 * bytes become their count, and maps (data sets are maps of elements) their size.
 */
export function scrub(value: unknown, depth = 0): unknown {
  if (value instanceof Error) return error(value);
  if (typeof value === 'string') return value.length > TEXT ? `${value.slice(0, TEXT)}...` : value;
  if (typeof value === 'bigint') return value.toString();
  if (typeof value !== 'object' || value === null) return value;
  if (ArrayBuffer.isView(value) || value instanceof ArrayBuffer) return `[${value.byteLength} bytes]`;
  if (value instanceof Map || value instanceof Set) return `[${value.size} entries]`;
  if (value instanceof Date) return value.toISOString();
  if (depth >= DEPTH) return '[deeper]';
  if (Array.isArray(value)) return value.slice(0, 100).map((each) => scrub(each, depth + 1));
  return scrubFields(value as Record<string, unknown>, depth);
}

/** {@link scrub} for the fields of an object. */
export function scrubFields(fields: Record<string, unknown>, depth = 0): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(fields).map(([key, value]) => [
      key,
      CONFIDENTIAL.test(key) && !ALLOWED.has(key) ? '[redacted]' : scrub(value, depth + 1),
    ]),
  );
}
