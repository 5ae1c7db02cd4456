/** The DICOM file format: PS3.10 section 7. */
import { type DataSet, PIXEL_DATA } from './data-set.js';
import { DicomError } from './error.js';
import {
  type PixelDataPlace,
  parseBeforePixelData,
  parseDataSet,
  parseMetaGroup,
  parseWhole,
  verifyDataSet,
} from './reader.js';
import { TransferSyntax } from './transfer-syntax.js';
import { isUid } from './uid.js';
import { string } from './values.js';
import { vrOfCode } from './vr.js';

export interface Part10 {
  /** group 0002; empty when the file had none */
  meta: DataSet;
  transferSyntaxUid: string;
  /** offset of the data set in the file, bytes */
  dataSetOffset: number;
  dataSet: DataSet;
}

export interface InstanceHeader {
  studyInstanceUid: string;
  seriesInstanceUid: string;
  sopInstanceUid: string;
  sopClassUid: string;
  transferSyntaxUid: string;
  /** offset of the data set in the file, bytes */
  dataSetOffset: number;
  /** what precedes the pixel data */
  dataSet: DataSet;
}

/** Implementation Class UID (0002,0012) of this program, as a 2.25 UID; constant over all versions. */
export const IMPLEMENTATION_CLASS_UID = '2.25.226498132871904566821436085710318352971';
/** Implementation Version Name (0002,0013), at most 16 characters. */
export const IMPLEMENTATION_VERSION_NAME = 'MCNET_1';

interface Opened {
  meta: DataSet;
  transferSyntaxUid: string;
  dataSetOffset: number;
}

/** Finds meta header and data set; a file without preamble, or without any meta header, is opened where it is unmistakable. */
function open(bytes: Buffer): Opened {
  if (bytes.length >= 132 && bytes.toString('latin1', 128, 132) === 'DICM') return openMeta(bytes, 132);
  if (bytes.length >= 4 && bytes.toString('latin1', 0, 4) === 'DICM') return openMeta(bytes, 4);
  if (bytes.length >= 8 && bytes.readUInt16LE(0) === 0x0002 && isExplicitHeader(bytes, 0)) {
    return openMeta(bytes, 0);
  }
  // A bare data set begins with a small element of group 0008.
  if (bytes.length >= 8 && bytes.readUInt16LE(0) === 0x0008 && bytes.readUInt16LE(2) <= 0x0018) {
    const transferSyntaxUid = isExplicitHeader(bytes, 0)
      ? TransferSyntax.ExplicitVRLittleEndian
      : bytes.readUInt32LE(4) <= 1024
        ? TransferSyntax.ImplicitVRLittleEndian
        : undefined;
    if (transferSyntaxUid !== undefined) {
      const meta: DataSet = { elements: new Map(), bigEndian: false, explicit: true };
      return { meta, transferSyntaxUid, dataSetOffset: 0 };
    }
  }
  if (bytes.length < 132) {
    throw new DicomError('not-dicom', `${bytes.length} bytes are too few for a DICOM file`);
  }
  throw new DicomError(
    'not-dicom',
    'no DICM prefix, no meta header and no data set at the start of the file',
  );
}

function isExplicitHeader(bytes: Buffer, at: number): boolean {
  return vrOfCode(bytes[at + 4]!, bytes[at + 5]!) !== undefined;
}

function openMeta(bytes: Buffer, start: number): Opened {
  const { meta, end } = parseMetaGroup(bytes, start);
  const transferSyntaxUid = string(meta, 'TransferSyntaxUID');
  if (transferSyntaxUid === undefined || !isUid(transferSyntaxUid)) {
    if (end >= bytes.length || bytes.length - end < 8) {
      throw new DicomError('truncated', 'the file ends in its meta header');
    }
    throw new DicomError('malformed', 'the meta header has no Transfer Syntax UID (0002,0010)');
  }
  return { meta, transferSyntaxUid, dataSetOffset: end };
}

/**
 * Reads a part 10 file.
 * @param bytes the whole file, or with `untilPixelData` its beginning; values of the result are views of it
 * @throws DicomError not-dicom, truncated, malformed, unsupported
 */
export function parsePart10(bytes: Buffer, options: { untilPixelData?: boolean } = {}): Part10 {
  const opened = open(bytes);
  const body = bytes.subarray(opened.dataSetOffset);
  return { ...opened, dataSet: parseDataSet(body, opened.transferSyntaxUid, options) };
}

/** A part 10 file up to its pixel data. */
export interface Part10Beginning extends Part10 {
  /** Where the pixel data is; offsets from the start of the data set. */
  pixelData?: PixelDataPlace;
  /** The whole data set when it is deflated. */
  inflated?: Buffer;
}

/**
 * Reads a part 10 file up to its pixel data, from the whole file or its beginning.
 * @throws DicomError truncated, malformed, not-dicom, unsupported; see `parseBeforePixelData`
 */
export function parseBeginning(bytes: Buffer): Part10Beginning {
  const opened = open(bytes);
  return {
    ...opened,
    ...parseBeforePixelData(bytes.subarray(opened.dataSetOffset), opened.transferSyntaxUid),
  };
}

