import { DicomError, TransferSyntax } from '../dicom/index.js';
import { type Acceptable, choose, takes } from './accept.js';
import { notAcceptable } from './answer.js';
import { checkConvertible, uncompressedFrame } from './explicit-little-endian.js';
import type { FrameDecoder } from './frame-decoder.js';
import { multipart, type OutgoingPart } from './multipart-writer.js';
import type { StoredFrames } from './stored-frames.js';
import type { StoredObject } from './stored-object.js';

/** Media types of compressed frames. PS3.18 table 8.7.3-5 */
const MEDIA_TYPES: Readonly<Record<string, string>> = {
  [TransferSyntax.JpegBaseline]: 'image/jpeg',
  [TransferSyntax.JpegExtended]: 'image/jpeg',
  [TransferSyntax.JpegLossless]: 'image/jpeg',
  [TransferSyntax.JpegLosslessSV1]: 'image/jpeg',
  [TransferSyntax.RleLossless]: 'image/dicom-rle',
  [TransferSyntax.JpegLsLossless]: 'image/jls',
  [TransferSyntax.JpegLsNearLossless]: 'image/jls',
  [TransferSyntax.Jpeg2000Lossless]: 'image/jp2',
  [TransferSyntax.Jpeg2000]: 'image/jp2',
  [TransferSyntax.HtJpeg2000Lossless]: 'image/jphc',
  [TransferSyntax.HtJpeg2000LosslessRpcl]: 'image/jphc',
  [TransferSyntax.HtJpeg2000]: 'image/jphc',
};
/** Names of the older standard, which clients still ask by. */
const OLDER_NAMES: Readonly<Record<string, string>> = {
  'image/x-dicom-rle': 'image/dicom-rle',
  'image/x-jls': 'image/jls',
  'image/jhc': 'image/jphc',
};
const OCTETS = 'application/octet-stream';
const PLAIN = TransferSyntax.ExplicitVRLittleEndian;

interface FramesOffer {
  type: string;
  multipart: boolean;
  transferSyntax: string;
  asStored: boolean;
}

function convertible(o: StoredObject): boolean {
  try {
    checkConvertible(o);
    return true;
  } catch (error) {
    if (error instanceof DicomError) return false;
    throw error;
  }
}

/** What this object's frames can be sent as, to what the client asks for. */
function offerFor(
  wanted: Acceptable,
  o: StoredObject,
  encapsulated: boolean,
  single: boolean,
): FramesOffer | undefined {
  const stored = encapsulated ? o.transferSyntax : PLAIN;
  const syntax = wanted.transferSyntax;
  const isMultipart = wanted.multipart ?? true;
  if (!isMultipart && !single) return undefined;
  const offer = (type: string, asStored: boolean) => ({
    type,
    multipart: isMultipart,
    transferSyntax: asStored ? stored : PLAIN,
    asStored,
  });
  if (takes(wanted.type, OCTETS)) {
    if (encapsulated && (syntax === '*' || syntax === stored)) return offer(OCTETS, true);
    if ((syntax === undefined || syntax === '*' || syntax === PLAIN) && convertible(o))
      return offer(OCTETS, false);
  }
  const image = MEDIA_TYPES[o.transferSyntax];
  const named = image !== undefined && OLDER_NAMES[wanted.type] === image ? wanted.type : image;
  if (encapsulated && named !== undefined && takes(wanted.type, named)) {
    if (syntax === undefined || syntax === '*' || syntax === stored) return offer(named, true);
  }
  return undefined;
}

/** The body of an answer. */
export interface Body {
  contentType: string;
  chunks: AsyncGenerator<Buffer, void>;
  length?: number;
}

async function* allFrames(
  o: StoredObject,
  frames: StoredFrames,
  indexes: readonly number[],
  decoder: FrameDecoder,
): AsyncGenerator<Buffer, void> {
  for (const index of indexes) yield* uncompressedFrame(o, frames, index, decoder);
}

async function* asGenerator(chunks: AsyncIterable<Buffer>): AsyncGenerator<Buffer, void> {
  yield* chunks;
}

/**
 * Frames of an object (PS3.18 10.4.1.1.6) in the best form that the client takes: uncompressed as octets in little
 * endian, or as they are stored.
 * @param indexes frames, from 0; undefined: the whole pixel data as bulk data, one part where it is not compressed
 * @param location of a frame, for Content-Location
 * @throws RequestError 406
 */
export function framesAnswer(o: {
  object: StoredObject;
  frames: StoredFrames;
  accepted: readonly Acceptable[];
  indexes: readonly number[] | ((count: number) => readonly number[]) | undefined;
  location: (index: number | undefined) => string;
  decoder: FrameDecoder;
}): Body {
  const { object, frames, decoder, location } = o;
  const whole = o.indexes === undefined;
  const all = Array.from({ length: frames.count }, (_, i) => i);
  const indexes = typeof o.indexes === 'function' ? o.indexes(frames.count) : (o.indexes ?? all);
  const single = indexes.length === 1 || (whole && !frames.encapsulated);
  const offer = choose(o.accepted, (wanted) => offerFor(wanted, object, frames.encapsulated, single));
  if (!offer) {
    const image = frames.encapsulated ? MEDIA_TYPES[object.transferSyntax] : undefined;
    const types = [...(convertible(object) ? [OCTETS] : []), ...(image ? [image] : [])];
    throw notAcceptable(
      `multipart/related of ${types.join(' or ') || `${OCTETS} in ${object.transferSyntax}`}`,
    );
  }
  const type = `${offer.type}; transfer-syntax=${offer.transferSyntax}`;
  const bytes = (index: number) =>
    offer.asStored ? frames.read(index) : uncompressedFrame(object, frames, index, decoder);
  const one = whole && !frames.encapsulated;
  if (!offer.multipart) {
    const length = frames.encapsulated
      ? offer.asStored
        ? frames.length(indexes[0]!)
        : undefined
      : indexes.reduce((sum, index) => sum + frames.length(index), 0);
    const chunks = one ? allFrames(object, frames, indexes, decoder) : asGenerator(bytes(indexes[0]!));
    return { contentType: type, chunks, ...(length === undefined ? {} : { length }) };
  }
  function* parts(): Generator<OutgoingPart, void> {
    if (one) {
      const headers = { 'Content-Type': type, 'Content-Location': location(undefined) };
      yield { headers, body: allFrames(object, frames, indexes, decoder) };
      return;
    }
    for (const index of indexes) {
      yield { headers: { 'Content-Type': type, 'Content-Location': location(index) }, body: bytes(index) };
    }
  }
  return multipart(offer.type, parts());
}
