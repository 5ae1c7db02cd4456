/** Writes data sets in Explicit (PS3.5 7.1.2, A.2) or Implicit VR Little Endian (7.1.3, A.1). */
import type { DataSet, Element } from './data-set.js';
import { dictionaryVr, US_OR_SS } from './dictionary.js';
import { DicomError } from './error.js';
import { byteOrderUnit, hasLongLength } from './vr.js';

/** An element to write: its value, or the items of a sequence, each an ordered list of elements. */
export interface OutgoingElement {
  tag: number;
  vr: string;
  /** value bytes in little endian; odd ones are padded by VR */
  bytes?: Buffer;
  items?: OutgoingElement[][];
}

/** A growing buffer. */
export class DataSetWriter {
  #buffer: Buffer;
  #length = 0;

  /**
   * @param capacity bytes expected; it grows beyond them
   * @param into memory to write to, used when there is enough of it
   */
  constructor(
    capacity: number,
    private readonly vrs: 'explicit' | 'implicit' = 'explicit',
    into?: ArrayBuffer,
  ) {
    this.#buffer =
      into !== undefined && into.byteLength >= capacity
        ? Buffer.from(into)
        : Buffer.allocUnsafe(Math.max(capacity, 1024));
  }

  #reserve(size: number): number {
    const at = this.#length;
    const needed = at + size;
    if (needed > this.#buffer.length) {
      const larger = Buffer.allocUnsafe(Math.max(needed, this.#buffer.length * 2));
      this.#buffer.copy(larger, 0, 0, at);
      this.#buffer = larger;
    }
    this.#length = needed;
    return at;
  }

  bytes(value: Uint8Array): void {
    const at = this.#reserve(value.length);
    this.#buffer.set(value, at);
  }

  #tag(tag: number, size: number): number {
    const at = this.#reserve(size);
    this.#buffer.writeUInt16LE(tag >>> 16, at);
    this.#buffer.writeUInt16LE(tag & 0xffff, at + 2);
    return at;
  }

  /** Writes the header of a value and returns where the value of `length` bytes goes. */
  header(tag: number, vr: string, length: number): void {
    if (this.vrs === 'implicit') {
      const at = this.#tag(tag, 8);
      this.#buffer.writeUInt32LE(length, at + 4);
    } else if (hasLongLength(vr)) {
      const at = this.#tag(tag, 12);
      this.#buffer.write(vr, at + 4, 'latin1');
      this.#buffer.writeUInt16LE(0, at + 6);
      this.#buffer.writeUInt32LE(length, at + 8);
    } else {
      const at = this.#tag(tag, 8);
      this.#buffer.write(vr, at + 4, 'latin1');
      this.#buffer.writeUInt16LE(length, at + 6);
    }
  }

  value(tag: number, vr: string, bytes: Uint8Array): void {
    const length = bytes.length + (bytes.length % 2);
    // Longer than the short form holds, which implicit VR allows: PS3.5 6.2.2 asks for UN.
    this.header(tag, length > 0xfffe && !hasLongLength(vr) ? 'UN' : vr, length);
    this.bytes(bytes);
    if (length > bytes.length) this.#buffer[this.#reserve(1)] = paddingByte(vr);
  }

  /** A sequence with explicit lengths; `writeItem` writes the content of each item. */
  sequence<T>(tag: number, items: readonly T[], writeItem: (item: T) => void): void {
    this.header(tag, 'SQ', 0);
    const start = this.#length;
    for (const item of items) {
      this.#tag(0xfffee000, 8);
      const itemStart = this.#length;
      writeItem(item);
      this.#buffer.writeUInt32LE(this.#length - itemStart, itemStart - 4);
    }
    this.#buffer.writeUInt32LE(this.#length - start, start - 4);
  }

  element(element: OutgoingElement): void {
    if (element.items !== undefined) {
      this.sequence(element.tag, element.items, (item) => {
        for (const inner of item) this.element(inner);
      });
    } else this.value(element.tag, element.vr, element.bytes ?? Buffer.alloc(0));
  }

  finish(): Buffer {
    return this.#buffer.subarray(0, this.#length);
  }
}

function paddingByte(vr: string): number {
  return vr === 'UI' || byteOrderUnit(vr) > 1 || vr === 'OB' || vr === 'UN' ? 0 : 0x20;
}

const swap = { 1: (b: Buffer) => b, 2: swapper(2), 4: swapper(4), 8: swapper(8) };

function swapper(unit: 2 | 4 | 8): (bytes: Buffer) => Buffer {
  return (bytes) => {
    if (bytes.length % unit !== 0) {
      throw new DicomError(
        'malformed',
        `a big endian value of ${bytes.length} bytes has no units of ${unit}`,
      );
    }
    const copy = Buffer.from(bytes);
    return unit === 2 ? copy.swap16() : unit === 4 ? copy.swap32() : copy.swap64();
  };
}

/**
 * Brings an element read from any transfer syntax into explicit little endian form: bytes swapped by VR, the VR of a
 * standard attribute that travelled as UN restored from the dictionary (PS3.5 6.2.2), sequences through and through.
 */
export function toOutgoing(element: Element, source: DataSet, signed: boolean): OutgoingElement {
  const { tag, items } = element;
  if (items !== undefined) {
    return { tag, vr: 'SQ', items: items.map((item) => itemToOutgoing(item, signed)) };
  }
  let { vr } = element;
  let { bytes } = element;
  if (vr === 'UN') {
    const known = dictionaryVr(tag);
    // A sequence within UN stays opaque; its value is implicit little endian and UN says so.
    if (known !== 'SQ') vr = known === US_OR_SS ? (signed ? 'SS' : 'US') : known;
  } else if (source.bigEndian) bytes = swap[byteOrderUnit(vr)](bytes);
  return { tag, vr, bytes };
}

/** All elements of an item in ascending order, without group lengths, which would be wrong now. */
export function itemToOutgoing(item: DataSet, signed: boolean): OutgoingElement[] {
  const elements = [...item.elements.values()].filter(({ tag }) => (tag & 0xffff) !== 0);
  return elements.sort((a, b) => a.tag - b.tag).map((element) => toOutgoing(element, item, signed));
}
