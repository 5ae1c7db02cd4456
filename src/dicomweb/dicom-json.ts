import {
  type DataSet,
  DicomError,
  dictionaryVr,
  type Element,
  itemsOf,
  numbers,
  strings,
  toOutgoing,
  US_OR_SS,
  vrOfValue,
} from '../dicom/index.js';
import type { JsonAttribute, JsonDataSet, JsonValue, PersonName } from './json-model.js';

export interface JsonOptions {
  /** The BulkDataURI of a value, from the path of tags and item numbers that leads to it; undefined: always inline. */
  bulkDataUri?(path: readonly string[]): string;
  /** Binary values longer than so many bytes are given by their BulkDataURI. */
  inlineBytes?: number;
}

const SPECIFIC_CHARACTER_SET = 0x00080005;
const INLINE_BYTES = 1024;
const BINARY = new Set(['OB', 'OD', 'OF', 'OL', 'OV', 'OW', 'UN']);
const NUMBERS = new Set(['FL', 'FD', 'SL', 'SS', 'UL', 'US']);

/** "00100020" */
export function jsonTag(tag: number): string {
  return tag.toString(16).toUpperCase().padStart(8, '0');
}

/** PS3.18 F.2.2: the component groups of PS3.5 6.2.1.2. */
function personName(value: string): PersonName | null {
  const [alphabetic = '', ideographic = '', phonetic = ''] = value
    .split('=')
    .map((group) => group.replace(/[ ^]+$/, ''));
  if (alphabetic === '' && ideographic === '' && phonetic === '') return null;
  return {
    ...(alphabetic === '' ? {} : { Alphabetic: alphabetic }),
    ...(ideographic === '' ? {} : { Ideographic: ideographic }),
    ...(phonetic === '' ? {} : { Phonetic: phonetic }),
  };
}

/** A decimal or integer string as a number; what is none stays text, so that nothing is lost. */
function decimal(value: string): number | string | null {
  if (value === '') return null;
  const text = value.trim();
  return /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(text) ? Number(text) : value;
}

/** PS3.18 F.2.3: what JSON numbers cannot be. */
function floating(value: number): number | string {
  return Number.isFinite(value) ? value : Number.isNaN(value) ? 'NaN' : value > 0 ? 'inf' : '-inf';
}

/** 64 bit integers beyond what a double holds exactly are text. */
function wide(bytes: Buffer, vr: string): JsonValue[] {
  const values: JsonValue[] = [];
  for (let at = 0; at + 8 <= bytes.length; at += 8) {
    const value = vr === 'SV' ? bytes.readBigInt64LE(at) : bytes.readBigUInt64LE(at);
    const number = Number(value);
    values.push(Number.isSafeInteger(number) ? number : String(value));
  }
  return values;
}

function valuesOf(dataSet: DataSet, element: Element, vr: string): JsonValue[] {
  const { tag } = element;
  if (NUMBERS.has(vr)) return numbers(dataSet, tag).map(floating);
  if (vr === 'AT') return numbers(dataSet, tag).map(jsonTag);
  if (vr === 'SV' || vr === 'UV') return wide(toOutgoing(element, dataSet, false).bytes!, vr);
  return textValues(vr, strings(dataSet, tag));
}

function textValues(vr: string, texts: readonly string[]): JsonValue[] {
  if (vr === 'DS' || vr === 'IS') return texts.map(decimal);
  if (vr === 'PN') return texts.map(personName);
  return texts.map((text) => (text === '' ? null : text));
}

/** An attribute whose values are known as text, a binary one's as decimal numbers. */
export function jsonAttributeOfText(tag: number, texts: readonly string[]): JsonAttribute {
  const known = dictionaryVr(tag);
  const vr = known === US_OR_SS ? 'US' : known;
  if (texts.length === 0) return { vr };
  return { vr, Value: NUMBERS.has(vr) ? texts.map((text) => floating(Number(text))) : textValues(vr, texts) };
}

/** One element in the DICOM JSON Model (PS3.18 F.2.2). */
export function jsonAttribute(
  dataSet: DataSet,
  element: Element,
  options: JsonOptions = {},
  path: readonly string[] = [],
): JsonAttribute {
  const here = [...path, jsonTag(element.tag)];
  if (element.vr === 'SQ') {
    const items = sequenceItems(dataSet, element.tag);
    if (items.length === 0) return { vr: 'SQ' };
    return {
      vr: 'SQ',
      Value: items.map((item, index) => jsonDataSet(item, options, [...here, String(index)])),
    };
  }
  const known = vrOfValue(element);
  // A sequence that travelled as UN of defined length is not opened: its bytes are given as they are.
  const vr = known === 'SQ' ? 'UN' : known;
  if (element.bytes.length === 0) return { vr };
  if (!BINARY.has(vr)) {
    const values = valuesOf(dataSet, element, vr);
    return values.length === 0 ? { vr } : { vr, Value: values };
  }
  if (options.bulkDataUri && element.bytes.length > (options.inlineBytes ?? INLINE_BYTES)) {
    return { vr, BulkDataURI: options.bulkDataUri(here) };
  }
  return { vr, InlineBinary: toOutgoing(element, dataSet, false).bytes!.toString('base64') };
}

/** Items of a sequence; one that is malformed has none that could be shown. */
function sequenceItems(dataSet: DataSet, tag: number): DataSet[] {
  try {
    return itemsOf(dataSet, tag);
  } catch (error) {
    if (error instanceof DicomError) return [];
    throw error;
  }
}

/**
 * A data set in the DICOM JSON Model (PS3.18 annex F): text in Unicode whatever its character set is, group lengths
 * left out, ascending tags.
 * @param path where the data set stands in the object: tags and item numbers (from 0)
 */
export function jsonDataSet(
  dataSet: DataSet,
  options: JsonOptions = {},
  path: readonly string[] = [],
): JsonDataSet {
  const json: JsonDataSet = {};
  const elements = [...dataSet.elements.values()].sort((a, b) => a.tag - b.tag);
  for (const element of elements) {
    if ((element.tag & 0xffff) === 0) continue;
    if (element.tag === SPECIFIC_CHARACTER_SET) {
      // JSON is UTF-8, and so is said of it (F.2.2 note).
      if (path.length === 0) json[jsonTag(element.tag)] = { vr: 'CS', Value: ['ISO_IR 192'] };
      continue;
    }
    json[jsonTag(element.tag)] = jsonAttribute(dataSet, element, options, path);
  }
  return json;
}
