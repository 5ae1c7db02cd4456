import { createHash } from 'node:crypto';
import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readFileSync,
  readSync,
  renameSync,
  statSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { type CatalogueEntry, volumeDigest } from '../data/index.js';
import type { MotionTrace } from '../motion/index.js';
import { type Recipe, SIMULATION_VERSION } from './recipe.js';
import type { SampleFacts } from './sample.js';

/** One pair of slices in a data set. */
export interface SampleRecord extends SampleFacts {
  /** Number of the shard file. */
  readonly shard: number;
  /** Byte offsets of the two images in it, rows × columns little-endian uint16 each; value = stored · unit. */
  readonly cleanOffset: number;
  readonly corruptedOffset: number;
  readonly cleanUnit: number;
  readonly corruptedUnit: number;
}

export interface DatasetIndex {
  readonly version: number;
  /** SHA-256 of recipe, volumes and traces. */
  readonly digest: string;
  readonly recipe: Recipe;
  readonly shards: readonly { readonly file: string; readonly bytes: number }[];
  readonly samples: readonly SampleRecord[];
}

/** A data set on disk, open for reading. */
export interface Dataset {
  readonly folder: string;
  readonly digest: string;
  readonly recipe: Recipe;
  readonly samples: readonly SampleRecord[];
  /** Both images of sample i, row-major, in the units of the volume it came from; new arrays each time. */
  read(i: number): { clean: Float32Array; corrupted: Float32Array };
  close(): void;
}

/** Why a data set cannot be made or read. */
export class DatasetError extends Error {
  override readonly name = 'DatasetError';
}

export interface MakeDatasetOptions {
  readonly recipe: Recipe;
  readonly volumes: readonly CatalogueEntry[];
  readonly traces: readonly MotionTrace[];
  /** Data sets are kept in folders of this one, named by recipe and digest. */
  readonly cache: string;
  /** Worker threads; default the machine's cores. */
  readonly workers?: number;
  /** Called whenever a volume is done. */
  readonly onProgress?: (done: number, total: number, samples: number) => void;
}

/** What a worker is told to do. */
export interface ShardTask {
  readonly shard: number;
  readonly volume: CatalogueEntry;
}

export function shardFile(shard: number): string {
  return `shard-${String(shard).padStart(4, '0')}.bin`;
}

export function shardRecordsFile(shard: number): string {
  return `shard-${String(shard).padStart(4, '0')}.json`;
}

/** SHA-256 over everything that decides the data set's content. */
export function datasetDigest(
  recipe: Recipe,
  volumes: readonly CatalogueEntry[],
  traces: readonly MotionTrace[],
): string {
  const hash = createHash('sha256');
  hash.update(JSON.stringify({ version: SIMULATION_VERSION, recipe }));
  for (const volume of volumes) {
    hash.update(`${volume.name}\t${volume.coverage}\t`);
    hash.update(Buffer.from(volumeDigest(volume.file), 'hex'));
  }
  for (const trace of traces) {
    hash.update(`${trace.name}\t${trace.points}\t`);
    hash.update(
      new Uint8Array(trace.parameters.buffer, trace.parameters.byteOffset, trace.parameters.byteLength),
    );
  }
  return hash.digest('hex');
}

/** Where a data set is kept in a cache. */
export function datasetFolder(cache: string, recipe: Pick<Recipe, 'name' | 'part'>, digest: string): string {
  return join(cache, `${recipe.name}-${recipe.part}-${digest.slice(0, 12)}`);
}

/** Whether a data set was made to its end: its index is written last. */
export function isWhole(folder: string): boolean {
  return existsSync(join(folder, 'index.json'));
}

/**
 * Makes a data set on worker threads, one shard per volume, and opens it. Deterministic: the same recipe, volumes and traces give
 * the same bytes with any number of workers. Files are written under another name and renamed, index.json last, so a
 * folder with an index is whole; after an interruption the finished shards are kept and the rest is made.
 *
 * @throws DatasetError when there are no volumes or a worker fails (its message names the volume)
 */
export async function makeDataset(options: MakeDatasetOptions): Promise<Dataset> {
  const { recipe, volumes, traces } = options;
  if (volumes.length === 0) throw new DatasetError(`recipe ${recipe.name}: there are no volumes`);
  if (traces.length === 0) throw new DatasetError(`recipe ${recipe.name}: there are no motion traces`);
  const digest = datasetDigest(recipe, volumes, traces);
  const folder = datasetFolder(options.cache, recipe, digest);
  if (isWhole(folder)) return openDataset(folder);
  mkdirSync(folder, { recursive: true });
  const tasks = volumes.map((volume, shard): ShardTask => ({ shard, volume }));
  const records = new Map<number, SampleRecord[]>();
  const left: ShardTask[] = [];
  for (const task of tasks) {
    const done = readShardRecords(folder, task.shard);
    if (done === null) left.push(task);
    else records.set(task.shard, done);
  }
  const report = (): void => {
    let samples = 0;
    for (const list of records.values()) samples += list.length;
    options.onProgress?.(records.size, tasks.length, samples);
  };
  report();
  const workers = Math.max(1, Math.min(options.workers ?? availableParallelism(), left.length));
  await runWorkers(workers, { recipe, traces, folder }, left, (shard) => {
    const done = readShardRecords(folder, shard);
    if (done === null)
      throw new DatasetError(`${join(folder, shardFile(shard))}: not written whole; is the disk full?`);
    records.set(shard, done);
    report();
  });
  const shards = tasks.map((task) => ({
    file: shardFile(task.shard),
    bytes: statSync(join(folder, shardFile(task.shard))).size,
  }));
  const samples = tasks.flatMap((task) => records.get(task.shard)!);
  if (samples.length === 0) {
    throw new DatasetError(`recipe ${recipe.name}: no slice of any volume shows enough of a head`);
  }
  const index: DatasetIndex = { version: SIMULATION_VERSION, digest, recipe, shards, samples };
  writeWhole(join(folder, 'index.json'), JSON.stringify(index));
  return openDataset(folder);
}

