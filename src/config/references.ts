import { didYouMean, type Problem, valueAt } from './explain.js';
import { isLoopback } from './loopback.js';
import { pullProblems } from './sources.js';

function keysOf(value: unknown): string[] {
  return typeof value === 'object' && value !== null ? Object.keys(value) : [];
}

function ruleProblems(raw: unknown): Problem[] {
  const rules = valueAt(raw, ['rules']);
  if (!Array.isArray(rules)) return [];
  const known = keysOf(valueAt(raw, ['destinations']));
  const problems: Problem[] = [];
  const names = new Map<unknown, number>();
  rules.forEach((rule: unknown, index) => {
    const name = valueAt(rule, ['name']);
    const earlier = names.get(name);
    if (typeof name === 'string' && earlier !== undefined) {
      problems.push({
        path: ['rules', index, 'name'],
        message: `"${name}" is already the name of rules[${earlier}]; expected a name of its own`,
      });
    }
    names.set(name, index);
    const to = valueAt(rule, ['to']);
    if (!Array.isArray(to)) return;
    to.forEach((target: unknown, at) => {
      if (typeof target !== 'string' || known.includes(target)) return;
      const near = didYouMean(target, known);
      const hint = near
        ? `did you mean "${near}"?`
        : `expected one of: ${known.join(', ') || '(none is configured)'}`;
      problems.push({
        path: ['rules', index, 'to', at],
        message: `"${target}" is not a destination; ${hint}`,
      });
    });
  });
  return problems;
}

function exposureProblems(raw: unknown): Problem[] {
  const host = valueAt(raw, ['http', 'host']);
  if (typeof host !== 'string' || isLoopback(host) || keysOf(valueAt(raw, ['access'])).length > 0) return [];
  return [
    {
      path: ['http', 'host'],
      message:
        `"${host}" is reachable from other machines, and nothing says who may use the page and DICOMweb; ` +
        'expected a loopback address, or access with users, tokens, oidc or proxy',
    },
  ];
}

function redisProblems(raw: unknown): Problem[] {
  const queue = valueAt(raw, ['queue']);
  if (typeof queue !== 'string' || !queue.startsWith('redis:')) return [];
  if (valueAt(raw, ['redis', 'tls']) === undefined) return [];
  const message = 'is given, but queue is a redis:// address, which is not encrypted; expected rediss://';
  return [{ path: ['redis', 'tls'], message }];
}

/** Ports that this process would take from itself. */
function portProblems(raw: unknown): Problem[] {
  const dimseHost = valueAt(raw, ['dimse', 'host']);
  const listeners = [
    { path: ['dimse', 'port'], port: 11112, host: dimseHost },
    { path: ['dimse', 'tls', 'port'], port: undefined, host: dimseHost },
    { path: ['http', 'port'], port: 8080, host: valueAt(raw, ['http', 'host']) },
    // A worker has none: its default is not held against the port of its health.
    {
      path: ['distribution', 'listen', 'port'],
      port: undefined,
      host: valueAt(raw, ['distribution', 'listen', 'host']),
    },
  ].map(({ path, port, host }) => ({ path, port: valueAt(raw, path) ?? port, host: host ?? '127.0.0.1' }));
  const every = new Set<unknown>(['0.0.0.0', '::']);
  return listeners.flatMap(({ path, port, host }, at) => {
    const earlier = listeners
      .slice(0, at)
      .find((one) => one.port === port && (one.host === host || every.has(one.host) || every.has(host)));
    if (typeof port !== 'number' || port === 0 || !earlier) return [];
    return [{ path, message: `${port} is already ${earlier.path.join('.')}; expected a port of its own` }];
  });
}

/** What single values cannot show: names that must exist elsewhere, and combinations that are not safe. */
export function crossProblems(raw: unknown): Problem[] {
  return [
    ...ruleProblems(raw),
    ...pullProblems(raw),
    ...exposureProblems(raw),
    ...redisProblems(raw),
    ...portProblems(raw),
  ];
}
