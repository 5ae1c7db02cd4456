import type { Dataset } from '../simulation/index.js';

/** Pairs of slices to train on, in raw intensities. */
export interface TrainingSamples {
  readonly count: number;
  /** Names the content, so that a run is not resumed with other data. */
  readonly digest: string;
  shapeOf(index: number): { rows: number; columns: number };
  /** Row-major images, rows × columns, clean and corrupted in the same unit. */
  read(index: number): { clean: Float32Array; corrupted: Float32Array; rows: number; columns: number };
}

/** A simulated data set as training samples. */
export function samplesOf(dataset: Dataset): TrainingSamples {
  const shapeOf = (index: number) => {
    const sample = dataset.samples[index];
    if (sample === undefined) throw new RangeError(`${dataset.folder}: there is no sample ${index}`);
    return { rows: sample.rows, columns: sample.columns };
  };
  return {
    count: dataset.samples.length,
    digest: dataset.digest,
    shapeOf,
    read: (index) => ({ ...dataset.read(index), ...shapeOf(index) }),
  };
}

/** Several sets one after another, as one. */
export function joinSamples(sets: readonly TrainingSamples[]): TrainingSamples {
  const starts = sets.map((_, set) => sets.slice(0, set).reduce((sum, before) => sum + before.count, 0));
  const count = sets.reduce((sum, set) => sum + set.count, 0);
  const locate = (index: number): [TrainingSamples, number] => {
    const set = starts.findLastIndex((start) => start <= index);
    if (set < 0 || index >= count) throw new RangeError(`there is no sample ${index} of ${count}`);
    return [sets[set]!, index - starts[set]!];
  };
  return {
    count,
    digest: sets.map((set) => set.digest).join('+'),
    shapeOf(index) {
      const [set, inside] = locate(index);
      return set.shapeOf(inside);
    },
    read(index) {
      const [set, inside] = locate(index);
      return set.read(inside);
    },
  };
}

/** A part of the samples, chosen by their numbers. */
export function selectSamples(samples: TrainingSamples, chosen: readonly number[]): TrainingSamples {
  const at = (index: number): number => {
    const number = chosen[index];
    if (number === undefined) throw new RangeError(`there is no sample ${index} of ${chosen.length}`);
    return number;
  };
  return {
    count: chosen.length,
    digest: samples.digest,
    shapeOf: (index) => samples.shapeOf(at(index)),
    read: (index) => samples.read(at(index)),
  };
}
