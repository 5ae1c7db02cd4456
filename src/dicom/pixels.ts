/** Stored pixel values of monochrome images: PS3.5 section 8 and annex A, PS3.3 C.7.6.3. */
import { decodeFrame, prepareCodecs } from './codecs.js';
import { codestreamFacts } from './codestream.js';
import { type DataSet, PIXEL_DATA } from './data-set.js';
import { encapsulatedError, frameBytes } from './encapsulated.js';
import { DicomError } from './error.js';
import type { Part10 } from './part10.js';
import { decodeRle } from './rle.js';
import { type Compression, compressionOf, isNative } from './transfer-syntax.js';
import { itemsOf, number, string } from './values.js';

export type StoredPixels = Uint8Array | Int8Array | Uint16Array | Int16Array;

/** The Image Pixel description of a monochrome image (PS3.3 C.7.6.3.1) and what follows from it. */
export interface PixelLayout {
  rows: number;
  columns: number;
  /** number of frames */
  count: number;
  /** 8 or 16 */
  bitsAllocated: number;
  bitsStored: number;
  highBit: number;
  signed: boolean;
  samplesPerPixel: 1;
  photometricInterpretation: 'MONOCHROME1' | 'MONOCHROME2';
  /** of the first frame, 1 and 0 where absent */
  rescaleSlope: number;
  rescaleIntercept: number;
  /** what Bits Stored and Pixel Representation can express */
  storedRange: { min: number; max: number };
  /** stored values that are no image: Pixel Padding Value to Pixel Padding Range Limit, inclusive */
  padding?: { min: number; max: number };
}

export interface FrameReader extends PixelLayout {
  /** the pixel data was lossy compressed once, by attribute or by its own codestream */
  lossy: boolean;
  /** Stored values of one frame, row by row; a fresh array, which the caller may change or transfer. */
  frame(index: number): StoredPixels;
}

export interface Frames extends PixelLayout {
  lossy: boolean;
  frames: StoredPixels[];
}

/** Largest frame that is decoded, and most that `decodeFrames` returns at once, bytes. */
export const MAX_FRAME_BYTES = 256 * 1024 * 1024;
export const MAX_FRAMES_BYTES = 2 ** 31;

function required(dataSet: DataSet, keyword: string): number {
  const value = number(dataSet, keyword);
  if (value === undefined) throw new DicomError('undecodable', `${keyword} is absent or empty`);
  return value;
}

/**
 * Reads the pixel description from the attributes alone.
 * @throws DicomError unsupported (color, bit depths other than 8 and 16, size), undecodable (contradictory attributes)
 */
export function pixelLayout(dataSet: DataSet): PixelLayout {
  const samplesPerPixel = number(dataSet, 'SamplesPerPixel') ?? 1;
  const photometricInterpretation = string(dataSet, 'PhotometricInterpretation') ?? 'MONOCHROME2';
  if (
    samplesPerPixel !== 1 ||
    (photometricInterpretation !== 'MONOCHROME1' && photometricInterpretation !== 'MONOCHROME2')
  ) {
    throw new DicomError(
      'unsupported',
      `the image is not monochrome: ${samplesPerPixel} sample(s) per pixel, ${photometricInterpretation}`,
    );
  }
  const rows = required(dataSet, 'Rows');
  const columns = required(dataSet, 'Columns');
  const bitsAllocated = required(dataSet, 'BitsAllocated');
  if (bitsAllocated !== 8 && bitsAllocated !== 16) {
    throw new DicomError('unsupported', `${bitsAllocated} bits allocated; 8 and 16 are supported`);
  }
  const bitsStored = number(dataSet, 'BitsStored') ?? bitsAllocated;
  const highBit = number(dataSet, 'HighBit') ?? bitsStored - 1;
  if (bitsStored < 1 || bitsStored > bitsAllocated || highBit >= bitsAllocated || highBit < bitsStored - 1) {
    throw new DicomError(
      'undecodable',
      `contradictory bit depths: ${bitsAllocated} allocated, ${bitsStored} stored, high bit ${highBit}`,
    );
  }
  const count = Math.max(1, Math.trunc(number(dataSet, 'NumberOfFrames') ?? 1));
  const frameSize = rows * columns * (bitsAllocated / 8);
  if (frameSize === 0)
    throw new DicomError('undecodable', `the image has ${rows} rows and ${columns} columns`);
  if (frameSize > MAX_FRAME_BYTES) {
    throw new DicomError('unsupported', `a frame of ${rows}×${columns} exceeds ${MAX_FRAME_BYTES} bytes`);
  }
  const signed = number(dataSet, 'PixelRepresentation') === 1;
  const padding = paddingOf(dataSet, signed);
  return {
    rows,
    columns,
    count,
    bitsAllocated,
    bitsStored,
    highBit,
    signed,
    samplesPerPixel: 1,
    photometricInterpretation,
    ...rescaleOf(dataSet),
    storedRange: signed
      ? { min: -(2 ** (bitsStored - 1)), max: 2 ** (bitsStored - 1) - 1 }
      : { min: 0, max: 2 ** bitsStored - 1 },
    ...(padding === undefined ? {} : { padding }),
  };
}

