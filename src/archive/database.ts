/**
 * The one SQLite database of the server, and what "durable" means in it.
 *
 * WAL with `synchronous=NORMAL`: a commit writes the log but does not wait for the disk. Durability is asked
 * for explicitly: `commit()` resolves only after an `fdatasync` of the log, which is exactly what
 * `synchronous=FULL` does inside the commit, except that it runs off the event loop and that every
 * transaction waiting at that moment shares it (group commit). SQLite itself syncs log and database around a
 * checkpoint, so a log that starts over never loses a synced transaction; and the log is a sequence, so a
 * power cut takes away the newest transactions only, never one in the middle.
 *
 * `locking_mode=EXCLUSIVE`: one process owns the data folder; a second one is told so.
 */
import { type FileHandle, open } from 'node:fs/promises';
import { dirname } from 'node:path';
import { DatabaseSync } from '@photostructure/sqlite';
import { migrations } from './schema.js';

export type Value = string | number | null;
type Sqlite = InstanceType<typeof DatabaseSync>;
type Statement = ReturnType<Sqlite['prepare']>;

export interface Database {
  /** First row, or undefined. */
  get<Row>(sql: string, ...values: Value[]): Row | undefined;
  all<Row>(sql: string, ...values: Value[]): Row[];
  run(sql: string, ...values: Value[]): { changes: number; id: number };
  /**
   * Runs `work` in a transaction and commits it; inside another transaction it becomes part of that one.
   * Survives the end of the process, not yet a power cut: use `commit` where somebody is told "done".
   */
  transaction<T>(work: () => T): T;
  /** Runs `work` in a transaction shared with others and resolves once that is committed, like `transaction`. */
  group<T>(work: () => T): Promise<T>;
  /** The same, and resolves only once it is on disk. */
  commit<T>(work: () => T): Promise<T>;
  /** Runs after the surrounding transaction has been committed; at once when there is none. */
  afterCommit(work: () => void): void;
  /** Runs the first work given for a key, once, inside the surrounding transaction, just before it is committed. */
  beforeCommit(key: string, work: () => void): void;
  /** Resolves when everything committed so far is on disk. */
  sync(): Promise<void>;
  close(): Promise<void>;
}

/** The data folder is in use, not readable as a database, or the disk refused a write that was needed. */
export class DatabaseError extends Error {
  override name = 'DatabaseError';
}

interface Waiting {
  work: () => unknown;
  resolve: (value: never) => void;
  reject: (error: unknown) => void;
}

/** Transactions that share one commit at most: bounds the time for which the event loop is held. */
const groupSize = 16;

/**
 * Opens or creates the database and brings its tables up to date.
 * @throws DatabaseError when another process has it open, or when it is newer than this software.
 */
