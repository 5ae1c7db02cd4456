/**
 * Slices a second through the whole server, its own process with its default settings: C-STORE in, derived instances
 * by C-STORE at another process, everything archived and synced on the way. Beside it, turn by turn, the engine alone
 * in a tight loop. Then a series at half that speed (latency), one as fast as it is taken (turnaround), and with
 * `--slices N` so many slices on end while the server's memory is watched.
 *
 * Arguments: --model FOLDER (default models/mcnet), --side 256, --rounds 3, --round-slices 960, --slices N.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join, resolve } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { loadModel, openEngine } from '../../src/inference/index.js';
import { engineThroughput, median } from './engine-throughput.js';
import {
  type LogLine,
  memoryOf,
  type Pacs,
  processorMs,
  type Scanner,
  type Server,
  startPacs,
  startScanner,
  startServerProcess,
} from './pipeline/processes.js';
import { type Bench, table } from './result.js';

const SERIES_SLICES = 60;
/** Slices that were sent and are not yet corrected, beyond which the next series waits. */
const MOST_WAITING = 4 * SERIES_SLICES;
const STALL_MS = 120_000;
const SAMPLE_MS = 200;

function option(args: readonly string[], name: string, otherwise: string): string {
  const at = args.indexOf(name);
  return at >= 0 ? (args[at + 1] ?? otherwise) : otherwise;
}

