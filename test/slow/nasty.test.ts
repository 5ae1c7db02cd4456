/** Odd, broken and non-image files over C-STORE and STOW-RS: a standard answer to each, and no harm to what follows. */
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { writeSeries } from '../../demo/series.js';
import { readHeader } from '../../src/dicom/index.js';
import { type StoreOutcome, storeInstances } from '../../src/dimse/index.js';
import { DATA } from '../peers/support/data.js';
import { type SplitFile, splitPart10 } from '../peers/support/part10.js';
import { eventually } from '../peers/support/process.js';
import { type RunningProcess, startServerProcess } from '../peers/support/server.js';

const FOLDER = join(DATA, 'dicom', 'z_nasty');
const SECONDARY_CAPTURE = '1.2.840.10008.5.1.4.1.1.7';
const EXPLICIT_LITTLE_ENDIAN = '1.2.840.10008.1.2.1';
const ROUNDS = 4;
const GROWTH_LIMIT_MIB = 64;

/** PS3.4 table B.2-1 and PS3.7 annex C: what a C-STORE response may say. */
const STORE_STATUSES = new Set([
  0x0000, 0x0110, 0x0111, 0x0117, 0x0122, 0x0124, 0x0210, 0x0211, 0x0212, 0xa700, 0xa900, 0xb000, 0xb006,
  0xb007, 0xc000,
]);
/** PS3.18 table 10.5.3-1. */
const HTTP_STATUSES = new Set([200, 202, 400, 409, 415, 507]);
/** PS3.18 table I.2-2: Failure Reason. */
const FAILURE_REASONS = new Set([0x0110, 0x0111, 0x0122, 0xa700, 0xa900, 0xc000, 0xc122]);

interface Nasty {
  name: string;
  file: Buffer;
  sent: SplitFile;
}

/** What a sender that looks no further than the meta header would send of the file. */
function toSend(path: string, number: number): SplitFile {
  const fallback = { sopClassUid: SECONDARY_CAPTURE, sopInstanceUid: `2.25.${1000 + number}` };
  let split: SplitFile;
  try {
    split = splitPart10(path);
  } catch {
    split = {
      ...fallback,
      transferSyntaxUid: EXPLICIT_LITTLE_ENDIAN,
      dataSet: readFileSync(path),
    };
  }
  // A P-DATA value has an even length (PS3.8 annex E).
  const dataSet =
    split.dataSet.length % 2 === 0 ? split.dataSet : Buffer.concat([split.dataSet, Buffer.alloc(1)]);
  return {
    sopClassUid: split.sopClassUid || fallback.sopClassUid,
    sopInstanceUid: split.sopInstanceUid || fallback.sopInstanceUid,
    transferSyntaxUid: split.transferSyntaxUid || EXPLICIT_LITTLE_ENDIAN,
    dataSet,
  };
}

function send(server: RunningProcess, files: readonly SplitFile[]): Promise<StoreOutcome[]> {
  return storeInstances(
    { host: '127.0.0.1', port: server.dicomPort, calledAeTitle: 'MCNET', callingAeTitle: 'NASTY' },
    files.map(({ dataSet, ...uids }) => ({ ...uids, open: async () => dataSet })),
  );
}

interface Answer {
  status: number;
  reasons: number[];
  stored: number;
}

type Sequence = { Value?: Record<string, { Value?: number[] }>[] } | undefined;

async function post(server: RunningProcess, files: readonly Buffer[]): Promise<Answer> {
  const parts = files.flatMap((file) => [
    Buffer.from('--nasty\r\nContent-Type: application/dicom\r\n\r\n'),
    file,
    Buffer.from('\r\n'),
  ]);
  const response = await fetch(`${server.api}/dicom-web/studies`, {
    method: 'POST',
    headers: {
      'Content-Type': 'multipart/related; type="application/dicom"; boundary=nasty',
      Accept: 'application/dicom+json',
    },
    body: Buffer.concat([...parts, Buffer.from('--nasty--\r\n')]),
  });
  const body = (await response.json()) as Record<string, Sequence>;
  const failures = [...(body['00081198']?.Value ?? []), ...(body['0008119A']?.Value ?? [])];
  return {
    status: response.status,
    reasons: failures.map((item) => item['00081197']?.Value?.[0] ?? -1),
    stored: body['00081199']?.Value?.length ?? 0,
  };
}

function residentMiB(pid: number): number {
  return Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))![1]) / 1024;
}

