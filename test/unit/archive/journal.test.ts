/** What the journal holds of a machine that lost its power comes back, and nothing else does. */
import assert from 'node:assert/strict';
import { constants } from 'node:fs';
import { cp, open, readdir, readFile, readlink, rm, stat, truncate } from 'node:fs/promises';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { segmentBytes } from '../../../src/archive/journal.js';
import { openPipeline, type Pipeline } from '../../../src/pipeline/index.js';
import { eventually } from '../../peers/support/process.js';
import { atEnd, reader, type Slice, slice, temporaryFolder } from '../pipeline/synthetic.js';

const source = { protocol: 'dicomweb', peer: 'SENDER', address: '127.0.0.1' } as const;
const rules = [{ name: 'all', when: { Modality: 'MR' }, model: 'test', to: [] }];

async function start(t: TestContext, data: string): Promise<Pipeline> {
  const pipeline = await openPipeline({ data, rules, dicom: reader, models: new Map(), destinations: [] });
  let closed: Promise<void> | undefined;
  const close = () => {
    closed ??= pipeline.close(500);
    return closed;
  };
  atEnd(t, close);
  return { ...pipeline, close };
}

async function receive({ intake }: Pipeline, { file }: Slice): Promise<void> {
  const incoming = intake.beginFile({ source });
  await incoming.write(file);
  await incoming.commit();
}

const sliceOf = (n: number, bytes = 50_000) =>
  slice({ study: '1.2', series: '1.2.3', sop: `1.2.3.${n}`, pixels: Buffer.alloc(bytes, n) });

/** A server whose journal has its first segment: it is made when the first object comes. */
async function journalling(t: TestContext): Promise<{ data: string; pipeline: Pipeline }> {
  const data = await temporaryFolder(t);
  const pipeline = await start(t, data);
  await receive(pipeline, sliceOf(999));
  await eventually('a segment is ready', async () => {
    for (const path of await segments(data)) if (await isAdopted(path)) return true;
    return undefined;
  });
  return { data, pipeline };
}

async function segments(data: string): Promise<string[]> {
  const ready: string[] = [];
  for (const name of await readdir(join(data, 'journal'))) {
    const path = join(data, 'journal', name);
    if ((await stat(path)).size === segmentBytes) ready.push(path);
  }
  return ready;
}

/** Whether the journal holds it open to write over it: until then objects are synced by themselves. */
async function isAdopted(path: string): Promise<boolean> {
  for (const fd of await readdir('/proc/self/fd')) {
    if ((await readlink(`/proc/self/fd/${fd}`).catch(() => '')) !== path) continue;
    const flags = /^flags:\s+([0-7]+)$/m.exec(await readFile(`/proc/self/fdinfo/${fd}`, 'utf8'));
    if ((Number.parseInt(flags![1]!, 8) & 3) === constants.O_RDWR) return true;
  }
  return false;
}

const index = (name: string) => /^mcnet\.sqlite/.test(name);

/** The data folder as the disk may have it after a power cut: the index of `before`, everything else of now. */
async function cutPower(t: TestContext, data: string, before?: string): Promise<string> {
  const left = await temporaryFolder(t);
  await cp(data, left, { recursive: true });
  if (before === undefined) return left;
  for (const name of (await readdir(left)).filter(index)) await rm(join(left, name));
  for (const name of (await readdir(before)).filter(index)) await cp(join(before, name), join(left, name));
  return left;
}

async function assertWhole(pipeline: Pipeline, wanted: Slice): Promise<void> {
  const [stored, ...others] = pipeline.archive.versions(wanted.study, wanted.series, wanted.sop);
  assert.equal(others.length, 0);
  assert.ok(stored, `${wanted.sop} is there`);
  assert.equal(stored.damage, undefined);
  assert.deepEqual(stored.source, source);
  assert.ok((await readFile(stored.path)).equals(wanted.file), wanted.sop);
}

