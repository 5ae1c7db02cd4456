/** One replica's thread: the gradient of its slices, and its part of the update. */
import { parentPort, workerData } from 'node:worker_threads';
import { type SessionOptions, StepSession, StepState } from '../../compile/index.js';
import { type CaptureConfig, captureGradients, firstValues, gradientName } from '../captures.js';
import { messageOf } from '../errors.js';
import { SessionCache } from '../session-cache.js';
import { Abandoned, giveUp, meet, type SharedMemory } from './shared.js';
import { type Update, updatePart } from './update.js';

/** What a replica is started with. */
export interface ReplicaData {
  readonly replica: number;
  readonly config: CaptureConfig;
  readonly memory: SharedMemory;
  readonly sessions: number;
}

/** A replica's part of a batch; without slices it takes part in the update only. */
export interface ReplicaTask extends Update {
  readonly slices?: {
    readonly count: number;
    readonly rows: number;
    readonly columns: number;
    readonly corrupted: Float32Array;
    readonly clean: Float32Array;
    /** Threads that this replica's step may use: more than one where a batch has fewer slices than there are replicas. */
    readonly threads: number;
  };
}

/** Loss and terms of the replica's slices, and the norm of the whole gradient. */
export type ReplicaAnswer =
  | { readonly results: Readonly<Record<string, number>>; readonly norm: number }
  | {
      readonly error: string;
      /** It is another replica that failed: this one waited for it. */
      readonly waited: boolean;
    };

const { replica, config, memory, sessions } = workerData as ReplicaData;
const { initial } = firstValues(config);
const state = new StepState();
const cache = new SessionCache<StepSession>(sessions);
const values = new Float32Array(memory.values);
const gradients = new Float32Array(memory.gradients[replica]!);

async function gradientOf(
  slices: NonNullable<ReplicaTask['slices']>,
): Promise<Readonly<Record<string, number>>> {
  const { count, rows, columns, threads, corrupted, clean } = slices;
  const session = await cache.get(`${count}x${rows}x${columns}x${threads}`, () => {
    const step = captureGradients(config, slices);
    state.declare(
      step.variables,
      (name) => initial.get(name) ?? new Float32Array(initial.get(name.replace(/\/gradient$/, ''))!.length),
    );
    const options: SessionOptions = { threads, spin: threads > 1 };
    return StepSession.create(step, options);
  });
  for (const { name, offset, size } of memory.places) {
    state.live(name).set(values.subarray(offset, offset + size));
  }
  const results = await session.run(state, { corrupted, clean });
  for (const { name, offset } of memory.places) {
    gradients.set(state.live(offset < memory.learned ? gradientName(name) : name), offset);
  }
  return Object.fromEntries(Object.entries(results).map(([name, [value]]) => [name, value!]));
}

async function work(task: ReplicaTask): Promise<ReplicaAnswer> {
  try {
    const results = task.slices === undefined ? {} : await gradientOf(task.slices);
    meet(memory);
    const norm = updatePart(memory, replica, config.adam, task);
    return { results, norm };
  } catch (error) {
    giveUp(memory);
    return { error: messageOf(error), waited: error instanceof Abandoned };
  }
}

/** As with the simulation's threads: one that ends while V8 still optimises takes the process of Node 20 down. */
const REST_MS = 300;

parentPort?.on('message', async (task: ReplicaTask | null) => {
  if (task === null) {
    await cache.releaseAll();
    setTimeout(() => parentPort?.close(), REST_MS);
    return;
  }
  parentPort?.postMessage(await work(task));
});
