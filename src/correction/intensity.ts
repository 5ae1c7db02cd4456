import type { PixelLayout, StoredPixels } from '../dicom/index.js';

/** How stored values become signal and back. */
export type IntensityLayout = Pick<
  PixelLayout,
  'rescaleSlope' | 'rescaleIntercept' | 'photometricInterpretation' | 'padding'
>;

/** Signal per stored value: the rescale slope, negative where low values are bright (MONOCHROME1). */
export function signalPerStored(layout: IntensityLayout): number {
  const slope = Number.isFinite(layout.rescaleSlope) && layout.rescaleSlope !== 0 ? layout.rescaleSlope : 1;
  return layout.photometricInterpretation === 'MONOCHROME1' ? -slope : slope;
}

function isPadding(value: number, padding: { min: number; max: number }): boolean {
  return value >= padding.min && value <= padding.max;
}

/**
 * The signal of one slice: stored values through the Modality transformation (PS3.3 C.11.1), so that an offset of the
 * stored values does not shift what the network sees; bright is high. Pixel padding (PS3.3 C.7.5.1.1.2) is NaN, which
 * preprocessing ignores. Stored values that are the signal already are returned as they are.
 */
export function signalOf(stored: StoredPixels, layout: IntensityLayout): ArrayLike<number> {
  const slope = signalPerStored(layout);
  const intercept = Number.isFinite(layout.rescaleIntercept) ? layout.rescaleIntercept : 0;
  const offset = slope < 0 && layout.rescaleSlope > 0 ? -intercept : intercept;
  if (slope === 1 && offset === 0 && layout.padding === undefined) return stored;
  const signal = new Float64Array(stored.length);
  for (let i = 0; i < stored.length; i += 1) {
    const value = stored[i]!;
    signal[i] =
      layout.padding !== undefined && isPadding(value, layout.padding) ? Number.NaN : value * slope + offset;
  }
  return signal;
}

/** Puts pixel padding back where the source has it: it is no signal, whatever the network says about it. */
export function keepPadding(source: StoredPixels, corrected: StoredPixels, layout: IntensityLayout): void {
  const { padding } = layout;
  if (padding === undefined) return;
  for (let i = 0; i < source.length; i += 1) if (isPadding(source[i]!, padding)) corrected[i] = source[i]!;
}
