import type { Coverage, SlicePlane, SplitPart } from '../data/index.js';
import type { MotionKind } from '../motion/index.js';
import type { BendSampling } from './bend.js';
import type { PhaseEncodingDirection } from './in-plane.js';

/** Raised when the simulation's arithmetic changes: cached data sets of other versions are then made anew. */
export const SIMULATION_VERSION = 1;

/** A matrix and how often it is drawn; samples of a batch share one. */
export interface MatrixShape {
  readonly rows: number;
  readonly columns: number;
  readonly weight: number;
}

/** Every slice of a fixed stack with each of a number of traces: the paper's layout. */
export interface StackSampling {
  readonly kind: 'stack';
  readonly plane: SlicePlane;
  readonly rows: number;
  readonly columns: number;
  /** Field of view along the rows' direction in mm by coverage; pixels are square. */
  readonly fieldOfView: Readonly<Record<Coverage, number>>;
  readonly slices: number;
  /** Distance of slices in mm, about the middle of the volume. */
  readonly slicesApart: number;
  /** Slices whose head covers less than this share of the largest slice's head are left out (boundary slices). */
  readonly leastHead: number;
  /** Traces drawn without repetition for each slice; at least as many as there are means all. */
  readonly tracesPerSlice: number;
  readonly factor: number;
  /**
   * What moves. Missing: each slice within its plane. `volume`: the whole volume, resampled to a cube of as many slices as rows,
   * by all six degrees of freedom (3D NuFFT); every slice then has the same traces, and is the cube's nearest to its position.
   */
  readonly moves?: 'volume';
}

/** Random slices, planes, matrices, motions and augmentation: what a product's network is trained on. */
export interface RandomSampling {
  readonly kind: 'random';
  /** Samples a volume, by coverage (so that rarer coverage can be drawn more often). */
  readonly samplesPerVolume: Readonly<Record<Coverage, number>>;
  readonly planes: Readonly<Record<SlicePlane, number>>;
  readonly shapes: readonly MatrixShape[];
  /** Fields of view (along rows and along columns the same pixel size) in mm, drawn uniformly, by coverage. */
  readonly fieldOfView: Readonly<Record<Coverage, readonly [number, number]>>;
  /** Pixel sizes outside this range in mm are drawn again. */
  readonly pixel: readonly [number, number];
  /** Slice thickness in mm. */
  readonly thickness: readonly [number, number];
  /** Slices with a head of less than this share of the image are drawn again. */
  readonly leastHead: number;
  /** Largest distance of a slice from the middle of the volume, mm. */
  readonly offCentre: number;
  /** Factors: low + (high − low) · u^power with u uniform. */
  readonly factor: { readonly low: number; readonly high: number; readonly power: number };
  /** Share of samples without any motion. */
  readonly motionFree: number;
  /** Share of moving samples whose trace is synthetic rather than measured. */
  readonly synthetic: number;
  /** Share of samples with added noise, and its standard deviation as a share of the slice's 99.5th percentile. */
  readonly noise: { readonly share: number; readonly range: readonly [number, number] };
  /** Share of samples of brain-only volumes that get a synthetic skull and scalp. */
  readonly scalp: number;
  /** Mirror images and contrast curves. */
  readonly augment: boolean;
  /** Heads drawn out of shape. Missing: none. */
  readonly bend?: BendSampling;
}

/** All that decides a data set, besides the volumes and traces themselves. */
export interface Recipe {
  readonly name: string;
  readonly seed: number;
  /** Which part of the split the volumes are from; recorded. */
  readonly part: SplitPart;
  /** Which set of traces is used; recorded. */
  readonly traces: string;
  readonly motions: readonly MotionKind[];
  readonly directions: readonly PhaseEncodingDirection[];
  /** Standard deviation of the traces' smoothing in points. */
  readonly smoothing: number;
  readonly sampling: StackSampling | RandomSampling;
}

export interface PaperRecipeOptions {
  readonly part: SplitPart;
  readonly traces: 'paper' | 'unseen' | (string & {});
  readonly motion: MotionKind;
  /** What the traces' amplitudes are multiplied by: 8 in the paper, about 20 for the paper's severity with these traces. */
  readonly factor: number;
  /** Of the 78 traces per slice; default all. */
  readonly tracesPerSlice?: number;
  readonly slices?: number;
  readonly seed?: number;
  readonly matrix?: number;
  /** Six-degree motion of whole volumes instead of motion within each slice; `motion` then has no say. */
  readonly rigid?: boolean;
}

/**
 * The paper's data: 128 × 128, ten sagittal slices 5 mm apart about the middle, in-plane motion times a factor. Field of view
 * 192 mm for brain-only volumes, 240 mm for heads; a slice whose head is smaller than a quarter of the volume's largest
 * is a boundary slice and left out; either phase-encode direction. `rigid`: the same slices of volumes of 128³ that move as a
 * whole, as in the paper's simulation before it keeps to the plane.
 */
