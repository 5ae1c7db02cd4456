/**
 * Slices a second of the engine alone, in a tight loop, beside the whole corrector (part 10 file in memory → derived
 * part 10 file), and beside PyTorch with the same network where it is installed.
 *
 * Arguments: --model FOLDER (default models/mcnet), --seconds S per measurement (default 4), --no-pytorch.
 */
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { z } from 'zod';
import { createCorrector } from '../../src/correction/index.js';
import { type Engine, type LoadedModel, loadModel, openEngine } from '../../src/inference/index.js';
import { derivation } from '../unit/correction/derivation.js';
import { headSlice, syntheticPart10 } from '../unit/correction/syntheticPart10.js';
import { engineThroughput, median } from './engine-throughput.js';
import { type Bench, table } from './result.js';

const SIDES = [128, 256] as const;
const BATCHES = [1, 2, 4, 8] as const;
const ROUNDS = 3;
const PYTHON = '/usr/bin/python3';

/** The shape of the network, as the manifest of a model that this project trained tells it. */
const networkSchema = z.looseObject({
  width: z.int(),
  levels: z.int(),
  maximumWidth: z.int(),
  stem: z.enum(['plain', 'half']),
  stages: z.int().default(1),
});

/** Median time of one slice that has the machine to itself, ms. */
async function aloneMs(engine: Engine, side: number, seconds: number): Promise<number> {
  const times: number[] = [];
  const until = performance.now() + seconds * 1000;
  while (times.length < 5 || performance.now() < until) {
    const input = new Float32Array(side * side).map((_, i) => (i % 251) / 251);
    const startedAt = performance.now();
    await engine.run(input, [1, 1, side, side], true);
    times.push(performance.now() - startedAt);
  }
  return median(times);
}

interface CorrectorFigures {
  slicesPerSecond: number;
  /** Against the engine alone, measured turn by turn. */
  ratio: number;
  latencyMs: number;
  ms: Record<'decode' | 'preprocess' | 'postprocess', number>;
}

async function correctorThroughput(
  model: LoadedModel,
  engine: Engine,
  side: number,
  batch: number,
  seconds: number,
): Promise<CorrectorFigures> {
  const corrector = await createCorrector({ model, engine });
  const range = { min: 0, max: 4095 };
  const files = Array.from({ length: 16 }, (_, i) =>
    syntheticPart10({
      rows: side,
      columns: side,
      bitsAllocated: 16,
      bitsStored: 12,
      signed: false,
      frames: [headSlice(side, side, range, i + 1)],
      number: i + 1,
    }),
  );
  const correct = (i: number) => corrector.correct({ bytes: files[i % files.length]!, derivation });
  try {
    const alone: number[] = [];
    for (let i = 0; i < 7; i += 1) alone.push((await correct(i)).ms.total);
    await Promise.all(files.map((_, i) => correct(i)));
    const ms = { decode: 0, preprocess: 0, postprocess: 0 };
    let done = 0;
    const round = async (): Promise<number> => {
      let doneNow = 0;
      const startedAt = performance.now();
      const until = startedAt + seconds * 1000;
      await Promise.all(
        Array.from({ length: corrector.concurrency + 2 }, async (_, i) => {
          while (performance.now() < until) {
            const corrected = await correct(i + doneNow);
            doneNow += 1;
            for (const part of ['decode', 'preprocess', 'postprocess'] as const)
              ms[part] += corrected.ms[part];
          }
        }),
      );
      done += doneNow;
      return doneNow / ((performance.now() - startedAt) / 1000);
    };
    // Turn by turn with the engine alone, so that whatever else the machine does weighs on both.
    const through: number[] = [];
    const ratios: number[] = [];
    for (let i = 0; i < ROUNDS; i += 1) {
      const raw = await engineThroughput(engine, side, batch, seconds);
      through.push(await round());
      ratios.push(through.at(-1)! / raw);
    }
    return {
      slicesPerSecond: median(through),
      ratio: median(ratios),
      latencyMs: median(alone),
      ms: { decode: ms.decode / done, preprocess: ms.preprocess / done, postprocess: ms.postprocess / done },
    };
  } finally {
    await corrector.close();
  }
}

interface PytorchLine {
  batch: number;
  side: number;
  slicesPerSecond: number;
  version: string;
}

