/**
 * Steps of the training engine, as `train` opens it on the CPU, beside PyTorch with the same network, batch, loss and
 * optimiser: MC-Net with five levels at 128×128, plain stem, Adam, L1. The two take turns, so that whatever else the
 * machine does meets both.
 *
 * Arguments: --widths 16,32, --batch 16, --rounds 6, --steps 2 (of each side per round), --threads N, --stem plain,
 * --levels 5, --normalisation batch|none (PyTorch has batch only), --no-pytorch, --profile PREFIX (ONNX Runtime's
 * profile of one step on all threads instead).
 */
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import * as tf from '@tensorflow/tfjs';
import { usableCores } from '../../src/inference/index.js';
import { StepSession, StepState } from '../../training/compile/index.js';
import {
  adamFactors,
  defaultAdam,
  type LossConfig,
  type NetworkConfig,
  paperNetwork,
} from '../../training/network/index.js';
import type { Batch } from '../../training/train/batches.js';
import { type CaptureConfig, captureTraining, firstValues } from '../../training/train/captures.js';
import { openTrainingEngine } from '../../training/train/open-engine.js';
import { type Bench, table } from './result.js';

const python = '/usr/bin/python3';
const side = 128;
const loss: LossConfig = { l1: 1, tv: 0, tvReduction: 'mean', ssim: 0 };

/** Something that runs training steps and says how many milliseconds each took. */
interface Contestant {
  description: string;
  parameters: number;
  steps(count: number): Promise<number[]>;
  close(): Promise<void>;
}

const config = (network: NetworkConfig): CaptureConfig => ({ network, loss, adam: defaultAdam, seed: 1 });

/** A step's random slices. */
function slices(batch: number): Batch {
  const corrupted = Float32Array.from({ length: batch * side * side }, () => Math.random());
  const clean = corrupted.map((value) => value + 0.1 * Math.random());
  return { count: batch, rows: side, columns: side, corrupted, clean };
}

async function ours(network: NetworkConfig, batch: number, threads: number): Promise<Contestant> {
  const engine = await openTrainingEngine({
    config: { ...config(network), batch },
    backend: 'compiled',
    device: 'cpu',
    deviceId: 0,
    threads,
  });
  const images = slices(batch);
  let done = 0;
  const one = async (): Promise<number> => {
    const startedAt = performance.now();
    const [results] = await engine.steps([{ batch: images, ...adamFactors(1e-3, ++done) }]);
    if (!Number.isFinite(results!.loss)) throw new Error(`the loss of step ${done} is ${results!.loss}`);
    return performance.now() - startedAt;
  };
  await one();
  await one();
  const trained = new Set(
    engine.variables.flatMap(({ name, role }) => (role === 'slot' ? [name.slice(0, -2)] : [])),
  );
  return {
    description: engine.device,
    parameters: engine.variables
      .filter(({ name }) => trained.has(name))
      .reduce((sum, { shape }) => sum + shape.reduce((product, length) => product * length, 1), 0),
    async steps(count) {
      const times: number[] = [];
      for (let step = 0; step < count; step += 1) times.push(await one());
      return times;
    },
    close: () => engine.close(),
  };
}

/** Runs a few steps of one session with ONNX Runtime's profiler. */
async function profile(
  network: NetworkConfig,
  batch: number,
  threads: number,
  prefix: string,
): Promise<void> {
  const step = captureTraining(config(network), { count: batch, rows: side, columns: side }, 'cpu');
  const { initial } = firstValues(config(network));
  const session = await StepSession.create(step, { threads, profile: prefix });
  const state = new StepState();
  state.declare(step.variables, (name) => initial.get(name)!);
  const { corrupted, clean } = slices(batch);
  for (let done = 1; done <= 6; done += 1) {
    const { rate, epsilon } = adamFactors(1e-3, done);
    const scalars = {
      rate: Float32Array.of(rate),
      epsilon: Float32Array.of(epsilon),
      decay: Float32Array.of(1),
    };
    await session.run(state, { corrupted, clean, ...scalars });
  }
  await session.release();
}

