/** Frames of encapsulated pixel data: PS3.5 annex A.4. */
import { type DataSet, PIXEL_DATA } from './data-set.js';
import { DicomError } from './error.js';
import type { Compression } from './transfer-syntax.js';

const EXTENDED_OFFSET_TABLE = 0x7fe00001;

/**
 * The bytes of each frame. Order of trust: one frame takes all fragments; one fragment a frame; the extended or basic
 * offset table; the start marker of a new image.
 * @throws DicomError undecodable when the fragments cannot be told apart into `count` frames
 */
export function frameBytes(dataSet: DataSet, count: number, compression: Compression): Buffer[] {
  const [table, ...fragments] = dataSet.elements.get(PIXEL_DATA)?.fragments ?? [];
  const starts = frameStarts({
    table,
    extended: dataSet.elements.get(EXTENDED_OFFSET_TABLE)?.bytes,
    fragments: fragments.map((fragment) => ({ length: fragment.length, start: fragment })),
    count,
    compression,
  });
  return starts.map((start, i) => {
    const end = starts[i + 1] ?? fragments.length;
    return end - start === 1 ? fragments[start]! : Buffer.concat(fragments.slice(start, end));
  });
}

/** A fragment as far as finding the frames needs it. */
export interface FragmentFacts {
  length: number;
  /** Its first bytes, four at least where it has so many. */
  start: Buffer;
}

/**
 * Index of the first fragment of each frame, in the order of trust of `frameBytes`.
 * @param o.table value of the first item, the basic offset table
 * @param o.extended value of Extended Offset Table (7FE0,0001)
 * @param o.compression undefined where nothing is known of the codestream: no start markers are looked for
 * @throws DicomError undecodable when the fragments cannot be told apart into `count` frames
 */
export function frameStarts(o: {
  table: Buffer | undefined;
  extended: Buffer | undefined;
  fragments: readonly FragmentFacts[];
  count: number;
  compression: Compression | undefined;
}): number[] {
  const { table, fragments, count } = o;
  if (table === undefined || fragments.length === 0) {
    throw new DicomError('undecodable', 'the encapsulated pixel data has no fragments');
  }
  if (count === 1) return [0];
  if (fragments.length === count) return fragments.map((_, i) => i);
  if (fragments.length < count) {
    throw new DicomError('undecodable', `${fragments.length} fragments cannot hold ${count} frames`);
  }
  const starts =
    tableStarts(extendedOffsets(o.extended), fragments, count) ??
    tableStarts(basicOffsets(table), fragments, count) ??
    markerStarts(fragments, count, o.compression);
  if (starts === undefined) {
    throw new DicomError(
      'undecodable',
      `${fragments.length} fragments do not divide into ${count} frames: no usable offset table`,
    );
  }
  return starts;
}

function basicOffsets(table: Buffer): number[] {
  return Array.from({ length: Math.floor(table.length / 4) }, (_, i) => table.readUInt32LE(4 * i));
}

function extendedOffsets(bytes: Buffer = Buffer.alloc(0)): number[] {
  return Array.from({ length: Math.floor(bytes.length / 8) }, (_, i) => Number(bytes.readBigUInt64LE(8 * i)));
}

/** Index of the first fragment of each frame, if every offset is the start of a fragment. */
function tableStarts(
  offsets: number[],
  fragments: readonly FragmentFacts[],
  count: number,
): number[] | undefined {
  if (offsets.length !== count || offsets[0] !== 0) return undefined;
  const fragmentAt = new Map<number, number>();
  let offset = 0;
  for (const [i, fragment] of fragments.entries()) {
    fragmentAt.set(offset, i);
    offset += 8 + fragment.length;
  }
  const starts: number[] = [];
  for (const value of offsets) {
    const index = fragmentAt.get(value);
    if (index === undefined || index <= (starts.at(-1) ?? -1)) return undefined;
    starts.push(index);
  }
  return starts;
}

function markerStarts(
  fragments: readonly FragmentFacts[],
  count: number,
  compression: Compression | undefined,
): number[] | undefined {
  if (compression === undefined) return undefined;
  const isStart = ({ start: fragment }: FragmentFacts) => {
    if (fragment.length < 4) return false;
    if (compression === 'jpeg' || compression === 'jpeg-ls') {
      return fragment[0] === 0xff && fragment[1] === 0xd8 && fragment[2] === 0xff;
    }
    return compression !== 'rle' && fragment.readUInt32BE(0) === 0xff4fff51;
  };
  const starts = [...fragments.keys()].filter((i) => isStart(fragments[i]!));
  return starts.length === count && starts[0] === 0 ? starts : undefined;
}

export function encapsulatedError(transferSyntaxUid: string): DicomError {
  return new DicomError(
    'undecodable',
    `encapsulated pixel data in the native transfer syntax ${transferSyntaxUid}`,
  );
}
