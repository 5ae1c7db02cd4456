import assert from 'node:assert/strict';
import { readdirSync, readFileSync, readlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { writeSeries } from '../../demo/series.js';
import { startDimseServer, storeInstances } from '../../src/dimse/index.js';
import { atEnd, eventually, freePort, startProgram, temporaryFolder } from '../peers/support/process.js';

const CLI = fileURLToPath(new URL('../../src/cli.js', import.meta.url));
/** MCNET_SOAK_SLICES: how many; `npm run soak` sends 20,000. */
const SLICES = 80;
const SERIES = Math.ceil(Number(process.env.MCNET_SOAK_SLICES ?? 2000) / SLICES);
/** A line of figures after each of so many slices. */
const REPORT_EVERY = 1000;
const MATRIX = 128;
/** Series whose memory is warm-up: codecs, threads, caches. */
const WARM_UP = 8;
const GROWTH_LIMIT_MIB = 80;
/** Connections come and go. */
const HANDLE_LIMIT = 8;

/** A disc with a texture of its own for each slice. */
function sliceOf(number: number): Uint16Array {
  return Uint16Array.from({ length: MATRIX * MATRIX }, (_, at) => {
    const [x, y] = [(at % MATRIX) - MATRIX / 2, Math.floor(at / MATRIX) - MATRIX / 2];
    const inside = x * x + y * y < 50 * 50;
    return inside ? 900 + ((x * 31 + y * 17 + number * 7) & 511) : number & 7;
  });
}

/** Folders of the archive that stay open, so that each is synced without being opened anew. */
const FOLDERS_KEPT = 32;

interface Sample {
  rssMiB: number;
  /** Archived objects that are open because the journal has still to settle them: their number goes round. */
  unsettled: number;
  /** Folders of the archive. */
  folders: number;
  /** All other file handles. */
  files: number;
}

function status(pid: number): Sample {
  const kib = /VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))![1];
  const open = readdirSync(`/proc/${pid}/fd`).map((fd) => {
    try {
      return readlinkSync(`/proc/${pid}/fd/${fd}`);
    } catch {
      return ''; // closed since
    }
  });
  const archived = open.filter((path) => /\/var\/archive\b/.test(path));
  const unsettled = archived.filter((path) => path.includes('.dcm')).length;
  return {
    rssMiB: Number(kib) / 1024,
    unsettled,
    folders: archived.length - unsettled,
    files: open.length - archived.length,
  };
}

test(`${SERIES * SLICES} slices: each comes back once; memory and file handles stay flat, the queue empties again and again`, async (t) => {
  const received = new Map<string, number>();
  const pacs = await startDimseServer({
    aeTitle: 'PACS',
    host: '127.0.0.1',
    port: 0,
    peers: [{ aeTitle: '*', host: '127.0.0.1' }],
    async onStore({ data, sopInstanceUid }) {
      for await (const _chunk of data);
      received.set(sopInstanceUid, (received.get(sopInstanceUid) ?? 0) + 1);
      return { status: 0 };
    },
  });
  atEnd(t, () => pacs.close(0));
  const folder = temporaryFolder(t, 'soak');
  const [dicomPort, httpPort] = [await freePort(), await freePort()];
  const config = join(folder, 'mcnet.yaml');
  writeFileSync(
    config,
    `data: ${join(folder, 'var')}
dimse: { port: ${dicomPort} }
http: { port: ${httpPort} }
engine: cpu
log: { level: warn }
destinations: { pacs: { dimse: { aeTitle: PACS, host: 127.0.0.1, port: ${pacs.port} } } }
rules: [{ name: all, when: { Modality: MR }, model: mcnet, to: [pacs], complete: { quiet: 500ms } }]
`,
  );
  const server = startProgram(t, process.execPath, [CLI, 'serve', '--config', config]);
  const api = `http://127.0.0.1:${httpPort}`;
  await eventually(
    'the server is ready',
    async () => (await fetch(`${api}/readyz`).catch(() => undefined))?.ok || undefined,
  );
  const samples: Sample[] = [];
  for (let series = 0; series < SERIES; series += 1) {
    const slices = Array.from({ length: SLICES }, (_, index) => ({
      pixels: sliceOf(series * SLICES + index),
      rows: MATRIX,
      columns: MATRIX,
      spacing: 1.8,
      position: index - SLICES / 2,
      thickness: 1,
      phaseEncoding: 'ROW' as const,
    }));
    const { instances } = writeSeries(slices);
    const outcomes = await storeInstances(
      { host: '127.0.0.1', port: dicomPort, calledAeTitle: 'MCNET', callingAeTitle: 'SOAK' },
      instances.map(({ dataSet, ...about }) => ({ ...about, open: async () => dataSet })),
    );
    assert.ok(outcomes.every(({ outcome }) => outcome === 'accepted'));
    await eventually(
      `series ${series + 1} is back\n${server.output()}`,
      () => received.size === (series + 1) * SLICES || undefined,
      120_000,
    );
    const { queues } = (await (await fetch(`${api}/api/status`)).json()) as {
      queues: { jobs: number; dead: number }[];
    };
    const jobs = queues.reduce((sum, queue) => sum + queue.jobs + queue.dead, 0);
    assert.ok(jobs <= 1, `${jobs} jobs are left when everything is back`);
    samples.push(status(server.child.pid!));
    const sent = (series + 1) * SLICES;
    if (Math.floor(sent / REPORT_EVERY) > Math.floor((sent - SLICES) / REPORT_EVERY)) {
      const { rssMiB, files: fileHandles, unsettled } = samples.at(-1)!;
      console.log(
        JSON.stringify({
          run: 'soak',
          slices: sent,
          rssMiB: Math.round(rssMiB),
          fileHandles,
          unsettled,
          jobs,
        }),
      );
    }
  }
  for (const [sop, times] of received) assert.equal(times, 1, `${sop} came ${times} times`);
  const warm = samples.slice(WARM_UP);
  const middle = Math.floor(warm.length / 2);
  const mean = (values: number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;
  const early = mean(warm.slice(0, middle).map(({ rssMiB }) => rssMiB));
  const late = mean(warm.slice(middle).map(({ rssMiB }) => rssMiB));
  const most = (some: typeof samples) => Math.max(...some.map(({ files }) => files));
  const [earlyFiles, lateFiles] = [most(warm.slice(0, middle)), most(warm.slice(middle))];
  t.diagnostic(
    `resident ${early.toFixed(0)} MiB → ${late.toFixed(0)} MiB, file handles at most ${earlyFiles} → ${lateFiles}`,
  );
  assert.ok(late - early < GROWTH_LIMIT_MIB, `memory grew from ${early} to ${late} MiB`);
  const mostFolders = Math.max(...samples.map(({ folders }) => folders));
  assert.ok(mostFolders <= FOLDERS_KEPT + HANDLE_LIMIT, `${mostFolders} folders of the archive are open`);
  assert.ok(lateFiles - earlyFiles < HANDLE_LIMIT, `file handles grew from ${earlyFiles} to ${lateFiles}`);
  await eventually('the queues are empty', async () => {
    const { queues } = (await (await fetch(`${api}/api/status`)).json()) as {
      queues: { jobs: number; dead: number }[];
    };
    return queues.every(({ jobs, dead }) => jobs === 0 && dead === 0) || undefined;
  });
  await eventually(
    'the journal has settled and closed every object',
    () => status(server.child.pid!).unsettled === 0 || undefined,
  );
});
