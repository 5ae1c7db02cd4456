/** Part 10 files that are too large for memory: the header is read, the rest is stepped over where it lies. */
import { describeTag } from './dictionary.js';
import { DicomError } from './error.js';
import { type InstanceHeader, parsePart10, readHeader } from './part10.js';
import { lengthBeforePixelData, verifyDataSet } from './reader.js';
import { encodingOf } from './transfer-syntax.js';

/** Bytes that are read where they are needed. */
export interface RandomAccess {
  size: number;
  /** Exactly these bytes; fewer only where the file ends. */
  read(offset: number, length: number): Promise<Buffer>;
}

export interface LargeInstance extends InstanceHeader {
  /**
   * Steps over the file to its very end.
   * @throws DicomError truncated, malformed, unsupported
   */
  verify(): Promise<void>;
}

const FIRST_BYTES = 1024 * 1024;
/** Most bytes before the pixel data, of what follows it, and of an object that has none. */
export const MAX_HEADER_BYTES = 512 * 1024 * 1024;

const FLOAT_PIXEL_DATA = 0x7fe00008;
const PIXEL_DATA = 0x7fe00010;
const ITEM = 0xfffee000;
const SEQUENCE_DELIMITER = 0xfffee0dd;
const UNDEFINED_LENGTH = 0xffffffff;

/**
 * Identifies an instance by as much of its beginning as that takes.
 * @throws DicomError as readHeader does; `unsupported` when there is no pixel data within MAX_HEADER_BYTES
 */
export async function openLarge(file: RandomAccess): Promise<LargeInstance> {
  for (let length = FIRST_BYTES; ; length *= 4) {
    const bytes = await file.read(0, Math.min(length, MAX_HEADER_BYTES, file.size));
    const whole = bytes.length === file.size;
    const found = tryHeader(bytes, whole);
    if (found !== undefined) {
      const { header, pixelDataAt } = found;
      const { dataSetOffset } = header;
      const verify = whole
        ? async () => verifyDataSet(bytes.subarray(dataSetOffset), header.transferSyntaxUid)
        : () => verifyFrom(file, pixelDataAt, header.transferSyntaxUid);
      return { ...header, verify };
    }
    if (bytes.length >= MAX_HEADER_BYTES) {
      throw new DicomError(
        'unsupported',
        `no pixel data in the first ${MAX_HEADER_BYTES} bytes of the object`,
      );
    }
  }
}

/** undefined when more bytes are needed. */
function tryHeader(
  bytes: Buffer,
  whole: boolean,
): { header: InstanceHeader; pixelDataAt: number } | undefined {
  try {
    const { dataSetOffset, transferSyntaxUid } = parsePart10(bytes, { untilPixelData: true });
    const body = bytes.subarray(dataSetOffset);
    if (whole) return { header: readHeader(bytes), pixelDataAt: 0 };
    // A deflated data set cannot be stepped over.
    if (encodingOf(transferSyntaxUid).deflated) return undefined;
    const length = lengthBeforePixelData(body, transferSyntaxUid);
    if (length === undefined) return undefined;
    return { header: readHeader(bytes), pixelDataAt: dataSetOffset + length };
  } catch (error) {
    if (!whole && error instanceof DicomError && error.code === 'truncated') return undefined;
    throw error;
  }
}

/** Steps over the pixel data at `at`, and over what follows it. */
async function verifyFrom(file: RandomAccess, at: number, transferSyntaxUid: string): Promise<void> {
  const { explicit, bigEndian } = encodingOf(transferSyntaxUid);
  let position = at;
  while (position < file.size) {
    const header = await file.read(position, 12);
    if (header.length < 8) break;
    const tag = tagOf(header, bigEndian);
    if (tag < FLOAT_PIXEL_DATA || tag > PIXEL_DATA) break;
    const lengthAt = explicit ? 8 : 4;
    if (header.length < lengthAt + 4) throw truncated(tag, position);
    const length = uint32(header, lengthAt, bigEndian);
    const valueAt = position + lengthAt + 4;
    if (length === UNDEFINED_LENGTH) position = await stepOverFragments(file, valueAt, bigEndian);
    else position = valueAt + length;
    if (position > file.size) throw truncated(tag, at);
  }
  if (file.size - position > MAX_HEADER_BYTES) {
    throw new DicomError('unsupported', `more than ${MAX_HEADER_BYTES} bytes follow the pixel data`);
  }
  verifyDataSet(await file.read(position, file.size - position), transferSyntaxUid);
}

/** Position behind the sequence delimiter of encapsulated pixel data (PS3.5 A.4). */
async function stepOverFragments(file: RandomAccess, at: number, bigEndian: boolean): Promise<number> {
  for (let position = at; ; ) {
    const header = await file.read(position, 8);
    if (header.length < 8) throw truncated(PIXEL_DATA, position);
    const tag = tagOf(header, bigEndian);
    const length = uint32(header, 4, bigEndian);
    position += 8;
    if (tag === SEQUENCE_DELIMITER) return position;
    if (tag !== ITEM || length === UNDEFINED_LENGTH) {
      throw new DicomError('malformed', `no fragment of the pixel data begins at byte ${position - 8}`);
    }
    position += length;
  }
}

function tagOf(header: Buffer, bigEndian: boolean): number {
  const [group, element] = bigEndian
    ? [header.readUInt16BE(0), header.readUInt16BE(2)]
    : [header.readUInt16LE(0), header.readUInt16LE(2)];
  return group * 0x10000 + element;
}

function uint32(header: Buffer, at: number, bigEndian: boolean): number {
  return bigEndian ? header.readUInt32BE(at) : header.readUInt32LE(at);
}

function truncated(tag: number, at: number): DicomError {
  return new DicomError('truncated', `the file ends within ${describeTag(tag)} at byte ${at}`);
}
