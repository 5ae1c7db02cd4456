import type { Coverage, PhantomOptions, SplitPart } from '../data/index.js';
import type { MotionKind } from '../motion/index.js';
import type { MatrixShape } from '../simulation/index.js';

/** One network to train. */
export interface TrainingPlan {
  /** Name of the run and of its stage. */
  readonly name: string;
  /** Its name in the report's tables; L1, L1+TV and L1+TV-ft mark the paper's variants, L1-ft the control of the last. */
  readonly label: string;
  /** Name of the exported model's folder. */
  readonly model: string;
  /** `paper`: sagittal stacks at 128 × 128. `product`: mixed native matrices beside them. */
  readonly data: 'paper' | 'product';
  /** Options of the training's command line: network, loss, schedule. */
  readonly options: readonly string[];
  /** The run whose averaged weights this one starts from. */
  readonly from?: string;
  /** Only the beginning of another run: not exported, nor in the report. */
  readonly beginning?: true;
  /** Its share of the minutes, where the training is limited by time. */
  readonly share: number;
}

/** Matrix and voxels of a synthetic head. */
export type PlannedHead = Omit<PhantomOptions, 'seed' | 'brainOnly'>;

/** How much of everything a reproduction does. */
export interface ReproducePlan {
  readonly name: string;
  readonly seed: number;
  /** At most so many volumes of each part; undefined for all. */
  readonly volumes?: Readonly<Record<SplitPart, number>>;
  /** Synthetic heads and traces where no data is given. */
  readonly synthetic: {
    readonly subjects: number;
    readonly head: PlannedHead;
    readonly traces: { readonly paper: number; readonly unseen: number };
  };
  /** The paper's slices: slices of a volume, and traces of each slice for either motion. */
  readonly paper: {
    readonly slices: number;
    readonly tracesPerSlice: number;
    readonly validationTraces: number;
  };
  readonly product: {
    /** Samples of a brain-only volume; a head with scalp gives four times as many. */
    readonly samplesPerVolume: number;
    readonly validationSamples: number;
    /** Share of the training samples of native matrices that have no motion. */
    readonly motionFree: number;
    /** Traces of each of the paper's slices that the product's network sees too, by motion. */
    readonly paperTraces: Readonly<Record<MotionKind, number>>;
    /** Samples of each volume as severe as the paper's, every one another slice: many of heads with scalp, which are rare in public data. */
    readonly severeSamples: Readonly<Record<Coverage, number>>;
    readonly shapes?: readonly MatrixShape[];
    /** Synthetic heads with scalp that the product's network is trained on beside the volumes: scalp is rare in public data. */
    readonly heads: { readonly count: number; readonly head: PlannedHead };
  };
  readonly trainings: readonly TrainingPlan[];
  readonly epochs: number;
  /** Minutes for all trainings together, which their schedules follow; 0: the epochs alone decide. */
  readonly minutes: number;
  readonly validationSlices: number;
  readonly report: {
    readonly tracesPerSlice: number;
    readonly slices: number;
    readonly nativeSamples: number;
    /** Traces under which every test volume moves as a whole. */
    readonly volumeTraces: number;
    readonly matchingTraces: number;
  };
}

/** What the command line can change of a plan. */
export interface PlanChoices {
  readonly minutes?: number;
  readonly seed?: number;
  /** Reduction of the total variation beside a mean L1. */
  readonly tvReduction?: 'sum' | 'mean';
}

/**
 * The product's loss once its network knows the ghosts: mostly SSIM, with a gradient of bounded norm. Before, SSIM does not
 * pay.
 */
const productLoss = ['--l1', '1', '--ssim', '0.5', '--outside', '0.3', '--clip', '0.5'];

