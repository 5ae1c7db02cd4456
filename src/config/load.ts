import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { LineCounter, parseDocument } from 'yaml';
import { applyEnvironment } from './environment.js';
import { explain, type Problem, pathText } from './explain.js';
import { isLoopback } from './loopback.js';
import { crossProblems } from './references.js';
import { type Config, configSchema } from './schema.js';

/** The configuration cannot be used; `problems` has a sentence for each thing that is wrong, all of them at once. */
export class ConfigError extends Error {
  readonly problems: readonly string[];

  constructor(where: string, problems: readonly string[]) {
    const count = problems.length === 1 ? 'a problem' : `${problems.length} problems`;
    super(`${where} has ${count}:\n${problems.map((problem) => `  ${problem}`).join('\n')}`);
    this.name = 'ConfigError';
    this.problems = problems;
  }
}

export interface LoadOptions {
  /** A YAML file; without it the defaults hold: loopback only, data in ./var. */
  file?: string;
  /** Where overrides are looked for; default: nothing. Pass process.env. */
  env?: Readonly<Record<string, string | undefined>>;
  /** Called with a sentence for what is odd but can be worked with. */
  onWarning?(message: string): void;
}

interface Source {
  raw: Record<string, unknown>;
  lineOf(path: readonly PropertyKey[]): number | undefined;
}

function readText(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (cause) {
    const code = (cause as NodeJS.ErrnoException).code;
    const why = code === 'ENOENT' ? 'there is no such file' : `it cannot be read (${code})`;
    throw new ConfigError(file, [why]);
  }
}

function readYaml(file: string): Source {
  const lines = new LineCounter();
  const document = parseDocument(readText(file), { lineCounter: lines, uniqueKeys: true });
  if (document.errors.length > 0) {
    throw new ConfigError(
      file,
      document.errors.map(
        (error) =>
          `line ${lines.linePos(error.pos[0]).line}: ${error.message.split('\n')[0]!.replace(/ at line \d+, column \d+:$/, '')}`,
      ),
    );
  }
  const value: unknown = document.toJS() ?? {};
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new ConfigError(file, ['it is not a mapping of keys to values']);
  }
  return {
    raw: value as Record<string, unknown>,
    lineOf(path) {
      for (let depth = path.length; depth > 0; depth--) {
        const node = document.getIn(path.slice(0, depth), true) as
          | { range?: [number, number, number] }
          | undefined;
        if (node?.range) return lines.linePos(node.range[0]).line;
      }
      return undefined;
    },
  };
}

function sentence(problem: Problem, source: Source): string {
  const line = source.lineOf(problem.path);
  return `${pathText(problem.path)}${line === undefined ? '' : ` (line ${line})`}: ${problem.message}`;
}

/**
 * Reads, overrides and validates the configuration.
 * Relative folders are relative to the working directory.
 * @throws ConfigError with every problem found, each naming the key, the value and what was expected.
 */
export function loadConfig(options: LoadOptions = {}): Config {
  const source = options.file === undefined ? { raw: {}, lineOf: () => undefined } : readYaml(options.file);
  const warnings = applyEnvironment(source.raw, configSchema, options.env ?? {});
  const result = configSchema.safeParse(source.raw);
  const problems = [
    ...(result.success ? [] : explain(configSchema, result.error, source.raw)),
    ...crossProblems(source.raw),
  ];
  if (!result.success || problems.length > 0) {
    throw new ConfigError(
      options.file ?? 'the configuration from the environment',
      problems.map((problem) => sentence(problem, source)),
    );
  }
  const config = result.data;
  if (!isLoopback(config.dimse.host) && config.peers.every((peer) => isLoopback(peer.host))) {
    warnings.push(
      `dimse.host is ${config.dimse.host}, but peers lists only this machine: nobody else may send; add the senders to peers`,
    );
  }
  if (!isLoopback(config.http.host) && !config.http.tls && !config.access?.proxy) {
    warnings.push(
      `http.host is ${config.http.host} without http.tls and without a proxy in front (access.proxy): passwords, tokens and images travel unencrypted`,
    );
  }
  if (config.queue.startsWith('redis:') && !isLoopback(new URL(config.queue).hostname)) {
    warnings.push(
      'queue is a redis:// address of another machine: the password and the UIDs in the jobs travel unencrypted; rediss:// encrypts them',
    );
  }
  for (const [name, { dimse }] of Object.entries(config.destinations)) {
    if (dimse?.commitment !== 'required') continue;
    if (config.peers.some(({ aeTitle }) => aeTitle === '*' || aeTitle === dimse.aeTitle)) continue;
    warnings.push(
      `destinations.${name} has to commit to what it is sent, but ${dimse.aeTitle} is not among peers: it can report only on our association, not on one of its own`,
    );
  }
  for (const [name, { dimse }] of Object.entries(config.sources)) {
    if (dimse?.retrieve !== 'move') continue;
    if (config.peers.some(({ aeTitle }) => aeTitle === '*' || aeTitle === dimse.aeTitle)) continue;
    warnings.push(
      `sources.${name} sends what it is asked for on an association of its own, but ${dimse.aeTitle} is not among peers: it will not be let in`,
    );
  }
  for (const warning of warnings) options.onWarning?.(warning);
  return { ...config, data: resolve(config.data), models: resolve(config.models) };
}
