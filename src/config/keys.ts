import { z } from 'zod';

/** What stands at one place of the schema: a mapping of fixed keys, a mapping of free names, a list, or a value. */
export type Place =
  | { kind: 'object'; shape: Readonly<Record<string, z.core.$ZodType>> }
  | { kind: 'record'; value: z.core.$ZodType }
  | { kind: 'list'; element: z.core.$ZodType }
  | { kind: 'value'; text: boolean };

function unwrap(schema: z.core.$ZodType): z.core.$ZodType {
  if (
    schema instanceof z.ZodOptional ||
    schema instanceof z.ZodDefault ||
    schema instanceof z.ZodPrefault ||
    schema instanceof z.ZodNullable
  ) {
    return unwrap(schema.def.innerType);
  }
  if (schema instanceof z.ZodPipe) return unwrap(schema.def.in);
  return schema;
}

/** Looks at one place of the schema, through defaults and transformations. */
export function placeOf(schema: z.core.$ZodType): Place {
  const inner = unwrap(schema);
  if (inner instanceof z.ZodObject) return { kind: 'object', shape: inner.shape };
  if (inner instanceof z.ZodRecord) return { kind: 'record', value: inner.def.valueType };
  if (inner instanceof z.ZodArray) return { kind: 'list', element: inner.def.element };
  return { kind: 'value', text: inner instanceof z.ZodString || inner instanceof z.ZodEnum };
}

/** The schema below a path, or undefined where the path leaves the schema. */
export function schemaAt(schema: z.core.$ZodType, path: readonly PropertyKey[]): z.core.$ZodType | undefined {
  let here: z.core.$ZodType | undefined = schema;
  for (const key of path) {
    if (!here) return undefined;
    const place = placeOf(here);
    if (place.kind === 'object') here = place.shape[String(key)];
    else if (place.kind === 'record') here = place.value;
    else if (place.kind === 'list') here = place.element;
    else return undefined;
  }
  return here;
}

/**
 * Every key that may be written, as a path: `http.port`, `peers[].host`, `destinations.*.dimse.port`.
 * Mappings and lists are listed too, before what they hold.
 */
export function keyPaths(schema: z.core.$ZodType, prefix = ''): string[] {
  const place = placeOf(schema);
  if (place.kind === 'object') {
    return Object.entries(place.shape).flatMap(([key, value]) => {
      const path = prefix === '' ? key : `${prefix}.${key}`;
      return [path, ...keyPaths(value, path)];
    });
  }
  if (place.kind === 'record') return keyPaths(place.value, `${prefix}.*`);
  if (place.kind === 'list') return keyPaths(place.element, `${prefix}[]`);
  return [];
}