/** Nearest-rank percentile. */
function rank(figures: readonly number[], share: number): number {
  const sorted = [...figures].sort((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? Number.NaN;
}

/** Slope of the line of least squares through points. */
function slope(points: readonly { x: number; y: number }[]): number {
  const mean = (of: (point: { x: number; y: number }) => number) =>
    points.reduce((sum, point) => sum + of(point), 0) / points.length;
  const [x, y] = [mean((point) => point.x), mean((point) => point.y)];
  const above = points.reduce((sum, point) => sum + (point.x - x) * (point.y - y), 0);
  return above / points.reduce((sum, point) => sum + (point.x - x) ** 2, 0);
}

interface Parts {
  scanner: Scanner;
  server: Server;
  pacs: Pacs;
  side: number;
}

interface Passed {
  slices: number;
  seconds: number;
  latencies: number[];
  turnarounds: number[];
  memory: { corrected: number; rss: number }[];
  /** Processor time of each process, ms. */
  processor: Record<'server' | 'scanner' | 'pacs', number>;
}

/** Sends slices in series of sixty, and waits until the PACS has every one of them derived. */
async function pass(parts: Parts, slices: number, pace?: number): Promise<Passed> {
  const { scanner, server, pacs, side } = parts;
  const pids = { server: server.pid, scanner: scanner.pid, pacs: pacs.pid };
  const timesOf = () => ({
    server: processorMs(pids.server),
    scanner: processorMs(pids.scanner),
    pacs: processorMs(pids.pacs),
  });
  const latencies: number[] = [];
  const turnarounds: number[] = [];
  const memory: Passed['memory'] = [];
  let problem: string | undefined;
  let deliveredAt = 0;
  let lastProgress = performance.now();
  server.onLine((line: LogLine) => {
    if (line.msg === 'instance corrected') latencies.push(line.latencyMs!);
    else if (line.msg === 'series delivered') {
      turnarounds.push(line.turnaroundMs!);
      deliveredAt = performance.now();
    } else if (line.level === 'error') problem ??= `${line.msg}: ${line.reason ?? ''}`;
    else return;
    lastProgress = performance.now();
  });
  const goesOn = () => {
    if (problem !== undefined) throw new Error(problem);
    if (performance.now() - lastProgress > STALL_MS)
      throw new Error(`nothing moved for ${STALL_MS / 1000} s`);
  };
  let received = 0;
  const sampling = setInterval(() => {
    memory.push({ corrected: latencies.length, rss: memoryOf(pids.server).rss });
    received += pacs.take();
  }, SAMPLE_MS);
  try {
    const before = timesOf();
    const startedAt = performance.now();
    let sent = 0;
    let series = 0;
    while (sent < slices) {
      while (sent - latencies.length >= MOST_WAITING) {
        goesOn();
        await pause(20);
      }
      const now = Math.min(SERIES_SLICES, slices - sent);
      await scanner.send({ port: server.dicomPort, slices: now, side, ...(pace !== undefined && { pace }) });
      lastProgress = performance.now();
      sent += now;
      series += 1;
    }
    while (turnarounds.length < series) {
      goesOn();
      await pause(5);
    }
    const after = timesOf();
    received += pacs.take();
    if (received !== slices) throw new Error(`${received} of ${slices} derived instances arrived`);
    return {
      slices,
      seconds: (deliveredAt - startedAt) / 1000,
      latencies,
      turnarounds,
      memory,
      processor: {
        server: after.server - before.server,
        scanner: after.scanner - before.scanner,
        pacs: after.pacs - before.pacs,
      },
    };
  } finally {
    clearInterval(sampling);
  }
}

const round = (value: number): number => Number(value.toPrecision(4));

/** How memory develops after a warm-up of a fifth of the slices. */
function growthOf({ memory, slices }: Passed): number {
  const points = memory
    .filter(({ corrected }) => corrected >= slices / 5)
    .map(({ corrected, rss }) => ({ x: corrected / 1000, y: rss }));
  return slope(points);
}

export const bench: Bench = async ({ args, log }) => {
  const side = Number(option(args, '--side', '256'));
  const rounds = Number(option(args, '--rounds', '3'));
  const roundSlices = Number(option(args, '--round-slices', '960'));
  const many = Number(option(args, '--slices', '0'));
  const modelFolder = resolve(option(args, '--model', process.env.MCNET_MODEL ?? 'models/mcnet'));
  const folder = mkdtempSync(join(tmpdir(), 'mcnet-bench-'));
  const closing: (() => Promise<void>)[] = [];
  try {
    const model = await loadModel(modelFolder);
    const engine = await openEngine('auto', model);
    closing.push(() => engine.close());
    const { engine: name, device, threads } = engine.describe();
    const pacs = await startPacs(join(folder, 'pacs'));
    closing.push(() => pacs.close());
    const scanner = startScanner();
    closing.push(() => scanner.close());
    const server = await startServerProcess({
      folder,
      model: { folder: dirname(modelFolder), name: basename(modelFolder) },
      pacsPort: pacs.port,
    });
    closing.push(() => server.close());
    const parts: Parts = { scanner, server, pacs, side };
    log(
      `engine ${name} (${device}, ${threads} threads); sender: our own storage user; receiver: ${pacs.description}`,
    );

    const figures: Record<string, number | string> = { engine: name, side, receiver: pacs.description };
    const ratios: Record<string, number> = {};
    // Until the code of every part is compiled for speed.
    await pass(parts, 3 * SERIES_SLICES);
    const raws: number[] = [];
    const engineMs: number[] = [];
    const passes: Passed[] = [];
    for (let i = 0; i < rounds; i += 1) {
      const before = processorMs(process.pid);
      const startedAt = performance.now();
      raws.push(await engineThroughput(engine, side, Math.min(8, engine.capacity.batch), 5));
      const ran = (raws.at(-1)! * (performance.now() - startedAt)) / 1000;
      engineMs.push((processorMs(process.pid) - before) / ran);
      passes.push(await pass(parts, roundSlices));
      const { slices, seconds } = passes.at(-1)!;
      log(
        `round ${i + 1}: engine ${raws.at(-1)!.toFixed(1)}, server ${(slices / seconds).toFixed(1)} slices/s`,
      );
    }
    if (rounds > 0) {
      const through = passes.map(({ slices, seconds }) => slices / seconds);
      figures.engine_slicesPerSecond = round(median(raws));
      figures.pipeline_slicesPerSecond = round(median(through));
      ratios.pipeline_vs_engine = round(median(through.map((value, i) => value / raws[i]!)));
      figures.engine_processorMsPerSlice = round(median(engineMs));
      const total = passes.reduce((sum, { slices }) => sum + slices, 0);
      for (const part of ['server', 'scanner', 'pacs'] as const) {
        const ms = passes.reduce((sum, { processor }) => sum + processor[part], 0);
        figures[`${part}_processorMsPerSlice`] = round(ms / total);
      }
      const paced = await pass(parts, SERIES_SLICES, median(through) / 2);
      for (const [key, share] of [
        ['p50', 0.5],
        ['p95', 0.95],
        ['p99', 0.99],
      ] as const)
        figures[`sliceLatencyMs_${key}`] = round(rank(paced.latencies, share));
      figures.turnaroundMs_atHalfSpeed = round(median(paced.turnarounds));
      figures.turnaroundMs_atOnce = round(median((await pass(parts, SERIES_SLICES)).turnarounds));
    }
    if (many > 0) {
      const passed = await pass(parts, many);
      figures.long_slices = passed.slices;
      figures.long_slicesPerSecond = round(passed.slices / passed.seconds);
      figures.long_server_processorMsPerSlice = round(passed.processor.server / passed.slices);
      figures.rssGrowthMiBPer1000Slices = round(growthOf(passed));
      const rss = passed.memory.map((sample) => sample.rss);
      const marks = Array.from({ length: Math.floor(many / 500) }, (_, i) => (i + 1) * 500);
      const at = (mark: number) => passed.memory.find(({ corrected }) => corrected >= mark)?.rss;
      log(`resident MiB at every 500 slices: ${marks.map((mark) => at(mark)?.toFixed(0) ?? '-').join(' ')}`);
      figures.rssFirstMiB = round(rss[0]!);
      figures.rssLastMiB = round(rss.at(-1)!);
    }
    figures.rssPeakMiB = round(memoryOf(server.pid).peak);
    log(table([['figure', ''], ...Object.entries(figures).map(([key, value]) => [key, String(value)])]));
    return { figures, ratios };
  } finally {
    for (const close of closing.reverse()) await close();
    rmSync(folder, { recursive: true, force: true });
  }
};
