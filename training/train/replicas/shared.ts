/** What the replicas of a training run share, and how they wait for each other. */

/** Where a weight's values lie in the shared arrays, in the order of the graph's layout. */
export interface Place {
  readonly name: string;
  readonly offset: number;
  readonly size: number;
}

/** Shared memory of all replicas, as it is handed to their threads. */
export interface SharedMemory {
  readonly replicas: number;
  readonly places: readonly Place[];
  /** So many values come first that are learned by their gradient; moving statistics follow. */
  readonly learned: number;
  /** Values, Adam's moments and the moving averages of all weights: float32. */
  readonly values: SharedArrayBuffer;
  readonly first: SharedArrayBuffer;
  readonly second: SharedArrayBuffer;
  readonly averages: SharedArrayBuffer;
  /** Of each replica: the gradient of its slices, and the moving statistics after them. */
  readonly gradients: readonly SharedArrayBuffer[];
  /** Of each replica: the squared norm of its part of the gradient, float64. */
  readonly norms: SharedArrayBuffer;
  /** int32: how many have come to the barrier, how often it has opened, whether the run is given up. */
  readonly barrier: SharedArrayBuffer;
}

export function createSharedMemory(
  weights: readonly { name: string; size: number; isLearned: boolean }[],
  replicas: number,
): SharedMemory {
  const places: Place[] = [];
  let offset = 0;
  let learned = 0;
  for (const { name, size, isLearned } of [
    ...weights.filter((weight) => weight.isLearned),
    ...weights.filter((weight) => !weight.isLearned),
  ]) {
    places.push({ name, offset, size });
    offset += size;
    if (isLearned) learned = offset;
  }
  const floats = () => new SharedArrayBuffer(4 * offset);
  return {
    replicas,
    places,
    learned,
    values: floats(),
    first: floats(),
    second: floats(),
    averages: floats(),
    gradients: Array.from({ length: replicas }, floats),
    norms: new SharedArrayBuffer(8 * replicas),
    barrier: new SharedArrayBuffer(12),
  };
}

const [arrived, opened, abandoned] = [0, 1, 2];
const LOOK_EVERY_MS = 200;

/** Another replica has failed. */
export class Abandoned extends Error {}

/**
 * Blocks until every replica is here.
 *
 * @throws Abandoned when the run was given up meanwhile
 */
export function meet({ barrier, replicas }: SharedMemory): void {
  const state = new Int32Array(barrier);
  const round = Atomics.load(state, opened);
  if (Atomics.add(state, arrived, 1) + 1 === replicas) {
    Atomics.store(state, arrived, 0);
    Atomics.add(state, opened, 1);
    Atomics.notify(state, opened);
    return;
  }
  while (Atomics.load(state, opened) === round) {
    if (Atomics.load(state, abandoned) !== 0) throw new Abandoned('another replica has failed');
    Atomics.wait(state, opened, round, LOOK_EVERY_MS);
  }
}

/** Lets nobody wait any more for a replica that will not come. */
export function giveUp({ barrier }: SharedMemory): void {
  const state = new Int32Array(barrier);
  Atomics.store(state, abandoned, 1);
  Atomics.notify(state, opened);
}
