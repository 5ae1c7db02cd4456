/** Data sets from one transfer syntax into another native one, piece by piece. */
import { PIXEL_DATA } from './data-set.js';
import { DicomError } from './error.js';
import { lossyCompression } from './lossy.js';
import type { Part10 } from './part10.js';
import { openFrames } from './pixels.js';
import { compressionOf, isNative, TransferSyntax } from './transfer-syntax.js';
import { number } from './values.js';
import { DataSetWriter, itemToOutgoing, type OutgoingElement, toOutgoing } from './writer.js';

const HIGH_BIT = 0x00280102;
/** Extended Offset Table and its Lengths, Encapsulated Pixel Data Value Total Length: of encapsulated pixel data alone. */
const ENCAPSULATED_ONLY = new Set([0x7fe00001, 0x7fe00002, 0x7fe00003]);
const PIECE = 1024 * 1024;
const MAX_VALUE_BYTES = 0xfffffffe;

/**
 * Syntaxes that a data set in `from` can be written in: explicit and implicit VR little endian. The values stay what they
 * are; compressed pixel data is decoded. `from` itself is not among them.
 */
export function nativeAlternatives(from: string): string[] {
  if (!isNative(from) && compressionOf(from) === undefined) return [];
  return [TransferSyntax.ExplicitVRLittleEndian, TransferSyntax.ImplicitVRLittleEndian].filter(
    (uid) => uid !== from,
  );
}

/**
 * The same attributes and values in another of `nativeAlternatives(source.transferSyntaxUid)`, frame by frame where the
 * pixel data is compressed. Group lengths are left out. The first frame is decoded before the first piece comes.
 * @param source the whole object, parsed with its pixel data
 * @throws DicomError when it cannot be read or decoded (of compressed objects, monochrome ones can); RangeError for any
 * other pair of syntaxes
 */
export async function* transcode(source: Part10, to: string): AsyncGenerator<Buffer> {
  const { transferSyntaxUid: from, dataSet } = source;
  if (!nativeAlternatives(from).includes(to)) throw new RangeError(`${from} cannot be rewritten as ${to}`);
  const signed = number(dataSet, 'PixelRepresentation') === 1;
  const elements = new Map(dataSet.elements);
  const pixelData = elements.get(PIXEL_DATA);
  elements.delete(PIXEL_DATA);
  const rest = itemToOutgoing({ ...dataSet, elements }, signed);
  if (pixelData === undefined) {
    yield written(rest, to);
    return;
  }
  if (pixelData.fragments === undefined) {
    const { vr, bytes = Buffer.alloc(0) } = toOutgoing(pixelData, dataSet, signed);
    yield* around(rest, to, vr, bytes.length, inPieces(bytes));
    return;
  }
  const reader = await openFrames(source);
  const frameBytes = reader.rows * reader.columns * (reader.bitsAllocated / 8);
  const frames = function* () {
    for (let i = 0; i < reader.count; i += 1) {
      const { buffer, byteOffset, byteLength } = reader.frame(i);
      yield Buffer.from(buffer, byteOffset, byteLength);
    }
  };
  const described = rest.filter(({ tag }) => tag !== HIGH_BIT && !ENCAPSULATED_ONLY.has(tag));
  const highBit = Buffer.alloc(2);
  highBit.writeUInt16LE(reader.bitsStored - 1);
  described.push({ tag: HIGH_BIT, vr: 'US', bytes: highBit });
  for (const lossy of lossyCompression(dataSet, reader)) {
    const at = described.findIndex(({ tag }) => tag === lossy.tag);
    if (at >= 0) described.splice(at, 1);
    described.push(lossy);
  }
  const sorted = described.sort((a, b) => a.tag - b.tag);
  const vr = reader.bitsAllocated > 8 || to === TransferSyntax.ImplicitVRLittleEndian ? 'OW' : 'OB';
  yield* around(sorted, to, vr, frameBytes * reader.count, frames());
}

function writerFor(to: string): DataSetWriter {
  return new DataSetWriter(64 * 1024, to === TransferSyntax.ImplicitVRLittleEndian ? 'implicit' : 'explicit');
}

function written(elements: readonly OutgoingElement[], to: string): Buffer {
  const writer = writerFor(to);
  for (const element of elements) writer.element(element);
  return writer.finish();
}

/** The elements before the pixel data with its header and first piece, the other pieces, and what follows. */
function* around(
  elements: readonly OutgoingElement[],
  to: string,
  vr: string,
  length: number,
  pieces: Iterable<Buffer>,
): Generator<Buffer> {
  const padded = length + (length % 2);
  if (padded > MAX_VALUE_BYTES)
    throw new DicomError('unsupported', `${length} bytes exceed the length of native pixel data`);
  const writer = writerFor(to);
  for (const element of elements) if (element.tag < PIXEL_DATA) writer.element(element);
  writer.header(PIXEL_DATA, vr, padded);
  let head: Buffer | undefined = writer.finish();
  for (const piece of pieces) {
    if (head !== undefined) yield head;
    head = undefined;
    yield piece;
  }
  if (head !== undefined) yield head;
  if (padded > length) yield Buffer.alloc(1);
  const tail = written(
    elements.filter(({ tag }) => tag > PIXEL_DATA),
    to,
  );
  if (tail.length > 0) yield tail;
}

function* inPieces(bytes: Buffer): Generator<Buffer> {
  for (let at = 0; at < bytes.length; at += PIECE) yield bytes.subarray(at, at + PIECE);
}
