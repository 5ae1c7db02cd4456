/** Builds the derived instance: the source's identity and geometry, corrected pixels, and how they came about. */
import { appendAscii } from './character-set.js';
import { codestreamFacts } from './codestream.js';
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
import { frameBytes } from './encapsulated.js';
import { DicomError } from './error.js';
import { derivedFunctionalGroups } from './functional-groups.js';
import { derivedType } from './image-type.js';
import { type Part10, writeMetaHeader } from './part10.js';
import { type PixelLayout, pixelLayout, type StoredPixels } from './pixels.js';
import { compressionOf, TransferSyntax } from './transfer-syntax.js';
import { characterSetOf, elementOf, itemsOf, number, string } from './values.js';
import { copiedTags } from './whitelist.js';
import { DataSetWriter, itemToOutgoing, type OutgoingElement, toOutgoing } from './writer.js';

const PIXEL_DATA = tagOf('PixelData');
const LOSSY = tagOf('LossyImageCompression');
const LOSSY_RATIO = tagOf('LossyImageCompressionRatio');
const LOSSY_METHOD = tagOf('LossyImageCompressionMethod');
const MAX_INTEGER_STRING = 2 ** 31 - 1;

/**
 * Makes the derived instance of a source and its corrected frames.
 * @param source the whole source, parsed with its pixel data
 * @param frames one array of stored values per frame of the source, of the type that `decodeFrames` returns
 * @returns a part 10 file in Explicit VR Little Endian; the same arguments give the same bytes
 * @throws DicomError when the source is no image that can be described; RangeError when the frames do not fit its description
 */
export function deriveInstance(source: Part10, frames: StoredPixels[], d: Derivation): Buffer {
  const { dataSet } = source;
  const layout = pixelLayout(dataSet);
  const range = pixelRange(layout, frames);
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
    ...lossyCompression(source, layout),
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
  return write(meta, elements, layout, frames);
}

function write(
  meta: Buffer,
  elements: Map<number, OutgoingElement>,
  layout: PixelLayout,
  frames: StoredPixels[],
): Buffer {
  const frameSize = layout.rows * layout.columns * (layout.bitsAllocated / 8);
  const pixelBytes = frameSize * frames.length;
  if (pixelBytes > 0xfffffffe) {
    throw new DicomError('unsupported', `${frames.length} frames exceed the length of native pixel data`);
  }
  const writer = new DataSetWriter(pixelBytes + 65536 + 8192 * frames.length);
  writer.bytes(meta);
  for (const tag of [...elements.keys()].sort((a, b) => a - b)) writer.element(elements.get(tag)!);
  writer.header(PIXEL_DATA, layout.bitsAllocated > 8 ? 'OW' : 'OB', pixelBytes + (pixelBytes % 2));
  for (const frame of frames) {
    writer.bytes(new Uint8Array(frame.buffer, frame.byteOffset, frame.byteLength));
  }
  if (pixelBytes % 2 === 1) writer.bytes(Buffer.alloc(1));
  return writer.finish();
}

function required(dataSet: DataSet, keyword: string): string {
  const value = string(dataSet, keyword);
  if (value === undefined) throw new DicomError('malformed', `${keyword} is absent or empty`);
  return value;
}

/** Checks the frames against the description, and returns the extreme values. */
function pixelRange(layout: PixelLayout, frames: StoredPixels[]): { min: number; max: number } {
  if (frames.length !== layout.count) {
    throw new RangeError(`${frames.length} frames for an image of ${layout.count}`);
  }
  const size = layout.rows * layout.columns;
  let min = Number.POSITIVE_INFINITY;
  let max = Number.NEGATIVE_INFINITY;
  for (const frame of frames) {
    if (frame.length !== size || frame.BYTES_PER_ELEMENT * 8 !== layout.bitsAllocated) {
      throw new RangeError(
        `a frame of ${frame.length} values of ${frame.BYTES_PER_ELEMENT} bytes for ${layout.rows}×${layout.columns} of ${layout.bitsAllocated} bits`,
      );
    }
    for (let i = 0; i < size; i += 1) {
      const value = frame[i]!;
      if (value < min) min = value;
      if (value > max) max = value;
    }
  }
  const { storedRange } = layout;
  if (min < storedRange.min || max > storedRange.max) {
    throw new RangeError(
      `stored values ${min} to ${max} leave the range ${storedRange.min} to ${storedRange.max} of ${layout.bitsStored} bits`,
    );
  }
  return { min, max };
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

/** What was lost once stays lost: PS3.3 C.7.6.1.1.5. */
function lossyCompression(source: Part10, layout: PixelLayout): OutgoingElement[] {
  const { dataSet } = source;
  const compression = compressionOf(source.transferSyntaxUid);
  if (compression === undefined || string(dataSet, LOSSY) === '01') return [];
  const frames = frameBytes(dataSet, layout.count, compression);
  if (codestreamFacts(frames[0]!, compression)?.lossy !== true) return [];
  const compressed = frames.reduce((sum, frame) => sum + frame.length, 0);
  const original = layout.rows * layout.columns * layout.count * Math.ceil(layout.bitsStored / 8);
  const method = {
    jpeg: 'ISO_10918_1',
    'jpeg-ls': 'ISO_14495_1',
    'jpeg-2000': 'ISO_15444_1',
    htj2k: 'ISO_15444_15',
    rle: '',
  }[compression];
  const elements = [text('LossyImageCompression', 'CS', '01')];
  if (!dataSet.elements.has(LOSSY_RATIO)) {
    elements.push(text('LossyImageCompressionRatio', 'DS', (original / compressed).toFixed(2)));
  }
  if (!dataSet.elements.has(LOSSY_METHOD)) elements.push(text('LossyImageCompressionMethod', 'CS', method));
  return elements;
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
