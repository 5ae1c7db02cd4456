import assert from 'node:assert/strict';
import { readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { openInstanceFiles } from '../../../src/archive/files.js';
import { digestOf, isDiskFull, openArchive } from '../../../src/archive/index.js';
import { atEnd, temporaryFolder } from '../pipeline/synthetic.js';

async function open(t: TestContext) {
  const files = await openInstanceFiles(await temporaryFolder(t));
  atEnd(t, () => files.close());
  const memoryOf = (bytes: Buffer) => {
    const memory = files.memory.take();
    for (let at = 0; at < bytes.length; at += 1000) memory.append(bytes.subarray(at, at + 1000));
    return memory;
  };
  const store = async (path: string, bytes: Buffer) => {
    const memory = memoryOf(bytes);
    try {
      const placed = await files.place(files.partOf(memory), path, {
        transferSyntax: '1.2',
        dataSetOffset: 3,
      });
      await placed.settle();
      return placed.digest;
    } finally {
      memory.release();
    }
  };
  return { files, memoryOf, store };
}

test('files that are written at once, in memory that is used again, have each their own bytes and digest', async (t) => {
  const { files, store } = await open(t);
  const bytesOf = (n: number) => Buffer.alloc(1 + ((n * 7919) % 400_000), n);
  const numbers = Array.from({ length: 300 }, (_, n) => n + 1);
  const queue = [...numbers];
  const digests = new Map<number, string | undefined>();
  await Promise.all(
    Array.from({ length: 12 }, async () => {
      for (let n = queue.shift(); n !== undefined; n = queue.shift()) {
        digests.set(n, await store(files.relativePath('1.2', `1.3.${n % 5}`, `1.4.${n}`, 1), bytesOf(n)));
      }
    }),
  );
  for (const n of numbers) {
    const path = files.absolutePath(files.relativePath('1.2', `1.3.${n % 5}`, `1.4.${n}`, 1));
    assert.ok((await readFile(path)).equals(bytesOf(n)), `file ${n}`);
    assert.equal(digests.get(n), await digestOf('1.2', bytesOf(n).subarray(3)));
  }
});

test('a file that is there already is replaced whole; a folder that was removed is made anew', async (t) => {
  const { files, store } = await open(t);
  const path = files.relativePath('1.2', '1.3', '1.4', 1);
  await store(path, Buffer.from('first'));
  const before = await stat(files.absolutePath(path));
  await store(path, Buffer.from('second, longer'));
  assert.equal(await readFile(files.absolutePath(path), 'utf8'), 'second, longer');
  assert.notEqual(
    (await stat(files.absolutePath(path))).ino,
    before.ino,
    'renamed over it, not written into it',
  );
  assert.deepEqual(await readdir(join(files.root, 'incoming')), []);
  await rm(dirname(files.absolutePath(path)), { recursive: true });
  await store(path, Buffer.from('third'));
  assert.equal(await readFile(files.absolutePath(path), 'utf8'), 'third');
});

test('what the disk refuses is told with its code, leaves nothing, and the next file is written', async (t) => {
  const { files, store } = await open(t);
  const path = files.relativePath('1.2', '1.3', '1.4', 1);
  await store(path, Buffer.from('good'));
  const folder = dirname(files.absolutePath(path));
  await rm(folder, { recursive: true });
  await writeFile(folder, 'a file where the folder should be');
  await assert.rejects(store(path, Buffer.from('no')), (error: NodeJS.ErrnoException) => {
    assert.equal(error.code, 'ENOTDIR');
    assert.equal(isDiskFull(error), false);
    return true;
  });
  await rm(folder);
  await store(path, Buffer.from('again'));
  assert.equal(await readFile(files.absolutePath(path), 'utf8'), 'again');
});

test('closing waits for what is being written', async (t) => {
  const { files, memoryOf } = await open(t);
  const parts = Array.from({ length: 20 }, (_, n) =>
    files.place(
      files.partOf(memoryOf(Buffer.alloc(300_000, n))),
      files.relativePath('1.2', '1.3', `1.4.${n}`, 1),
    ),
  );
  const placed = await Promise.all(parts);
  const settled = Promise.all(placed.map((each) => each.settle()));
  await files.close();
  await settled;
});

test('an instance without a digest gets that of its bytes, and nothing of a transaction that fails stays', async (t) => {
  const archive = await openArchive(await temporaryFolder(t));
  atEnd(t, () => archive.close());
  const memory = archive.files.memory.take();
  memory.append(Buffer.from('head and data set'));
  const instance = {
    study: '1.2',
    series: '1.3',
    sop: '1.4',
    version: 1,
    sopClass: '1.5',
    transferSyntax: '1.6',
    dataSetOffset: 5,
    origin: 'received' as const,
    source: { protocol: 'file' as const, peer: 'test', address: '' },
    state: 'pending' as const,
    receivedAt: 0,
  };
  await assert.rejects(
    archive.add(archive.files.partOf(memory), instance, () => {
      throw new Error('no');
    }),
    /no/,
  );
  assert.equal(archive.versions('1.2', '1.3', '1.4').length, 0);
  const stored = await archive.add(archive.files.partOf(memory), instance);
  memory.release();
  assert.equal(stored.digest, await digestOf('1.6', Buffer.from('and data set')));
  assert.deepEqual(archive.get(stored.id), stored, 'what is returned is what the index has');
  assert.equal(await readFile(stored.path, 'utf8'), 'head and data set');
});