export async function openDatabase(path: string): Promise<Database> {
  const sqlite = connect(path);
  const statements = new Map<string, Statement>();
  const log = await open(`${path}-wal`, 'r+');
  const folder = await open(dirname(path), 'r');
  await folder.sync();
  await folder.close();

  let after: (() => void)[] = [];
  let before = new Map<string, () => void>();
  let waiting: Waiting[] = [];
  let flushing = false;
  let syncing: Promise<void> | undefined;
  let nextSync: Promise<void> | undefined;
  let broken: DatabaseError | undefined;

  function prepare(sql: string): Statement {
    let statement = statements.get(sql);
    if (statement === undefined) {
      statement = sqlite.prepare(sql);
      statements.set(sql, statement);
    }
    return statement;
  }

  function begin(): void {
    if (broken !== undefined) throw broken;
    prepare('BEGIN IMMEDIATE').run();
  }

  function rollback(): void {
    after = [];
    before = new Map();
    if (sqlite.isTransaction) prepare('ROLLBACK').run();
  }

  /** Commits and hands back what has to run afterwards. */
  function end(): (() => void)[] {
    while (before.size > 0) {
      const works = [...before.values()];
      before = new Map();
      for (const work of works) work();
    }
    prepare('COMMIT').run();
    const works = after;
    after = [];
    return works;
  }

  function transaction<T>(work: () => T): T {
    if (sqlite.isTransaction) return work();
    begin();
    let result: T;
    let afterwards: (() => void)[];
    try {
      result = work();
      afterwards = end();
    } catch (error) {
      rollback();
      throw error;
    }
    for (const each of afterwards) each();
    return result;
  }

  /** One group: each work in a savepoint of its own, so that one that throws takes nothing with it. */
  function runGroup(group: Waiting[]): { done: { each: Waiting; value: unknown }[]; works: (() => void)[] } {
    const done: { each: Waiting; value: unknown }[] = [];
    const failed: { each: Waiting; error: unknown }[] = [];
    begin();
    try {
      for (const each of group) {
        const keptAfter = after.length;
        const keptBefore = before.size;
        prepare('SAVEPOINT one').run();
        try {
          done.push({ each, value: each.work() });
          prepare('RELEASE one').run();
        } catch (error) {
          if (!sqlite.isTransaction) throw error;
          prepare('ROLLBACK TO one').run();
          prepare('RELEASE one').run();
          after.length = keptAfter;
          before = new Map([...before].slice(0, keptBefore));
          failed.push({ each, error });
        }
      }
      const works = end();
      for (const { each, error } of failed) each.reject(error);
      return { done, works };
    } catch (error) {
      rollback();
      throw error;
    }
  }

  /** One group; the next has its turn after whatever else waits for the event loop. */
  function flush(): void {
    const group = waiting.slice(0, groupSize);
    waiting = waiting.slice(groupSize);
    flushing = waiting.length > 0;
    if (flushing) setImmediate(flush);
    if (group.length === 0) return;
    const [alone] = group;
    if (group.length === 1) {
      try {
        alone!.resolve(transaction(alone!.work) as never);
      } catch (error) {
        alone!.reject(error);
      }
      return;
    }
    try {
      const { done, works } = runGroup(group);
      for (const each of works) each();
      for (const { each, value } of done) each.resolve(value as never);
    } catch (error) {
      for (const each of group) each.reject(error);
    }
  }

  function group<T>(work: () => T): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      waiting.push({ work, resolve: resolve as (value: never) => void, reject });
      if (flushing) return;
      flushing = true;
      setImmediate(flush);
    });
  }

  function sync(): Promise<void> {
    if (broken !== undefined) return Promise.reject(broken);
    if (syncing === undefined) {
      syncing = syncLog(log).finally(() => {
        syncing = undefined;
      });
      return syncing;
    }
    // One that is under way may have started before the newest commit was written.
    nextSync ??= syncing
      .catch(() => {})
      .then(() => {
        nextSync = undefined;
        return sync();
      });
    return nextSync;
  }

  async function syncLog(handle: FileHandle): Promise<void> {
    try {
      await handle.datasync();
    } catch (error) {
      // After a failed sync the kernel may have dropped the pages: nothing later can be believed.
      broken = new DatabaseError(
        `${path}: the disk refused to keep the log (${messageOf(error)}); restart after checking the disk`,
      );
      throw broken;
    }
  }

  return {
    get: <Row>(sql: string, ...values: Value[]) => prepare(sql).get(...values) as Row | undefined,
    all: <Row>(sql: string, ...values: Value[]) => prepare(sql).all(...values) as Row[],
    run(sql, ...values) {
      const { changes, lastInsertRowid } = prepare(sql).run(...values);
      return { changes, id: Number(lastInsertRowid) };
    },
    transaction,
    group,
    async commit(work) {
      const result = await group(work);
      await sync();
      return result;
    },
    afterCommit(work) {
      if (sqlite.isTransaction) after.push(work);
      else work();
    },
    beforeCommit(key, work) {
      if (!sqlite.isTransaction) transaction(work);
      else if (!before.has(key)) before.set(key, work);
    },
    sync,
    async close() {
      while (waiting.length > 0) flush();
      await nextSync?.catch(() => {});
      await syncing?.catch(() => {});
      await log.close();
      statements.clear();
      // Statements live until they are garbage, and with them the lock: it is given back by hand.
      sqlite.exec('PRAGMA journal_mode = DELETE');
      sqlite.exec('PRAGMA locking_mode = NORMAL');
      sqlite.exec('SELECT 1 FROM sqlite_schema LIMIT 1');
      sqlite.close();
    },
  };
}

function connect(path: string): Sqlite {
  let sqlite: Sqlite | undefined;
  try {
    sqlite = new DatabaseSync(path);
    sqlite.exec('PRAGMA locking_mode = EXCLUSIVE');
    sqlite.exec('PRAGMA journal_mode = WAL');
    sqlite.exec('PRAGMA synchronous = NORMAL');
    sqlite.exec('PRAGMA foreign_keys = ON');
    sqlite.exec('PRAGMA cache_size = -32000');
    sqlite.exec('PRAGMA wal_autocheckpoint = 1000');
    sqlite.exec('BEGIN IMMEDIATE');
    // Not only a formality: the first write creates the log file that is synced from here on.
    const { user_version: version } = sqlite.prepare('PRAGMA user_version').get() as { user_version: number };
    if (version > migrations.length) {
      throw new DatabaseError(
        `${path} was written by a newer version of this software (tables ${version}, known ${migrations.length}); install that version`,
      );
    }
    for (const tables of migrations.slice(version)) sqlite.exec(tables);
    sqlite.exec(`PRAGMA user_version = ${migrations.length}`);
    sqlite.exec(`INSERT OR REPLACE INTO settings VALUES ('opened', '${Date.now()}')`);
    sqlite.exec('COMMIT');
    return sqlite;
  } catch (error) {
    sqlite?.close();
    if (error instanceof DatabaseError) throw error;
    const message = messageOf(error);
    throw new DatabaseError(
      /locked|busy/i.test(message)
        ? `${path} is in use by another process; only one server may own a data folder`
        : `${path} cannot be opened as the database: ${message}`,
    );
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
