/** Values of elements, decoded on request. A tag may be given as 0xGGGGEEEE or as its keyword. */
import { decodeText } from './character-set.js';
import { type DataSet, type Element, SPECIFIC_CHARACTER_SET } from './data-set.js';
import { dictionaryVr, tagOf, US_OR_SS } from './dictionary.js';
import { byteOrderUnit, isSingleText, usesCharacterSet } from './vr.js';

export function elementOf(ds: DataSet, tag: number | string): Element | undefined {
  return ds.elements.get(typeof tag === 'string' ? tagOf(tag) : tag);
}

/** Items of a sequence; none when it is absent, empty, or no sequence. Throws DicomError when an item is malformed. */
export function itemsOf(ds: DataSet, tag: number | string): DataSet[] {
  return elementOf(ds, tag)?.items ?? [];
}

/** Terms of the Specific Character Set in force in this data set; empty means the default repertoire. */
export function characterSetOf(ds: DataSet): readonly string[] {
  const own = ds.elements.get(SPECIFIC_CHARACTER_SET)?.bytes;
  return own === undefined ? (ds.inheritedCharacterSet ?? []) : own.toString('latin1').split('\\');
}

/** The VR that the value has: what the stream says, and for an unknown one what the dictionary knows. */
export function vrOfValue(element: Element): string {
  if (element.vr !== 'UN') return element.vr;
  const vr = dictionaryVr(element.tag);
  return vr === US_OR_SS ? 'US' : vr;
}

/**
 * Values of a text element, in its character set, without padding; a binary element's numbers as text.
 * Empty values of a multi-valued element stay as '' so that positions keep their meaning; an absent or empty element has none.
 */
export function strings(ds: DataSet, tag: number | string): string[] {
  const element = elementOf(ds, tag);
  if (element === undefined) return [];
  const { bytes } = element;
  if (bytes.length === 0) return [];
  const vr = vrOfValue(element);
  if (byteOrderUnit(vr) > 1) return binaryNumbers(element, vr, ds.bigEndian).map(String);
  const text = usesCharacterSet(vr) ? decodeText(bytes, characterSetOf(ds)) : bytes.toString('latin1');
  if (isSingleText(vr)) {
    const trimmed = text.replace(/[ \0]+$/, '');
    return trimmed === '' ? [] : [trimmed];
  }
  const values = text.split('\\').map((value) => value.replace(/^ +|[ \0]+$/g, ''));
  return values.length === 1 && values[0] === '' ? [] : values;
}

/** First value of a text element; undefined when it is absent or empty. */
export function string(ds: DataSet, tag: number | string): string | undefined {
  const value = strings(ds, tag)[0];
  return value === '' ? undefined : value;
}

/** Values of a binary element or of a decimal or integer string; what is no number is NaN. */
export function numbers(ds: DataSet, tag: number | string): number[] {
  const element = elementOf(ds, tag);
  if (element === undefined) return [];
  const vr = vrOfValue(element);
  if (byteOrderUnit(vr) > 1) return binaryNumbers(element, vr, ds.bigEndian);
  return strings(ds, element.tag).map((value) => (value === '' ? Number.NaN : Number(value)));
}

/** First number of an element; undefined when it is absent, empty or no finite number. */
export function number(ds: DataSet, tag: number | string): number | undefined {
  const value = numbers(ds, tag)[0];
  return value !== undefined && Number.isFinite(value) ? value : undefined;
}

function binaryNumbers(element: Element, vr: string, bigEndian: boolean): number[] {
  const { bytes } = element;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const little = !bigEndian;
  const size = vr === 'AT' ? 4 : byteOrderUnit(vr);
  const values: number[] = [];
  for (let at = 0; at + size <= bytes.length; at += size) {
    switch (vr) {
      case 'AT':
        values.push(((view.getUint16(at, little) << 16) | view.getUint16(at + 2, little)) >>> 0);
        break;
      case 'SS':
        values.push(view.getInt16(at, little));
        break;
      case 'SL':
        values.push(view.getInt32(at, little));
        break;
      case 'FL':
      case 'OF':
        values.push(view.getFloat32(at, little));
        break;
      case 'FD':
      case 'OD':
        values.push(view.getFloat64(at, little));
        break;
      case 'SV':
        values.push(Number(view.getBigInt64(at, little)));
        break;
      case 'UV':
      case 'OV':
        values.push(Number(view.getBigUint64(at, little)));
        break;
      default:
        values.push(size === 2 ? view.getUint16(at, little) : view.getUint32(at, little));
    }
  }
  return values;
}
