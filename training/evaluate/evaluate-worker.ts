/** One worker thread of evaluateDataset: batches of sample numbers in, their figures out; an empty batch ends it. */
import { parentPort, workerData } from 'node:worker_threads';
import { openDataset } from '../simulation/index.js';
import type { BatchAnswer, BatchTask, WorkerSetting } from './evaluate-dataset.js';
import type { SliceCorrector } from './model.js';
import { compareSlice, prepareReference, type Reference, type SliceFigures } from './similarity.js';

const { models, dataset: folder, input } = workerData as WorkerSetting;
const dataset = openDataset(folder);
let correctors: SliceCorrector[] | undefined;
let last: { key: string; reference: Reference } | undefined;

async function measure(task: BatchTask): Promise<{ corrupted: SliceFigures; corrected: SliceFigures[] }[]> {
  if (correctors === undefined) {
    correctors = [];
    if (models.length > 0) {
      // measuring corrupted slices alone needs no inference runtime, whose loading takes longer than many slices
      const { openCorrector } = await import('./model.js');
      for (const model of models) correctors.push(await openCorrector(model));
    }
  }
  const pairs = task.map((i) => {
    const { clean, corrupted } = dataset.read(i);
    return { clean, image: input === 'clean' ? clean : corrupted };
  });
  const { rows, columns } = dataset.samples[task[0]!]!;
  const outputs: Float32Array[][] = [];
  for (const corrector of correctors) {
    outputs.push(
      await corrector.correct(
        pairs.map((pair) => pair.image),
        rows,
        columns,
      ),
    );
  }
  return task.map((i, at) => {
    const sample = dataset.samples[i]!;
    const key = `${sample.shard}:${sample.cleanOffset}`;
    if (last?.key !== key) {
      last = { key, reference: prepareReference(pairs[at]!.clean, rows, columns) };
    }
    const { reference } = last;
    return {
      corrupted: compareSlice(pairs[at]!.image, reference),
      corrected: outputs.map((images) => compareSlice(images[at]!, reference)),
    };
  });
}

/** A thread that ends while V8 still optimises its code takes the process down: see the simulation's worker. */
const REST_MS = 300;

parentPort?.on('message', async (task: BatchTask) => {
  if (task.length === 0) {
    for (const corrector of correctors ?? []) await corrector.close();
    dataset.close();
    setTimeout(() => parentPort?.close(), REST_MS);
    return;
  }
  let answer: BatchAnswer;
  try {
    answer = { figures: await measure(task) };
  } catch (error) {
    answer = { error: error instanceof Error ? error.message : String(error) };
  }
  parentPort?.postMessage(answer);
});
