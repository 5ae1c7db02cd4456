import type { Picture } from '../dicomweb/index.js';

/** Stored pixels of one frame; `inverted` for MONOCHROME1. */
export interface PreviewFrame {
  rows: number;
  columns: number;
  pixels: ArrayLike<number>;
  inverted?: boolean;
}

export const PREVIEWS = ['source', 'derived', 'residual'] as const;
export type PreviewKind = (typeof PREVIEWS)[number];

/** Where a grey scale begins and ends, in stored values. */
export interface GreyWindow {
  low: number;
  high: number;
}

const SAMPLES = 20_000;
/** The residual's colours are full at this share of the window's width. */
export const RESIDUAL_SHARE = 0.25;

/** The window from the 0.5th to the 99.5th percentile, of a sample of the pixels. */
export function windowOf(pixels: ArrayLike<number>): GreyWindow {
  const step = Math.max(1, Math.floor(pixels.length / SAMPLES));
  const sample: number[] = [];
  for (let i = 0; i < pixels.length; i += step) sample.push(pixels[i]!);
  sample.sort((a, b) => a - b);
  const at = (share: number) => sample[Math.round(share * (sample.length - 1))] ?? 0;
  const low = at(0.005);
  return { low, high: Math.max(at(0.995), low + 1) };
}

function clamp(value: number): number {
  return Math.max(0, Math.min(255, Math.round(value)));
}

function grey(frame: PreviewFrame, { low, high }: GreyWindow): Picture {
  const samples = new Uint8Array(frame.rows * frame.columns);
  const scale = 255 / (high - low);
  for (let i = 0; i < samples.length; i++) {
    const value = clamp((frame.pixels[i]! - low) * scale);
    samples[i] = frame.inverted ? 255 - value : value;
  }
  return { rows: frame.rows, columns: frame.columns, channels: 1, samples };
}

/** What the correction changed: black where nothing, orange where it became brighter, blue where darker. */
function difference(source: PreviewFrame, derived: PreviewFrame, { low, high }: GreyWindow): Picture {
  const samples = new Uint8Array(source.rows * source.columns * 3);
  const sign = source.inverted ? -1 : 1;
  const scale = (sign * 255) / (RESIDUAL_SHARE * (high - low));
  for (let i = 0; i < source.rows * source.columns; i++) {
    const value = (derived.pixels[i]! - source.pixels[i]!) * scale;
    const strength = Math.abs(value);
    samples.set(
      value >= 0
        ? [clamp(strength), clamp(strength * 0.62), clamp(strength * 0.2)]
        : [clamp(strength * 0.25), clamp(strength * 0.65), clamp(strength)],
      i * 3,
    );
  }
  return { rows: source.rows, columns: source.columns, channels: 3, samples };
}

/**
 * Draws one frame for the page. Source and derived share the source's window, so that they can be compared.
 * @returns undefined when there is nothing to draw: no derived frame, or one of another size.
 */
export function renderPreview(
  of: PreviewKind,
  source: PreviewFrame,
  derived?: PreviewFrame,
): Picture | undefined {
  const window = windowOf(source.pixels);
  if (of === 'source') return grey(source, window);
  if (!derived || derived.rows !== source.rows || derived.columns !== source.columns) return undefined;
  return of === 'derived' ? grey(derived, window) : difference(source, derived, window);
}
