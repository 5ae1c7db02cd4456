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
  /** Where the pixel data is compressed: its first frame, and the length of all, bytes. */
  compressed?: { compression: Compression; first: Buffer; bytes: number };
  /**
   * Stored values of one frame, row by row; a fresh array, which the caller may change or transfer.
   * @param into memory for them, used when there is enough of it
   */
  frame(index: number, into?: ArrayBuffer): StoredPixels;
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

/** Pixel data as it is stored: a value whose ranges can be read, or the bytes of each compressed frame. */
export type StoredPixelData =
  | { vr: string; length: number; read(offset: number, length: number): Buffer }
  | { bytes: number; frame(index: number): Buffer };

/**
 * Opens the frames of an image for reading one after another, so that thousands of frames need the memory of one.
 * @throws DicomError unsupported, undecodable
 */
export function openFrames({ dataSet, transferSyntaxUid }: Part10): Promise<FrameReader> {
  return openPixels(dataSet, transferSyntaxUid, (count) => {
    const element = dataSet.elements.get(PIXEL_DATA);
    if (element === undefined)
      throw new DicomError('undecodable', 'the object has no Pixel Data (7FE0,0010)');
    const compression = compressionOf(transferSyntaxUid);
    if (compression !== undefined) return compressedPixels(dataSet, count, compression);
    if (element.fragments !== undefined) throw encapsulatedError(transferSyntaxUid);
    const { vr, bytes } = element;
    return { vr, length: bytes.length, read: (offset, length) => bytes.subarray(offset, offset + length) };
  });
}

function compressedPixels(dataSet: DataSet, count: number, compression: Compression) {
  const frames = frameBytes(dataSet, count, compression);
  const bytes = frames.reduce((sum, frame) => sum + frame.length, 0);
  return { bytes, frame: (index: number) => frames[index]! };
}

/**
 * How the image of an object is described, without decoding it.
 * @throws DicomError unsupported, undecodable
 */
export function imageOf({
  dataSet,
  transferSyntaxUid,
}: Part10): PixelLayout & Pick<FrameReader, 'compressed'> {
  const layout = pixelLayout(dataSet);
  const compression = compressionOf(transferSyntaxUid);
  if (compression === undefined) return layout;
  const { bytes, frame } = compressedPixels(dataSet, layout.count, compression);
  return { ...layout, compressed: { compression, first: frame(0), bytes } };
}

/**
 * The same, of pixel data that is elsewhere.
 * @param stored opens it, given the number of frames
 * @throws DicomError unsupported, undecodable, and whatever `stored` throws
 */
export async function openPixels(
  dataSet: DataSet,
  transferSyntaxUid: string,
  stored: (count: number) => StoredPixelData,
): Promise<FrameReader> {
  const layout = pixelLayout(dataSet);
  const compression = compressionOf(transferSyntaxUid);
  if (compression === undefined && !isNative(transferSyntaxUid)) {
    throw new DicomError('unsupported', `no decoder for transfer syntax ${transferSyntaxUid}`);
  }
  const pixelData = stored(layout.count);
  const marked = string(dataSet, 'LossyImageCompression') === '01';
  if ('read' in pixelData)
    return { ...layout, lossy: marked, frame: checked(layout, nativeFrames(dataSet, layout, pixelData)) };
  if (compression === undefined) throw encapsulatedError(transferSyntaxUid);
  if (compression !== 'rle') await prepareCodecs();
  const first = pixelData.frame(0);
  const lossy = marked || codestreamFacts(first, compression)?.lossy === true;
  return {
    ...layout,
    lossy,
    compressed: { compression, first, bytes: pixelData.bytes },
    frame: checked(layout, compressedFrames(layout, pixelData.frame, compression)),
  };
}

/**
 * Decodes all frames of an image.
 * @throws DicomError unsupported, undecodable
 */