async function pytorch(network: NetworkConfig, batch: number, threads: number): Promise<Contestant | string> {
  if (!existsSync(python)) return `${python} is not there`;
  // The script is not compiled, so it lies in the source tree: dist/test/bench → test/bench.
  const script = fileURLToPath(new URL('../../../test/bench/pytorchTraining.py', import.meta.url));
  const { width, levels, maximumWidth, stem } = network;
  const child = spawn(python, [
    script,
    ...[width, levels, maximumWidth, stem, threads, batch, side].map(String),
  ]);
  let complaint = '';
  child.stderr.on('data', (data: Buffer) => {
    complaint += data.toString();
  });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const ready = await lines.next();
  if (ready.done === true) {
    return complaint.includes("No module named 'torch'")
      ? 'PyTorch is not installed'
      : (complaint.trim().split('\n').at(-1) ?? 'it ended without a word');
  }
  const { version, layout, parameters } = JSON.parse(ready.value) as Record<'version' | 'layout', string> & {
    parameters: number;
  };
  return {
    description: `PyTorch ${version} (${layout.replace('torch.', '')})`,
    parameters,
    async steps(count) {
      child.stdin.write(`${count}\n`);
      const line = await lines.next();
      if (line.done === true) throw new Error(`PyTorch ended: ${complaint.trim().split('\n').at(-1)}`);
      return JSON.parse(line.value) as number[];
    },
    close: () => ended(child),
  };
}

function ended(child: ChildProcessWithoutNullStreams): Promise<void> {
  child.stdin.end();
  return new Promise((resolve) => {
    if (child.exitCode !== null) resolve();
    else child.once('exit', () => resolve());
  });
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[values.length >> 1]!;
}

export const bench: Bench = async ({ args, log }) => {
  tf.enableProdMode();
  const option = (name: string, otherwise: string): string => {
    const at = args.indexOf(`--${name}`);
    return at < 0 ? otherwise : (args[at + 1] ?? otherwise);
  };
  const [batch, rounds, steps, threads, levels] = [
    option('batch', '16'),
    option('rounds', '6'),
    option('steps', '2'),
    option('threads', String(usableCores())),
    option('levels', '5'),
  ].map(Number) as [number, number, number, number, number];
  const stem = option('stem', 'plain') === 'half' ? 'half' : 'plain';
  const normalisation = option('normalisation', 'batch') === 'none' ? 'none' : 'batch';
  const prefix = args.includes('--profile') ? option('profile', 'training-step') : undefined;
  const figures: Record<string, number | string> = { batch, threads, side };
  const ratios: Record<string, number> = {};
  const rows = [['ms a slice: median, best', 'compiled', '', 'PyTorch', '', 'ratio']];
  for (const width of option('widths', '16,32').split(',').map(Number)) {
    const network = { ...paperNetwork, width, levels, stem, normalisation } as const;
    if (prefix !== undefined) {
      await profile(network, batch, threads, `${prefix}-${width}`);
      continue;
    }
    const engine = await ours(network, batch, threads);
    const alone = args.includes('--no-pytorch') || normalisation === 'none';
    const theirs = alone ? 'not wanted' : await pytorch(network, batch, threads);
    if (typeof theirs !== 'string' && theirs.parameters !== engine.parameters) {
      throw new Error(`PyTorch's network has ${theirs.parameters} parameters, ours ${engine.parameters}`);
    }
    const times: Record<'ours' | 'theirs', number[]> = { ours: [], theirs: [] };
    const quotients: number[] = [];
    for (let round = 0; round < rounds; round += 1) {
      const turn = await engine.steps(steps);
      times.ours.push(...turn);
      if (typeof theirs === 'string') continue;
      // The threads of the one that just ran still spin for a moment.
      await pause(100);
      const other = await theirs.steps(steps);
      times.theirs.push(...other);
      quotients.push(Math.min(...other) / Math.min(...turn));
      await pause(100);
    }
    await engine.close();
    const perSlice = (values: readonly number[]) =>
      [median(values), Math.min(...values)].map((value) => Number((value / batch).toFixed(2)));
    const [ourMedian, ourBest] = perSlice(times.ours);
    figures.compiled = engine.description;
    figures[`width${width}_parameters`] = engine.parameters;
    figures[`width${width}_msPerSlice`] = ourMedian!;
    figures[`width${width}_bestMsPerSlice`] = ourBest!;
    const row = [`width ${width}`, `${ourMedian}`, `${ourBest}`];
    if (typeof theirs === 'string') {
      figures.pytorch = `skipped: ${theirs}`;
      row.push(`skipped: ${theirs}`, '', '');
    } else {
      await theirs.close();
      const [theirMedian, theirBest] = perSlice(times.theirs);
      figures.pytorch = theirs.description;
      figures[`width${width}_pytorchMsPerSlice`] = theirMedian!;
      figures[`width${width}_pytorchBestMsPerSlice`] = theirBest!;
      ratios[`width${width}_vs_pytorch`] = Number(median(quotients).toPrecision(4));
      row.push(`${theirMedian}`, `${theirBest}`, ratios[`width${width}_vs_pytorch`]!.toFixed(2));
    }
    rows.push(row);
  }
  log(table(rows));
  return { figures, ratios };
};
