/**
 * Reads data sets by bytes (PS3.5 section 7): nothing is decoded, values are views of the input.
 * Sequences are stepped over and read on first access, so that a header costs what its top level costs.
 */
import { inflateRawSync, inflateSync } from 'node:zlib';
import { type DataSet, type Element, PIXEL_DATA, SPECIFIC_CHARACTER_SET } from './data-set.js';
import { describeTag, dictionaryVr, US_OR_SS } from './dictionary.js';
import { DicomError } from './error.js';
import { encodingOf } from './transfer-syntax.js';
import { allowsUndefinedLength, hasLongLength, vrOfCode } from './vr.js';

/** Deepest nesting of sequences that is read. Real objects stay below 20; known viewers and archives crash at 50. */
export const MAX_DEPTH = 48;
/** Most elements in one data set and most items in one sequence. */
export const MAX_ELEMENTS = 1 << 20;
/** Largest data set that a deflated one may inflate to. */
export const MAX_INFLATED_BYTES = 512 * 1024 * 1024;

const ITEM = 0xfffee000;
const ITEM_DELIMITER = 0xfffee00d;
const SEQUENCE_DELIMITER = 0xfffee0dd;
const PIXEL_REPRESENTATION = 0x00280103;
const FLOAT_PIXEL_DATA = 0x7fe00008;
const UNDEFINED_LENGTH = 0xffffffff;
const EMPTY = Buffer.alloc(0);

/** What all elements of one stream share. */
interface Stream {
  buffer: Buffer;
  explicit: boolean;
  bigEndian: boolean;
  /** decides between US and SS in implicit VR */
  signed: boolean;
  characterSet: readonly string[];
}

type ValueKind = 'value' | 'items' | 'encapsulated';

class StreamElement implements Element {
  readonly tag: number;
  readonly vr: string;
  readonly #stream: Stream;
  readonly #start: number;
  readonly #end: number;
  readonly #kind: ValueKind;
  readonly #depth: number;
  #items: DataSet[] | undefined;

  constructor(
    tag: number,
    vr: string,
    stream: Stream,
    start: number,
    end: number,
    kind: ValueKind,
    depth: number,
  ) {
    this.tag = tag;
    this.vr = vr;
    this.#stream = stream;
    this.#start = start;
    this.#end = end;
    this.#kind = kind;
    this.#depth = depth;
  }

  get bytes(): Buffer {
    return this.#kind === 'value' ? this.#stream.buffer.subarray(this.#start, this.#end) : EMPTY;
  }

