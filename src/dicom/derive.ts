/** Builds the derived instance: the source's identity and geometry, corrected pixels, and how they came about. */
import { appendAscii } from './character-set.js';
import type { DataSet } from './data-set.js';
import {
  ascii,
  codingSchemeItem,
  contributingEquipmentItem,
  type Derivation,
  derivationMacro,
  derivedUids,
  EQUIPMENT_MODEL_NAME,
  momentOf,
  sequence,
  sourceImages,
  text,
} from './derivation.js';
import { tagOf } from './dictionary.js';
import { DicomError } from './error.js';
import { derivedFunctionalGroups } from './functional-groups.js';
import { derivedType } from './image-type.js';
import { type CompressedImage, lossyCompression } from './lossy.js';
import { type Part10, writeMetaHeader } from './part10.js';
import { imageOf, type PixelLayout, type StoredPixels } from './pixels.js';
import { TransferSyntax } from './transfer-syntax.js';
import { characterSetOf, elementOf, itemsOf, number, string } from './values.js';
import { copiedTags } from './whitelist.js';
import { DataSetWriter, itemToOutgoing, type OutgoingElement, toOutgoing } from './writer.js';

const PIXEL_DATA = tagOf('PixelData');
const MAX_INTEGER_STRING = 2 ** 31 - 1;

/** A source as far as its derived instance is made from it: everything but its pixel data. */
export interface DerivedFrom {
  dataSet: DataSet;
  /** its frames, as they were opened */
  image: PixelLayout & CompressedImage;
}

/**
 * Makes the derived instance of a source and its corrected frames.
 * @param source the whole source, parsed with its pixel data
 * @param frames one array of stored values per frame of the source, of the type that its frames have
 * @returns a part 10 file in Explicit VR Little Endian; the same arguments give the same bytes
 * @throws DicomError when the source is no image that can be described; RangeError when the frames do not fit its description
 */
export function deriveInstance(source: Part10, frames: readonly StoredPixels[], d: Derivation): Buffer {
  return deriveFile({ dataSet: source.dataSet, image: imageOf(source) }, frames, d);
}

/**
 * The same of a source whose frames are open.
 * @param into memory for the file, used when there is enough of it
 */
export function deriveFile(
  source: DerivedFrom,
  frames: readonly StoredPixels[],
  d: Derivation,
  into?: ArrayBuffer,
): Buffer {
  const { image } = source;
  if (frames.length !== image.count)
    throw new RangeError(`${frames.length} frames for an image of ${image.count}`);
  const range = new PixelRange(image);
  for (const frame of frames) range.add(frame);
  const pixelBytes = nativeLength(image);
  const writer = new DataSetWriter(pixelBytes + 16384 + 8192 * frames.length, 'explicit', into);
  writeHeader(writer, source, range, d);
  for (const frame of frames) {
    writer.bytes(new Uint8Array(frame.buffer, frame.byteOffset, frame.byteLength));
  }
  if (pixelBytes % 2 === 1) writer.bytes(Buffer.alloc(1));
  return writer.finish();
}

/**
 * What precedes the stored values of the derived instance in its file, for frames that are written elsewhere: one after
 * the other in little endian, with a zero byte behind them where their number of bytes is odd.
 * @param range of the corrected frames, all of them added
 * @throws DicomError as `deriveInstance`
 */
export function deriveHeader(source: DerivedFrom, range: PixelRange, d: Derivation): Buffer {
  const writer = new DataSetWriter(65536 + 8192 * source.image.count);
  writeHeader(writer, source, range, d);
  return writer.finish();
}

