/** The archive's disk fills up, on a tmpfs of its own: the sender is told, nothing is half stored, and it goes on. */
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { type DemoInstance, writeSeries } from '../../demo/series.js';
import { type StoreOutcome, storeInstances } from '../../src/dimse/index.js';
import { joinPart10, splitPart10 } from './support/part10.js';
import { eventually, temporaryFolder } from './support/process.js';
import { type RunningProcess, startServerProcess } from './support/server.js';

const DISK_BYTES = 32 * 1024 * 1024;
const SIDE = 256;
const SLICES = 60;

/** A small disk; undefined (and skipped) where it cannot be mounted. */
function smallDisk(t: TestContext): string | undefined {
  const folder = temporaryFolder(t, 'disk');
  const mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', `size=${DISK_BYTES}`, 'tmpfs', folder]);
  if (mounted.status !== 0) {
    t.skip(`no tmpfs can be mounted here: ${mounted.error?.message ?? mounted.stderr.toString().trim()}`);
    return undefined;
  }
  return folder;
}

function slices(count: number): { seriesUid: string; instances: DemoInstance[] } {
  return writeSeries(
    Array.from({ length: count }, (_, number) => ({
      pixels: Uint16Array.from({ length: SIDE * SIDE }, (_pixel, at) => (at * 31 + number * 17) & 1023),
      rows: SIDE,
      columns: SIDE,
      spacing: 1,
      position: number,
      thickness: 1,
      phaseEncoding: 'ROW' as const,
    })),
  );
}

function send(server: RunningProcess, instances: readonly DemoInstance[]): Promise<StoreOutcome[]> {
  return storeInstances(
    { host: '127.0.0.1', port: server.dicomPort, calledAeTitle: 'MCNET', callingAeTitle: 'FULL' },
    instances.map(({ dataSet, ...uids }) => ({ ...uids, open: async () => dataSet })),
  );
}

async function post(server: RunningProcess, instance: DemoInstance) {
  const response = await fetch(`${server.api}/dicom-web/studies`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/dicom', Accept: 'application/dicom+json' },
    body: joinPart10(instance),
  });
  const body = (await response.json()) as Record<
    string,
    { Value?: Record<string, { Value?: number[] }>[] } | undefined
  >;
  return { status: response.status, reason: body['00081198']?.Value?.[0]?.['00081197']?.Value?.[0] };
}

function filesOf(folder: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name));
}

test('a full disk: A700 and 507, nothing half stored, and receiving and correcting go on when there is space', async (t) => {
  const disk = smallDisk(t);
  if (disk === undefined) return;
  let server: RunningProcess | undefined;
  try {
    server = await startServerProcess(
      t,
      `disk: { low: 0, critical: 0 }
rules: [{ name: MR, when: { Modality: MR }, model: mcnet, to: [] }]`,
      { data: join(disk, 'var') },
    );
    await goesOn(server, disk);
  } finally {
    server?.child.kill('SIGKILL');
    await server?.exited;
    execFileSync('umount', [disk]);
  }
});

test('watermarks: first new associations and requests wait, then each object; then all is as before', async (t) => {
  const disk = smallDisk(t);
  if (disk === undefined) return;
  let server: RunningProcess | undefined;
  try {
    server = await startServerProcess(
      t,
      `disk: { low: 16MiB, critical: 8MiB }
rules: []`,
      { data: join(disk, 'var') },
    );
    await watermarks(server, disk);
  } finally {
    server?.child.kill('SIGKILL');
    await server?.exited;
    execFileSync('umount', [disk]);
  }
});