  get items(): DataSet[] | undefined {
    if (this.#kind !== 'items') return undefined;
    this.#items ??= readItems(this.#stream, this.#start, this.#end, this.#depth + 1, this.tag);
    return this.#items;
  }

  get fragments(): Buffer[] | undefined {
    return this.#kind === 'encapsulated' ? readFragments(this.#stream, this.#start, this.#end) : undefined;
  }
}

// Header of the element or item last read; a structure per element would cost more than the read.
let tag = 0;
let vr = '';
let length = 0;
let valueStart = 0;

function tagAt(stream: Stream, at: number): number {
  const { buffer } = stream;
  return stream.bigEndian
    ? buffer.readUInt32BE(at)
    : ((buffer.readUInt16LE(at) << 16) | buffer.readUInt16LE(at + 2)) >>> 0;
}

function uint32At(stream: Stream, at: number): number {
  return stream.bigEndian ? stream.buffer.readUInt32BE(at) : stream.buffer.readUInt32LE(at);
}

function truncated(at: number, what: string): DicomError {
  return new DicomError('truncated', `the data set ends within ${what} at byte ${at}`);
}

/** Reads an element's header at `at` into tag, vr, length and valueStart, and checks that its value fits. */
function readElementHeader(stream: Stream, at: number, end: number): void {
  if (end - at < 8) throw truncated(at, 'an element header');
  const { buffer } = stream;
  tag = tagAt(stream, at);
  if (tag >>> 16 === 0xfffe) {
    vr = '';
    length = uint32At(stream, at + 4);
    valueStart = at + 8;
    return;
  }
  if (stream.explicit) {
    const first = buffer[at + 4]!;
    const second = buffer[at + 5]!;
    const known = vrOfCode(first, second);
    if (known === undefined && !isPlaceholderVr(first, second) && !isVrLetters(first, second)) {
      throw new DicomError(
        'malformed',
        `element ${describeTag(tag)} at byte ${at} has no value representation`,
      );
    }
    vr = known ?? 'UN';
    // A VR that is newer than this program has the long form (PS3.5 6.2.2); a placeholder was written by a program that knew only the short one.
    if (known === undefined ? !isPlaceholderVr(first, second) : hasLongLength(known)) {
      if (end - at < 12) throw truncated(at, `the header of ${describeTag(tag)}`);
      length = uint32At(stream, at + 8);
      valueStart = at + 12;
    } else {
      length = stream.bigEndian ? buffer.readUInt16BE(at + 6) : buffer.readUInt16LE(at + 6);
      valueStart = at + 8;
      checkFits(at, end);
      return;
    }
  } else {
    vr = dictionaryVr(tag);
    if (vr === US_OR_SS) vr = stream.signed ? 'SS' : 'US';
    length = uint32At(stream, at + 4);
    valueStart = at + 8;
    if (length === UNDEFINED_LENGTH && vr !== 'SQ' && tag !== PIXEL_DATA) vr = 'UN';
  }
  if (length !== UNDEFINED_LENGTH) {
    checkFits(at, end);
    return;
  }
  if (!allowsUndefinedLength(vr)) {
    throw new DicomError(
      'malformed',
      `${describeTag(tag)} at byte ${at}: ${vr} cannot have undefined length`,
    );
  }
}

function checkFits(at: number, end: number): void {
  if (length > end - valueStart) {
    throw new DicomError(
      'truncated',
      `${describeTag(tag)} at byte ${at} announces ${length} bytes and ${end - valueStart} remain`,
    );
  }
}

function isVrLetters(first: number, second: number): boolean {
  return first >= 0x41 && first <= 0x5a && second >= 0x41 && second <= 0x5a;
}

/** "  ", "??", "--" and two zero bytes stand in some objects where the writer knew no VR. */
function isPlaceholderVr(first: number, second: number): boolean {
  return first === second && (first === 0x20 || first === 0x3f || first === 0x2d || first === 0);
}

/** Items of an UN of undefined length are implicit little endian whatever the data set is (PS3.5 6.2.2). */
function itemStream(stream: Stream, elementVr: string): Stream {
  return elementVr === 'UN' && (stream.explicit || stream.bigEndian)
    ? { ...stream, explicit: false, bigEndian: false }
    : stream;
}

/** Some scanners write implicit VR items into private sequences of explicit VR data sets: the first element tells. */
function streamOfItem(stream: Stream, at: number, end: number): Stream {
  if (!stream.explicit || stream.bigEndian || end - at < 8) return stream;
  if (tagAt(stream, at) >>> 16 === 0xfffe) return stream;
  const { buffer } = stream;
  if (isVrLetters(buffer[at + 4]!, buffer[at + 5]!) || isPlaceholderVr(buffer[at + 4]!, buffer[at + 5]!)) {
    return stream;
  }
  return { ...stream, explicit: false };
}

/** Position behind the sequence delimiter of a value of undefined length that starts at `at`. */
function skipUndefinedLength(stream: Stream, at: number, end: number, depth: number, owner: number): number {
  if (depth > MAX_DEPTH) throw tooDeep(owner);
  for (let position = at; ; ) {
    readElementHeader(stream, position, end);
    if (tag === SEQUENCE_DELIMITER) return valueStart;
    if (tag !== ITEM) throw notAnItem(owner, position);
    if (length !== UNDEFINED_LENGTH) {
      checkFits(position, end);
      position = valueStart + length;
    } else {
      position = skipItem(stream, valueStart, end, depth);
    }
  }
}

/** Position behind the item delimiter of an item of undefined length whose content starts at `at`. */
function skipItem(stream: Stream, at: number, end: number, depth: number): number {
  const inner = streamOfItem(stream, at, end);
  for (let position = at; ; ) {
    readElementHeader(inner, position, end);
    if (tag === ITEM_DELIMITER) return valueStart;
    if (tag >>> 16 === 0xfffe) {
      throw new DicomError(
        'malformed',
        `item delimiter missing before ${describeTag(tag)} at byte ${position}`,
      );
    }
    position =
      length === UNDEFINED_LENGTH
        ? skipUndefinedLength(itemStream(inner, vr), valueStart, end, depth + 1, tag)
        : valueStart + length;
  }
}

function tooDeep(owner: number): DicomError {
  return new DicomError(
    'malformed',
    `sequences are nested deeper than ${MAX_DEPTH} levels at ${describeTag(owner)}`,
  );
}

function notAnItem(owner: number, at: number): DicomError {
  return new DicomError(
    'malformed',
    `${describeTag(owner)}: expected an item at byte ${at}, found ${describeTag(tag)}`,
  );
}

interface ReadOptions {
  stream: Stream;
  start: number;
  end: number;
  depth: number;
  /** an item of undefined length ends with its delimiter, not with `end` */
  delimited: boolean;
  untilPixelData: boolean;
  /** where the elements go; undefined to check the structure only */
  elements: Map<number, Element> | undefined;
}

/** Reads elements; the result is the position behind the last one. */
function readElements(o: ReadOptions): number {
  const { stream, end, depth, elements } = o;
  let position = o.start;
  let count = 0;
  while (o.delimited || position < end) {
    if (depth === 0 && isZeroTail(stream.buffer, position, end)) return end;
    if (o.untilPixelData && isPixelData(stream, position, end)) return position;
    readElementHeader(stream, position, end);
    if (tag === ITEM_DELIMITER && depth > 0) return valueStart;
    if (depth === 0 && isMovedPadding(stream.buffer, end)) {
      position = valueStart + length;
      continue;
    }
    if (tag >>> 16 === 0xfffe || (depth === 0 && isForeignGroup(tag >>> 16))) {
      throw new DicomError(
        'malformed',
        `${describeTag(tag)} at byte ${position} does not belong in a data set`,
      );
    }
    count += 1;
    if (count > MAX_ELEMENTS) {
      throw new DicomError('unsupported', `more than ${MAX_ELEMENTS} elements in one data set`);
    }
    const elementTag = tag;
    const elementVr = vr;
    const start = valueStart;
    const undefinedLength = length === UNDEFINED_LENGTH;
    const encapsulated = undefinedLength && elementTag === PIXEL_DATA && elementVr !== 'SQ';
    let valueEnd = start + length;
    let source = stream;
    if (undefinedLength) {
      if ((elementVr === 'OB' || elementVr === 'OW') && !encapsulated && depth === 0) {
        throw new DicomError(
          'malformed',
          `${describeTag(elementTag)} at byte ${position} has undefined length`,
        );
      }
      source = itemStream(stream, elementVr);
      valueEnd = skipUndefinedLength(source, start, end, depth + 1, elementTag);
    }
    if (elementTag === PIXEL_REPRESENTATION && valueEnd - start >= 2) {
      stream.signed = stream.buffer[start]! + stream.buffer[start + 1]! > 0;
    }
    if (elements !== undefined) {
      const kind = encapsulated ? 'encapsulated' : undefinedLength || elementVr === 'SQ' ? 'items' : 'value';
      const shownVr = kind === 'items' ? 'SQ' : elementVr;
      const element = new StreamElement(elementTag, shownVr, source, start, valueEnd, kind, depth);
      const earlier = elements.get(elementTag);
      if (earlier === undefined) elements.set(elementTag, element);
      else if (!earlier.bytes.equals(element.bytes)) {
        throw new DicomError('malformed', `${describeTag(elementTag)} occurs twice with different values`);
      }
      if (elementTag === SPECIFIC_CHARACTER_SET) {
        stream.characterSet = element.bytes.toString('latin1').split('\\');
      }
    }
    position = valueEnd;
  }
  return position;
}

function isPixelData(stream: Stream, at: number, end: number): boolean {
  if (end - at < 4) return false;
  const next = tagAt(stream, at);
  return next >= FLOAT_PIXEL_DATA && next <= PIXEL_DATA;
}

/** Command, meta and reserved groups have no place in a data set (PS3.5 7.1); group 0004 is that of a DICOMDIR. */
function isForeignGroup(group: number): boolean {
  return group < 0x0008 && group !== 0x0004;
}

/**
 * DCMTK's senders read zero padding behind the last element as an empty group length of group 0000, and send that in
 * front of the data set.
 */
function isMovedPadding(buffer: Buffer, end: number): boolean {
  if (tag !== 0 || (length !== 0 && length !== 4) || valueStart + length > end) return false;
  return length === 0 || buffer.readUInt32LE(valueStart) === 0;
}

/** Padding to a block size after the last element is harmless. */
function isZeroTail(buffer: Buffer, at: number, end: number): boolean {
  if (buffer[at] !== 0 || buffer[at + 1] !== 0) return buffer[at] === 0 && at + 1 === end;
  for (let i = at; i < end; i += 1) if (buffer[i] !== 0) return false;
  return true;
}

function readItems(stream: Stream, start: number, end: number, depth: number, owner: number): DataSet[] {
  if (depth > MAX_DEPTH) throw tooDeep(owner);
  const items: DataSet[] = [];
  for (let position = start; position < end; ) {
    readElementHeader(stream, position, end);
    if (tag === SEQUENCE_DELIMITER) break;
    if (tag !== ITEM) throw notAnItem(owner, position);
    if (items.length >= MAX_ELEMENTS) {
      throw new DicomError('unsupported', `${describeTag(owner)} has more than ${MAX_ELEMENTS} items`);
    }
    const contentStart = valueStart;
    const delimited = length === UNDEFINED_LENGTH;
    if (!delimited) checkFits(position, end);
    const contentEnd = delimited ? end : contentStart + length;
    const elements = new Map<number, Element>();
    // A copy, because an item's own character set must not leak into its successors.
    const inner = { ...streamOfItem(stream, contentStart, contentEnd) };
    const inheritedCharacterSet = inner.characterSet;
    const read = readElements({
      stream: inner,
      start: contentStart,
      end: contentEnd,
      depth,
      delimited,
      untilPixelData: false,
      elements,
    });
    position = delimited ? read : contentEnd;
    items.push({ elements, bigEndian: inner.bigEndian, explicit: inner.explicit, inheritedCharacterSet });
  }
  return items;
}

function readFragments(stream: Stream, start: number, end: number): Buffer[] {
  const fragments: Buffer[] = [];
  for (let position = start; position < end; ) {
    readElementHeader(stream, position, end);
    if (tag === SEQUENCE_DELIMITER) break;
    if (tag !== ITEM || length === UNDEFINED_LENGTH) throw notAnItem(PIXEL_DATA, position);
    checkFits(position, end);
    fragments.push(stream.buffer.subarray(valueStart, valueStart + length));
    position = valueStart + length;
  }
  return fragments;
}

function inflate(bytes: Buffer): Buffer {
  const options = { maxOutputLength: MAX_INFLATED_BYTES };
  try {
    return inflateRawSync(bytes, options);
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : '';
    if (code === 'ERR_BUFFER_TOO_LARGE') {
      throw new DicomError(
        'unsupported',
        `the deflated data set inflates to more than ${MAX_INFLATED_BYTES} bytes`,
      );
    }
    if (code === 'Z_BUF_ERROR') throw new DicomError('truncated', 'the deflated data set ends early');
    try {
      return inflateSync(bytes, options); // with a zlib header, which PS3.5 A.5 does not ask for
    } catch {
      throw new DicomError('malformed', 'the deflated data set does not inflate', { cause: error });
    }
  }
}

function openStream(bytes: Buffer, transferSyntaxUid: string): Stream {
  const { explicit, bigEndian, deflated } = encodingOf(transferSyntaxUid);
  return { buffer: deflated ? inflate(bytes) : bytes, explicit, bigEndian, signed: false, characterSet: [] };
}

/**
 * Reads a data set without meta header.
 * @param bytes the data set from its first byte; values of the result are views of it
 * @param options.untilPixelData stop before Pixel Data (7FE0,0008…0010): then what follows may be absent or cut off
 * @throws DicomError truncated, malformed, unsupported
 */
export function parseDataSet(
  bytes: Buffer,
  transferSyntaxUid: string,
  options: { untilPixelData?: boolean } = {},
): DataSet {
  const stream = openStream(bytes, transferSyntaxUid);
  const elements = new Map<number, Element>();
  readElements({
    stream,
    start: 0,
    end: stream.buffer.length,
    depth: 0,
    delimited: false,
    untilPixelData: options.untilPixelData ?? false,
    elements,
  });
  return { elements, bigEndian: stream.bigEndian, explicit: stream.explicit };
}

/** Where Pixel Data (7FE0,0010), or its float forms, stands in a data set. */
export interface PixelDataPlace {
  tag: number;
  vr: string;
  /** bytes of the value; undefined when it is encapsulated */
  length: number | undefined;
  /** of the value, or of the first item, from the start of the data set */
  offset: number;
}

/**
 * Reads what precedes the pixel data, and where that is, from a data set or the beginning of one. Without `pixelData` in
 * the result the bytes end before it: of a beginning, more must be read.
 * @returns `inflated`: the whole data set when it is deflated; offsets are offsets in it
 * @throws DicomError truncated (of a beginning, more must be read), malformed, unsupported
 */
export function parseBeforePixelData(
  bytes: Buffer,
  transferSyntaxUid: string,
): { dataSet: DataSet; pixelData?: PixelDataPlace; inflated?: Buffer } {
  const stream = openStream(bytes, transferSyntaxUid);
  const { buffer } = stream;
  const elements = new Map<number, Element>();
  const end = readElements({
    stream,
    start: 0,
    end: buffer.length,
    depth: 0,
    delimited: false,
    untilPixelData: true,
    elements,
  });
  const dataSet = { elements, bigEndian: stream.bigEndian, explicit: stream.explicit };
  const inflated = buffer === bytes ? {} : { inflated: buffer };
  if (buffer.length - end < 12 || !isPixelData(stream, end, buffer.length)) return { dataSet, ...inflated };
  readElementHeader(stream, end, Number.MAX_SAFE_INTEGER);
  const pixelData = {
    tag,
    vr,
    length: length === UNDEFINED_LENGTH ? undefined : length,
    offset: valueStart,
  };
  return { dataSet, pixelData, ...inflated };
}

/**
 * Reads what precedes the pixel data of a whole data set.
 * @returns `verifyRest` steps over the pixel data and what follows, to the very last byte
 * @throws DicomError truncated, malformed, unsupported; so does `verifyRest`
 */
export function parseWhole(
  bytes: Buffer,
  transferSyntaxUid: string,
): { dataSet: DataSet; verifyRest(): void } {
  const stream = openStream(bytes, transferSyntaxUid);
  const elements = new Map<number, Element>();
  const whole = { stream, end: stream.buffer.length, depth: 0, delimited: false };
  const start = readElements({ ...whole, start: 0, untilPixelData: true, elements });
  return {
    dataSet: { elements, bigEndian: stream.bigEndian, explicit: stream.explicit },
    verifyRest() {
      readElements({ ...whole, start, untilPixelData: false, elements: undefined });
    },
  };
}

/**
 * How many bytes of a data set precede its pixel data; undefined when these bytes do not reach it.
 * @throws DicomError truncated when they end within an element, malformed, unsupported
 */
export function lengthBeforePixelData(bytes: Buffer, transferSyntaxUid: string): number | undefined {
  const stream = openStream(bytes, transferSyntaxUid);
  const end = stream.buffer.length;
  const position = readElements({
    stream,
    start: 0,
    end,
    depth: 0,
    delimited: false,
    untilPixelData: true,
    elements: undefined,
  });
  return isPixelData(stream, position, end) ? position : undefined;
}

/**
 * Steps over a data set to its very last byte without keeping anything.
 * @throws DicomError truncated, malformed, unsupported
 */
export function verifyDataSet(bytes: Buffer, transferSyntaxUid: string): void {
  const stream = openStream(bytes, transferSyntaxUid);
  readElements({
    stream,
    start: 0,
    end: stream.buffer.length,
    depth: 0,
    delimited: false,
    untilPixelData: false,
    elements: undefined,
  });
}

/** Reads the elements of group 0002 from `start` (always explicit little endian, PS3.10 7.1). */
export function parseMetaGroup(bytes: Buffer, start: number): { meta: DataSet; end: number } {
  const stream: Stream = { buffer: bytes, explicit: true, bigEndian: false, signed: false, characterSet: [] };
  const elements = new Map<number, Element>();
  let position = start;
  // The group ends where group 0002 does: its length element is missing or wrong in too many files.
  while (bytes.length - position >= 8 && bytes.readUInt16LE(position) === 0x0002) {
    readElementHeader(stream, position, bytes.length);
    if (length === UNDEFINED_LENGTH) {
      throw new DicomError('malformed', `${describeTag(tag)} of the meta header has undefined length`);
    }
    elements.set(tag, new StreamElement(tag, vr, stream, valueStart, valueStart + length, 'value', 0));
    position = valueStart + length;
  }
  return { meta: { elements, bigEndian: false, explicit: true }, end: position };
}
