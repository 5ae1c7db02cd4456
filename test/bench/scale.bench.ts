/**
 * What distribution costs, and what a gateway carries.
 *
 * First, turn by turn, one process (`mcnet serve`) against a gateway with 1, 2 and 4 workers of the same total number
 * of engine threads: C-STORE in, corrected, derived instances by C-STORE at a PACS. All of them share this machine, so
 * gateway and Redis take their processor time from the engines, as they would not on machines of their own. Then workers
 * whose engine takes a fixed time a slice and computes nothing: how many slices a second gateway and queue carry, while
 * they receive them, and from what was received before; with the processor time of each part for each slice.
 *
 * Arguments: --model FOLDER (default models/mcnet), --side 256, --slices 480, --rounds 3, --threads 4,
 * --simulated-slices 6000, --simulated-side 128, --simulated-workers 4, --slice-ms 2, --only real|simulated.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join, resolve } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { usableCores } from '../../src/inference/index.js';
import { findProgram } from '../peers/support/process.js';
import { median } from './engine-throughput.js';
import { processorMs, type Scanner, startPacs, startScanner } from './pipeline/processes.js';
import { type Bench, table } from './result.js';
import { type Distributed, type Front, startDistributed, startEmbedded } from './scale/parts.js';

const SERIES_SLICES = 60;
const STALL_MS = 120_000;
const POLL_MS = 50;

function option(args: readonly string[], name: string, otherwise: string): string {
  const at = args.indexOf(name);
  return at >= 0 ? (args[at + 1] ?? otherwise) : otherwise;
}

const round = (value: number): number => Number(value.toPrecision(4));

async function send(scanner: Scanner, front: Front, slices: number, side: number): Promise<void> {
  for (let sent = 0; sent < slices; sent += SERIES_SLICES) {
    await scanner.send({ port: front.dicomPort, slices: Math.min(SERIES_SLICES, slices - sent), side });
  }
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

/** Sends and waits; slices a second from the first one sent to the last one corrected. */
async function throughput(scanner: Scanner, front: Front, slices: number, side: number): Promise<number> {
  const before = await front.corrected();
  const startedAt = performance.now();
  const [seconds] = await Promise.all([
    until(front, before + slices, startedAt),
    send(scanner, front, slices, side),
  ]);
  return slices / seconds;
}

/** Processor ms a slice of each part while something runs. */
async function processorOf<T>(
  parts: Record<string, readonly number[]>,
  slices: number,
  work: () => Promise<T>,
): Promise<{ result: T; ms: Record<string, number> }> {
  const sums = () =>
    Object.entries(parts).map(([, pids]) => pids.reduce((sum, pid) => sum + processorMs(pid), 0));
  const before = sums();
  const result = await work();
  const after = sums();
  const ms = Object.fromEntries(
    Object.keys(parts).map((name, i) => [name, round((after[i]! - before[i]!) / slices)]),
  );
  return { result, ms };
}

export const bench: Bench = async ({ args, log }) => {
  if (findProgram('redis-server') === undefined) throw new Error('redis-server is not installed');
  const number = (name: string, otherwise: number) => Number(option(args, name, String(otherwise)));
  const side = number('--side', 256);
  const slices = number('--slices', 480);
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
  const scanner = startScanner();
  closing.push(() => scanner.close());
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
        await throughput(scanner, server, SERIES_SLICES, side);
        embedded.push(await throughput(scanner, server, slices, side));
        await server.stop();
        for (const count of counts) {
          const parts = await startDistributed(
            { ...one, folder: folder(`workers${count}`) },
            count,
            Math.floor(threads / count),
            false,
          );
          await throughput(scanner, parts.front, SERIES_SLICES, side);
          const pids = {
            gateway: [parts.front.pid],
            redis: [parts.redisPid],
            workers: parts.workers.map(({ pid }) => pid),
          };
          const { result, ms } = await processorOf(pids, slices, () =>
            throughput(scanner, parts.front, slices, side),
          );
          distributed.get(count)!.push(result);
          for (const [name, value] of Object.entries(ms)) {
            figures[`workers${count}_${name}_processorMsPerSlice`] = value;
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
      for (const shared of [false, true]) {
        const how = shared ? 'folder' : 'network';
        const parts: Distributed = await startDistributed(
          { ...model, folder: join(root, `simulated-${how}`), pacsPort: undefined },
          0,
          1,
          shared,
        );
        const simulatedFigure = (name: string) => (shared ? `${name}_sharedFolder` : name);
        await parts.startSimulated(simulatedWorkers, sliceMs, shared);
        const pids = {
          gateway: [parts.front.pid],
          redis: [parts.redisPid],
          workers: parts.workers.map(({ pid }) => pid),
          scanner: [scanner.pid],
        };
        await throughput(scanner, parts.front, 20 * SERIES_SLICES, simulatedSide);
        const { result, ms } = await processorOf(pids, simulatedSlices, () =>
          throughput(scanner, parts.front, simulatedSlices, simulatedSide),
        );
        figures[simulatedFigure('gatewaySlicesPerSecond')] = round(result);
        for (const [name, value] of Object.entries(ms)) {
          figures[simulatedFigure(`simulated_${name}_processorMsPerSlice`)] = value;
        }
        // The same without receiving: everything is there before the workers come.
        await Promise.all(parts.workers.splice(0).map((worker) => worker.stop()));
        const before = await parts.front.corrected();
        await send(scanner, parts.front, simulatedSlices, simulatedSide);
        const startedAt = performance.now();
        await parts.startSimulated(simulatedWorkers, sliceMs, shared);
        const backlog = await processorOf({ gateway: [parts.front.pid] }, simulatedSlices, () =>
          until(parts.front, before + simulatedSlices, startedAt),
        );
        figures[simulatedFigure('backlog_slicesPerSecond')] = round(simulatedSlices / backlog.result);
        figures[simulatedFigure('backlog_gateway_processorMsPerSlice')] = backlog.ms.gateway!;
        await parts.stop();
        log(
          `${simulatedWorkers} workers of ${sliceMs} ms a slice, pixel data by ${how}: ${result.toFixed(0)} slices/s while receiving, ${(simulatedSlices / backlog.result).toFixed(0)} from what was received before; gateway ${ms.gateway} ms of processor a slice`,
        );
      }
      figures.simulated_workers = simulatedWorkers;
      figures.simulated_side = simulatedSide;
      figures.simulated_engineSlicesPerSecond = round((simulatedWorkers * 1000) / sliceMs);
      ratios.gateway_vs_1000PerSecond = round(Number(figures.gatewaySlicesPerSecond) / 1000);
    }
    log(table([['figure', ''], ...Object.entries(figures).map(([key, value]) => [key, String(value)])]));
    return { figures, ratios };
  } finally {
    for (const close of closing.reverse()) await close();
    rmSync(root, { recursive: true, force: true });
  }
};
