import {
  compressionOf,
  DataSetWriter,
  DicomError,
  isNative,
  itemToOutgoing,
  number,
  type OutgoingElement,
  parseDataSet,
  string,
  TransferSyntax,
  writeMetaHeader,
} from '../dicom/index.js';
import type { FrameDecoder } from './frame-decoder.js';
import { framesOf, type StoredFrames } from './stored-frames.js';
import type { StoredObject } from './stored-object.js';

const HIGH_BIT = 0x00280102;
const EXTENDED_OFFSET_TABLE = 0x7fe00001;
const PIXEL_DATA_PROVIDER = 0x7fe00003;
/** What follows the pixel data: signatures and padding. */
const TAIL_BYTES = 16 * 1024 * 1024;
const MAX_VALUE_BYTES = 0xfffffffe;

/** Swaps the bytes of 16 bit words that arrive in pieces. */
export async function* swapWords(chunks: AsyncIterable<Buffer>): AsyncGenerator<Buffer, void> {
  let odd: Buffer | undefined;
  for await (const chunk of chunks) {
    const joined = Buffer.concat(odd ? [odd, chunk] : [chunk]);
    const even = joined.length - (joined.length % 2);
    odd = even < joined.length ? joined.subarray(even) : undefined;
    yield joined.subarray(0, even).swap16();
  }
  if (odd) yield odd;
}

/** A whole small value in one buffer. */
export async function gather(chunks: AsyncIterable<Buffer>): Promise<Buffer> {
  const all: Buffer[] = [];
  for await (const chunk of chunks) all.push(chunk);
  return Buffer.concat(all);
}

/** The bytes of stored values, little endian on every machine this runs on. */
function bytesOf(pixels: { buffer: ArrayBufferLike; byteOffset: number; byteLength: number }): Buffer {
  return Buffer.from(pixels.buffer, pixels.byteOffset, pixels.byteLength);
}

/** Whether pixel data in big endian consists of words whose bytes change places. PS3.5 7.3, 8.1.1 */
function needsSwap(o: StoredObject): boolean {
  if (!o.dataSet.bigEndian || o.pixelData === undefined) return false;
  const bits = number(o.dataSet, 'BitsAllocated') ?? 16;
  if (bits > 16) throw new DicomError('unsupported', `big endian pixels of ${bits} bits cannot be converted`);
  return o.pixelData.vr === 'OW' || bits === 16;
}

/** Compressed pixel data that this server decodes: monochrome, in a syntax that it knows. */
function checkDecodable(o: StoredObject): void {
  if (compressionOf(o.transferSyntax) === undefined) {
    throw new DicomError('unsupported', `transfer syntax ${o.transferSyntax} cannot be decoded here`);
  }
  const photometric = string(o.dataSet, 'PhotometricInterpretation') ?? 'MONOCHROME2';
  if ((number(o.dataSet, 'SamplesPerPixel') ?? 1) !== 1 || !/^MONOCHROME[12]$/.test(photometric)) {
    throw new DicomError('unsupported', `compressed ${photometric} images cannot be decoded here`);
  }
}

/** One frame (from 0) uncompressed, in little endian. @throws DicomError */
export async function* uncompressedFrame(
  o: StoredObject,
  frames: StoredFrames,
  index: number,
  decoder: FrameDecoder,
): AsyncGenerator<Buffer, void> {
  if (!frames.encapsulated) {
    yield* needsSwap(o) ? swapWords(frames.read(index)) : frames.read(index);
    return;
  }
  const { pixels } = await decoder.decode(
    { dataSet: o.dataSet, transferSyntax: o.transferSyntax, vr: o.pixelData!.vr, encapsulated: true },
    await gather(frames.read(index)),
  );
  yield bytesOf(pixels);
}

/** @throws DicomError when the frames of the object cannot be had uncompressed */
export function checkConvertible(o: StoredObject): void {
  if (o.pixelData?.length === undefined && o.pixelData !== undefined) checkDecodable(o);
  else needsSwap(o);
}

