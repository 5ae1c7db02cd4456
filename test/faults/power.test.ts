/**
 * The power goes, again and again, while slices stream in: the file system ends without writing what it still held, and
 * is mounted again. What was acknowledged is there.
 */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { modelsFolder } from '../peers/support/mcnet.js';
import { atEnd, eventually, freePort, needPrograms, temporaryFolder } from '../peers/support/process.js';
import { newSeries } from '../peers/support/slices.js';
import { startDestination } from './support/destination.js';
import { disk } from './support/disk.js';
import { seeded, setting } from './support/random.js';
import { sendUntilAcknowledged } from './support/sender.js';
import { startIncarnation } from './support/server.js';

const seed = setting('MCNET_FAULTS_SEED', 2026);
const cuts = setting('MCNET_FAULTS_POWER_CUTS', 8);
const slicesOfSeries = 30;

test(`${cuts} power cuts while slices stream in: what was acknowledged is on the disk`, async (t) => {
  if (!needPrograms(t, 'losetup', 'mkfs.ext4', 'perl')) return;
  const data = disk(t, 256);
  if (data === undefined) return;
  const folder = temporaryFolder(t, 'power');
  const [dicomPort, httpPort] = [await freePort(), await freePort()];
  const destination = await startDestination(t);
  const reference = await startDestination(t);
  const config = join(folder, 'mcnet.yaml');
  writeFileSync(
    config,
    `data: ${join(data.folder, 'var')}
models: ${await modelsFolder(folder)}
dimse: { port: ${dicomPort} }
http: { port: ${httpPort} }
engine: cpu
disk: { low: 0, critical: 0 }
destinations:
  pacs: { dimse: { aeTitle: PACS, host: 127.0.0.1, port: ${destination.port} } }
  vna: { dimse: { aeTitle: PACS, host: 127.0.0.1, port: ${reference.port} } }
rules: [{ name: all, when: { Modality: MR }, model: tiny, to: [pacs, vna], complete: { quiet: 300ms } }]
retry: { first: 100ms, max: 1s }
`,
  );
  const recovered = { quarantined: 0, journalled: 0, damaged: 0 };
  const start = () =>
    startIncarnation(t, ['serve', '--config', config], (line) => {
      if (line.msg !== 'archive opened') return;
      recovered.quarantined += (line.quarantined as unknown[]).length;
      recovered.journalled += line.journalled as number;
      recovered.damaged += (line.damaged as unknown[]).length;
    });
  const random = seeded(seed);
  const acknowledged = new Set<string>();
  let onAcknowledged = () => {};
  const sends: Promise<number>[] = [];
  const given = new AbortController();
  atEnd(t, () => given.abort());
  for (let cut = 0; cut < cuts; cut += 1) {
    const server = start();
    await server.listening;
    const until = acknowledged.size + 1 + Math.floor(random() * slicesOfSeries);
    const reached = new Promise<void>((resolve) => {
      onAcknowledged = () => {
        if (acknowledged.size >= until) resolve();
      };
    });
    for (const sender of [{}, { dicomWeb: `http://127.0.0.1:${httpPort}/dicom-web` }]) {
      const sent = sendUntilAcknowledged(newSeries(slicesOfSeries).instances, {
        dicomPort,
        ...sender,
        signal: given.signal,
        onAcknowledged(sop) {
          acknowledged.add(sop);
          onAcknowledged();
        },
      });
      sent.catch(() => {}); // told where it is waited for
      sends.push(sent);
    }
    await reached;
    await delay(random() * 20);
    data.cutPower();
    await server.kill();
    data.restart();
  }
  const slices = cuts * 2 * slicesOfSeries;
  const last = start();
  await last.listening;
  await Promise.all(sends);
  assert.equal(acknowledged.size, slices);
  await eventually(
    'all is delivered',
    () => (destination.kept.size >= slices && reference.kept.size >= slices) || undefined,
    120_000,
  ).catch((error: Error) => {
    throw new Error(`${error.message}: ${destination.kept.size} of ${slices}\n${last.output()}`);
  });
  const changed = [...reference.kept].filter(([sop, bytes]) => !destination.kept.get(sop)?.equals(bytes));
  console.log(
    JSON.stringify({
      run: 'power',
      seed,
      cuts,
      slices,
      acknowledged: acknowledged.size,
      delivered: destination.kept.size,
      deliveredAgain: destination.repeated + reference.repeated,
      lost: slices - destination.kept.size,
      duplicated: destination.conflicting + reference.conflicting,
      ...recovered,
    }),
  );
  assert.equal(destination.kept.size, slices);
  assert.ok(recovered.journalled > 0, 'the journal had something to put back');
  assert.equal(destination.conflicting + reference.conflicting, 0);
  assert.deepEqual(changed, []);
  assert.equal(await last.stop(), 0);
});
