import assert from 'node:assert/strict';
import { readdir, readFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { type TestContext, test } from 'node:test';
import fc from 'fast-check';
import { type Archive, digestOf, type NewInstance, openArchive } from '../../../src/archive/index.js';
import { atEnd, temporaryFolder } from '../pipeline/synthetic.js';

async function open(t: TestContext): Promise<Archive> {
  const archive = await openArchive(await temporaryFolder(t));
  atEnd(t, () => archive.close());
  return archive;
}

const instance = (overrides: Partial<NewInstance> = {}): NewInstance => ({
  study: '1.2',
  series: '1.2.3',
  sop: '1.2.3.4',
  version: 1,
  sopClass: '1.2.840.10008.5.1.4.1.1.4',
  transferSyntax: '1.2.840.10008.1.2.1',
  digest: 'd',
  dataSetOffset: 0,
  origin: 'received',
  source: { protocol: 'file', peer: 'test', address: '' },
  state: 'pending',
  receivedAt: 0,
  ...overrides,
});

async function partOf(archive: Archive, text: string) {
  const part = await archive.files.createPart();
  await part.write([Buffer.from(text)]);
  return part;
}

test('only a UID becomes a path', async (t) => {
  const archive = await open(t);
  fc.assert(
    fc.property(
      fc.string({ unit: fc.constantFrom('1', '9', '.', '/', '\\', '\0', 'a', ' '), maxLength: 70 }),
      (uid) => {
        const valid = uid.length <= 64 && /^\d+(\.\d+)*$/.test(uid);
        if (!valid) {
          assert.throws(() => archive.files.relativePath(uid, '1', '1', 1), RangeError);
          assert.throws(() => archive.files.relativePath('1', uid, '1', 1), RangeError);
          assert.throws(() => archive.files.relativePath('1', '1', uid, 1), RangeError);
        } else {
          assert.ok(!archive.files.relativePath(uid, uid, uid, 2).includes('..'));
        }
      },
    ),
  );
});

test('what fails inside the transaction leaves neither row nor file', async (t) => {
  const archive = await open(t);
  const part = await partOf(archive, 'bytes');
  await assert.rejects(
    archive.add(part, instance(), () => {
      throw new Error('no');
    }),
    /no/,
  );
  assert.equal(archive.versions('1.2', '1.2.3', '1.2.3.4').length, 0);
  const parts = await readdir(join(archive.files.root, 'incoming'));
  assert.ok(!parts.includes(basename(part.path)), 'only empty parts that are prepared for others');
  const files = await readdir(join(archive.files.root, 'archive'), { recursive: true, withFileTypes: true });
  assert.deepEqual(
    files.filter((entry) => entry.isFile()).map(({ name }) => name),
    [],
  );
  assert.equal(archive.bytes(), 0);
  const kept = await archive.add(await partOf(archive, 'bytes'), instance());
  assert.equal(await readFile(kept.path, 'utf8'), 'bytes');
  assert.equal(archive.bytes(), 5);
});

test('many at once in one new series', async (t) => {
  const archive = await open(t);
  const stored = await Promise.all(
    Array.from({ length: 60 }, async (_, i) =>
      archive.add(await partOf(archive, `bytes ${i}`), instance({ sop: `1.2.3.${i + 10}` })),
    ),
  );
  assert.equal(new Set(stored.map(({ seriesId }) => seriesId)).size, 1);
  for (const [i, one] of stored.entries()) assert.equal(await readFile(one.path, 'utf8'), `bytes ${i}`);
});

test('works for one key run one after another, also when one fails', async (t) => {
  const archive = await open(t);
  const order: string[] = [];
  const work = (name: string, fails = false) =>
    archive.exclusively('k', async () => {
      order.push(`${name} begins`);
      await new Promise((resolve) => setTimeout(resolve, 2));
      order.push(`${name} ends`);
      if (fails) throw new Error(name);
    });
  await Promise.allSettled([work('a'), work('b', true), work('c')]);
  assert.deepEqual(order, ['a begins', 'a ends', 'b begins', 'b ends', 'c begins', 'c ends']);
});

test('the digest covers transfer syntax and data set, and does not depend on its size being sliced', async () => {
  const big = Buffer.alloc(3 * 1024 * 1024 + 5, 1);
  assert.notEqual(await digestOf('1.2', big), await digestOf('1.3', big));
  assert.notEqual(await digestOf('1.2', big), await digestOf('1.2', big.subarray(1)));
  assert.equal(await digestOf('1.2', Buffer.from('a')), await digestOf('1.2', Buffer.from('a')));
});
