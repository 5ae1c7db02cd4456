import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { readdir, readFile, unlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { openArchive, type Recovery } from '../../../src/archive/index.js';
import { openPipeline } from '../../../src/pipeline/index.js';
import {
  atEnd,
  derivedUid,
  eventually,
  type FakeDerivation,
  FakeDestination,
  type Header,
  invertingModel,
  reader,
  rules,
  slice,
  temporaryFolder,
} from './synthetic.js';

const child = fileURLToPath(new URL('./crash-child.js', import.meta.url));
const kills = 10;
const slices = 150;

/** Deterministic pseudo-random numbers in [0, 1). */
function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}

async function killed(process: ChildProcess): Promise<void> {
  process.kill('SIGKILL');
  if (process.exitCode === null && process.signalCode === null) await once(process, 'exit');
}

test('killed at random points while it receives, corrects and delivers: nothing acknowledged is lost', async (t) => {
  const data = await temporaryFolder(t);
  const delivered = join(await temporaryFolder(t), 'delivered');
  const acknowledged = new Set<string>();
  const recoveries: Recovery[] = [];
  const random = seeded(20_26);
  let next = 1;

  for (let kill = 0; kill < kills; kill++) {
    const server = spawn(process.execPath, [child, data, delivered, String(next), String(slices)], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const after = 1 + Math.floor(random() * 14);
    let seen = 0;
    const lines = createInterface({ input: server.stdout });
    lines.on('line', (line) => {
      if (line.startsWith('recovery ')) recoveries.push(JSON.parse(line.slice(9)) as Recovery);
      if (!line.startsWith('acknowledged ')) return;
      acknowledged.add(line.split(' ')[1]!);
      seen += 1;
      if (seen === after) setTimeout(() => server.kill('SIGKILL'), random() * 4);
    });
    await Promise.all([once(server, 'exit'), once(lines, 'close')]);
    // The sender goes on with the first one that it got no answer for.
    while (acknowledged.has(`1.2.3.4.${next}`)) next += 1;
  }
  assert.ok(acknowledged.size >= kills, `${acknowledged.size} acknowledged`);
  assert.ok(recoveries.slice(1).every(({ crashed }) => crashed));
  assert.deepEqual(
    recoveries.flatMap(({ damaged }) => damaged),
    [],
  );

  const archive = await openArchive(data);
  for (const sop of acknowledged) {
    const [instance] = archive.versions('1.2.3', `1.2.3.${Number(sop.split('.').at(-1)) % 3}`, sop);
    assert.ok(instance, `${sop} was acknowledged and is not in the archive`);
    const n = Number(sop.split('.').at(-1));
    const pixels = Buffer.alloc(n % 8 === 0 ? 4_500_000 : 20_000, n);
    const sent = slice({ sop, series: instance.series, pixels });
    assert.ok((await readFile(instance.path)).subarray(instance.dataSetOffset).equals(sent.dataSet), sop);
    const job = archive.db.get("SELECT 1 FROM jobs WHERE kind = 'correct' AND key = ?", String(instance.id));
    assert.ok(
      instance.state === 'corrected' || job !== undefined,
      `${sop} is ${instance.state} and has no job`,
    );
  }
  assert.deepEqual(await readdir(join(data, 'incoming')), []);
  await archive.close();

  const last = spawn(process.execPath, [child, data, delivered, '1', String(slices)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  atEnd(t, () => killed(last));
  const outcomes: string[] = [];
  for await (const line of createInterface({ input: last.stdout })) {
    if (line.startsWith('acknowledged ')) outcomes.push(line.split(' ')[2]!);
    if (line === 'all sent') break;
  }
  assert.equal(outcomes.length, slices);
  assert.ok(outcomes.filter((outcome) => outcome === 'duplicate').length >= acknowledged.size);
  const expected = Array.from({ length: slices }, (_, i) =>
    derivedUid(`1.2.3.4.${i + 1}`, { model: 'test' }),
  );
  const arrived = async () => new Set((await readFile(delivered, 'utf8')).trim().split('\n'));
  for (let waited = 0; (await arrived()).size < slices && waited < 15_000; waited += 50) {
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  assert.deepEqual([...(await arrived())].sort(), expected.sort());
});

test('what a crash leaves behind is found: parts, files without rows, rows without whole files', async (t) => {
  const data = await temporaryFolder(t);
  const open = () =>
    openPipeline<Header, FakeDerivation>({
      data,
      rules,
      dicom: reader,
      models: new Map([['test', invertingModel()]]),
      destinations: [new FakeDestination('pacs')],
      complete: { quiet: 30, maxAge: 1000 },
    });
  const first = await open();
  const stored = [];
  for (const n of [1, 2, 3, 4]) {
    const incoming = first.intake.beginFile({ source: { protocol: 'file', peer: 'x', address: '' } });
    await incoming.write(slice({ sop: `1.2.3.4.${n}` }).file);
    stored.push((await incoming.commit()).instance);
  }
  await first.close();

  const archive = await openArchive(data);
  archive.setSetting('settled id', '0');
  await archive.db.close(); // as if the process had died: not marked as ended in good order
  const orphan = join(stored[0]!.path, '..', '1.2.3.4.99.dcm');
  await writeFile(orphan, 'never indexed');
  await writeFile(join(data, 'incoming', '1-1.part'), 'half an object');
  await unlink(stored[1]!.path);
  await writeFile(stored[2]!.path, 'short');
  await writeFile(stored[3]!.path, Buffer.alloc(stored[3]!.bytes));

  const second = await open();
  atEnd(t, () => second.close(200));
  const { recovery } = second;
  assert.equal(recovery.crashed, true);
  assert.equal(recovery.partsRemoved, 1);
  assert.equal(recovery.quarantined.length, 1);
  assert.equal(existsSync(orphan), false);
  assert.equal((await readdir(join(data, 'quarantine'))).length, 1);
  assert.deepEqual(
    recovery.damaged.map(({ sop, damage }) => `${sop} ${damage}`),
    [
      '1.2.3.4.2 the file is missing',
      `1.2.3.4.3 the file has 5 bytes instead of ${stored[2]!.bytes}`,
      '1.2.3.4.4 the bytes are not those that were received',
    ],
  );
  second.start();
  await eventually('shown', () => second.series.get('1.2.3.4')?.state === 'failed');
  const { counts, failures } = second.series.get('1.2.3.4')!;
  assert.deepEqual(counts, { received: 4, corrected: 1, leftAlone: 0, failed: 3, delivered: 1 });
  assert.ok(failures.some(({ sop, reason }) => sop === '1.2.3.4.2' && /missing/.test(reason)));
  assert.ok(failures.some(({ sop, reason }) => sop === '1.2.3.4.3' && /5 bytes/.test(reason)));
});
