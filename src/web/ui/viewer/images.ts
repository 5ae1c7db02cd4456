/** Loads frames for Cornerstone: stored values as the server decodes them, and their difference. */
import { cache, imageLoader, metaData, type Types, utilities } from '@cornerstonejs/core';
import { api } from 'dicomweb-client';
import { type ImageView, ROOT } from '../api.js';
import type { Slot } from './slots.js';

const EXPLICIT_VR_LITTLE_ENDIAN = '1.2.840.10008.1.2.1';
const CACHE_BYTES = 1024 ** 3;
export const RESIDUAL_COLORMAP = 'mcnet-residual';

/** Blue where the correction made it darker, black where it changed nothing, orange where it became brighter. */
export const RESIDUAL_COLORS = { darker: [64, 166, 255], none: [0, 0, 0], brighter: [255, 158, 51] } as const;

interface Known {
  kind: 'first' | 'second' | 'residual';
  slot: Slot;
  image: ImageView;
  load(): Promise<ArrayBuffer>;
  /** Of a difference: the images that it is made of. */
  of?: { first: string; second: string };
}

const known = new Map<string, Known>();

/** Where the bytes of frames come from: stored values, little endian. */
export interface FrameSource {
  first(slot: Slot, index: number): Promise<ArrayBuffer>;
  second(slot: Slot, index: number): Promise<ArrayBuffer>;
}

/** Frames of a series and of what was derived from it, by this server's own WADO-RS. */
export function dicomWebFrames({ study, series }: { study: string; series: string }): FrameSource {
  const client = new api.DICOMwebClient({
    url: new URL('dicom-web', ROOT).href,
    singlepart: false,
    verbose: false,
  });
  const frame = async (of: { series: string; sop: string }, number: number): Promise<ArrayBuffer> => {
    const options = {
      studyInstanceUID: study,
      seriesInstanceUID: of.series,
      sopInstanceUID: of.sop,
      frameNumbers: [number],
      mediaTypes: [{ mediaType: 'application/octet-stream', transferSyntaxUID: EXPLICIT_VR_LITTLE_ENDIAN }],
    };
    // Its type declarations lag behind the library.
    const [bytes] = (await client.retrieveInstanceFrames(
      options as unknown as Parameters<typeof client.retrieveInstanceFrames>[0],
    )) as unknown as ArrayBuffer[];
    if (!bytes) throw new Error('the server sent no frame');
    return bytes;
  };
  return {
    first: ({ slice, frame: number }) => frame({ series, sop: slice.sop }, number),
    second: ({ slice, frame: number }) => frame(slice.derivedAt!, number),
  };
}

/** Makes the frames known by their image ids. */
export function registerSlots(slots: readonly Slot[], frames: FrameSource): void {
  for (const [index, slot] of slots.entries()) {
    const { ids, image } = slot;
    known.set(ids.first, { kind: 'first', slot, image, load: () => frames.first(slot, index) });
    if (!ids.second) continue;
    known.set(ids.second, { kind: 'second', slot, image, load: () => frames.second(slot, index) });
    if (!ids.residual) continue;
    known.set(ids.residual, {
      kind: 'residual',
      slot,
      image,
      load: () => Promise.reject(new Error('a difference has no bytes of its own')),
      of: { first: ids.first, second: ids.second },
    });
  }
}

type Stored = Uint8Array | Int8Array | Uint16Array | Int16Array;

function storedValues(bytes: ArrayBuffer, image: ImageView): Stored {
  const count = image.rows * image.columns;
  if (bytes.byteLength < (count * image.bitsAllocated) / 8)
    throw new Error('the frame is shorter than its header says');
  if (image.bitsAllocated === 8)
    return image.signed ? new Int8Array(bytes, 0, count) : new Uint8Array(bytes, 0, count);
  return image.signed ? new Int16Array(bytes, 0, count) : new Uint16Array(bytes, 0, count);
}

function rangeOf(values: ArrayLike<number>): { min: number; max: number } {
  let min = Number.POSITIVE_INFINITY;
  let max = Number.NEGATIVE_INFINITY;
  for (let i = 0; i < values.length; i++) {
    const value = values[i]!;
    if (value < min) min = value;
    if (value > max) max = value;
  }
  return { min, max };
}

const SAMPLES = 20_000;

/** The window from the 0.5th to the 99.5th percentile of a sample of the pixels, in rescaled values. */
function windowOfPixels(values: ArrayLike<number>, slope: number, intercept: number) {
  const step = Math.max(1, Math.floor(values.length / SAMPLES));
  const sample: number[] = [];
  for (let i = 0; i < values.length; i += step) sample.push(values[i]! * slope + intercept);
  sample.sort((a, b) => a - b);
  const low = sample[Math.round(0.005 * (sample.length - 1))] ?? 0;
  const high = sample[Math.round(0.995 * (sample.length - 1))] ?? 1;
  return { center: (low + high) / 2, width: Math.max(1, high - low) };
}