/** PyTorch's figures for the same network, or why there are none. */
async function pytorch(model: LoadedModel, engine: Engine, seconds: number): Promise<PytorchLine[] | string> {
  const network = networkSchema.safeParse(model.manifest.network);
  if (!network.success) return 'the manifest does not tell the shape of the network';
  const { threads } = engine.describe();
  if (threads === 0) return 'the engine is a GPU, PyTorch would run on the processor';
  if (!existsSync(PYTHON)) return `${PYTHON} is not there`;
  const { width, levels, maximumWidth, stem, stages } = network.data;
  // The script is not compiled, so it lies in the source tree: dist/test/bench → test/bench.
  const script = fileURLToPath(new URL('../../../test/bench/pytorch.py', import.meta.url));
  const sizes = SIDES.flatMap((side) => BATCHES.map((batch) => `${batch}x${side}`));
  const args = [width, levels, maximumWidth, stem, stages, threads, seconds / 2].map(String);
  try {
    const { stdout } = await promisify(execFile)(PYTHON, [script, ...args, ...sizes], { timeout: 600_000 });
    return stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as PytorchLine);
  } catch (error) {
    const text = error instanceof Error ? error.message : String(error);
    return text.includes('No module named')
      ? 'PyTorch is not installed'
      : text.split('\n').slice(0, 3).join(' ');
  }
}

function option(args: readonly string[], name: string, otherwise: string): string {
  const at = args.indexOf(name);
  return at >= 0 ? (args[at + 1] ?? otherwise) : otherwise;
}

export const bench: Bench = async ({ args, log }) => {
  const seconds = Number(option(args, '--seconds', '4'));
  const model = await loadModel(option(args, '--model', process.env.MCNET_MODEL ?? 'models/mcnet'));
  const engine = await openEngine('auto', model);
  const { engine: name, device, threads, version } = engine.describe();
  log(
    `model ${model.manifest.name} ${model.manifest.version}; engine ${name} (${device}, ${threads} threads, ${version})`,
  );

  const figures: Record<string, number | string> = { engine: name, model: model.manifest.name };
  const ratios: Record<string, number> = {};
  /** The fastest batch size and its slices a second, by side. */
  const best = new Map<number, { batch: number; slicesPerSecond: number }>();
  const rows: string[][] = [['slices/s', ...SIDES.map((side) => `${side}²`)]];
  const round = (value: number): number => Number(value.toPrecision(4));
  try {
    const other = args.includes('--no-pytorch') ? 'not wanted' : await pytorch(model, engine, seconds);
    for (const batch of BATCHES) {
      const row = [`engine, batch ${batch}`];
      for (const side of SIDES) {
        const value = await engineThroughput(engine, side, batch, seconds);
        figures[`engine_${side}_batch${batch}`] = round(value);
        if (value > (best.get(side)?.slicesPerSecond ?? 0)) best.set(side, { batch, slicesPerSecond: value });
        row.push(value.toFixed(1));
      }
      rows.push(row);
    }
    const correctorRow = ['corrector'];
    const details: string[] = [];
    for (const side of SIDES) {
      const value = await correctorThroughput(model, engine, side, best.get(side)!.batch, seconds);
      const alone = await aloneMs(engine, side, seconds / 2);
      figures[`corrector_${side}`] = round(value.slicesPerSecond);
      figures[`engine_${side}_aloneMs`] = round(alone);
      figures[`corrector_${side}_aloneMs`] = round(value.latencyMs);
      for (const [part, ms] of Object.entries(value.ms)) figures[`corrector_${side}_${part}Ms`] = round(ms);
      ratios[`corrector_vs_engine_${side}`] = round(value.ratio);
      correctorRow.push(value.slicesPerSecond.toFixed(1));
      details.push(
        `${side}²: alone ${alone.toFixed(1)} ms in the engine, ${value.latencyMs.toFixed(1)} ms through the corrector; ` +
          `a slice under load: decode ${value.ms.decode.toFixed(2)}, preprocess ${value.ms.preprocess.toFixed(2)}, postprocess ${value.ms.postprocess.toFixed(2)} ms`,
      );
    }
    rows.push(correctorRow);
    if (typeof other === 'string') {
      figures.pytorch = `skipped: ${other}`;
      rows.push([`PyTorch (skipped: ${other})`, ...SIDES.map(() => '')]);
    } else {
      figures.pytorch = other[0]!.version;
      for (const batch of BATCHES) {
        const row = [`PyTorch ${other[0]!.version}, batch ${batch}`];
        for (const side of SIDES) {
          const value = other.find((line) => line.batch === batch && line.side === side)!.slicesPerSecond;
          figures[`pytorch_${side}_batch${batch}`] = round(value);
          row.push(value.toFixed(1));
        }
        rows.push(row);
      }
      for (const side of SIDES) {
        const theirs = Math.max(
          ...other.filter((line) => line.side === side).map((line) => line.slicesPerSecond),
        );
        ratios[`engine_vs_pytorch_${side}`] = round(best.get(side)!.slicesPerSecond / theirs);
      }
    }
    log(table(rows));
    for (const line of details) log(line);
  } finally {
    await engine.close();
  }
  return { figures, ratios };
};
