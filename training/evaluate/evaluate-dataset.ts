import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';
import type { Coverage, SlicePlane } from '../data/index.js';
import { openDataset, type PhaseEncodingDirection, type SampleRecord } from '../simulation/index.js';
import { EvaluationError, type ModelFolder, readModelFolder } from './model.js';
import type { SliceFigures } from './similarity.js';

/** One slice of a data set, compared with its clean original before and after each model. */
export interface SliceRow {
  /** Number of the sample in the data set. */
  readonly sample: number;
  readonly subject: string;
  readonly coverage: Coverage;
  readonly plane: SlicePlane;
  /** mm from the middle of the volume. */
  readonly position: number;
  readonly trace: string | null;
  readonly factor: number;
  readonly motion: SampleRecord['motion'];
  readonly direction: PhaseEncodingDirection;
  /** Motion magnitude: standard deviations over the lines, degrees and mm. */
  readonly rotation: number;
  readonly translation: number;
  readonly corrupted: SliceFigures;
  /** In the order of the models given. */
  readonly corrected: readonly SliceFigures[];
}

/** Which images the models get: the corrupted ones, or every motion-free slice once (the do-no-harm measure). */
export type EvaluationInput = 'corrupted' | 'clean';

export interface EvaluateOptions {
  /** Model folders; may be empty, then only the corrupted images are measured. */
  readonly models: readonly string[];
  /** A data set folder. */
  readonly dataset: string;
  readonly input?: EvaluationInput;
  /** At most so many slices, evenly spread over the data set. */
  readonly limit?: number;
  /** Worker threads, each with one inference thread; default half of the machine's cores. */
  readonly threads?: number;
  readonly batch?: number;
  readonly onProgress?: (done: number, total: number) => void;
}

export interface Evaluation {
  readonly models: readonly ModelFolder[];
  /** SHA-256 of the data set. */
  readonly dataset: string;
  readonly rows: readonly SliceRow[];
}

/** What a worker is set up with. */
export interface WorkerSetting {
  readonly models: readonly ModelFolder[];
  readonly dataset: string;
  readonly input: EvaluationInput;
}

/** Samples of one size. */
export type BatchTask = readonly number[];

export type BatchAnswer =
  | { readonly figures: readonly { corrupted: SliceFigures; corrected: SliceFigures[] }[] }
  | { readonly error: string };

/** The samples that are evaluated: those with motion, or each clean slice once; thinned evenly to `limit`. */
export function selectForEvaluation(
  samples: readonly SampleRecord[],
  input: EvaluationInput,
  limit = Number.POSITIVE_INFINITY,
): number[] {
  const seen = new Set<string>();
  const all: number[] = [];
  samples.forEach((sample, i) => {
    if (input === 'clean') {
      const key = `${sample.shard}:${sample.cleanOffset}`;
      if (seen.has(key)) return;
      seen.add(key);
    } else if (sample.motion === 'none') return;
    all.push(i);
  });
  if (all.length <= limit) return all;
  return Array.from({ length: limit }, (_, i) => all[Math.floor((i * all.length) / limit)]!);
}

function batchesOf(samples: readonly SampleRecord[], chosen: readonly number[], size: number): number[][] {
  const groups = new Map<string, number[]>();
  for (const i of chosen) {
    const key = `${samples[i]!.rows}x${samples[i]!.columns}`;
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [i]);
    else group.push(i);
  }
  const batches: number[][] = [];
  for (const group of groups.values()) {
    for (let at = 0; at < group.length; at += size) batches.push(group.slice(at, at + size));
  }
  return batches;
}

/**
 * Runs models over a data set and compares every slice with its clean original. Rows are in the data set's order, whatever the
 * number of threads.
 *
 * @throws EvaluationError for a model that cannot be loaded or run, DatasetError for a folder that is no data set
 */
export async function evaluateDataset(options: EvaluateOptions): Promise<Evaluation> {
  const models = options.models.map(readModelFolder);
  const input = options.input ?? 'corrupted';
  const dataset = openDataset(options.dataset);
  const { samples, digest } = dataset;
  dataset.close();
  const chosen = selectForEvaluation(samples, input, options.limit);
  const tasks = batchesOf(samples, chosen, options.batch ?? 12);
  const measured = new Map<number, { corrupted: SliceFigures; corrected: SliceFigures[] }>();
  options.onProgress?.(0, chosen.length);
  const threads = Math.max(
    1,
    Math.min(options.threads ?? Math.ceil(availableParallelism() / 2), tasks.length),
  );
  await runWorkers(threads, { models, dataset: options.dataset, input }, tasks, (task, figures) => {
    task.forEach((sample, i) => {
      measured.set(sample, figures[i]!);
    });
    options.onProgress?.(measured.size, chosen.length);
  });
  const rows = chosen.map((i) => {
    const { corrupted, corrected } = measured.get(i)!;
    return sliceRow(samples[i]!, i, input, corrupted, corrected);
  });
  return { models, dataset: digest, rows };
}

/** The facts of a sample beside its figures. */
export function sliceRow(
  sample: SampleRecord,
  place: number,
  input: EvaluationInput,
  corrupted: SliceFigures,
  corrected: readonly SliceFigures[],
): SliceRow {
  const still = input === 'clean';
  return {
    sample: place,
    subject: sample.volume,
    coverage: sample.coverage,
    plane: sample.plane,
    position: sample.position,
    trace: still ? null : sample.trace,
    factor: still ? 0 : sample.factor,
    motion: still ? 'none' : sample.motion,
    direction: sample.direction,
    rotation: still ? 0 : sample.rotationDeviation,
    translation: still ? 0 : sample.translationDeviation,
    corrupted,
    corrected,
  };
}

async function runWorkers(
  count: number,
  setting: WorkerSetting,
  tasks: readonly BatchTask[],
  onDone: (
    task: BatchTask,
    figures: readonly { corrupted: SliceFigures; corrected: SliceFigures[] }[],
  ) => void,
): Promise<void> {
  const queue = [...tasks];
  const runOne = (): Promise<void> =>
    new Promise((resolve, reject) => {
      const worker = new Worker(new URL('./evaluate-worker.js', import.meta.url), { workerData: setting });
      let current: BatchTask | undefined;
      let failure: Error | undefined;
      // an empty task lets the worker release its sessions and end by itself
      const next = (): void => {
        current = failure === undefined ? queue.shift() : undefined;
        worker.postMessage(current ?? []);
      };
      const fail = (error: unknown): void => {
        failure ??= error instanceof Error ? error : new Error(String(error));
        queue.length = 0;
      };
      worker.on('message', (answer: BatchAnswer) => {
        if ('error' in answer) fail(new EvaluationError(answer.error));
        else {
          try {
            onDone(current!, answer.figures);
          } catch (error) {
            fail(error);
          }
        }
        next();
      });
      worker.on('error', fail);
      worker.on('exit', () => {
        if (failure !== undefined) reject(failure);
        else resolve();
      });
      next();
    });
  if (tasks.length === 0) return;
  const results = await Promise.allSettled(Array.from({ length: count }, runOne));
  for (const result of results) if (result.status === 'rejected') throw result.reason;
}
