/** One data element. `bytes` is the value exactly as it stands in the stream, in the data set's byte order. PS3.5 7.1 */
export interface Element {
  /** 0xGGGGEEEE, unsigned */
  readonly tag: number;
  readonly vr: string;
  /** empty for sequences and for encapsulated pixel data */
  readonly bytes: Buffer;
  /** items of a sequence; read on first access, and then a malformed item throws DicomError */
  readonly items?: DataSet[] | undefined;
  /** of encapsulated pixel data: [0] is the basic offset table. PS3.5 A.4 */
  readonly fragments?: Buffer[] | undefined;
}

export interface DataSet {
  readonly elements: Map<number, Element>;
  readonly bigEndian: boolean;
  readonly explicit: boolean;
  /** Specific Character Set of the enclosing data set, in force where an item has none of its own. PS3.3 C.12.1.1.2 */
  readonly inheritedCharacterSet?: readonly string[];
}

export const PIXEL_DATA = 0x7fe00010;
export const SPECIFIC_CHARACTER_SET = 0x00080005;