function headerOf(o: StoredObject, decoded: boolean): OutgoingElement[] {
  const signed = number(o.dataSet, 'PixelRepresentation') === 1;
  const elements = itemToOutgoing(o.dataSet, signed).filter(
    ({ tag }) => tag < EXTENDED_OFFSET_TABLE || tag > PIXEL_DATA_PROVIDER,
  );
  const bitsStored = number(o.dataSet, 'BitsStored');
  if (!decoded || bitsStored === undefined) return elements;
  // Decoded values have their bits at the bottom.
  return elements.map((element) => {
    if (element.tag !== HIGH_BIT) return element;
    const bytes = Buffer.alloc(2);
    bytes.writeUInt16LE(bitsStored - 1);
    return { ...element, bytes };
  });
}

/** The elements behind the pixel data, encoded. */
async function tailOf(o: StoredObject, start: number): Promise<Buffer> {
  if (o.end - start < 8) return Buffer.alloc(0);
  if (o.end - start > TAIL_BYTES) throw new DicomError('unsupported', 'too much follows the pixel data');
  const syntax =
    o.transferSyntax === TransferSyntax.DeflatedExplicitVRLittleEndian
      ? TransferSyntax.ExplicitVRLittleEndian
      : o.transferSyntax;
  const dataSet = parseDataSet(await gather(o.read(start, o.end)), syntax);
  const writer = new DataSetWriter(1024);
  for (const element of itemToOutgoing(dataSet, false)) writer.element(element);
  return writer.finish();
}

async function* encodeObject(o: StoredObject, decoder: FrameDecoder): AsyncGenerator<Buffer, void> {
  const { pixelData, instance } = o;
  const frames = pixelData && pixelData.length === undefined ? await framesOf(o) : undefined;
  const writer = new DataSetWriter(64 * 1024);
  for (const element of headerOf(o, frames !== undefined)) writer.element(element);
  const meta = writeMetaHeader({
    sopClassUid: instance.sopClass,
    sopInstanceUid: instance.sop,
    transferSyntaxUid: TransferSyntax.ExplicitVRLittleEndian,
  });
  if (pixelData === undefined) {
    yield Buffer.concat([meta, writer.finish()]);
    return;
  }
  const bits = number(o.dataSet, 'BitsAllocated') ?? 16;
  const frameBytes =
    (number(o.dataSet, 'Rows') ?? 0) * (number(o.dataSet, 'Columns') ?? 0) * Math.ceil(bits / 8);
  const length = frames ? frameBytes * frames.count : pixelData.length!;
  if (length > MAX_VALUE_BYTES) {
    throw new DicomError(
      'unsupported',
      `uncompressed, its pixel data has ${length} bytes, more than DICOM can express`,
    );
  }
  const vr = pixelData.vr === 'UN' || (bits > 8 && pixelData.vr === 'OB') ? 'OW' : pixelData.vr;
  writer.header(pixelData.tag, vr, length + (length % 2));
  if (frames) {
    // The first frame is decoded before anything is given, each next one while the one before is taken.
    const decode = (index: number) => {
      const decoded = index < frames.count ? gather(uncompressedFrame(o, frames, index, decoder)) : undefined;
      decoded?.catch(() => {});
      return decoded;
    };
    let header: Buffer | undefined = Buffer.concat([meta, writer.finish()]);
    for (let index = 0, next = decode(0); index < frames.count; index++) {
      const frame = (await next)!;
      next = decode(index + 1);
      if (header) yield header;
      header = undefined;
      yield frame;
    }
  } else {
    yield Buffer.concat([meta, writer.finish()]);
    const value = o.read(pixelData.offset, pixelData.offset + length);
    yield* needsSwap(o) ? swapWords(value) : value;
  }
  if (length % 2 === 1) yield Buffer.alloc(1);
  const tail = await tailOf(o, frames ? frames.end : pixelData.offset + length);
  if (tail.length > 0) yield tail;
}

/**
 * A whole part 10 file in Explicit VR Little Endian, made while it is read: compressed frames one after another in the
 * decoder's thread, everything else element by element (PS3.5 A.2).
 * @throws DicomError at once when this cannot be done; while it is read when a frame does not decode
 */
export function toExplicitLittleEndian(o: StoredObject, decoder: FrameDecoder): AsyncGenerator<Buffer, void> {
  checkConvertible(o);
  return encodeObject(o, decoder);
}

/** Whether an object stored so can be had in Explicit VR Little Endian, as far as the syntax alone tells. */
export function mayConvert(transferSyntax: string): boolean {
  return isNative(transferSyntax) || compressionOf(transferSyntax) !== undefined;
}
