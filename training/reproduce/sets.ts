import type { CatalogueEntry, Coverage } from '../data/index.js';
import type { MotionKind, MotionTrace } from '../motion/index.js';
import {
  datasetDigest,
  mixedRecipe,
  paperRecipe,
  type Recipe,
  samplesOfVolume,
  severeRecipe,
} from '../simulation/index.js';
import type { Inputs } from './inputs.js';
import type { ReproducePlan } from './plan.js';

/** One data set to simulate. */
export interface SetPlan {
  readonly title: string;
  readonly recipe: Recipe;
  readonly volumes: readonly CatalogueEntry[];
  readonly traces: readonly MotionTrace[];
}

export type Factors = Readonly<Record<MotionKind, number>>;

/** The data sets that one kind of network is trained and validated on. */
export interface TrainingSets {
  readonly training: readonly SetPlan[];
  readonly validation: readonly SetPlan[];
}

/** The data sets of both kinds of networks; factors are those that match the paper's severity. */
export function trainingSets(
  plan: ReproducePlan,
  inputs: Pick<Inputs, 'volumes' | 'traces' | 'heads' | 'coverage'>,
  factors: Factors,
): Record<'paper' | 'product', TrainingSets> {
  const { seed, paper, product } = plan;
  const traces = inputs.traces.paper;
  const stack = (part: 'training' | 'validation', motion: MotionKind, tracesPerSlice: number): SetPlan => ({
    title: `${part}, ${motion}`,
    recipe: paperRecipe({
      part,
      traces: 'paper',
      motion,
      factor: factors[motion],
      tracesPerSlice,
      slices: paper.slices,
      seed,
    }),
    volumes: inputs.volumes[part],
    traces,
  });
  const mixed = (
    part: 'training' | 'validation',
    samplesPerVolume: number,
    volumes = inputs.volumes[part],
  ): SetPlan => ({
    title: `${part}, native matrices${volumes === inputs.heads ? ', synthetic heads' : ''}`,
    recipe: mixedRecipe({
      part,
      traces: 'paper',
      samplesPerVolume,
      seed,
      ...(part === 'training' ? { motionFree: product.motionFree } : {}),
      ...(product.shapes === undefined ? {} : { shapes: product.shapes }),
    }),
    volumes,
    traces,
  });
  const motions: readonly MotionKind[] = ['rotation', 'rotation+translation'];
  return {
    paper: {
      training: motions.map((motion) => stack('training', motion, paper.tracesPerSlice)),
      validation: motions.map((motion) => stack('validation', motion, paper.validationTraces)),
    },
    product: {
      training: [
        mixed('training', product.samplesPerVolume),
        // as many of each as of a brain-only volume
        ...(inputs.heads.length > 0
          ? [mixed('training', Math.ceil(product.samplesPerVolume / 4), inputs.heads)]
          : []),
        ...motions.map((motion) => stack('training', motion, product.paperTraces[motion])),
        {
          title: 'training, severe and all different',
          recipe: severeRecipe({
            part: 'training',
            traces: 'paper',
            samplesPerVolume: product.severeSamples,
            seed,
          }),
          volumes: inputs.volumes.training,
          traces,
        },
      ],
      validation: [mixed('validation', product.validationSamples)],
    },
  };
}

/** The digest that the data set will have. */
export function digestOf(set: SetPlan): string {
  return datasetDigest(set.recipe, set.volumes, set.traces);
}

/** About how many slices, how many 128 × 128 of them by their pixels, and how many bytes a data set will have. */
export function sizeOf(
  set: SetPlan,
  coverage: ReadonlyMap<string, Coverage>,
): { slices: number; slicesAt128: number; bytes: number } {
  const { sampling } = set.recipe;
  let slices = 0;
  for (const volume of set.volumes) {
    slices += samplesOfVolume(set.recipe, coverage.get(volume.name) ?? 'head', set.traces.length);
  }
  let pixels = 0;
  if (sampling.kind === 'stack') pixels = sampling.rows * sampling.columns;
  else {
    const weights = sampling.shapes.reduce((sum, shape) => sum + shape.weight, 0);
    for (const { rows, columns, weight } of sampling.shapes) pixels += (rows * columns * weight) / weights;
  }
  // a stack's clean slice is stored once for all its traces
  const clean = sampling.kind === 'stack' ? set.volumes.length * sampling.slices : slices;
  return {
    slices,
    slicesAt128: (slices * pixels) / 128 ** 2,
    bytes: 2 * pixels * (slices + clean) + 800 * slices,
  };
}
