import assert from 'node:assert/strict';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { DatabaseSync } from '@photostructure/sqlite';
import { type Database, DatabaseError, openDatabase } from '../../../src/archive/index.js';
import { migrations } from '../../../src/archive/schema.js';
import { atEnd, temporaryFolder } from '../pipeline/synthetic.js';

async function open(t: TestContext): Promise<{ db: Database; path: string }> {
  const path = join(await temporaryFolder(t), 'test.sqlite');
  const db = await openDatabase(path);
  atEnd(t, () => db.close());
  return { db, path };
}

const put = (db: Database, name: string) => db.run('INSERT INTO settings VALUES (?, ?)', name, 'x');
const names = (db: Database) =>
  db
    .all<{ name: string }>("SELECT name FROM settings WHERE value = 'x' ORDER BY name")
    .map(({ name }) => name);

test('commits that wait together are one group, and each has its own result', async (t) => {
  const { db } = await open(t);
  const results = await Promise.all(
    Array.from({ length: 100 }, (_, i) =>
      db.commit(() => put(db, `n${String(i).padStart(3, '0')}`).changes + i),
    ),
  );
  assert.deepEqual(
    results,
    Array.from({ length: 100 }, (_, i) => i + 1),
  );
  assert.equal(names(db).length, 100);
});

test('a work that throws is undone alone; the others of its group are kept', async (t) => {
  const { db } = await open(t);
  const ran: string[] = [];
  const settled = await Promise.allSettled([
    db.commit(() => put(db, 'a')),
    db.commit(() => {
      put(db, 'b');
      db.afterCommit(() => ran.push('b'));
      throw new Error('no');
    }),
    db.commit(() => {
      put(db, 'c');
      db.afterCommit(() => ran.push('c'));
    }),
  ]);
  assert.deepEqual(
    settled.map(({ status }) => status),
    ['fulfilled', 'rejected', 'fulfilled'],
  );
  assert.deepEqual(names(db), ['a', 'c']);
  assert.deepEqual(ran, ['c']);
});

test('what runs before the commit runs once for each key and inside the transaction', async (t) => {
  const { db } = await open(t);
  let runs = 0;
  const count = () => {
    runs += 1;
    put(db, `seen ${names(db).join()}`);
  };
  await Promise.all([
    db.commit(() => {
      put(db, 'a');
      db.beforeCommit('k', count);
    }),
    db.commit(() => {
      put(db, 'b');
      db.beforeCommit('k', count);
    }),
  ]);
  assert.equal(runs, 1);
  assert.deepEqual(names(db), ['a', 'b', 'seen a,b']);
});

test('a transaction that throws leaves nothing, and the next one works', async (t) => {
  const { db } = await open(t);
  assert.throws(() =>
    db.transaction(() => {
      put(db, 'a');
      db.beforeCommit('k', () => put(db, 'b'));
      throw new Error('no');
    }),
  );
  db.transaction(() => put(db, 'c'));
  assert.deepEqual(names(db), ['c']);
});

test('it is there after a close, belongs to one process at a time, and is not opened by older software', async (t) => {
  const path = join(await temporaryFolder(t), 'test.sqlite');
  const db = await openDatabase(path);
  await db.commit(() => put(db, 'a'));
  await assert.rejects(openDatabase(path), DatabaseError);
  await db.close();
  const again = await openDatabase(path);
  assert.deepEqual(names(again), ['a']);
  again.run('PRAGMA user_version = 99');
  await again.close();
  await assert.rejects(openDatabase(path), /newer version of this software/);
});

test('reviews of an earlier version are taken over, and do not go with their series any more', async (t) => {
  const path = join(await temporaryFolder(t), 'test.sqlite');
  const earlier = migrations.findIndex((sql) => sql.includes('reviews_of_series'));
  const old = new DatabaseSync(path);
  for (const sql of migrations.slice(0, earlier)) old.exec(sql);
  old.exec(`PRAGMA user_version = ${earlier};
    INSERT INTO series (id, study, series, origin, opened_at, last_received_at) VALUES (7, '1.2', '1.2.3', 'received', 0, 0);
    INSERT INTO reviews (series_id, verdict, comment, reviewer, at) VALUES (7, 'rejected', 'blurred', 'maria', 5);
    INSERT INTO reviews (series_id, verdict, comment, reviewer, at) VALUES (7, 'accepted', '', 'ada', 9);`);
  old.close();
  const db = await openDatabase(path);
  atEnd(t, () => db.close());
  db.run('DELETE FROM series');
  assert.deepEqual(
    db
      .all<object>('SELECT study, series, verdict, comment, reviewer, at FROM reviews ORDER BY id')
      .map((row) => ({ ...row })),
    [
      { study: '1.2', series: '1.2.3', verdict: 'rejected', comment: 'blurred', reviewer: 'maria', at: 5 },
      { study: '1.2', series: '1.2.3', verdict: 'accepted', comment: '', reviewer: 'ada', at: 9 },
    ],
  );
});
