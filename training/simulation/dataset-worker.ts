/** One worker thread of makeDataset: a volume in, its shard on disk. */
import { closeSync, openSync, renameSync, unlinkSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { parentPort, workerData } from 'node:worker_threads';
import { checkHead, coverageOf, readVolume } from '../data/index.js';
import type { MotionTrace } from '../motion/index.js';
import {
  type SampleRecord,
  type ShardAnswer,
  type ShardTask,
  shardFile,
  shardRecordsFile,
  writeWhole,
} from './dataset.js';
import type { Recipe } from './recipe.js';
import { simulateVolume } from './sample.js';

const { recipe, traces, folder } = workerData as {
  recipe: Recipe;
  traces: MotionTrace[];
  folder: string;
};

function quantise(image: Float32Array): { stored: Uint16Array; unit: number } {
  let most = 0;
  for (const value of image) if (value > most) most = value;
  const unit = most > 0 ? most / 65535 : 1;
  const stored = new Uint16Array(image.length);
  for (let i = 0; i < image.length; i++) stored[i] = Math.round(Math.max(0, image[i]!) / unit);
  return { stored, unit };
}

async function makeShard({ shard, volume }: ShardTask): Promise<void> {
  const data = await readVolume(volume.file);
  checkHead(data, volume.file);
  const coverage = volume.coverage ?? coverageOf(data);
  const file = join(folder, shardFile(shard));
  const handle = openSync(`${file}.tmp`, 'w');
  const samples: SampleRecord[] = [];
  let offset = 0;
  const append = (image: Float32Array): { offset: number; unit: number } => {
    const { stored, unit } = quantise(image);
    const bytes = new Uint8Array(stored.buffer);
    for (let done = 0; done < bytes.length; ) done += writeSync(handle, bytes, done);
    const at = offset;
    offset += bytes.length;
    return { offset: at, unit };
  };
  try {
    let lastClean: Float32Array | null = null;
    let clean = { offset: 0, unit: 1 };
    for (const sample of simulateVolume(recipe, data, coverage, traces)) {
      if (sample.clean !== lastClean) {
        clean = append(sample.clean);
        lastClean = sample.clean;
      }
      const corrupted = sample.corrupted === sample.clean ? clean : append(sample.corrupted);
      samples.push({
        ...sample.facts,
        shard,
        cleanOffset: clean.offset,
        corruptedOffset: corrupted.offset,
        cleanUnit: clean.unit,
        corruptedUnit: corrupted.unit,
      });
    }
    closeSync(handle);
    renameSync(`${file}.tmp`, file);
  } catch (error) {
    unlinkSync(`${file}.tmp`);
    throw new Error(
      `${file} (from ${volume.file}): ${error instanceof Error ? error.message : String(error)}`,
    );
  }
  writeWhole(join(folder, shardRecordsFile(shard)), JSON.stringify({ bytes: offset, samples }));
}

/**
 * A thread that ends while V8 still optimises its code in the background takes the whole process down (an assertion of Node 20's
 * platform), so it rests for as long before it ends.
 */
const REST_MS = 300;

parentPort?.on('message', async (task: ShardTask | null) => {
  if (task === null) {
    setTimeout(() => parentPort?.close(), REST_MS);
    return;
  }
  let answer: ShardAnswer;
  try {
    await makeShard(task);
    answer = { shard: task.shard };
  } catch (error) {
    answer = { error: error instanceof Error ? error.message : String(error) };
  }
  parentPort?.postMessage(answer);
});
