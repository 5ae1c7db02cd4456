import {
  type Normalisation,
  paddedLayout,
  padScaled,
  robustScale,
  zeroLevel,
} from '../../src/inference/preprocess/index.js';
import { createRandom, type Random } from '../data/index.js';
import type { TrainingSamples } from './dataset.js';

/** Images of one batch, row-major [count, rows, columns, 1], divided by the corrupted image's robust scale. */
export interface Batch {
  count: number;
  rows: number;
  columns: number;
  corrupted: Float32Array<ArrayBuffer>;
  clean: Float32Array<ArrayBuffer>;
}

export interface BatchConfig {
  /** Slices of a batch at 128×128; larger matrices get fewer, at least one, for the same number of pixels. */
  batch: number;
  /** Rows and columns are padded to multiples of this. */
  multiple: number;
  normalisation: Normalisation;
  /** Flips, transpositions of square images, and a random gain. */
  augment: boolean;
  /** So many batches of one shape follow each other, where there are as many (default 1). */
  together?: number;
}

/** Which samples form a batch: all of one padded shape. */
export interface BatchPlan {
  rows: number;
  columns: number;
  samples: readonly number[];
}

const referencePixels = 128 * 128;

/** Slices of a batch of this padded shape. */
export function batchSize(config: BatchConfig, rows: number, columns: number): number {
  return Math.max(1, Math.round((config.batch * referencePixels) / (rows * columns)));
}

/**
 * The batches of one epoch: samples grouped by padded shape, shuffled inside their group, and the batches of all
 * groups shuffled together. A function of seed and epoch, so that a run resumes exactly. What is left of a group
 * after its whole batches waits for another epoch's order; a group smaller than one batch repeats its samples.
 */
export function planEpoch(
  samples: Pick<TrainingSamples, 'count' | 'shapeOf'>,
  config: BatchConfig,
  seed: number,
  epoch: number,
): BatchPlan[] {
  const random = createRandom(seed, 'epoch', epoch);
  const groups = new Map<string, { rows: number; columns: number; samples: number[] }>();
  for (let index = 0; index < samples.count; index += 1) {
    const shape = samples.shapeOf(index);
    const { rows, columns } = paddedLayout(shape.rows, shape.columns, config.multiple);
    const key = `${rows}x${columns}`;
    const group = groups.get(key) ?? { rows, columns, samples: [] };
    group.samples.push(index);
    groups.set(key, group);
  }
  const together = config.together ?? 1;
  const plans: BatchPlan[][] = [];
  for (const { rows, columns, samples: members } of groups.values()) {
    const size = batchSize(config, rows, columns);
    shuffle(members, random);
    const batches = Math.max(1, Math.floor(members.length / size));
    for (let batch = 0; batch < batches; batch += 1) {
      const chosen = Array.from({ length: size }, (_, i) => members[(batch * size + i) % members.length]!);
      if (batch % together === 0) plans.push([]);
      plans.at(-1)!.push({ rows, columns, samples: chosen });
    }
  }
  shuffle(plans, random);
  return plans.flat();
}

/** Reads, normalises, pads and augments the slices of a batch; augmentation is a function of seed and epoch. */
export function readBatch(
  samples: TrainingSamples,
  plan: BatchPlan,
  config: BatchConfig,
  seed: number,
  epoch: number,
): Batch {
  const { rows, columns } = plan;
  const count = plan.samples.length;
  const size = rows * columns;
  const corrupted = new Float32Array(count * size);
  const clean = new Float32Array(count * size);
  plan.samples.forEach((index, slot) => {
    const pair = samples.read(index);
    const layout = paddedLayout(pair.rows, pair.columns, config.multiple);
    const random = createRandom(seed, 'augment', epoch, index, slot);
    const gain = config.augment ? Math.exp(random.between(-0.1, 0.1)) : 1;
    const scale = robustScale(pair.corrupted, pair.rows, pair.columns, config.normalisation);
    if (scale === 0) return;
    const zero = zeroLevel(pair.corrupted);
    const turn = config.augment ? randomTurn(random, rows === columns) : identity;
    const place = (image: Float32Array, into: Float32Array) =>
      into.set(
        turned(padScaled(image, pair.rows, pair.columns, layout, zero, scale / gain), rows, columns, turn),
        slot * size,
      );
    place(pair.corrupted, corrupted);
    place(pair.clean, clean);
  });
  return { count, rows, columns, corrupted, clean };
}

interface Turn {
  transpose: boolean;
  flipRows: boolean;
  flipColumns: boolean;
}

const identity: Turn = { transpose: false, flipRows: false, flipColumns: false };

function randomTurn(random: Random, square: boolean): Turn {
  return {
    flipRows: random.uniform() < 0.5,
    flipColumns: random.uniform() < 0.5,
    transpose: square && random.uniform() < 0.5,
  };
}

function turned(image: Float32Array, rows: number, columns: number, turn: Turn): Float32Array {
  const { transpose, flipRows, flipColumns } = turn;
  if (!transpose && !flipRows && !flipColumns) return image;
  const result = new Float32Array(image.length);
  for (let row = 0; row < rows; row += 1) {
    for (let column = 0; column < columns; column += 1) {
      const r = flipRows ? rows - 1 - row : row;
      const c = flipColumns ? columns - 1 - column : column;
      result[row * columns + column] = image[transpose ? c * columns + r : r * columns + c]!;
    }
  }
  return result;
}

function shuffle<T>(list: T[], random: Random): void {
  for (let i = list.length - 1; i > 0; i -= 1) {
    const j = random.integer(i + 1);
    [list[i], list[j]] = [list[j]!, list[i]!];
  }
}