/** A new series of three slices, corrected in the end. */
async function goodSeries(server: RunningProcess): Promise<void> {
  const side = 64;
  const { seriesUid, instances } = writeSeries(
    [0, 1, 2].map((index) => ({
      pixels: Uint16Array.from({ length: side * side }, (_, at) => {
        const [x, y] = [(at % side) - side / 2, Math.floor(at / side) - side / 2];
        return x * x + y * y < 625 ? 700 + ((x * 31 + y * 17 + index * 7) & 255) : 0;
      }),
      rows: side,
      columns: side,
      spacing: 3,
      position: index,
      thickness: 1,
      phaseEncoding: 'ROW' as const,
    })),
  );
  for (const { outcome, message } of await send(server, instances))
    assert.equal(outcome, 'accepted', message);
  await eventually('the good series is corrected', async () => {
    const slices = await server.get<{ slices: { state: string }[] } | { state: string }[]>(
      `/api/series/${seriesUid}/slices`,
    );
    const list = Array.isArray(slices) ? slices : slices.slices;
    return list.length === 3 && list.every(({ state }) => state === 'corrected') ? true : undefined;
  });
}

/** Whether the reader finds what an object must have: study, series, instance, class. */
function identifiable(file: Buffer): boolean {
  try {
    readHeader(file);
    return true;
  } catch {
    return false;
  }
}

test('every nasty file gets a standard answer over C-STORE and STOW-RS; memory stays, good series are unharmed', async (t) => {
  if (!existsSync(FOLDER)) {
    t.skip(`no ${FOLDER}: set MCNET_DATA to the shared data`);
    return;
  }
  const files = readdirSync(FOLDER, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .sort()
    .map(
      (path, n): Nasty => ({
        name: path.slice(FOLDER.length + 1),
        file: readFileSync(path),
        sent: toSend(path, n),
      }),
    );
  assert.ok(files.length > 70);
  const server = await startServerProcess(
    t,
    'rules: [{ name: all, when: { Modality: "*" }, model: mcnet, to: [] }]',
  );
  await goodSeries(server);

  const memory: number[] = [];
  const first = new Map<string, string>();
  for (let round = 0; round < ROUNDS; round += 1) {
    const outcomes = await send(
      server,
      files.map(({ sent }) => sent),
    );
    for (const [n, { outcome, status, attempted, message }] of outcomes.entries()) {
      const { name, file } = files[n]!;
      assert.notEqual(outcome, 'lost', `${name}: ${message}`);
      if (attempted) assert.ok(STORE_STATUSES.has(status ?? -1), `${name}: C-STORE status ${status}`);
      else assert.equal(outcome, 'refused', name); // its presentation context was not accepted
      const web = await post(server, [file]);
      assert.ok(HTTP_STATUSES.has(web.status), `${name}: STOW-RS answered ${web.status}`);
      for (const reason of web.reasons)
        assert.ok(FAILURE_REASONS.has(reason), `${name}: Failure Reason ${reason}`);
      assert.equal(web.stored + web.reasons.length, 1, `${name}: one instance, one result`);
      if (web.stored === 1) assert.ok(identifiable(file), `${name} cannot be identified, and was stored`);
      const told = `C-STORE ${attempted ? `0x${status!.toString(16).padStart(4, '0')}` : 'context rejected'}, STOW-RS ${web.status}${web.reasons.map((reason) => ` 0x${reason.toString(16)}`).join('')}`;
      if (round === 0) first.set(name, told);
      else assert.equal(told, first.get(name), `${name} in round ${round + 1}`);
    }
    await goodSeries(server);
    memory.push(residentMiB(server.pid));
  }
  const all = await post(
    server,
    files.map(({ file }) => file),
  );
  assert.equal(all.status, 202, 'all in one request: some are stored, some are not');
  assert.equal(all.stored + all.reasons.length, files.length);
  await goodSeries(server);

  for (const [name, told] of first) t.diagnostic(`${name}: ${told}`);
  t.diagnostic(`resident after each round: ${memory.map((mib) => mib.toFixed(0)).join(', ')} MiB`);
  assert.ok(memory.at(-1)! - memory[1]! < GROWTH_LIMIT_MIB, `memory grew: ${memory.join(', ')} MiB`);
  assert.equal(server.child.exitCode, null, server.output());
  assert.ok(!server.output().includes('"level":"fatal"'), server.output());
});
