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
      `limits: { freeDiskBytes: 0 }
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
      const answer = await server.get<{ slices: { state: string }[] } | { state: string }[]>(
        `/api/series/${seriesUid}/slices`,
      );
      const list = Array.isArray(answer) ? answer : answer.slices;
      return list.length === SLICES && list.every(({ state }) => state === 'corrected') ? true : undefined;
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
