export { encodeJpeg, prepareCodecs } from './codecs.js';
export { type Correctable, correctable, correctableSopClasses, isOwnOutput } from './correctable.js';
export type { DataSet, Element } from './data-set.js';
export { CODING_SCHEME, type Derivation, derivedUids, EQUIPMENT_MODEL_NAME } from './derivation.js';
export { type DerivedFrom, deriveFile, deriveHeader, deriveInstance, PixelRange } from './derive.js';
export { dictionaryVr, isPrivate, keywordOf, tagOf, US_OR_SS } from './dictionary.js';
export { type FragmentFacts, frameStarts } from './encapsulated.js';
export { DicomError, type DicomErrorCode } from './error.js';
export { type LargeInstance, openLarge, type RandomAccess } from './large-file.js';
export { type LargeImage, openLargeImage, type ReadableFile } from './large-image.js';
export {
  IMPLEMENTATION_CLASS_UID,
  IMPLEMENTATION_VERSION_NAME,
  type InstanceHeader,
  openWhole,
  type Part10,
  type Part10Beginning,
  parseBeginning,
  parsePart10,
  readHeader,
  verifyWhole,
  writeMetaHeader,
} from './part10.js';
export {
  decodeFrames,
  type FrameReader,
  type Frames,
  openFrames,
  type PixelLayout,
  pixelLayout,
  type StoredPixels,
} from './pixels.js';
export { type PixelDataPlace, parseDataSet } from './reader.js';
export { nativeAlternatives, transcode } from './transcode.js';
export {
  type Compression,
  compressionOf,
  decodableTransferSyntaxes,
  isNative,
  TransferSyntax,
} from './transfer-syntax.js';
export { isUid, uidFromName } from './uid.js';
export { characterSetOf, elementOf, itemsOf, number, numbers, string, strings, vrOfValue } from './values.js';
export { isSingleText } from './vr.js';
export { DataSetWriter, itemToOutgoing, type OutgoingElement, toOutgoing } from './writer.js';