test('rows and files that the power took are put back, with their jobs, as often as it takes', async (t) => {
  const { data, pipeline } = await journalling(t);
  const before = await cutPower(t, data);
  const slices = Array.from({ length: 12 }, (_, n) => sliceOf(n + 1));
  await Promise.all(slices.map((one) => receive(pipeline, one)));
  const paths = slices.map(({ sop }) => pipeline.archive.versions('1.2', '1.2.3', sop)[0]!.path);
  for (const lost of ['files', 'both'] as const) {
    const left = await cutPower(t, data, lost === 'files' ? undefined : before);
    await rm(join(left, paths[0]!.slice(data.length)));
    for (const path of paths.slice(1, 6)) await truncate(join(left, path.slice(data.length)), 0);
    for (const again of [false, true]) {
      const copy = again ? left : await cutPower(t, left); // the power goes once more before it is done
      const next = await start(t, copy);
      assert.equal(next.recovery.crashed, true);
      assert.equal(next.recovery.journalled, slices.length);
      assert.deepEqual(next.recovery.damaged, []);
      assert.deepEqual(next.recovery.quarantined, []);
      for (const one of slices) await assertWhole(next, one);
      const jobs = next.archive.db.all<{ key: string }>("SELECT key FROM jobs WHERE kind = 'correct'");
      assert.equal(jobs.length, slices.length + 1);
      if (again) await next.close();
    }
    const after = await start(t, left);
    assert.equal(after.recovery.crashed, false);
    assert.equal(after.recovery.journalled, 0);
  }
});

test('a record that is not whole, and what was refused after it was journalled, stay away', async (t) => {
  const { data, pipeline } = await journalling(t);
  const before = await cutPower(t, data);
  const { db } = pipeline.archive;
  await receive(pipeline, sliceOf(1));
  db.run("CREATE TEMP TRIGGER refuse BEFORE INSERT ON instances BEGIN SELECT RAISE(ABORT, 'refused'); END");
  await assert.rejects(receive(pipeline, sliceOf(2)), /refused/);
  db.run('DROP TRIGGER refuse');
  await receive(pipeline, sliceOf(3));
  await receive(pipeline, sliceOf(4, 51_234));
  const left = await cutPower(t, data, before);
  const [segment] = await segments(left);
  const at = (await readFile(segment!)).indexOf(sliceOf(4, 51_234).file);
  const handle = await open(segment!, 'r+');
  await handle.write(Buffer.from([0xff]), 0, 1, at + 40_000);
  await handle.close();
  const next = await start(t, left);
  assert.equal(next.recovery.journalled, 2);
  await assertWhole(next, sliceOf(1));
  await assertWhole(next, sliceOf(3));
  assert.equal(next.archive.versions('1.2', '1.2.3', '1.2.3.2').length, 0);
  assert.equal(next.archive.versions('1.2', '1.2.3', '1.2.3.4').length, 0);
});

test('what was removed does not come back', async (t) => {
  const { data, pipeline } = await journalling(t);
  await receive(pipeline, sliceOf(1));
  const series = pipeline.archive.versions('1.2', '1.2.3', '1.2.3.1')[0]!.seriesId;
  await pipeline.archive.removeSeries(series, () => true);
  const next = await start(t, await cutPower(t, data));
  assert.equal(next.recovery.journalled, 0);
  assert.equal(next.archive.versions('1.2', '1.2.3', '1.2.3.1').length, 0);
});

test('segments are used again: many more objects than the journal has room for', async (t) => {
  const { data, pipeline } = await journalling(t);
  const slices = Array.from({ length: 600 }, (_, n) => sliceOf(n + 1, 3000));
  const waiting = [...slices];
  await Promise.all(
    Array.from({ length: 16 }, async () => {
      for (let one = waiting.shift(); one !== undefined; one = waiting.shift()) await receive(pipeline, one);
    }),
  );
  assert.ok((await segments(data)).length <= 8);
  const next = await start(t, await cutPower(t, data));
  assert.deepEqual(next.recovery.damaged, []);
  for (const one of slices) await assertWhole(next, one);
});