function writeHeader(writer: DataSetWriter, source: DerivedFrom, range: PixelRange, d: Derivation): void {
  const { dataSet, image: layout } = source;
  const identity = {
    sopClassUid: required(dataSet, 'SOPClassUID'),
    sopInstanceUid: required(dataSet, 'SOPInstanceUID'),
    seriesInstanceUid: required(dataSet, 'SeriesInstanceUID'),
  };
  const uids = derivedUids(identity, d);
  const elements = new Map<number, OutgoingElement>();
  const put = (...outgoing: OutgoingElement[]) => {
    for (const element of outgoing) elements.set(element.tag, element);
  };

  const enhanced = elementOf(dataSet, 'PerFrameFunctionalGroupsSequence') !== undefined;
  for (const tag of copiedTags(enhanced)) {
    const element = dataSet.elements.get(tag);
    if (element !== undefined) put(toOutgoing(element, dataSet, layout.signed));
  }

  const moment = momentOf(d.at, string(dataSet, 'TimezoneOffsetFromUTC'));
  put(
    {
      tag: tagOf('ImageType'),
      vr: 'CS',
      bytes: derivedType(elementOf(dataSet, 'ImageType')?.bytes),
    },
    text('InstanceCreationDate', 'DA', moment.date),
    text('InstanceCreationTime', 'TM', moment.time),
    text('InstanceCreatorUID', 'UI', d.deviceUid),
    text('ContentDate', 'DA', moment.date),
    text('ContentTime', 'TM', moment.time),
    text('SOPClassUID', 'UI', identity.sopClassUid),
    text('SOPInstanceUID', 'UI', uids.sopInstanceUid),
    text('SeriesInstanceUID', 'UI', uids.seriesInstanceUid),
    text('SeriesNumber', 'IS', String(seriesNumber(dataSet, d))),
    seriesDescription(dataSet, d),
    appended(dataSet, 'CodingSchemeIdentificationSequence', codingSchemeItem(), layout.signed),
    appended(dataSet, 'ContributingEquipmentSequence', contributingEquipmentItem(d, moment), layout.signed),
    ...pixelDescription(dataSet, layout, range),
    ...lossyCompression(dataSet, layout),
    ...imageComments(dataSet, d),
  );
  if (enhanced) {
    put(
      ...derivedFunctionalGroups(dataSet, identity, layout.count, layout.signed, d),
      appended(dataSet, 'SourceImageEvidenceSequence', evidenceItem(dataSet, identity), layout.signed),
    );
  } else put(...derivationHistory(dataSet, d, layout), sourceImages(identity));

  const meta = writeMetaHeader({
    sopClassUid: identity.sopClassUid,
    sopInstanceUid: uids.sopInstanceUid,
    transferSyntaxUid: TransferSyntax.ExplicitVRLittleEndian,
  });
  writer.bytes(meta);
  for (const tag of [...elements.keys()].sort((a, b) => a - b)) writer.element(elements.get(tag)!);
  const pixelBytes = nativeLength(layout);
  writer.header(PIXEL_DATA, layout.bitsAllocated > 8 ? 'OW' : 'OB', pixelBytes + (pixelBytes % 2));
}

/** Bytes of all stored values. @throws DicomError when that is more than an element holds */
function nativeLength({ rows, columns, bitsAllocated, count }: PixelLayout): number {
  const pixelBytes = rows * columns * (bitsAllocated / 8) * count;
  if (pixelBytes > 0xfffffffe) {
    throw new DicomError('unsupported', `${count} frames exceed the length of native pixel data`);
  }
  return pixelBytes;
}

function required(dataSet: DataSet, keyword: string): string {
  const value = string(dataSet, keyword);
  if (value === undefined) throw new DicomError('malformed', `${keyword} is absent or empty`);
  return value;
}

/** Checks frames against the description of their image, and knows their extreme values. */
export class PixelRange {
  min = Number.POSITIVE_INFINITY;
  max = Number.NEGATIVE_INFINITY;

  constructor(private readonly layout: PixelLayout) {}

  /** @throws RangeError when the frame does not fit */
  add(frame: StoredPixels): void {
    const { rows, columns, bitsAllocated, bitsStored, storedRange } = this.layout;
    const size = rows * columns;
    if (frame.length !== size || frame.BYTES_PER_ELEMENT * 8 !== bitsAllocated) {
      throw new RangeError(
        `a frame of ${frame.length} values of ${frame.BYTES_PER_ELEMENT} bytes for ${rows}×${columns} of ${bitsAllocated} bits`,
      );
    }
    const [min, max] = extremes(frame, this.min, this.max);
    if (min < storedRange.min || max > storedRange.max) {
      throw new RangeError(
        `stored values ${min} to ${max} leave the range ${storedRange.min} to ${storedRange.max} of ${bitsStored} bits`,
      );
    }
    this.min = min;
    this.max = max;
  }
}

/** The smallest and largest of all values and of two others. */
function extremes(values: StoredPixels, low: number, high: number): [number, number] {
  let min = low;
  let max = high;
  for (let i = 0; i < values.length; i += 1) {
    const value = values[i]!;
    if (value < min) min = value;
    if (value > max) max = value;
  }
  return [min, max];
}

/** Image Pixel module: PS3.3 C.7.6.3. High Bit is Bits Stored − 1 (PS3.5 8.1.1) wherever the source had it. */
function pixelDescription(
  dataSet: DataSet,
  layout: PixelLayout,
  range: { min: number; max: number },
): OutgoingElement[] {
  const vr = layout.signed ? 'SS' : 'US';
  const elements = [
    word('SamplesPerPixel', 'US', 1),
    text('PhotometricInterpretation', 'CS', layout.photometricInterpretation),
    word('Rows', 'US', layout.rows),
    word('Columns', 'US', layout.columns),
    word('BitsAllocated', 'US', layout.bitsAllocated),
    word('BitsStored', 'US', layout.bitsStored),
    word('HighBit', 'US', layout.bitsStored - 1),
    word('PixelRepresentation', 'US', layout.signed ? 1 : 0),
    word('SmallestImagePixelValue', vr, range.min),
    word('LargestImagePixelValue', vr, range.max),
  ];
  if (elementOf(dataSet, 'NumberOfFrames') !== undefined) {
    elements.push(text('NumberOfFrames', 'IS', String(layout.count)));
  }
  return elements;
}

