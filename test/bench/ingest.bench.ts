/**
 * Receiving alone: the same MR slices of 256×256 by C-STORE, on one association and on four, and by STOW-RS, ten in a
 * request on four connections, into this server, Orthanc and DCMTK's storescp, one after the other, each freshly
 * started, with an empty archive on the same disk and after a first series. The sender is DCMTK's dcmsend for all three, TCP_NODELAY=1 on all sides.
 *
 * Arguments: --slices 1000, --rounds 3, --only mcnet.
 */
import { fork } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { findProgram, runProgram } from '../peers/support/process.js';
import { median } from './engine-throughput.js';
import { RECEIVERS, type Receiver, type ReceiverName, startReceiver } from './ingest/receivers.js';
import { writeSlices } from './ingest/slices.js';
import type { StowOrder, StowSent } from './ingest/stow-sender.js';
import { type Bench, table } from './result.js';

/** Sent to each receiver before: a series, so that none is measured while it starts. */
const WARM_UP = 200;
const TIMEOUT_MS = 300_000;
const MODES = ['cstore1', 'cstore4', 'stow'] as const;
type Mode = (typeof MODES)[number];

/** Seconds that dcmsend takes on so many associations at a time. */
async function sendByDimse(to: Receiver, files: readonly string[], associations: number): Promise<number> {
  const share = Math.ceil(files.length / associations);
  const startedAt = performance.now();
  const sent = await Promise.all(
    Array.from({ length: associations }, (_, n) =>
      runProgram(
        'dcmsend',
        [
          ...['-aet', 'BENCH', '-aec', to.aeTitle, '--no-uid-checks', '127.0.0.1', String(to.dicomPort)],
          ...files.slice(n * share, (n + 1) * share),
        ],
        { timeoutMs: TIMEOUT_MS },
      ),
    ),
  );
  const seconds = (performance.now() - startedAt) / 1000;
  for (const { code, stderr } of sent) {
    if (code !== 0) throw new Error(`dcmsend ended with ${code}: ${stderr.slice(0, 500)}`);
  }
  return seconds;
}

async function sendByStow(to: Receiver, files: string[], connections: number): Promise<number> {
  const sender = fork(fileURLToPath(new URL('./ingest/stow-sender.js', import.meta.url)));
  try {
    const { ms, stored, problem } = await new Promise<StowSent>((resolve, reject) => {
      sender.once('message', (sent: StowSent) => resolve(sent));
      sender.once('exit', (code) => reject(new Error(`the sender ended with ${code}`)));
      sender.send({ url: to.stowUrl!, files, perRequest: 10, connections } satisfies StowOrder);
    });
    if (problem !== '') throw new Error(`STOW-RS: ${problem}`);
    if (stored !== files.length) throw new Error(`STOW-RS: ${stored} of ${files.length} stored`);
    return ms / 1000;
  } finally {
    sender.kill();
  }
}

function send(mode: Mode, to: Receiver, files: string[]): Promise<number> {
  if (mode === 'stow') return sendByStow(to, files, 4);
  return sendByDimse(to, files, mode === 'cstore1' ? 1 : 4);
}

interface Passed {
  perSecond: number;
  loopDelayMs?: number;
}

/** One receiver, fresh; one way of sending. */
async function pass(
  name: ReceiverName,
  mode: Mode,
  slices: string[],
  warmUp: string[],
  folder: string,
): Promise<Passed> {
  const endings: (() => unknown)[] = [];
  const own = mkdtempSync(join(folder, `${name}-`));
  try {
    const receiver = await startReceiver(name, own, { after: (work) => endings.push(work) });
    await send(mode, receiver, warmUp);
    await receiver.loopDelayMs?.(); // it starts over with each reading
    const seconds = await send(mode, receiver, slices);
    const loopDelayMs = await receiver.loopDelayMs?.();
    const stored = await receiver.stored();
    if (stored !== slices.length + warmUp.length) {
      throw new Error(`${name} has ${stored} of ${slices.length + warmUp.length} instances`);
    }
    return { perSecond: slices.length / seconds, ...(loopDelayMs !== undefined && { loopDelayMs }) };
  } finally {
    for (const work of endings.reverse()) await work();
    rmSync(own, { recursive: true, force: true });
  }
}

const round = (value: number): number => Number(value.toPrecision(4));

function option(args: readonly string[], name: string, otherwise: string): string {
  const at = args.indexOf(name);
  return at >= 0 ? (args[at + 1] ?? otherwise) : otherwise;
}

export const bench: Bench = async ({ args, log }) => {
  const count = Number(option(args, '--slices', '1000'));
  const rounds = Number(option(args, '--rounds', '3'));
  const only = option(args, '--only', '');
  const chosen = (Object.keys(RECEIVERS) as ReceiverName[]).filter((name) => only === '' || name === only);
  const missing = ['dcmsend', 'storescp', 'Orthanc'].filter((name) => findProgram(name) === undefined);
  if (missing.length > 0) throw new Error(`not installed here: ${missing.join(', ')}`);

  const folder = mkdtempSync(join(tmpdir(), 'mcnet-ingest-'));
  try {
    const slices = writeSlices(join(folder, 'slices'), count);
    const warmUp = writeSlices(join(folder, 'warm-up'), WARM_UP);
    const figures: Record<string, number | string> = { slices: count, warmUpSlices: WARM_UP, rounds };
    for (const name of chosen) {
      log(`${name}: ${RECEIVERS[name]}`);
      figures[`${name}_durability`] = RECEIVERS[name];
    }
    figures.sender = "DCMTK's dcmsend; STOW-RS: undici, 10 a request, 4 connections";

    const rates = new Map<string, number[]>();
    const delays: number[] = [];
    for (let i = 0; i < rounds; i += 1) {
      for (const mode of MODES) {
        for (const name of chosen) {
          if (mode === 'stow' && name === 'storescp') continue;
          const { perSecond, loopDelayMs } = await pass(name, mode, slices, warmUp, folder);
          rates.set(`${mode} ${name}`, [...(rates.get(`${mode} ${name}`) ?? []), perSecond]);
          if (loopDelayMs !== undefined) delays.push(loopDelayMs);
          const delay =
            loopDelayMs === undefined ? '' : `, event-loop delay p99 ${loopDelayMs.toFixed(1)} ms`;
          log(`round ${i + 1}, ${mode}, ${name}: ${perSecond.toFixed(0)} instances/s${delay}`);
        }
      }
    }

    const ratios: Record<string, number> = {};
    for (const mode of MODES) {
      for (const name of chosen) {
        const reached = rates.get(`${mode} ${name}`);
        if (reached === undefined) continue;
        figures[`${mode}_${name}_perSecond`] = round(median(reached));
        const ours = rates.get(`${mode} mcnet`);
        if (name === 'mcnet' || ours === undefined) continue;
        ratios[`${mode}_vs_${name}`] = round(median(ours.map((value, n) => value / reached[n]!)));
      }
    }
    if (delays.length > 0) {
      figures.eventLoopDelayP99Ms = round(Math.max(...delays));
      if (figures.eventLoopDelayP99Ms >= 50) log('the event-loop delay p99 is over its limit of 50 ms');
    }
    log(table([['figure', ''], ...Object.entries(figures).map(([key, value]) => [key, String(value)])]));
    return { figures, ratios };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
};