/**
 * Identifies an instance by its file or the beginning of it.
 * @throws DicomError also when Study, Series or SOP Instance UID or SOP Class UID is absent or no UID: they become path names
 */
export function readHeader(file: Buffer): InstanceHeader {
  return identified(parsePart10(file, { untilPixelData: true }));
}

/**
 * Identifies an instance by its whole file, as `readHeader` does.
 * @returns `verify` walks the data set to its very end, into every sequence of undefined length
 * @throws DicomError as `readHeader` does; `verify`: truncated, malformed, unsupported
 */
export function openWhole(file: Buffer): InstanceHeader & { verify(): void } {
  const { transferSyntaxUid, dataSetOffset } = open(file);
  const { dataSet, verifyRest } = parseWhole(file.subarray(dataSetOffset), transferSyntaxUid);
  return { ...identified({ transferSyntaxUid, dataSetOffset, dataSet }), verify: verifyRest };
}

function identified({ transferSyntaxUid, dataSetOffset, dataSet }: Omit<Part10, 'meta'>): InstanceHeader {
  return {
    sopClassUid: requiredUid(dataSet, 'SOPClassUID', '(0008,0016)'),
    sopInstanceUid: requiredUid(dataSet, 'SOPInstanceUID', '(0008,0018)'),
    studyInstanceUid: requiredUid(dataSet, 'StudyInstanceUID', '(0020,000D)'),
    seriesInstanceUid: requiredUid(dataSet, 'SeriesInstanceUID', '(0020,000E)'),
    transferSyntaxUid,
    dataSetOffset,
    dataSet,
  };
}

function requiredUid(dataSet: DataSet, keyword: string, tag: string): string {
  const value = string(dataSet, keyword);
  if (value === undefined) throw new DicomError('malformed', `${keyword} ${tag} is absent or empty`);
  if (!isUid(value)) throw new DicomError('malformed', `${keyword} ${tag} is no valid UID`);
  return value;
}

/**
 * Walks the file's data set to its very end, into every sequence of undefined length.
 * @throws DicomError truncated, malformed, not-dicom, unsupported
 */
export function verifyWhole(file: Buffer): void {
  const { dataSetOffset, transferSyntaxUid } = open(file);
  if (file.length - dataSetOffset < 8) throw new DicomError('truncated', 'the file ends before its data set');
  verifyDataSet(file.subarray(dataSetOffset), transferSyntaxUid);
}

export function hasPixelData(dataSet: DataSet): boolean {
  return dataSet.elements.has(PIXEL_DATA);
}

const PREAMBLE_LENGTH = 128;
/** DICM, and the group length element with its value. */
const PREFIX_LENGTH = PREAMBLE_LENGTH + 4 + 12;
/** File Meta Information Version (0002,0001). */
const VERSION_ELEMENT = Buffer.from([0x02, 0, 0x01, 0, 0x4f, 0x42, 0, 0, 2, 0, 0, 0, 0, 1]);

function padded(text: string, padding: '\0' | ' '): string {
  return text.length % 2 === 0 ? text : text + padding;
}

function writeShort(target: Buffer, at: number, element: number, vr: string, length: number): number {
  target.writeUInt16LE(0x0002, at);
  target.writeUInt16LE(element, at + 2);
  target.write(vr, at + 4, 'latin1');
  return target.writeUInt16LE(length, at + 6);
}

/**
 * Preamble, DICM and File Meta Information (PS3.10 7.1) for a data set stored as it was received.
 * @throws DicomError malformed when a UID is none
 */
export function writeMetaHeader(m: {
  sopClassUid: string;
  sopInstanceUid: string;
  transferSyntaxUid: string;
  sourceAeTitle?: string | undefined;
}): Buffer {
  for (const uid of [m.sopClassUid, m.sopInstanceUid, m.transferSyntaxUid]) {
    if (!isUid(uid)) throw new DicomError('malformed', 'a meta header needs valid UIDs');
  }
  const elements: [element: number, vr: string, value: string][] = [
    [0x0002, 'UI', padded(m.sopClassUid, '\0')],
    [0x0003, 'UI', padded(m.sopInstanceUid, '\0')],
    [0x0010, 'UI', padded(m.transferSyntaxUid, '\0')],
    [0x0012, 'UI', padded(IMPLEMENTATION_CLASS_UID, '\0')],
    [0x0013, 'SH', padded(IMPLEMENTATION_VERSION_NAME, ' ')],
  ];
  if (m.sourceAeTitle !== undefined && m.sourceAeTitle !== '') {
    elements.push([0x0016, 'AE', padded(m.sourceAeTitle.slice(0, 16), ' ')]);
  }
  let groupLength = VERSION_ELEMENT.length;
  for (const [, , value] of elements) groupLength += 8 + value.length;
  const header = Buffer.alloc(PREFIX_LENGTH + groupLength);
  let at = PREAMBLE_LENGTH + header.write('DICM', PREAMBLE_LENGTH, 'latin1');
  at = header.writeUInt32LE(groupLength, writeShort(header, at, 0x0000, 'UL', 4));
  at += VERSION_ELEMENT.copy(header, at);
  for (const [element, vr, value] of elements) {
    at = writeShort(header, at, element, vr, value.length);
    at += header.write(value, at, 'latin1');
  }
  return header;
}
