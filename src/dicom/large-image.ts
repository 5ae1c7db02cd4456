/** Images that are too large for memory: the header is read, frames are read where they lie when their turn comes. */
import type { DataSet } from './data-set.js';
import { frameStarts } from './encapsulated.js';
import { DicomError } from './error.js';
import { MAX_HEADER_BYTES } from './large-file.js';
import { type Part10Beginning, parseBeginning } from './part10.js';
import { type FrameReader, openPixels, type StoredPixelData } from './pixels.js';
import { compressionOf, encodingOf } from './transfer-syntax.js';

/** Bytes that can be had at once. */
export interface ReadableFile {
  size: number;
  /** Exactly these bytes; fewer only where the file ends. */
  read(offset: number, length: number): Buffer;
}

export interface LargeImage {
  /** what precedes the pixel data */
  dataSet: DataSet;
  transferSyntaxUid: string;
  /** @throws DicomError unsupported, undecodable, truncated, malformed */
  openFrames(): Promise<FrameReader>;
}

const FIRST_BYTES = 1024 * 1024;
const PIXEL_DATA = 0x7fe00010;
const EXTENDED_OFFSET_TABLE = 0x7fe00001;
const ITEM = 0xfffee000;
const SEQUENCE_DELIMITER = 0xfffee0dd;
const MAX_FRAGMENTS = 1 << 20;
/** As much of a fragment as tells whether a frame begins with it. */
const MARKER_BYTES = 4;

/**
 * Reads the header of an image.
 * @returns undefined for a deflated object: it can only be read whole
 * @throws DicomError truncated, malformed, not-dicom, unsupported
 */
export function openLargeImage(file: ReadableFile): LargeImage | undefined {
  for (let length = FIRST_BYTES; ; length *= 4) {
    const bytes = file.read(0, Math.min(length, MAX_HEADER_BYTES, file.size));
    const whole = bytes.length === file.size;
    const beginning = tryBeginning(bytes, whole);
    if (beginning !== undefined && encodingOf(beginning.transferSyntaxUid).deflated) return undefined;
    if (beginning?.pixelData !== undefined || (beginning !== undefined && whole)) {
      const { dataSet, transferSyntaxUid } = beginning;
      return {
        dataSet,
        transferSyntaxUid,
        openFrames: () =>
          openPixels(dataSet, transferSyntaxUid, (count) => storedPixels(file, beginning, count)),
      };
    }
    if (bytes.length >= MAX_HEADER_BYTES)
      throw new DicomError(
        'unsupported',
        `no pixel data in the first ${MAX_HEADER_BYTES} bytes of the object`,
      );
  }
}

/** undefined when more bytes are needed. */
function tryBeginning(bytes: Buffer, whole: boolean): Part10Beginning | undefined {
  try {
    return parseBeginning(bytes);
  } catch (error) {
    if (!whole && error instanceof DicomError && error.code === 'truncated') return undefined;
    throw error;
  }
}

function storedPixels(
  file: ReadableFile,
  { dataSet, transferSyntaxUid, dataSetOffset, pixelData }: Part10Beginning,
  count: number,
): StoredPixelData {
  if (pixelData === undefined || pixelData.tag !== PIXEL_DATA)
    throw new DicomError('undecodable', 'the object has no Pixel Data (7FE0,0010)');
  const start = dataSetOffset + pixelData.offset;
  if (pixelData.length !== undefined) {
    const length = Math.min(pixelData.length, file.size - start);
    return { vr: pixelData.vr, length, read: (offset, bytes) => file.read(start + offset, bytes) };
  }
  const { table, fragments } = walkFragments(file, start);
  const starts = frameStarts({
    table,
    extended: dataSet.elements.get(EXTENDED_OFFSET_TABLE)?.bytes,
    fragments,
    count,
    compression: compressionOf(transferSyntaxUid),
  });
  return {
    bytes: fragments.reduce((sum, { length }) => sum + length, 0),
    frame(index) {
      const parts = fragments.slice(starts[index], starts[index + 1] ?? fragments.length);
      return Buffer.concat(parts.map(({ at, length }) => file.read(at, length)));
    },
  };
}

interface Fragment {
  at: number;
  length: number;
  start: Buffer;
}

/** Steps from item to item of encapsulated pixel data (PS3.5 A.4). */
function walkFragments(file: ReadableFile, at: number): { table: Buffer | undefined; fragments: Fragment[] } {
  const fragments: Fragment[] = [];
  let table: Buffer | undefined;
  for (let position = at; ; ) {
    const header = file.read(position, 8 + MARKER_BYTES);
    if (header.length < 8) throw new DicomError('truncated', 'the pixel data has no end');
    const tag = header.readUInt16LE(0) * 0x10000 + header.readUInt16LE(2);
    const length = header.readUInt32LE(4);
    if (tag === SEQUENCE_DELIMITER) return { table, fragments };
    if (tag !== ITEM || position + 8 + length > file.size)
      throw new DicomError('malformed', `no fragment of the pixel data begins at byte ${position}`);
    if (fragments.length >= MAX_FRAGMENTS) throw new DicomError('unsupported', 'too many fragments');
    if (table === undefined) table = file.read(position + 8, length);
    else {
      const start = Buffer.from(header.subarray(8, 8 + Math.min(MARKER_BYTES, length)));
      fragments.push({ at: position + 8, length, start });
    }
    position += 8 + length;
  }
}