/** Top level, else the first frame's Pixel Value Transformation functional group (PS3.3 C.7.6.16.2.9). */
function rescaleOf(dataSet: DataSet): { rescaleSlope: number; rescaleIntercept: number } {
  for (const candidate of [dataSet, ...firstFrameGroups(dataSet, 'PixelValueTransformationSequence')]) {
    const rescaleSlope = number(candidate, 'RescaleSlope');
    if (rescaleSlope !== undefined) {
      return { rescaleSlope, rescaleIntercept: number(candidate, 'RescaleIntercept') ?? 0 };
    }
  }
  return { rescaleSlope: 1, rescaleIntercept: 0 };
}

function firstFrameGroups(dataSet: DataSet, keyword: string): DataSet[] {
  const groups = [
    itemsOf(dataSet, 'SharedFunctionalGroupsSequence')[0],
    itemsOf(dataSet, 'PerFrameFunctionalGroupsSequence')[0],
  ];
  return groups.flatMap((group) => (group === undefined ? [] : itemsOf(group, keyword).slice(0, 1)));
}

function paddingOf(dataSet: DataSet, signed: boolean): { min: number; max: number } | undefined {
  const value = number(dataSet, 'PixelPaddingValue');
  if (value === undefined) return undefined;
  const limit = number(dataSet, 'PixelPaddingRangeLimit') ?? value;
  // The VR of the value follows the image's sign, and is written wrongly often enough.
  const asStored = (v: number) => (signed && v > 0x7fff ? v - 0x10000 : !signed && v < 0 ? v + 0x10000 : v);
  const [a, b] = [asStored(value), asStored(limit)];
  return { min: Math.min(a, b), max: Math.max(a, b) };
}

/**
 * Opens the frames of an image for reading one after another, so that thousands of frames need the memory of one.
 * @throws DicomError unsupported, undecodable
 */
export async function openFrames(part10: Part10): Promise<FrameReader> {
  const { dataSet, transferSyntaxUid } = part10;
  const layout = pixelLayout(dataSet);
  const element = dataSet.elements.get(PIXEL_DATA);
  if (element === undefined) throw new DicomError('undecodable', 'the object has no Pixel Data (7FE0,0010)');
  const marked = string(dataSet, 'LossyImageCompression') === '01';
  const compression = compressionOf(transferSyntaxUid);
  if (compression === undefined) {
    if (!isNative(transferSyntaxUid)) {
      throw new DicomError('unsupported', `no decoder for transfer syntax ${transferSyntaxUid}`);
    }
    if (element.fragments !== undefined) throw encapsulatedError(transferSyntaxUid);
    const read = nativeFrames(dataSet, layout, element.bytes, element.vr);
    return { ...layout, lossy: marked, frame: checked(layout, read) };
  }
  const frames = frameBytes(dataSet, layout.count, compression);
  if (compression !== 'rle') await prepareCodecs();
  const lossy = marked || codestreamFacts(frames[0]!, compression)?.lossy === true;
  return { ...layout, lossy, frame: checked(layout, compressedFrames(layout, frames, compression)) };
}

/**
 * Decodes all frames of an image.
 * @throws DicomError unsupported, undecodable
 */
export async function decodeFrames(part10: Part10): Promise<Frames> {
  const { frame, ...reader } = await openFrames(part10);
  const total = reader.rows * reader.columns * (reader.bitsAllocated / 8) * reader.count;
  if (total > MAX_FRAMES_BYTES) {
    throw new DicomError(
      'unsupported',
      `${reader.count} frames exceed ${MAX_FRAMES_BYTES} bytes; read them singly`,
    );
  }
  return { ...reader, frames: Array.from({ length: reader.count }, (_, i) => frame(i)) };
}

