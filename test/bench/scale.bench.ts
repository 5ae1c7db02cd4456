/**
 * What distribution costs, and what a gateway carries.
 *
 * First, turn by turn, one process (`mcnet serve`) against a gateway with 1, 2 and 4 workers of the same total number
 * of engine threads: C-STORE in, corrected, derived instances by C-STORE at a PACS. All of them share this machine, so
 * gateway and Redis take their processor time from the engines, as they would not on machines of their own. Then workers
 * whose engine takes a fixed time a slice and computes nothing: how many slices a second gateway and queue carry when
 * they only receive, when they correct what was received before, and when they do both at once; with the processor time
 * of each part for each slice, and what held each phase back, by what was measured.
 *
 * Arguments: --model FOLDER (default models/mcnet), --side 256, --slices 960, --rounds 3, --threads 4,
 * --simulated-slices 6000, --simulated-side 128, --simulated-workers 4, --slice-ms 2, --scanners 4,
 * --only real|simulated.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join, resolve } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { usableCores } from '../../src/inference/index.js';
import { findProgram } from '../peers/support/process.js';
import { median } from './engine-throughput.js';
import { type Scanner, startPacs, startScanner } from './pipeline/processes.js';
import { type Bench, table } from './result.js';
import { heldBackBy, type Load, loadOf } from './scale/load.js';
import { type Front, startDistributed, startEmbedded } from './scale/parts.js';

const SERIES_SLICES = 60;
const STALL_MS = 120_000;
const POLL_MS = 100;

function option(args: readonly string[], name: string, otherwise: string): string {
  const at = args.indexOf(name);
  return at >= 0 ? (args[at + 1] ?? otherwise) : otherwise;
}

const round = (value: number): number => Number(value.toPrecision(4));

/** Every scanner sends series after series, until all slices are sent. */
async function send(scanners: readonly Scanner[], front: Front, slices: number, side: number): Promise<void> {
  let sent = 0;
  const sendOn = async (scanner: Scanner) => {
    while (sent < slices) {
      const count = Math.min(SERIES_SLICES, slices - sent);
      sent += count;
      await scanner.send({ port: front.dicomPort, slices: count, side });
    }
  };
  await Promise.all(scanners.map(sendOn));
}

/** Seconds until the front has corrected so many more than `before`. */
async function until(front: Front, count: number, startedAt: number): Promise<number> {
  let last = -1;
  let movedAt = performance.now();
  for (;;) {
    const now = await front.corrected();
    if (now >= count) return (performance.now() - startedAt) / 1000;
    if (now !== last) {
      last = now;
      movedAt = performance.now();
    } else if (performance.now() - movedAt > STALL_MS) {
      throw new Error(`nothing moved for ${STALL_MS / 1000} s: ${now} of ${count} are corrected`);
    }
    await pause(POLL_MS);
  }
}

/** Sends and waits; seconds from the first one sent to the last one corrected. */
async function secondsOf(
  scanners: readonly Scanner[],
  front: Front,
  slices: number,
  side: number,
): Promise<number> {
  const before = await front.corrected();
  const startedAt = performance.now();
  const [seconds] = await Promise.all([
    until(front, before + slices, startedAt),
    send(scanners, front, slices, side),
  ]);
  return seconds;
}