function word(keyword: string, vr: 'US' | 'SS', value: number): OutgoingElement {
  const bytes = Buffer.alloc(2);
  if (vr === 'SS') bytes.writeInt16LE(value);
  else bytes.writeUInt16LE(value);
  return { tag: tagOf(keyword), vr, bytes };
}

/** Source × 100 + n; what an integer string cannot hold loses leading digits. */
function seriesNumber(dataSet: DataSet, d: Derivation): number {
  const source = Math.abs(Math.trunc(number(dataSet, 'SeriesNumber') ?? 0));
  const offset = d.seriesNumberOffset ?? 1;
  const value = source * 100 + offset;
  return value <= MAX_INTEGER_STRING ? value : (source % 10_000_000) * 100 + offset;
}

/** "‹source description› MC-Net" in the source's character set, at most 64 characters. */
function seriesDescription(dataSet: DataSet, d: Derivation): OutgoingElement {
  const source = trimmed(elementOf(dataSet, 'SeriesDescription')?.bytes);
  const suffix = ascii(d.descriptionSuffix ?? ` ${EQUIPMENT_MODEL_NAME}`, 64);
  const separated = source.length === 0 ? suffix : ` ${suffix}`;
  return {
    tag: tagOf('SeriesDescription'),
    vr: 'LO',
    bytes: appendAscii(source, characterSetOf(dataSet), separated, 64),
  };
}

function imageComments(dataSet: DataSet, d: Derivation): OutgoingElement[] {
  if (d.flags === undefined || d.flags.length === 0) return [];
  const source = trimmed(elementOf(dataSet, 'ImageComments')?.bytes);
  const remark = `${EQUIPMENT_MODEL_NAME}: ${d.flags.map((flag) => ascii(flag, 1024)).join('; ')}`.slice(
    0,
    8192,
  );
  const separated = source.length === 0 ? remark : `\r\n${remark}`;
  const bytes = appendAscii(source, characterSetOf(dataSet), separated, 10240);
  return [{ tag: tagOf('ImageComments'), vr: 'LT', bytes }];
}

/** What was done to the source before stays said, our step follows: PS3.3 C.7.6.1.1.3. */
function derivationHistory(
  dataSet: DataSet,
  d: Derivation,
  { signed, count }: PixelLayout,
): OutgoingElement[] {
  const [description, codes] = derivationMacro(d, count);
  const before = trimmed(elementOf(dataSet, 'DerivationDescription')?.bytes);
  const own = description.bytes.toString('latin1');
  const separated = before.length === 0 ? own : `\r\n${own}`;
  const earlier = itemsOf(dataSet, 'DerivationCodeSequence').map((item) => itemToOutgoing(item, signed));
  return [
    { ...description, bytes: appendAscii(before, characterSetOf(dataSet), separated, 1024) },
    { ...codes, items: [...earlier, ...codes.items] },
  ];
}

function trimmed(bytes: Buffer | undefined): Buffer {
  let end = bytes?.length ?? 0;
  while (end > 0 && (bytes![end - 1] === 0x20 || bytes![end - 1] === 0)) end -= 1;
  return (bytes ?? Buffer.alloc(0)).subarray(0, end);
}

/** The source's items of a sequence, and one more. */
function appended(
  dataSet: DataSet,
  keyword: string,
  item: OutgoingElement[],
  signed: boolean,
): OutgoingElement {
  const earlier = itemsOf(dataSet, keyword).map((existing) => itemToOutgoing(existing, signed));
  return sequence(keyword, [...earlier, item]);
}

/** Source Image Evidence of a multi-frame image: PS3.3 C.8.13.2, table 10-4 (Hierarchical SOP Instance Reference). */
function evidenceItem(
  dataSet: DataSet,
  source: { sopClassUid: string; sopInstanceUid: string; seriesInstanceUid: string },
): OutgoingElement[] {
  return [
    sequence('ReferencedSeriesSequence', [
      [
        sequence('ReferencedSOPSequence', [
          [
            text('ReferencedSOPClassUID', 'UI', source.sopClassUid),
            text('ReferencedSOPInstanceUID', 'UI', source.sopInstanceUid),
          ],
        ]),
        text('SeriesInstanceUID', 'UI', source.seriesInstanceUid),
      ],
    ]),
    text('StudyInstanceUID', 'UI', required(dataSet, 'StudyInstanceUID')),
  ];
}
