import { open } from 'node:fs/promises';
import {
  compressionOf,
  DicomError,
  elementOf,
  frameStarts,
  isNative,
  number,
  string,
} from '../dicom/index.js';
import type { StoredObject } from './stored-object.js';

/** Where the frames of an object are, without their bytes. */
export interface StoredFrames {
  count: number;
  /** Compressed, or anything else that is encapsulated. */
  encapsulated: boolean;
  /** Bytes of one frame as it is stored. */
  length(index: number): number;
  /** One frame (from 0) as it is stored. */
  read(index: number): AsyncIterable<Buffer>;
  /** The position behind the pixel data. */
  end: number;
}

interface Range {
  start: number;
  end: number;
}

const ITEM = 0xfffee000;
const SEQUENCE_DELIMITER = 0xfffee0dd;
const MAX_FRAGMENTS = 1 << 20;
const WINDOW_BYTES = 64 * 1024;
/** An item's header and the start of its value. */
const FAR_BYTES = 16;

/** Bytes of one native frame. PS3.3 C.7.6.3, PS3.5 8 */
function nativeFrameBytes(o: StoredObject): number {
  const value = (keyword: string) => number(o.dataSet, keyword) ?? 0;
  const samples = number(o.dataSet, 'SamplesPerPixel') ?? 1;
  const photometric = string(o.dataSet, 'PhotometricInterpretation') ?? '';
  const perPixel = photometric.endsWith('_422') ? 2 : samples;
  const bits = value('Rows') * value('Columns') * perPixel * value('BitsAllocated');
  if (bits === 0 || bits % 8 !== 0) {
    throw new DicomError('unsupported', 'its frames do not consist of whole bytes');
  }
  return bits / 8;
}

/** Reads small pieces at growing positions: close ones together, far ones without what is between. */
async function openWindow(o: StoredObject) {
  const file = await open(o.instance.path);
  let from = 0;
  let window = Buffer.alloc(0);
  return {
    async at(position: number, length: number): Promise<Buffer> {
      if (position < from || position + length > from + window.length) {
        const far = position - from > WINDOW_BYTES / 8;
        const buffer = Buffer.allocUnsafe(Math.max(far ? FAR_BYTES : WINDOW_BYTES, length));
        const { bytesRead } = await file.read(buffer, 0, buffer.length, position);
        from = position;
        window = buffer.subarray(0, bytesRead);
      }
      return window.subarray(position - from, position - from + length);
    },
    close: () => file.close(),
  };
}

/** Walks the items of encapsulated pixel data by their headers. PS3.5 A.4 */
async function walkFragments(
  o: StoredObject,
  offset: number,
): Promise<{ table: Buffer; fragments: (Range & { length: number; first: Buffer })[]; end: number }> {
  const window = await openWindow(o);
  try {
    const fragments: (Range & { length: number; first: Buffer })[] = [];
    let table: Buffer | undefined;
    for (let position = offset; ; ) {
      const header = await window.at(position, 8);
      if (header.length < 8) throw new DicomError('truncated', 'the pixel data has no end');
      const tag = header.readUInt16LE(0) * 0x10000 + header.readUInt16LE(2);
      const length = header.readUInt32LE(4);
      const start = position + 8;
      if (tag === SEQUENCE_DELIMITER) return { table: table ?? Buffer.alloc(0), fragments, end: start };
      if (tag !== ITEM || start + length > o.end) {
        throw new DicomError('malformed', `no fragment of pixel data at byte ${position}`);
      }
      if (table === undefined) table = Buffer.from(await window.at(start, length));
      else {
        if (fragments.length >= MAX_FRAGMENTS) throw new DicomError('unsupported', 'too many fragments');
        const first = Buffer.from(await window.at(start, Math.min(4, length)));
        fragments.push({ start, end: start + length, length, first });
      }
      position = start + length;
    }
  } finally {
    await window.close();
  }
}

async function* readRanges(o: StoredObject, ranges: readonly Range[]): AsyncGenerator<Buffer, void> {
  for (const { start, end } of ranges) yield* o.read(start, end);
}

/**
 * Finds the frames of an object.
 * @throws DicomError when it has no pixel data, or its frames cannot be told apart
 */
export async function framesOf(o: StoredObject): Promise<StoredFrames> {
  const { pixelData, dataSet } = o;
  if (pixelData === undefined) throw new DicomError('undecodable', 'it has no pixel data');
  const count = Math.max(1, Math.trunc(number(dataSet, 'NumberOfFrames') ?? 1));
  if (pixelData.length !== undefined) {
    const bytes = nativeFrameBytes(o);
    if (bytes * count > pixelData.length) {
      throw new DicomError(
        'undecodable',
        `its pixel data has ${pixelData.length} bytes, ${count} frame(s) need ${bytes * count}`,
      );
    }
    const { offset, length } = pixelData;
    return {
      count,
      encapsulated: false,
      length: () => bytes,
      read: (index) => o.read(offset + index * bytes, offset + (index + 1) * bytes),
      end: offset + length,
    };
  }
  if (isNative(o.transferSyntax)) {
    throw new DicomError('undecodable', 'its pixel data is encapsulated, its transfer syntax is native');
  }
  const { table, fragments, end } = await walkFragments(o, pixelData.offset);
  const starts = frameStarts({
    table,
    extended: elementOf(dataSet, 'ExtendedOffsetTable')?.bytes,
    fragments: fragments.map(({ length, first }) => ({ length, start: first })),
    count,
    compression: compressionOf(o.transferSyntax),
  });
  const of = (index: number) => fragments.slice(starts[index]!, starts[index + 1] ?? fragments.length);
  return {
    count,
    encapsulated: true,
    length: (index) => of(index).reduce((sum, { length }) => sum + length, 0),
    read: (index) => readRanges(o, of(index)),
    end,
  };
}