export const bench: Bench = async ({ args, log }) => {
  if (findProgram('redis-server') === undefined) throw new Error('redis-server is not installed');
  const number = (name: string, otherwise: number) => Number(option(args, name, String(otherwise)));
  const side = number('--side', 256);
  const slices = number('--slices', 960);
  const rounds = number('--rounds', 3);
  const threads = number('--threads', Math.min(4, usableCores()));
  const simulatedSlices = number('--simulated-slices', 6000);
  const simulatedSide = number('--simulated-side', 128);
  const simulatedWorkers = number('--simulated-workers', 4);
  const sliceMs = number('--slice-ms', 2);
  const only = option(args, '--only', '');
  const modelFolder = resolve(option(args, '--model', process.env.MCNET_MODEL ?? 'models/mcnet'));
  const model = { models: dirname(modelFolder), model: basename(modelFolder) };
  const root = mkdtempSync(join(tmpdir(), 'mcnet-scale-'));
  const figures: Record<string, number | string> = { threads, side };
  const ratios: Record<string, number> = {};
  const closing: (() => Promise<void>)[] = [];
  const scanners = Array.from({ length: number('--scanners', 4) }, startScanner);
  for (const scanner of scanners) closing.push(() => scanner.close());
  try {
    if (only !== 'simulated') {
      const pacs = await startPacs(join(root, 'pacs'));
      closing.push(() => pacs.close());
      const counts = [1, 2, 4].filter((count) => count <= threads);
      const embedded: number[] = [];
      const distributed = new Map<number, number[]>(counts.map((count) => [count, []]));
      for (let i = 0; i < rounds; i += 1) {
        const folder = (name: string) => join(root, `${name}-${i}`);
        const one = { ...model, pacsPort: pacs.port };
        const server = await startEmbedded({ ...one, folder: folder('embedded') }, threads);
        await secondsOf(scanners, server, SERIES_SLICES, side);
        embedded.push(slices / (await secondsOf(scanners, server, slices, side)));
        await server.stop();
        for (const count of counts) {
          const parts = await startDistributed(
            { ...one, folder: folder(`workers${count}`) },
            count,
            Math.floor(threads / count),
            false,
          );
          // A series for each worker: what a process costs when it starts is no cost of the distribution.
          await secondsOf(scanners, parts.front, count * SERIES_SLICES, side);
          const pids = {
            gateway: [parts.front.pid],
            redis: [parts.redisPid],
            workers: parts.workers.map(({ pid }) => pid),
          };
          const load = await loadOf(pids, slices, () => secondsOf(scanners, parts.front, slices, side));
          distributed.get(count)!.push(slices / load.seconds);
          for (const [name, value] of Object.entries(load.processorMs)) {
            figures[`workers${count}_${name}_processorMsPerSlice`] = round(value);
          }
          await parts.stop();
        }
        pacs.take();
        const line = counts.map((count) => `${count} workers ${distributed.get(count)![i]!.toFixed(1)}`);
        log(`round ${i + 1}: embedded ${embedded[i]!.toFixed(1)} slices/s, ${line.join(', ')}`);
      }
      figures.embedded_slicesPerSecond = round(median(embedded));
      for (const count of counts) {
        const found = distributed.get(count)!;
        figures[`workers${count}_slicesPerSecond`] = round(median(found));
        ratios[`distributed${count}_vs_embedded`] = round(
          median(found.map((value, i) => value / embedded[i]!)),
        );
      }
      // The worst of them is what is promised.
      ratios.distributed_vs_embedded = Math.min(
        ...counts.map((count) => ratios[`distributed${count}_vs_embedded`]!),
      );
    }
    if (only !== 'real') {
      const engines = (simulatedWorkers * 1000) / sliceMs;
      figures.simulated_workers = simulatedWorkers;
      figures.simulated_side = simulatedSide;
      figures.simulated_engineSlicesPerSecond = round(engines);
      for (const shared of [false, true]) {
        const parts = await startDistributed(
          { ...model, folder: join(root, `simulated-${shared}`), pacsPort: undefined },
          0,
          1,
          shared,
        );
        const report = (phase: string, load: Load, of: number | undefined) => {
          const suffix = shared ? '_sharedFolder' : '';
          const held = heldBackBy(load, of);
          figures[`${phase}_slicesPerSecond${suffix}`] = round(load.slices / load.seconds);
          figures[`${phase}_heldBackBy${suffix}`] = held;
          for (const [name, value] of Object.entries(load.processorMs)) {
            figures[`${phase}_${name}_processorMsPerSlice${suffix}`] = round(value);
          }
          figures[`${phase}_gateway_eventLoopMsPerSlice${suffix}`] = round(
            (load.busy.gateway! * load.seconds * 1000) / load.slices,
          );
          log(
            `${phase}, pixel data by ${shared ? 'folder' : 'network'}: ${(load.slices / load.seconds).toFixed(0)} slices/s, held back by ${held}`,
          );
        };
        const gateway = { gateway: [parts.front.pid], redis: [parts.redisPid] };
        const senders = { senders: scanners.map(({ pid }) => pid) };
        await send(scanners, parts.front, simulatedWorkers * SERIES_SLICES, simulatedSide);
        const received = await loadOf({ ...gateway, ...senders }, simulatedSlices, async () => {
          const startedAt = performance.now();
          await send(scanners, parts.front, simulatedSlices, simulatedSide);
          return (performance.now() - startedAt) / 1000;
        });
        report('receiving', received, undefined);
        await parts.startSimulated(simulatedWorkers, sliceMs, shared);
        const workers = { workers: parts.workers.map(({ pid }) => pid) };
        // What they do while they warm up does not count.
        await until(parts.front, simulatedWorkers * SERIES_SLICES, performance.now());
        const before = await parts.front.corrected();
        const left = simulatedWorkers * SERIES_SLICES + simulatedSlices - before;
        const backlog = await loadOf({ ...gateway, ...workers }, left, () =>
          until(parts.front, before + left, performance.now()),
        );
        report('backlog', backlog, engines);
        const both = await loadOf({ ...gateway, ...workers, ...senders }, simulatedSlices, () =>
          secondsOf(scanners, parts.front, simulatedSlices, simulatedSide),
        );
        report('whileReceiving', both, engines);
        await parts.stop();
      }
      figures.gatewaySlicesPerSecond = figures.whileReceiving_slicesPerSecond!;
      ratios.gateway_vs_1000PerSecond = round(Number(figures.gatewaySlicesPerSecond) / 1000);
    }
    log(table([['figure', ''], ...Object.entries(figures).map(([key, value]) => [key, String(value)])]));
    return { figures, ratios };
  } finally {
    for (const close of closing.reverse()) await close();
    rmSync(root, { recursive: true, force: true });
  }
};
