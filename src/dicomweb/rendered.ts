import type { DataSet } from '../dicom/index.js';
import { DicomError, itemsOf, number, string } from '../dicom/index.js';
import { gather, uncompressedFrame } from './explicit-little-endian.js';
import type { FrameDecoder } from './frame-decoder.js';
import type { Picture } from './png.js';
import type { StoredFrames } from './stored-frames.js';
import type { StoredObject } from './stored-object.js';

/** A VOI window (PS3.3 C.11.2.1), or the `window` parameter of PS3.18 8.3.5.1.4. */
export interface Window {
  center: number;
  width: number;
  shape: 'linear' | 'linear-exact' | 'sigmoid';
}

const SHAPES = ['linear', 'linear-exact', 'sigmoid'] as const;

/** `center,width` or `center,width,function`; undefined when it is none. */
export function parseWindow(text: string): Window | undefined {
  const [center, width, shape = 'linear', ...more] = text.split(',').map((part) => part.trim());
  const known = SHAPES.find((name) => name === shape.toLowerCase());
  const window = { center: Number(center || Number.NaN), width: Number(width || Number.NaN) };
  if (more.length > 0 || known === undefined || !Number.isFinite(window.center)) return undefined;
  if (!Number.isFinite(window.width) || window.width <= 0 || (known === 'linear' && window.width < 1))
    return undefined;
  return { ...window, shape: known };
}

/** The attributes of a functional group of one frame, shared or its own (PS3.3 C.7.6.16). */
function groupOf(dataSet: DataSet, frame: number, keyword: string): DataSet | undefined {
  return (
    itemsOf(itemsOf(dataSet, 'PerFrameFunctionalGroupsSequence')[frame] ?? dataSet, keyword)[0] ??
    itemsOf(itemsOf(dataSet, 'SharedFunctionalGroupsSequence')[0] ?? dataSet, keyword)[0]
  );
}

function storedWindow(dataSet: DataSet, frame: number): Window | undefined {
  const from = groupOf(dataSet, frame, 'FrameVOILUTSequence') ?? dataSet;
  const center = number(from, 'WindowCenter');
  const width = number(from, 'WindowWidth');
  if (center === undefined || width === undefined || !(width >= 1)) return undefined;
  const stored = string(from, 'VOILUTFunction')?.toLowerCase().replace('_', '-');
  return { center, width, shape: SHAPES.find((name) => name === stored) ?? 'linear' };
}

function rescale(dataSet: DataSet, frame: number): { slope: number; intercept: number } {
  const from = groupOf(dataSet, frame, 'PixelValueTransformationSequence') ?? dataSet;
  return { slope: number(from, 'RescaleSlope') ?? 1, intercept: number(from, 'RescaleIntercept') ?? 0 };
}

/** From the smallest to the largest value. */
function fullWindow(pixels: ArrayLike<number>, slope: number, intercept: number): Window {
  let min = Number.POSITIVE_INFINITY;
  let max = Number.NEGATIVE_INFINITY;
  for (let i = 0; i < pixels.length; i++) {
    if (pixels[i]! < min) min = pixels[i]!;
    if (pixels[i]! > max) max = pixels[i]!;
  }
  const [low, high] = [min * slope + intercept, max * slope + intercept];
  return { center: (low + high) / 2, width: Math.max(Math.abs(high - low), 1e-9), shape: 'linear-exact' };
}

/** Output from 0 to 255 of a value in modality units. PS3.3 C.11.2.1.2, C.11.2.1.3 */
export function applyWindow(value: number, { center, width, shape }: Window): number {
  if (shape === 'sigmoid') return 255 / (1 + Math.exp((-4 * (value - center)) / width));
  const [c, w] = shape === 'linear' ? [center - 0.5, width - 1] : [center, width];
  if (value <= c - w / 2) return 0;
  if (value > c + w / 2) return 255;
  return ((value - c) / w + 0.5) * 255;
}

async function monochrome(
  o: StoredObject,
  frames: StoredFrames,
  index: number,
  decoder: FrameDecoder,
  wanted: Window | undefined,
): Promise<Picture> {
  const { dataSet, transferSyntax } = o;
  const { pixels } = await decoder.decode(
    { dataSet, transferSyntax, vr: o.pixelData!.vr, encapsulated: frames.encapsulated },
    await gather(frames.read(index)),
  );
  const { slope, intercept } = rescale(dataSet, index);
  const window = wanted ?? storedWindow(dataSet, index) ?? fullWindow(pixels, slope, intercept);
  const inverted = string(dataSet, 'PhotometricInterpretation') === 'MONOCHROME1';
  const samples = new Uint8Array(pixels.length);
  for (let i = 0; i < pixels.length; i++) {
    const grey = Math.round(applyWindow(pixels[i]! * slope + intercept, window));
    samples[i] = inverted ? 255 - grey : grey;
  }
  return { rows: number(dataSet, 'Rows')!, columns: number(dataSet, 'Columns')!, channels: 1, samples };
}

async function colour(
  o: StoredObject,
  frames: StoredFrames,
  index: number,
  decoder: FrameDecoder,
): Promise<Picture> {
  const { dataSet } = o;
  const photometric = string(dataSet, 'PhotometricInterpretation') ?? '';
  if (frames.encapsulated || photometric !== 'RGB' || number(dataSet, 'BitsAllocated') !== 8) {
    throw new DicomError('unsupported', `images in ${photometric || 'colour'} cannot be rendered here`);
  }
  const bytes = await gather(uncompressedFrame(o, frames, index, decoder));
  const picture = {
    rows: number(dataSet, 'Rows')!,
    columns: number(dataSet, 'Columns')!,
    channels: 3 as const,
  };
  if (number(dataSet, 'PlanarConfiguration') !== 1) return { ...picture, samples: bytes };
  const plane = picture.rows * picture.columns;
  const samples = new Uint8Array(bytes.length);
  for (let i = 0; i < plane; i++) {
    for (let channel = 0; channel < 3; channel++) samples[3 * i + channel] = bytes[channel * plane + i]!;
  }
  return { ...picture, samples };
}

/**
 * Renders one frame (from 0) as a viewer shows it at first: modality rescale, the window asked for, else the object's
 * first, else all values.
 * @throws DicomError when it cannot be rendered
 */
export function renderFrame(
  o: StoredObject,
  frames: StoredFrames,
  index: number,
  decoder: FrameDecoder,
  window: Window | undefined,
): Promise<Picture> {
  return (number(o.dataSet, 'SamplesPerPixel') ?? 1) === 1
    ? monochrome(o, frames, index, decoder, window)
    : colour(o, frames, index, decoder);
}