function trainings(
  paper: readonly string[],
  product: readonly string[],
  fineTuning: readonly string[],
  productRate: string,
  tvReduction: string,
): TrainingPlan[] {
  const tv = ['--variant', 'L1+TV', '--tv-reduction', tvReduction];
  return [
    {
      name: 'paper-l1',
      label: 'L1',
      model: 'mcnet-paper-l1',
      data: 'paper',
      options: [...paper, '--variant', 'L1'],
      share: 0.2,
    },
    {
      name: 'paper-l1-tv',
      label: 'L1+TV',
      model: 'mcnet-paper-l1-tv',
      data: 'paper',
      options: [...paper, ...tv],
      share: 0.2,
    },
    {
      name: 'paper-l1-tv-ft',
      label: 'L1+TV-ft',
      model: 'mcnet-paper',
      data: 'paper',
      options: [...paper, ...tv, ...fineTuning],
      from: 'paper-l1',
      share: 0.125,
    },
    {
      name: 'paper-l1-ft',
      label: 'L1-ft',
      model: 'mcnet-paper-l1-ft',
      data: 'paper',
      options: [...paper, '--variant', 'L1', ...fineTuning],
      from: 'paper-l1',
      share: 0.125,
    },
    {
      name: 'mcnet-l1',
      label: 'mcnet, L1',
      model: 'mcnet-l1',
      data: 'product',
      options: [...product, '--batch', '4', '--variant', 'L1'],
      beginning: true,
      share: 0.1,
    },
    {
      name: 'mcnet',
      label: 'mcnet',
      model: 'mcnet',
      data: 'product',
      options: [...product, '--stages', '2', '--batch', '8', ...productLoss, '--learning-rate', productRate],
      from: 'mcnet-l1',
      share: 0.25,
    },
  ];
}

/** The paper's size: all volumes, 78 traces a slice, 100 epochs of the network as published. */
export function fullPlan(choices: PlanChoices = {}): ReproducePlan {
  return {
    name: 'full',
    seed: choices.seed ?? 1,
    synthetic: { subjects: 20, head: {}, traces: { paper: 78, unseen: 62 } },
    paper: { slices: 10, tracesPerSlice: 39, validationTraces: 2 },
    product: {
      samplesPerVolume: 100,
      validationSamples: 16,
      motionFree: 0.35,
      paperTraces: { rotation: 16, 'rotation+translation': 39 },
      severeSamples: { brain: 500, head: 2800 },
      heads: { count: 0, head: { slices: 112, rows: 180, columns: 180, spacing: [1.5, 1.4, 1.4] } },
    },
    trainings: trainings(
      ['--width', '32', '--levels', '5'],
      ['--width', '16', '--levels', '5', '--no-augment', '--network-normalisation', 'none'],
      ['--learning-rate', '3e-4'],
      '6e-4',
      choices.tvReduction ?? 'mean',
    ),
    epochs: 100,
    minutes: choices.minutes ?? 0,
    validationSlices: 128,
    report: { tracesPerSlice: 12, slices: 10, nativeSamples: 20, volumeTraces: 4, matchingTraces: 16 },
  };
}

/** The same on few volumes and slices with small networks: about five minutes on four cores. */
export function quickPlan(choices: PlanChoices = {}): ReproducePlan {
  const coarse: PlannedHead = { slices: 80, rows: 96, columns: 96, spacing: [2.2, 2.6, 2.6] };
  const pace = ['--warm-up', '10', '--average', '0.98', '--learning-rate', '2e-3'];
  return {
    name: 'quick',
    seed: choices.seed ?? 1,
    volumes: { training: 6, validation: 2, test: 3 },
    synthetic: {
      subjects: 8,
      head: coarse,
      traces: { paper: 78, unseen: 62 },
    },
    paper: { slices: 4, tracesPerSlice: 8, validationTraces: 2 },
    product: {
      samplesPerVolume: 20,
      validationSamples: 4,
      motionFree: 0.35,
      paperTraces: { rotation: 2, 'rotation+translation': 4 },
      severeSamples: { brain: 16, head: 32 },
      heads: { count: 2, head: coarse },
      shapes: [
        { rows: 128, columns: 128, weight: 3 },
        { rows: 160, columns: 128, weight: 1 },
      ],
    },
    trainings: trainings(
      ['--width', '8', '--levels', '4', ...pace],
      ['--width', '8', '--levels', '4', '--no-augment', '--network-normalisation', 'none', ...pace],
      ['--learning-rate', '6e-4'],
      '1e-3',
      choices.tvReduction ?? 'mean',
    ),
    epochs: 100,
    minutes: choices.minutes ?? 2,
    validationSlices: 32,
    report: { tracesPerSlice: 1, slices: 4, nativeSamples: 2, volumeTraces: 1, matchingTraces: 3 },
  };
}
