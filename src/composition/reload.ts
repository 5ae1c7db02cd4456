import { type StatsListener, statSync, unwatchFile, watchFile } from 'node:fs';
import { isDeepStrictEqual } from 'node:util';
import { type Config, ConfigError } from '../config/index.js';

/** What takes effect while the server runs. Everything else is read at start. */
export const RELOADABLE = ['rules', 'peers', 'destinations'] as const satisfies readonly (keyof Config)[];

/** How it stands with the configuration file; times are milliseconds. */
export interface ConfigurationState {
  file: string;
  /** When the configuration in force was read. */
  loadedAt: number;
  /** Why the file as it is now cannot be used: what was read before stays in force. */
  problem?: string;
  /** Keys that have another value in the file, and need a restart to take effect. */
  needsRestart: string[];
}

export interface Reload {
  state(): ConfigurationState;
  /** Reads the file now. Never throws: a file that cannot be used is a problem of the state. */
  reload(why: string): ConfigurationState;
  /** Reads the file again whenever it changes, or a key or certificate that it names. */
  watch(): void;
  close(): void;
}

/** How often the file's date is looked at: also where a file system or a mounted secret gives no notice. */
const WATCH_MS = 1000;

/** Paths of the values that differ, to two levels: `http.port`. */
export function changedKeys(before: object, after: object, prefix = '', depth = 2): string[] {
  const [a, b] = [before, after] as Record<string, unknown>[];
  return [...new Set([...Object.keys(a!), ...Object.keys(b!)])].flatMap((key) => {
    const [one, other] = [a![key], b![key]];
    if (isDeepStrictEqual(one, other)) return [];
    const isMapping = (value: unknown) =>
      typeof value === 'object' && value !== null && !Array.isArray(value);
    return depth > 1 && isMapping(one) && isMapping(other)
      ? changedKeys(one as object, other as object, `${prefix}${key}.`, depth - 1)
      : [`${prefix}${key}`];
  });
}

function withoutReloadable(config: Config): Partial<Config> {
  return Object.fromEntries(
    Object.entries(config).filter(([key]) => !(RELOADABLE as readonly string[]).includes(key)),
  );
}

export interface ReloadOptions {
  /** In force; its reloadable keys are replaced in place, all at once. */
  config: Config;
  file: string;
  /** Files that the configuration names and that are read with it. */
  filesOf(config: Config): string[];
  /** @throws ConfigError */
  load(): Config;
  /** A reason why rules cannot be used without a restart. */
  obstacle(next: Config): string | undefined;
  /** Brings the new configuration into force where it is not read at each use. */
  apply(config: Config): void;
  onReload(state: ConfigurationState, why: string): void;
}

/** Reads rules, peers and destinations anew while the server runs: all of them, or none. */
export function createReload(options: ReloadOptions): Reload {
  const { config, file, filesOf, load, obstacle, apply, onReload } = options;
  const atStart = withoutReloadable(config);
  let state: ConfigurationState = { file, loadedAt: Date.now(), needsRestart: [] };
  let closed = false;
  let watching = false;

  const reload = (why: string): ConfigurationState => {
    if (closed) return state;
    try {
      const next = load();
      const problem = obstacle(next);
      if (problem) throw new ConfigError(file, [problem]);
      const before = Object.fromEntries(RELOADABLE.map((key) => [key, config[key]]));
      Object.assign(config, Object.fromEntries(RELOADABLE.map((key) => [key, next[key]])));
      try {
        apply(config);
      } catch (error) {
        Object.assign(config, before);
        apply(config);
        throw error;
      }
      const needsRestart = changedKeys(atStart, withoutReloadable(next));
      state = { file, loadedAt: Date.now(), needsRestart };
      if (watching) watchNamed();
    } catch (error) {
      const { loadedAt, needsRestart } = state;
      state = {
        file,
        loadedAt,
        needsRestart,
        problem: error instanceof Error ? error.message : String(error),
      };
    }
    onReload(state, why);
    return state;
  };
  let settling: NodeJS.Timeout | undefined;
  const whenChanged =
    (act: () => void): StatsListener =>
    (now, before) => {
      const same = now.mtimeMs === before.mtimeMs && now.size === before.size && now.ino === before.ino;
      if (!same) act();
    };
  const changed = whenChanged(() => reload('the file changed'));
  // Key and certificate are two files, of which one is written first.
  const renewed = whenChanged(() => {
    clearTimeout(settling);
    settling = setTimeout(() => reload('a certificate changed'), 2 * WATCH_MS).unref();
  });
  let watched: string[] = [];
  const watchNamed = (): void => {
    for (const name of watched) unwatchFile(name, renewed);
    watched = filesOf(config);
    for (const name of watched) watchFile(name, { interval: WATCH_MS, persistent: false }, renewed);
  };

  return {
    state: () => state,
    reload,
    watch() {
      watchFile(file, { interval: WATCH_MS, persistent: false }, changed);
      watchNamed();
      watching = true;
      // The start takes its time, and the file may have changed meanwhile.
      const now = statSync(file, { throwIfNoEntry: false });
      if (now && now.mtimeMs > state.loadedAt) reload('the file changed');
    },
    close() {
      closed = true;
      clearTimeout(settling);
      unwatchFile(file, changed);
      for (const name of watched) unwatchFile(name, renewed);
    },
  };
}