export async function decodeFrames(part10: Part10): Promise<Frames> {
  const { frame, compressed: _compressed, ...reader } = await openFrames(part10);
  const total = reader.rows * reader.columns * (reader.bitsAllocated / 8) * reader.count;
  if (total > MAX_FRAMES_BYTES) {
    throw new DicomError(
      'unsupported',
      `${reader.count} frames exceed ${MAX_FRAMES_BYTES} bytes; read them singly`,
    );
  }
  return { ...reader, frames: Array.from({ length: reader.count }, (_, i) => frame(i)) };
}

function checked(layout: PixelLayout, read: FrameReader['frame']): FrameReader['frame'] {
  return (index, into) => {
    if (!Number.isInteger(index) || index < 0 || index >= layout.count) {
      throw new RangeError(`frame ${index} of ${layout.count}`);
    }
    return read(index, into);
  };
}

function nativeFrames(
  dataSet: DataSet,
  layout: PixelLayout,
  { vr, length, read }: Extract<StoredPixelData, { vr: string }>,
): FrameReader['frame'] {
  const frameSize = layout.rows * layout.columns * (layout.bitsAllocated / 8);
  if (length < frameSize * layout.count) {
    throw new DicomError(
      'undecodable',
      `the pixel data has ${length} bytes, ${layout.count} frame(s) of ${layout.rows}×${layout.columns} need ${frameSize * layout.count}`,
    );
  }
  if (dataSet.bigEndian && layout.bitsAllocated === 8 && vr === 'OW') {
    // Two 8 bit pixels share a word, the first in its low byte (PS3.5 8.1.1, D.1).
    return (index, into) => {
      const start = index * frameSize;
      const from = start - (start % 2);
      const words = Math.ceil((start + frameSize - from) / 2);
      const even = Buffer.from(read(from, Math.min(2 * words, length - (length % 2) - from))).swap16();
      return toStored(layout, even.subarray(start - from, start - from + frameSize), into);
    };
  }
  const swapped = dataSet.bigEndian && layout.bitsAllocated === 16;
  return (index, into) => {
    const frame = read(index * frameSize, frameSize);
    return toStored(layout, swapped ? Buffer.from(frame).swap16() : frame, into);
  };
}

function compressedFrames(
  layout: PixelLayout,
  frames: (index: number) => Buffer,
  compression: Compression,
): FrameReader['frame'] {
  const pixels = layout.rows * layout.columns;
  return (index, into) => {
    const frame = frames(index);
    if (compression === 'rle')
      return toStored(layout, decodeRle(frame, pixels, layout.bitsAllocated / 8), into);
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
    return toStored({ ...layout, highBit }, wide, into);
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
function toStored(layout: PixelLayout, bytes: Uint8Array, into?: ArrayBuffer): StoredPixels {
  const { signed, bitsStored, highBit, bitsAllocated } = layout;
  const pixels = layout.rows * layout.columns;
  const up = 31 - highBit;
  const down = 32 - bitsStored;
  const size = pixels * (bitsAllocated / 8);
  const memory = into !== undefined && into.byteLength >= size ? into : new ArrayBuffer(size);
  if (bitsAllocated === 8) {
    const stored = signed ? new Int8Array(memory, 0, pixels) : new Uint8Array(memory, 0, pixels);
    if (signed) for (let i = 0; i < pixels; i += 1) stored[i] = (bytes[i]! << up) >> down;
    else for (let i = 0; i < pixels; i += 1) stored[i] = (bytes[i]! << up) >>> down;
    return stored;
  }
  const aligned = bytes.byteOffset % 2 === 0 ? bytes : bytes.slice();
  const words = new Uint16Array(aligned.buffer, aligned.byteOffset, pixels);
  const stored = signed ? new Int16Array(memory, 0, pixels) : new Uint16Array(memory, 0, pixels);
  if (signed) for (let i = 0; i < pixels; i += 1) stored[i] = (words[i]! << up) >> down;
  else for (let i = 0; i < pixels; i += 1) stored[i] = (words[i]! << up) >>> down;
  return stored;
}
