import { parse } from 'yaml';
import type { z } from 'zod';
import { didYouMean } from './explain.js';
import { placeOf } from './keys.js';

const PREFIX = 'MCNET_';

/**
 * Variables with the prefix that are not configuration: MCNET_CONFIG names the file, MCNET_URL a running server and MCNET_TOKEN a token for
 * `mcnet series`, MCNET_DEBUG asks for stack traces, and MCNET_DATA the test data (so `data` is overridden by MCNET_DATA_FOLDER).
 */
const RESERVED = new Set(['MCNET_CONFIG', 'MCNET_URL', 'MCNET_TOKEN', 'MCNET_DEBUG', 'MCNET_DATA']);
/** Kubernetes sets these in every pod beside a Service that is called mcnet. */
const KUBERNETES = /^MCNET_(SERVICE_|PORT$|PORT_)/;

function sameKey(segment: string, key: string): boolean {
  return segment.replaceAll('_', '').toLowerCase() === key.replaceAll(/[_-]/g, '').toLowerCase();
}

function container(parent: Record<string, unknown>, key: string, list: boolean): Record<string, unknown> {
  const present = parent[key];
  if (typeof present === 'object' && present !== null) return present as Record<string, unknown>;
  const created: unknown = list ? [] : {};
  parent[key] = created;
  return created as Record<string, unknown>;
}

function scalar(value: string, schema: z.core.$ZodType): unknown {
  const place = placeOf(schema);
  if (place.kind === 'value' && place.text) return value;
  try {
    return parse(value);
  } catch {
    return value;
  }
}

/** Puts one variable's value where its name points; returns why not, when its name points nowhere. */
function place(
  root: Record<string, unknown>,
  schema: z.core.$ZodType,
  name: string,
  value: string,
): string | undefined {
  const segments = name === 'MCNET_DATA_FOLDER' ? ['DATA'] : name.slice(PREFIX.length).split('__');
  let here = root;
  let at = schema;
  for (const [depth, segment] of segments.entries()) {
    const spot = placeOf(at);
    let key: string | undefined;
    let next: z.core.$ZodType | undefined;
    if (spot.kind === 'object') {
      key = Object.keys(spot.shape).find((candidate) => sameKey(segment, candidate));
      next = key === undefined ? undefined : spot.shape[key];
      if (key === undefined) {
        const near = didYouMean(segment.replaceAll('_', ''), Object.keys(spot.shape));
        return `"${segment}" is not a key${near ? `; did you mean "${near}"?` : ''}`;
      }
    } else if (spot.kind === 'record') {
      key = Object.keys(here).find((candidate) => sameKey(segment, candidate)) ?? segment.toLowerCase();
      next = spot.value;
    } else if (spot.kind === 'list' && /^\d{1,3}$/.test(segment)) {
      key = segment;
      next = spot.element;
    }
    if (key === undefined || !next) return `"${segment}" does not lead to a key`;
    if (depth === segments.length - 1) here[key] = scalar(value, next);
    else here = container(here, key, placeOf(next).kind === 'list');
    at = next;
  }
  return undefined;
}

/**
 * Lays environment variables over what the file said. `MCNET_` + the path in upper case, joined by `__`, sets a key:
 * `MCNET_HTTP__PORT=8081`, `MCNET_AE_TITLE=MCNET2`, `MCNET_PEERS__0__HOST=10.0.0.5`,
 * `MCNET_DESTINATIONS__PACS__DIMSE__PORT=104`, `MCNET_PEERS='[{aeTitle: PACS, host: 10.0.0.5}]'`.
 * @param raw the parsed file; it is changed in place.
 * @returns a warning for every variable with the prefix that leads nowhere.
 */
export function applyEnvironment(
  raw: Record<string, unknown>,
  schema: z.core.$ZodType,
  env: Readonly<Record<string, string | undefined>>,
): string[] {
  const warnings: string[] = [];
  for (const name of Object.keys(env).sort()) {
    const value = env[name];
    if (value === undefined || !name.startsWith(PREFIX) || RESERVED.has(name) || KUBERNETES.test(name))
      continue;
    const reason = place(raw, schema, name, value);
    if (reason) warnings.push(`environment variable ${name} is ignored: ${reason}`);
  }
  return warnings;
}