async function watermarks(server: RunningProcess, disk: string): Promise<void> {
  const count = (message: string) => server.output().split(message).length - 1;
  const told = async (message: string, work: () => void) => {
    const before = count(message);
    work();
    await eventually(message, () => (count(message) > before ? true : undefined));
  };
  const some = join(disk, 'some');
  const more = join(disk, 'more');
  const low = 'the disk is low';
  const critical = 'the disk is nearly full';
  const fill = {
    3: () => told(low, () => writeFileSync(some, Buffer.alloc(DISK_BYTES - 14 * 1024 * 1024))),
    6: () => told(critical, () => writeFileSync(more, Buffer.alloc(7 * 1024 * 1024))),
  } as Record<number, (() => Promise<void>) | undefined>;
  const { instances } = slices(10);
  const target = {
    host: '127.0.0.1',
    port: server.dicomPort,
    calledAeTitle: 'MCNET',
    callingAeTitle: 'FULL',
  };
  const answered = new Set<string>();
  const outcomes = await storeInstances(
    target,
    instances.map(({ dataSet, ...uids }, n) => ({
      ...uids,
      async open() {
        await eventually(
          'the one before is answered',
          () => n === 0 || answered.has(instances[n - 1]!.sopInstanceUid) || undefined,
        );
        await fill[n]?.();
        return dataSet;
      },
    })),
    {
      onOutcome: ({ sopInstanceUid }) => answered.add(sopInstanceUid),
    },
  );
  const statuses = outcomes.map(({ outcome, status }) => (outcome === 'accepted' ? 0 : status));
  assert.deepEqual(
    statuses,
    [0, 0, 0, 0, 0, 0, 0xa700, 0xa700, 0xa700, 0xa700],
    'what has begun goes on until the second watermark',
  );
  assert.equal((await post(server, instances[9]!)).status, 507);

  await told(low, () => rmSync(more));
  for (const { outcome, message, transient } of await send(server, instances.slice(6))) {
    assert.notEqual(outcome, 'accepted');
    assert.equal(transient, true, message);
    assert.match(message, /for now: temporary congestion/);
  }
  const waiting = await fetch(`${server.api}/dicom-web/studies`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/dicom' },
    body: joinPart10(instances[9]!),
  });
  assert.equal(waiting.status, 503);
  assert.ok(Number(waiting.headers.get('retry-after')) > 0);
  const metrics = await (await fetch(`${server.api}/metrics`)).text();
  assert.match(metrics, /^mcnet_disk_watermark_bytes\{level="low"\} 16777216$/m);
  const free = Number(/^mcnet_disk_free_bytes (\d+)$/m.exec(metrics)?.[1]);
  assert.ok(free > 8 * 1024 * 1024 && free < 16 * 1024 * 1024, `${free} bytes free`);

  await told('the disk has room again', () => rmSync(some));
  for (const { outcome, message } of await send(server, instances.slice(6)))
    assert.equal(outcome, 'accepted', message);
}

async function goesOn(server: RunningProcess, disk: string): Promise<void> {
  const filler = join(disk, 'filler');
  writeFileSync(filler, Buffer.alloc(DISK_BYTES - 6 * 1024 * 1024));
  const { seriesUid, instances } = slices(SLICES);
  const outcomes = await send(server, instances);
  const accepted = instances.filter((_, n) => outcomes[n]!.outcome === 'accepted');
  const refused = instances.filter((_, n) => outcomes[n]!.outcome !== 'accepted');
  assert.ok(accepted.length > 3, `${accepted.length} accepted`);
  assert.ok(refused.length > 10, `${refused.length} refused`);
  for (const { outcome, status, message, transient } of outcomes) {
    if (outcome === 'accepted') continue;
    assert.equal(status, 0xa700, `${message}\n${server.output().slice(-4000)}`);
    assert.equal(transient, true);
  }
  const web = await post(server, refused.at(-1)!);
  assert.equal(web.status, 507);
  assert.equal(web.reason, 0xa700);

  const stored = new Map(
    filesOf(join(server.data, 'archive')).map((path) => [basename(path, '.dcm'), path] as const),
  );
  for (const { sopInstanceUid, dataSet } of accepted) {
    const path = stored.get(sopInstanceUid);
    assert.ok(path !== undefined && splitPart10(path).dataSet.equals(dataSet), `${sopInstanceUid} is whole`);
  }
  for (const { sopInstanceUid } of refused) assert.ok(!stored.has(sopInstanceUid), 'nothing of it is kept');
  await eventually('no part is left', () => {
    const parts = filesOf(join(server.data, 'incoming'));
    return parts.every((path) => statSync(path).size === 0) ? true : undefined;
  });
  assert.equal(server.child.exitCode, null, server.output());

  rmSync(filler);
  for (const { outcome, message } of await send(server, refused)) assert.equal(outcome, 'accepted', message);
  assert.equal((await post(server, slices(1).instances[0]!)).status, 200);
  await eventually(
    'every slice is corrected',
    async () => {
      const { slices: found } = await server.get<{ slices: { state: string }[] }>(
        `/api/series/${seriesUid}/slices`,
      );
      return found.length === SLICES && found.every(({ state }) => state === 'corrected') ? true : undefined;
    },
    60_000,
  );
  for (const { sopInstanceUid, dataSet } of instances) {
    const path = filesOf(join(server.data, 'archive')).find(
      (name) => basename(name) === `${sopInstanceUid}.dcm`,
    );
    assert.ok(path !== undefined && readFileSync(path).subarray(-dataSet.length).equals(dataSet));
  }
}
