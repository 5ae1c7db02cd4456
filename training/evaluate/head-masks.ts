import { type Coverage, headMask, type Mask, maskArea } from '../data/index.js';
import type { Dataset } from '../simulation/index.js';
import { selectForEvaluation } from './evaluate-dataset.js';
import type { SliceCorrector } from './model.js';
import { HEAD_DILATION, meanOver, prepareReference, ssimMap, TIGHT_DILATION } from './similarity.js';
import { type CoverageGroup, inGroup, spreadOf } from './summary.js';

/**
 * Dilations of the head's mask in pixels, those of the evaluation's figures among them. What a wider one adds is the dark rim
 * around the head, which motion fills with ghosts and a network easily blanks.
 */
export const MASK_DILATIONS = [0, TIGHT_DILATION, 4, HEAD_DILATION, 8] as const;

/** SSIM of one slice inside the masks of {@link MASK_DILATIONS}, in their order. */
export interface MaskedSlice {
  readonly coverage: Coverage;
  /** Of the slice's pixels. */
  readonly share: readonly number[];
  readonly corrupted: readonly number[];
  readonly corrected: readonly number[];
}

/** Means over the slices of a group of subjects. */
export interface MaskFigures {
  readonly dilation: number;
  readonly slices: number;
  readonly share: number;
  readonly headSsimCorrupted: number;
  readonly headSsimCorrected: number;
  readonly headSsimGain: number;
}

/** Measures a model's correction inside masks of several dilations, on slices spread evenly over the data set. */
export async function measureHeadMasks(
  dataset: Pick<Dataset, 'samples' | 'read'>,
  corrector: Pick<SliceCorrector, 'correct'>,
  slices: number,
  onProgress?: (done: number, total: number) => void,
): Promise<MaskedSlice[]> {
  const chosen = selectForEvaluation(dataset.samples, 'corrupted', slices);
  const measured: MaskedSlice[] = [];
  for (const place of chosen) {
    const { rows, columns, coverage } = dataset.samples[place]!;
    const { clean, corrupted } = dataset.read(place);
    const [corrected] = await corrector.correct([corrupted], rows, columns);
    const { scale, scaled } = prepareReference(clean, rows, columns);
    const masks = MASK_DILATIONS.map((dilation): Mask => headMask(clean, rows, columns, { dilation }));
    const inside = (image: Float32Array): number[] => {
      const map = ssimMap(
        image.map((value) => value / scale),
        scaled,
        rows,
        columns,
      );
      return masks.map((mask) => meanOver(map, mask));
    };
    measured.push({
      coverage,
      share: masks.map((mask) => maskArea(mask) / mask.length),
      corrupted: inside(corrupted),
      corrected: inside(corrected!),
    });
    onProgress?.(measured.length, chosen.length);
  }
  return measured;
}

/** Null where there is no subject of the group. */
export function maskFigures(measured: readonly MaskedSlice[], group: CoverageGroup): MaskFigures[] | null {
  const chosen = measured.filter(({ coverage }) => inGroup(group, coverage));
  if (chosen.length === 0) return null;
  return MASK_DILATIONS.map((dilation, at) => {
    const mean = (of: (slice: MaskedSlice) => readonly number[]) =>
      spreadOf(chosen.map((slice) => of(slice)[at]!)).mean;
    const [before, after] = [mean(({ corrupted }) => corrupted), mean(({ corrected }) => corrected)];
    return {
      dilation,
      slices: chosen.length,
      share: mean(({ share }) => share),
      headSsimCorrupted: before,
      headSsimCorrected: after,
      headSsimGain: after - before,
    };
  });
}