export function paperRecipe(options: PaperRecipeOptions): Recipe {
  const matrix = options.matrix ?? 128;
  return {
    name: options.rigid === true ? 'paper-3d' : 'paper',
    seed: options.seed ?? 1,
    part: options.part,
    traces: options.traces,
    motions: [options.motion],
    directions: ['ROW', 'COL'],
    smoothing: 0.4,
    sampling: {
      kind: 'stack',
      plane: 'sagittal',
      rows: matrix,
      columns: matrix,
      fieldOfView: { brain: 192, head: 240 },
      slices: options.slices ?? 10,
      slicesApart: 5,
      leastHead: 0.25,
      tracesPerSlice: options.tracesPerSlice ?? Number.MAX_SAFE_INTEGER,
      factor: options.factor,
      ...(options.rigid === true ? { moves: 'volume' as const } : {}),
    },
  };
}

export interface MixedRecipeOptions {
  readonly part: SplitPart;
  readonly traces: 'paper' | 'unseen' | (string & {});
  /** Samples of each brain-only volume; heads with scalp give four times as many. Default 60. */
  readonly samplesPerVolume?: number;
  readonly seed?: number;
  readonly shapes?: readonly MatrixShape[];
  /** Default 32 (the measured traces times 20 are as severe as the paper's). */
  readonly highestFactor?: number;
  /** Share of samples without any motion. Default 0.15. */
  readonly motionFree?: number;
}

/**
 * The product's data: native matrices of 128 to 256, all three planes, factors up to 32, 15 % (or another share) without motion, measured and
 * synthetic traces, noise, synthetic scalp on part of the brain-only volumes, heads with scalp drawn four times as often.
 */
export function mixedRecipe(options: MixedRecipeOptions): Recipe {
  const samples = options.samplesPerVolume ?? 60;
  return {
    name: 'mixed',
    seed: options.seed ?? 1,
    part: options.part,
    traces: options.traces,
    motions: ['rotation+translation', 'rotation+translation', 'rotation'],
    directions: ['ROW', 'COL'],
    smoothing: 0.4,
    sampling: {
      kind: 'random',
      samplesPerVolume: { brain: samples, head: 4 * samples },
      planes: { sagittal: 2, axial: 1, coronal: 1 },
      shapes: options.shapes ?? [
        { rows: 128, columns: 128, weight: 4 },
        { rows: 160, columns: 160, weight: 3 },
        { rows: 192, columns: 160, weight: 2 },
        { rows: 192, columns: 192, weight: 2 },
        { rows: 256, columns: 208, weight: 1 },
        { rows: 256, columns: 256, weight: 1 },
      ],
      fieldOfView: { brain: [180, 250], head: [210, 270] },
      pixel: [0.8, 2.1],
      thickness: [0.9, 2],
      leastHead: 0.08,
      offCentre: 65,
      factor: { low: 1, high: options.highestFactor ?? 32, power: 0.6 },
      motionFree: options.motionFree ?? 0.15,
      synthetic: 0.3,
      noise: { share: 0.6, range: [0.003, 0.04] },
      scalp: 0.5,
      augment: true,
    },
  };
}

export interface SevereRecipeOptions {
  readonly part: SplitPart;
  readonly traces: 'paper' | 'unseen' | (string & {});
  readonly samplesPerVolume: Readonly<Record<Coverage, number>>;
  readonly seed?: number;
}

/**
 * Slices as severe as the paper's, of which no two are alike: 128 × 128, mostly sagittal, every one with its own position, field of
 * view, trace and window, factors of 12 to 27; heads with scalp are few in public data, so each is drawn from more often, and half of
 * all slices are bent.
 */
export function severeRecipe(options: SevereRecipeOptions): Recipe {
  const mixed = mixedRecipe({
    part: options.part,
    traces: options.traces,
    ...(options.seed === undefined ? {} : { seed: options.seed }),
    shapes: [{ rows: 128, columns: 128, weight: 1 }],
  });
  const mostly = 'rotation+translation';
  return {
    ...mixed,
    name: 'severe',
    motions: [mostly, mostly, mostly, 'rotation'],
    sampling: {
      ...(mixed.sampling as RandomSampling),
      samplesPerVolume: options.samplesPerVolume,
      planes: { sagittal: 8, axial: 1, coronal: 1 },
      fieldOfView: { brain: [175, 215], head: [215, 260] },
      pixel: [1.2, 2.1],
      thickness: [1, 2],
      leastHead: 0.12,
      offCentre: 35,
      factor: { low: 12, high: 27, power: 1 },
      motionFree: 0.04,
      noise: { share: 0.3, range: [0.003, 0.03] },
      scalp: 0.35,
      bend: { share: 0.5, turn: 5, stretch: 0.06, wave: 2.5 },
    },
  };
}
