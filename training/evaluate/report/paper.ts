import type { MotionKind } from '../../motion/index.js';

/** SSIM, mean and sd over the slices, of Figure 4 of Algorithms 2024, 17(5):215. */
export const PAPER_TABLE: Readonly<
  Record<MotionKind, Readonly<Partial<Record<string, { readonly mean: number; readonly sd: number }>>>>
> = {
  rotation: {
    corrupted: { mean: 0.715, sd: 0.093 },
    L1: { mean: 0.738, sd: 0.084 },
    'L1+TV': { mean: 0.738, sd: 0.085 },
    'L1+TV-ft': { mean: 0.743, sd: 0.083 },
  },
  'rotation+translation': {
    corrupted: { mean: 0.574, sd: 0.126 },
    L1: { mean: 0.64, sd: 0.077 },
    'L1+TV': { mean: 0.642, sd: 0.076 },
    'L1+TV-ft': { mean: 0.645, sd: 0.076 },
  },
};