function cornerstoneImage(
  imageId: string,
  { image, slot, kind }: Known,
  pixels: Stored | Float32Array,
): Types.IImage {
  const place = image.frames[slot.frame - 1] ?? { slope: 1, intercept: 0 };
  const residual = kind === 'residual';
  const range = rangeOf(pixels);
  // A difference has as much room on both sides of 0, also where there is none.
  const most = Math.max(1, Math.abs(range.min), Math.abs(range.max));
  const { min, max } = residual ? { min: -most, max: most } : range;
  const intercept = residual ? 0 : place.intercept;
  const window = residual
    ? { center: 0, width: 2 * most }
    : (('window' in place ? place.window : undefined) ?? windowOfPixels(pixels, place.slope, intercept));
  return {
    imageId,
    minPixelValue: min,
    maxPixelValue: max,
    slope: place.slope,
    intercept,
    windowCenter: window.center,
    windowWidth: window.width,
    getPixelData: () => pixels,
    rows: image.rows,
    columns: image.columns,
    height: image.rows,
    width: image.columns,
    rowPixelSpacing: image.spacing[0],
    columnPixelSpacing: image.spacing[1],
    color: false,
    rgba: false,
    numberOfComponents: 1,
    invert: image.inverted && !residual,
    sizeInBytes: pixels.byteLength,
    imageFrame: {},
    dataType: pixels.constructor.name,
  } as unknown as Types.IImage;
}

async function load(imageId: string): Promise<Types.IImage> {
  const it = known.get(imageId);
  if (!it) throw new Error(`no image is known as ${imageId}`);
  if (!it.of) return cornerstoneImage(imageId, it, storedValues(await it.load(), it.image));
  const [first, second] = await Promise.all([
    imageLoader.loadAndCacheImage(it.of.first),
    imageLoader.loadAndCacheImage(it.of.second),
  ]);
  const before = first.getPixelData() as ArrayLike<number>;
  const after = second.getPixelData() as ArrayLike<number>;
  const sign = it.image.inverted ? -1 : 1;
  const difference = new Float32Array(before.length);
  for (let i = 0; i < difference.length; i++) difference[i] = sign * (after[i]! - before[i]!);
  return cornerstoneImage(imageId, it, difference);
}

/** Modules that a stack viewport asks for. */
function provide(type: string, imageId: string): unknown {
  const it = known.get(imageId);
  if (!it) return undefined;
  const { image, slot } = it;
  if (type === 'imagePlaneModule') {
    const orientation = image.orientation ?? [1, 0, 0, 0, 1, 0];
    return {
      frameOfReferenceUID: '',
      rows: image.rows,
      columns: image.columns,
      imageOrientationPatient: orientation,
      rowCosines: orientation.slice(0, 3),
      columnCosines: orientation.slice(3, 6),
      imagePositionPatient: image.frames[slot.frame - 1]?.position ?? [0, 0, slot.frame],
      pixelSpacing: image.spacing,
      rowPixelSpacing: image.spacing[0],
      columnPixelSpacing: image.spacing[1],
    };
  }
  if (type === 'imagePixelModule') {
    return {
      bitsAllocated: image.bitsAllocated,
      bitsStored: image.bitsAllocated,
      highBit: image.bitsAllocated - 1,
      samplesPerPixel: 1,
      photometricInterpretation: image.inverted ? 'MONOCHROME1' : 'MONOCHROME2',
      pixelRepresentation: image.signed ? 1 : 0,
    };
  }
  if (type === 'generalSeriesModule') return { modality: 'MR' };
  return undefined;
}

/** Registers loader, metadata and colours with Cornerstone; once for the page. */
export function registerLoader(): void {
  imageLoader.registerImageLoader('mcnet', (imageId) => ({ promise: load(imageId) }));
  metaData.addProvider(provide, 10_000);
  cache.setMaxCacheSize(CACHE_BYTES);
  const point = (at: number, [r, g, b]: readonly [number, number, number]) => [at, r / 255, g / 255, b / 255];
  utilities.colormap.registerColormap({
    ColorSpace: 'RGB',
    Name: RESIDUAL_COLORMAP,
    name: RESIDUAL_COLORMAP,
    RGBPoints: [
      ...point(0, RESIDUAL_COLORS.darker),
      ...point(0.5, RESIDUAL_COLORS.none),
      ...point(1, RESIDUAL_COLORS.brighter),
    ],
  } as unknown as Types.ColormapRegistration);
}
