/**
 * The server is killed (SIGKILL) at random points, again and again, while slices stream in, are corrected and
 * delivered. In the end every acknowledged slice has exactly one derived slice at the destination, with the bytes of a
 * run that nobody disturbed. MCNET_FAULTS_SEED, MCNET_FAULTS_KILLS and MCNET_FAULTS_SLICES change the run.
 */
import assert from 'node:assert/strict';
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import type { DemoInstance } from '../../demo/series.js';
import { modelsFolder } from '../peers/support/mcnet.js';
import { eventually, freePort, temporaryFolder } from '../peers/support/process.js';
import { newSeries } from '../peers/support/slices.js';
import { startDestination } from './support/destination.js';
import { withoutMoment } from './support/moment.js';
import { seeded, setting } from './support/random.js';
import { sendUntilAcknowledged } from './support/sender.js';
import { type Incarnation, startIncarnation } from './support/server.js';

const seed = setting('MCNET_FAULTS_SEED', 2026);
const kills = setting('MCNET_FAULTS_KILLS', 50);
const slices = setting('MCNET_FAULTS_SLICES', 2000);
const slicesOfSeries = 40;
const side = 64;
/** Every fourth series comes by STOW-RS. */
const stowEvery = 4;
const catchUpMs = 180_000;

test(`${kills} kills while ${slices} slices stream in: nothing is lost, nothing is there twice`, async (t) => {
  const folder = temporaryFolder(t, 'kills');
  const data = join(folder, 'var');
  const models = await modelsFolder(folder);
  const [dicomPort, httpPort] = [await freePort(), await freePort()];
  const series = Array.from({ length: Math.ceil(slices / slicesOfSeries) }, (_, n) =>
    newSeries(Math.min(slicesOfSeries, slices - n * slicesOfSeries), side),
  );
  const configure = (name: string, port: number) => {
    const path = join(folder, `${name}.yaml`);
    writeFileSync(
      path,
      `data: ${data}
models: ${models}
dimse: { port: ${dicomPort} }
http: { port: ${httpPort} }
engine: cpu
log: { level: info }
destinations: { pacs: { dimse: { aeTitle: PACS, host: 127.0.0.1, port: ${port} } } }
rules: [{ name: all, when: { Modality: MR }, model: tiny, to: [pacs], complete: { quiet: 200ms } }]
retry: { first: 100ms, max: 1s }
`,
    );
    return path;
  };
  const sender = (n: number, onAcknowledged: (sop: string) => void) => ({
    dicomPort,
    ...(n % stowEvery === stowEvery - 1 && { dicomWeb: `http://127.0.0.1:${httpPort}/dicom-web` }),
    onAcknowledged,
  });

  const undisturbed = await startDestination(t);
  const first = startIncarnation(t, ['serve', '--config', configure('undisturbed', undisturbed.port)]);
  await first.listening;
  for (const [n, { instances }] of series.entries())
    await sendUntilAcknowledged(
      instances,
      sender(n, () => {}),
    );
  await arrived(undisturbed.kept, slices, first);
  assert.equal(await first.stop(), 0);
  assert.equal(undisturbed.repeated + undisturbed.conflicting, 0);
  rmSync(data, { recursive: true });

  const started = performance.now();
  const random = seeded(seed);
  const destination = await startDestination(t);
  const config = configure('disturbed', destination.port);
  const acknowledged = new Set<string>();
  let onProgress = () => {};
  destination.onKept = () => onProgress();
  const damaged: unknown[] = [];
  /** The patient of the slices, who is in no line of the log and in no metric. */
  const patient = /phantom|SYNTHETIC-1/i;
  const leaks: string[] = [];
  const start = () =>
    startIncarnation(t, ['serve', '--config', config], (line) => {
      if (patient.test(JSON.stringify(line))) leaks.push(JSON.stringify(line));
      if (line.msg !== 'archive opened') return;
      damaged.push(...(line.damaged as unknown[]));
    });

  let again = 0;
  let done = 0;
  const send = async (n: number, instances: readonly DemoInstance[]) => {
    const onAcknowledged = (sop: string) => {
      acknowledged.add(sop);
      onProgress();
    };
    again += await sendUntilAcknowledged(instances, sender(n, onAcknowledged));
    done += 1;
  };
  const sends: Promise<void>[] = [];
  /** The stream goes on for as long as there are kills to come. */
  const offered = (kill: number) => Math.ceil(((kill + 1) * series.length) / kills);
  const points = { starting: 0, receiving: 0, delivering: 0 };
  for (let kill = 0; kill < kills; kill += 1) {
    const server = start();
    while (sends.length < Math.min(offered(kill), series.length)) {
      const n = sends.length;
      sends.push(send(n, series[n]!.instances));
    }
    const choice = random();
    if (choice < 0.15) {
      points.starting += 1;
      await delay(random() * 900);
    } else {
      await server.listening;
      points[choice < 0.7 ? 'receiving' : 'delivering'] += 1;
      const more = 1 + Math.floor(random() * slicesOfSeries);
      const progress = () => (choice < 0.7 ? acknowledged.size : destination.kept.size);
      await reached(progress, progress() + more, (call) => {
        onProgress = call;
      });
      await delay(random() * 30);
    }
    await server.kill();
  }
  const last = start();
  await last.listening;
  await Promise.all(sends);
  assert.equal(done, series.length);
  assert.equal(acknowledged.size, slices);
  await arrived(destination.kept, slices, last);
  const status = await eventually(
    'the queues are empty',
    async () => {
      const answer = await fetch(`http://127.0.0.1:${httpPort}/api/status`);
      const { queues } = (await answer.json()) as { queues: { jobs: number; dead: number }[] };
      return queues.every(({ jobs }) => jobs === 0) ? queues : undefined;
    },
    catchUpMs,
  );
  assert.doesNotMatch(await (await fetch(`http://127.0.0.1:${httpPort}/metrics`)).text(), patient);
  assert.equal(await last.stop(), 0);
  assert.deepEqual(leaks, []);

  const lost = [...undisturbed.kept.keys()].filter((sop) => !destination.kept.has(sop));
  const duplicated = [...destination.kept.keys()].filter((sop) => !undisturbed.kept.has(sop));
  const changed = [...undisturbed.kept].filter(([sop, bytes]) => {
    const here = destination.kept.get(sop);
    return here !== undefined && !withoutMoment(here).equals(withoutMoment(bytes));
  });
  console.log(
    JSON.stringify({
      run: 'kill-server',
      seed,
      kills,
      points,
      slices,
      acknowledged: acknowledged.size,
      sentAgain: again,
      delivered: destination.kept.size,
      deliveredAgain: destination.repeated,
      lost: lost.length,
      duplicated: duplicated.length + destination.conflicting,
      changed: changed.length,
      seconds: Math.round((performance.now() - started) / 1000),
    }),
  );
  assert.deepEqual(lost, []);
  assert.deepEqual(duplicated, []);
  assert.equal(changed.length, 0, 'bytes differ from the undisturbed run');
  assert.equal(destination.conflicting, 0);
  assert.deepEqual(damaged, [], 'no start found damage');
  assert.equal(
    status.reduce((sum, { dead }) => sum + dead, 0),
    0,
  );
});

/** Resolves when `value` is at least `target`, or after a second without it. */
async function reached(
  value: () => number,
  target: number,
  subscribe: (call: () => void) => void,
): Promise<void> {
  await new Promise<void>((resolve) => {
    const enough = setTimeout(resolve, 1000);
    subscribe(() => {
      if (value() < target) return;
      clearTimeout(enough);
      resolve();
    });
  });
  subscribe(() => {});
}

async function arrived(
  kept: ReadonlyMap<string, unknown>,
  count: number,
  server: Incarnation,
): Promise<void> {
  await eventually(
    `${count} derived slices arrive`,
    () => {
      if (server.child.exitCode !== null) throw new Error(`the server ended: ${server.output()}`);
      return kept.size >= count ? true : undefined;
    },
    catchUpMs,
  ).catch((error: Error) => {
    throw new Error(`${error.message}; ${kept.size} did\n${server.output()}`);
  });
}
