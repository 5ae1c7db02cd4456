/**
 * `npm run demo`: a synthetic head moves in a synthetic scanner; its series travels over a real association through
 * the server, and what comes back is compared with the head that lay still.
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { SingleBar } from 'cli-progress';
import pino from 'pino';
import { loadConfig } from '../src/config/index.js';
import { decodeFrames, parsePart10, writeMetaHeader } from '../src/dicom/index.js';
import { type StoreRequest, startDimseServer, storeInstances } from '../src/dimse/index.js';
import { startServer } from '../src/main.js';
import { createLogger } from '../src/telemetry/index.js';
import { compareSlice, prepareReference } from '../training/evaluate/index.js';
import { drawSheet, type Panel, svgToPng } from '../training/figures/index.js';
import { SLICES, scanHead } from './scan.js';
import { type SagittalSlice, writeSeries } from './series.js';

const DELIVERY_TIMEOUT_MS = 120_000;

const { values: options } = parseArgs({
  options: {
    json: { type: 'boolean', default: false },
    keep: { type: 'boolean', default: false },
    out: { type: 'string', default: 'demo-out' },
    help: { type: 'boolean', default: false },
  },
});
if (options.help) {
  console.log(`npm run demo -- [--json] [--keep] [--out DIR]
  --json   the last line is one JSON object
  --keep   leaves the server running, for a look at its page
  --out    folder of the picture and the server's log (default demo-out)`);
  process.exit(0);
}

const say = (line: string) => {
  if (!options.json) console.log(line);
};

function progress(what: string, total: number): { to(done: number): void; end(): void } {
  const bar = new SingleBar({
    format: `${what.padEnd(34)} {bar} {value}/{total}`,
    stream: process.stderr,
    noTTYOutput: false,
    hideCursor: true,
  });
  bar.start(total, 0);
  return { to: (done) => bar.update(done), end: () => bar.stop() };
}

/** Nearest-rank percentile of figures. */
function rank(figures: readonly number[], share: number): number {
  const sorted = [...figures].sort((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? Number.NaN;
}

const mean = (figures: readonly number[]) =>
  figures.reduce((sum, figure) => sum + figure, 0) / figures.length;

/** A node that keeps what it is sent: the PACS of the demo. */
async function startReceiver() {
  const files: { file: Buffer; at: number }[] = [];
  let told: () => void = () => undefined;
  const server = await startDimseServer({
    aeTitle: 'PACS',
    host: '127.0.0.1',
    port: 0,
    peers: [{ aeTitle: '*', host: '127.0.0.1' }],
    async onStore(request: StoreRequest) {
      const chunks: Buffer[] = [];
      for await (const chunk of request.data) chunks.push(chunk);
      files.push({ file: Buffer.concat([writeMetaHeader(request), ...chunks]), at: performance.now() });
      told();
      return { status: 0 };
    },
  });
  return {
    port: server.port,
    files,
    onFile: (listener: () => void) => {
      told = listener;
    },
    close: () => server.close(),
  };
}

/** Stored pixels of the derived instances, in the order of the slices. */
async function slicesOf(files: readonly Buffer[]): Promise<Float32Array[]> {
  const slices: Float32Array[] = [];
  for (const file of files) {
    const part10 = parsePart10(file);
    const number = Number(part10.dataSet.elements.get(0x00200013)!.bytes.toString('latin1'));
    slices[number - 1] = Float32Array.from((await decodeFrames(part10)).frames[0]!);
  }
  return slices;
}

async function main(): Promise<void> {
  const out = resolve(options.out);
  mkdirSync(out, { recursive: true });
  const data = mkdtempSync(join(tmpdir(), 'mcnet-demo-'));

  say('A synthetic head is drawn, and scanned lying still and moving.');
  const scanning = progress('scanned', SLICES);
  const scan = scanHead((done) => scanning.to(done));
  scanning.end();
  const total = scan.corrupted.length;

  const receiver = await startReceiver();
  const config = loadConfig({
    env: { MCNET_DATA_FOLDER: data, MCNET_DIMSE__PORT: '0', MCNET_HTTP__PORT: '0' },
  });
  const log = join(out, 'server.log');
  writeFileSync(log, '');
  const server = await startServer(
    {
      ...config,
      destinations: {
        pacs: {
          dimse: {
            aeTitle: 'PACS',
            host: '127.0.0.1',
            port: receiver.port,
            commitment: 'off',
            commitmentTimeout: 600_000,
            timeout: 120_000,
          },
        },
      },
      rules: config.rules.map((rule) => ({
        ...rule,
        to: ['pacs'],
        complete: { quiet: 2000, maxAge: 600_000 },
      })),
    },
    createLogger({ stream: pino.destination({ dest: log, sync: true }) }),
  );
  say(`MC-Net listens on DICOM port ${server.dicomPort}; its page is ${server.url}`);

  const latencies: number[] = [];
  const correcting = progress('corrected', total);
  server.events.on('corrected', ({ latencyMs }) => {
    latencies.push(latencyMs);
    correcting.to(latencies.length);
  });
  const { instances } = writeSeries(scan.corrupted);
  const outcomes = await storeInstances(
    { host: '127.0.0.1', port: server.dicomPort, calledAeTitle: config.aeTitle, callingAeTitle: 'SCANNER' },
    instances.map(({ dataSet, ...about }) => ({ ...about, open: async () => dataSet })),
  );
  const lastSent = performance.now();
  const refused = outcomes.filter(({ outcome }) => outcome !== 'accepted');
  if (refused.length > 0)
    throw new Error(`the server refused ${refused.length} slices: ${refused[0]!.message}`);
  await new Promise<void>((done, failed) => {
    const timer = setTimeout(
      () => failed(new Error(`${receiver.files.length} of ${total} slices came back; ${log} says more`)),
      DELIVERY_TIMEOUT_MS,
    );
    const look = () => {
      if (receiver.files.length < total) return;
      clearTimeout(timer);
      done();
    };
    receiver.onFile(look);
    look();
  });
  correcting.end();
  const turnaroundMs = receiver.files.at(-1)!.at - lastSent;

  const corrected = await slicesOf(receiver.files.map(({ file }) => file));
  const figures = scan.clean.map((slice, index) => {
    const reference = prepareReference(Float32Array.from(slice.pixels), slice.rows, slice.columns);
    return {
      before: compareSlice(Float32Array.from(scan.corrupted[index]!.pixels), reference).ssim,
      after: compareSlice(corrected[index]!, reference).ssim,
    };
  });
  const round = (value: number, digits: number) => Number(value.toFixed(digits));
  const result = {
    slices: total,
    ssimBefore: round(mean(figures.map(({ before }) => before)), 4),
    ssimAfter: round(mean(figures.map(({ after }) => after)), 4),
    sliceLatencyMs: {
      p50: round(rank(latencies, 0.5), 1),
      p95: round(rank(latencies, 0.95), 1),
      p99: round(rank(latencies, 0.99), 1),
    },
    turnaroundMs: round(turnaroundMs, 0),
    engine: server.engine(),
  };
  const picture = join(out, 'demo.png');
  writeFileSync(picture, svgToPng(sheet(scan.clean, scan.corrupted, corrected, figures)));

  say(`
slices                    ${result.slices} of ${scan.clean[0]!.rows}×${scan.clean[0]!.columns}
per slice, median         ${result.sliceLatencyMs.p50} ms (p95 ${result.sliceLatencyMs.p95}, p99 ${result.sliceLatencyMs.p99}) from received to corrected
turnaround                ${result.turnaroundMs} ms from the last slice sent to the derived series received
SSIM with the still head  ${result.ssimBefore} before, ${result.ssimAfter} after
engine                    ${result.engine}
picture                   ${picture}`);
  if (options.json) console.log(JSON.stringify(result));
  if (options.keep) {
    console.log(`The server goes on: ${server.url} (Ctrl-C ends it)`);
    await new Promise((done) => process.once('SIGINT', done).once('SIGTERM', done));
  }
  await server.close();
  await receiver.close();
  rmSync(data, { recursive: true, force: true });
}

function sheet(
  clean: readonly SagittalSlice[],
  corrupted: readonly SagittalSlice[],
  corrected: readonly Float32Array[],
  figures: readonly { before: number; after: number }[],
): string {
  const shown = [0.25, 0.4, 0.5, 0.7].map((share) => Math.round(share * (clean.length - 1)));
  return drawSheet({
    title: 'MC-Net: a synthetic head, through the server and back',
    subtitle: 'residuals against the head that lay still: red too bright, blue too dark',
    columns: ['clean', 'corrupted', 'corrected', 'corrupted − clean', 'corrected − clean'],
    panelWidth: 224,
    rows: shown.map((index) => {
      const { rows, columns, pixels: still } = clean[index]!;
      const image = (pixels: ArrayLike<number>, caption: string): Panel => {
        return { pixels, rows, columns, low: 0, high: 2400, caption };
      };
      const residual = (pixels: ArrayLike<number>): Panel => ({
        pixels: Float32Array.from(pixels, (value, at) => value - still[at]!),
        rows,
        columns,
        low: -1200,
        high: 1200,
        scale: 'diverging',
      });
      const { before, after } = figures[index]!;
      return {
        label: `slice ${index + 1}\n${clean[index]!.position > 0 ? 'left' : 'right'} ${Math.abs(clean[index]!.position)} mm`,
        panels: [
          image(still, ''),
          image(corrupted[index]!.pixels, `SSIM ${before.toFixed(3)}`),
          image(corrected[index]!, `SSIM ${after.toFixed(3)}`),
          residual(corrupted[index]!.pixels),
          residual(corrected[index]!),
        ],
      };
    }),
  });
}

main().catch((error: unknown) => {
  console.error(`demo: ${error instanceof Error ? error.message : String(error)}`);
  process.exit(1);
});