function checked(
  layout: PixelLayout,
  read: (index: number) => StoredPixels,
): (index: number) => StoredPixels {
  return (index) => {
    if (!Number.isInteger(index) || index < 0 || index >= layout.count) {
      throw new RangeError(`frame ${index} of ${layout.count}`);
    }
    return read(index);
  };
}

function nativeFrames(
  dataSet: DataSet,
  layout: PixelLayout,
  bytes: Buffer,
  vr: string,
): (index: number) => StoredPixels {
  const frameSize = layout.rows * layout.columns * (layout.bitsAllocated / 8);
  if (bytes.length < frameSize * layout.count) {
    throw new DicomError(
      'undecodable',
      `the pixel data has ${bytes.length} bytes, ${layout.count} frame(s) of ${layout.rows}×${layout.columns} need ${frameSize * layout.count}`,
    );
  }
  if (dataSet.bigEndian && layout.bitsAllocated === 8 && vr === 'OW') {
    // Two 8 bit pixels share a word, the first in its low byte (PS3.5 8.1.1, D.1).
    const even = Buffer.from(bytes.subarray(0, bytes.length - (bytes.length % 2))).swap16();
    return (index) => toStored(layout, even.subarray(index * frameSize, (index + 1) * frameSize));
  }
  return (index) => {
    const frame = bytes.subarray(index * frameSize, (index + 1) * frameSize);
    const swapped = dataSet.bigEndian && layout.bitsAllocated === 16;
    return toStored(layout, swapped ? Buffer.from(frame).swap16() : frame);
  };
}

function compressedFrames(
  layout: PixelLayout,
  frames: Buffer[],
  compression: Compression,
): (index: number) => StoredPixels {
  const pixels = layout.rows * layout.columns;
  return (index) => {
    const frame = frames[index]!;
    if (compression === 'rle') return toStored(layout, decodeRle(frame, pixels, layout.bitsAllocated / 8));
    const { samples, facts } = decodeFrame(frame, compression, layout.rows, layout.columns);
    if (facts.precision > layout.bitsAllocated) {
      throw new DicomError(
        'undecodable',
        `the codestream has ${facts.precision} bits, the attributes allocate ${layout.bitsAllocated}`,
      );
    }
    if (facts.signed === true && !layout.signed) {
      throw new DicomError(
        'undecodable',
        'the codestream is signed, Pixel Representation (0028,0103) is unsigned',
      );
    }
    // A codestream that holds just the stored bits has them at the bottom of its samples.
    const highBit = facts.precision <= layout.bitsStored ? layout.bitsStored - 1 : layout.highBit;
    const wide = widen(samples, facts.precision, facts.signed === true, layout.bitsAllocated);
    return toStored({ ...layout, highBit }, wide);
  };
}

/** Brings samples of 1 byte to 2 where the attributes allocate 16 bits. */
function widen(samples: Uint8Array, precision: number, signed: boolean, bitsAllocated: number): Uint8Array {
  if (precision > 8 || bitsAllocated === 8) return samples;
  const wide = signed
    ? Int16Array.from(new Int8Array(samples.buffer, samples.byteOffset, samples.length))
    : Uint16Array.from(samples);
  return new Uint8Array(wide.buffer);
}

/** Cuts the stored bits out of allocated little endian words: bits above belong to overlays or to nobody (PS3.5 8.1.1). */
function toStored(layout: PixelLayout, bytes: Uint8Array): StoredPixels {
  const { signed, bitsStored, highBit, bitsAllocated } = layout;
  const pixels = layout.rows * layout.columns;
  const up = 31 - highBit;
  const down = 32 - bitsStored;
  if (bitsAllocated === 8) {
    const stored = signed ? new Int8Array(pixels) : new Uint8Array(pixels);
    if (signed) for (let i = 0; i < pixels; i += 1) stored[i] = (bytes[i]! << up) >> down;
    else for (let i = 0; i < pixels; i += 1) stored[i] = (bytes[i]! << up) >>> down;
    return stored;
  }
  const aligned = bytes.byteOffset % 2 === 0 ? bytes : bytes.slice();
  const words = new Uint16Array(aligned.buffer, aligned.byteOffset, pixels);
  const stored = signed ? new Int16Array(pixels) : new Uint16Array(pixels);
  if (signed) for (let i = 0; i < pixels; i += 1) stored[i] = (words[i]! << up) >> down;
  else for (let i = 0; i < pixels; i += 1) stored[i] = (words[i]! << up) >>> down;
  return stored;
}