/** Writes a file under another name and renames it; on failure removes what was written and says which file. */
export function writeWhole(file: string, content: string | Uint8Array): void {
  try {
    writeFileSync(`${file}.tmp`, content);
    renameSync(`${file}.tmp`, file);
  } catch (error) {
    if (existsSync(`${file}.tmp`)) unlinkSync(`${file}.tmp`);
    throw new DatasetError(
      `${file}: cannot be written: ${error instanceof Error ? error.message : String(error)}`,
    );
  }
}

function readShardRecords(folder: string, shard: number): SampleRecord[] | null {
  const records = join(folder, shardRecordsFile(shard));
  const data = join(folder, shardFile(shard));
  if (!existsSync(records) || !existsSync(data)) return null;
  const parsed = JSON.parse(readFileSync(records, 'utf8')) as { bytes: number; samples: SampleRecord[] };
  return statSync(data).size === parsed.bytes ? parsed.samples : null;
}

interface WorkerSetting {
  readonly recipe: Recipe;
  readonly traces: readonly MotionTrace[];
  readonly folder: string;
}

/** What a worker answers for a task. */
export type ShardAnswer = { readonly shard: number } | { readonly error: string };

async function runWorkers(
  count: number,
  setting: WorkerSetting,
  tasks: ShardTask[],
  onDone: (shard: number) => void,
): Promise<void> {
  const queue = [...tasks];
  const runOne = (): Promise<void> =>
    new Promise((resolve, reject) => {
      const worker = new Worker(new URL('./dataset-worker.js', import.meta.url), { workerData: setting });
      let failure: Error | undefined;
      const fail = (error: unknown): void => {
        failure ??= error instanceof Error ? error : new Error(String(error));
        queue.length = 0;
      };
      // null lets the worker end by itself
      const next = (): void => worker.postMessage(queue.shift() ?? null);
      worker.on('message', (answer: ShardAnswer) => {
        try {
          if ('error' in answer) throw new DatasetError(answer.error);
          onDone(answer.shard);
        } catch (error) {
          fail(error);
        }
        next();
      });
      worker.on('error', fail);
      worker.on('exit', () => {
        if (failure === undefined) resolve();
        else reject(failure);
      });
      next();
    });
  if (tasks.length === 0) return;
  const results = await Promise.allSettled(Array.from({ length: count }, runOne));
  for (const result of results) if (result.status === 'rejected') throw result.reason;
}

/**
 * Opens a data set folder made by {@link makeDataset}.
 *
 * @throws DatasetError when its index.json is missing, of another version, or a shard is not as long as it says
 */
export function openDataset(folder: string): Dataset {
  const file = join(folder, 'index.json');
  let index: DatasetIndex;
  try {
    index = JSON.parse(readFileSync(file, 'utf8')) as DatasetIndex;
  } catch (error) {
    throw new DatasetError(
      `${file}: not a finished data set: ${error instanceof Error ? error.message : String(error)}`,
    );
  }
  if (index.version !== SIMULATION_VERSION) {
    throw new DatasetError(
      `${file}: made by version ${index.version} of the simulation, this is ${SIMULATION_VERSION}; remove the folder and simulate again`,
    );
  }
  for (const shard of index.shards) {
    const path = join(folder, shard.file);
    if (!existsSync(path) || statSync(path).size !== shard.bytes) {
      throw new DatasetError(`${path}: missing or not whole; remove the folder and simulate again`);
    }
  }
  const handles = new Map<number, number>();
  const readImage = (shard: number, offset: number, pixels: number, unit: number): Float32Array => {
    let handle = handles.get(shard);
    if (handle === undefined) {
      handle = openSync(join(folder, index.shards[shard]!.file), 'r');
      handles.set(shard, handle);
    }
    const stored = new Uint16Array(pixels);
    const bytes = new Uint8Array(stored.buffer);
    let got = 0;
    while (got < bytes.length) {
      const count = readSync(handle, bytes, got, bytes.length - got, offset + got);
      if (count === 0) throw new DatasetError(`${join(folder, index.shards[shard]!.file)}: ends too early`);
      got += count;
    }
    const image = new Float32Array(pixels);
    for (let i = 0; i < pixels; i++) image[i] = stored[i]! * unit;
    return image;
  };
  return {
    folder,
    digest: index.digest,
    recipe: index.recipe,
    samples: index.samples,
    read(i) {
      const sample = index.samples[i];
      if (sample === undefined) {
        throw new RangeError(`${folder}: there is no sample ${i} of ${index.samples.length}`);
      }
      const pixels = sample.rows * sample.columns;
      return {
        clean: readImage(sample.shard, sample.cleanOffset, pixels, sample.cleanUnit),
        corrupted: readImage(sample.shard, sample.corruptedOffset, pixels, sample.corruptedUnit),
      };
    },
    close() {
      for (const handle of handles.values()) closeSync(handle);
      handles.clear();
    },
  };
}

/** Samples of each matrix of a data set, as `rows x columns` ↦ sample numbers: batches are drawn within one. */
export function samplesByShape(dataset: Pick<Dataset, 'samples'>): Map<string, number[]> {
  const groups = new Map<string, number[]>();
  dataset.samples.forEach((sample, i) => {
    const key = `${sample.rows}x${sample.columns}`;
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [i]);
    else group.push(i);
  });
  return groups;
}
