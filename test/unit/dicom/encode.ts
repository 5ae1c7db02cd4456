/** Encodes small data sets for the tests, independently of src/dicom's own writer. */
export interface Syntax {
  uid: string;
  explicit: boolean;
  bigEndian: boolean;
}

export const explicitLE: Syntax = { uid: '1.2.840.10008.1.2.1', explicit: true, bigEndian: false };
export const implicitLE: Syntax = { uid: '1.2.840.10008.1.2', explicit: false, bigEndian: false };
export const explicitBE: Syntax = { uid: '1.2.840.10008.1.2.2', explicit: true, bigEndian: true };

export type Value = string | number | number[] | Buffer | Item[] | { undefinedLength: Item[] };
export type Item = [tag: number, vr: string, value: Value][];

const long = new Set(['OB', 'OW', 'OF', 'OD', 'OL', 'OV', 'SQ', 'UC', 'UR', 'UT', 'UN', 'SV', 'UV']);
const sizes: Record<string, number> = { US: 2, SS: 2, UL: 4, SL: 4, FL: 4, FD: 8 };

function u16(s: Syntax, value: number): Buffer {
  const b = Buffer.alloc(2);
  if (s.bigEndian) b.writeUInt16BE(value);
  else b.writeUInt16LE(value);
  return b;
}

function u32(s: Syntax, value: number): Buffer {
  const b = Buffer.alloc(4);
  if (s.bigEndian) b.writeUInt32BE(value);
  else b.writeUInt32LE(value);
  return b;
}

function binary(s: Syntax, vr: string, values: number[]): Buffer {
  const size = sizes[vr];
  if (size === undefined) throw new Error(`numbers for ${vr}`);
  const view = new DataView(new ArrayBuffer(size * values.length));
  values.forEach((value, i) => {
    const at = i * size;
    if (vr === 'US') view.setUint16(at, value, !s.bigEndian);
    else if (vr === 'SS') view.setInt16(at, value, !s.bigEndian);
    else if (vr === 'UL') view.setUint32(at, value, !s.bigEndian);
    else if (vr === 'SL') view.setInt32(at, value, !s.bigEndian);
    else if (vr === 'FL') view.setFloat32(at, value, !s.bigEndian);
    else view.setFloat64(at, value, !s.bigEndian);
  });
  return Buffer.from(view.buffer);
}

function tagBytes(s: Syntax, tag: number): Buffer {
  return Buffer.concat([u16(s, tag >>> 16), u16(s, tag & 0xffff)]);
}

function items(s: Syntax, list: Item[], undefinedLength: boolean): Buffer {
  const parts: Buffer[] = [];
  for (const item of list) {
    const content = encodeDataSet(s, item);
    parts.push(tagBytes(s, 0xfffee000), u32(s, undefinedLength ? 0xffffffff : content.length), content);
    if (undefinedLength) parts.push(tagBytes(s, 0xfffee00d), u32(s, 0));
  }
  if (undefinedLength) parts.push(tagBytes(s, 0xfffee0dd), u32(s, 0));
  return Buffer.concat(parts);
}

export function encodeElement(s: Syntax, tag: number, vr: string, value: Value): Buffer {
  let bytes: Buffer;
  let length: number | undefined;
  if (Buffer.isBuffer(value)) bytes = value;
  else if (typeof value === 'string')
    bytes = Buffer.from(value.length % 2 === 0 ? value : value + (vr === 'UI' ? '\0' : ' '), 'latin1');
  else if (typeof value === 'number') bytes = binary(s, vr, [value]);
  else if (!Array.isArray(value)) {
    bytes = items(s, value.undefinedLength, true);
    length = 0xffffffff;
  } else if (vr === 'SQ') bytes = items(s, value as Item[], false);
  else bytes = binary(s, vr, value as number[]);
  length ??= bytes.length;
  if (!s.explicit) return Buffer.concat([tagBytes(s, tag), u32(s, length), bytes]);
  const header = long.has(vr)
    ? Buffer.concat([Buffer.from(`${vr}\0\0`, 'latin1'), u32(s, length)])
    : Buffer.concat([Buffer.from(vr, 'latin1'), u16(s, length)]);
  return Buffer.concat([tagBytes(s, tag), header, bytes]);
}

export function encodeDataSet(s: Syntax, item: Item): Buffer {
  return Buffer.concat(item.map(([tag, vr, value]) => encodeElement(s, tag, vr, value)));
}

/** Encapsulated pixel data: basic offset table, fragments, delimiter. */
export function encapsulate(fragments: Buffer[], offsets: number[] = []): Buffer {
  const table = Buffer.concat(offsets.map((offset) => u32(explicitLE, offset)));
  const parts = [
    tagBytes(explicitLE, 0x7fe00010),
    Buffer.from('OB\0\0', 'latin1'),
    u32(explicitLE, 0xffffffff),
  ];
  for (const fragment of [table, ...fragments]) {
    parts.push(tagBytes(explicitLE, 0xfffee000), u32(explicitLE, fragment.length), fragment);
  }
  parts.push(tagBytes(explicitLE, 0xfffee0dd), u32(explicitLE, 0));
  return Buffer.concat(parts);
}

export const MR = '1.2.840.10008.5.1.4.1.1.4';
export const ENHANCED_MR = '1.2.840.10008.5.1.4.1.1.4.1';

export interface ImageOptions {
  rows?: number;
  columns?: number;
  bitsAllocated?: number;
  bitsStored?: number;
  highBit?: number;
  signed?: boolean;
  frames?: number;
  extra?: Item;
}

/** An MR image without pixel data; `extra` elements replace those of the same tag. */
export function mrImage(o: ImageOptions = {}): Item {
  const bitsAllocated = o.bitsAllocated ?? 16;
  const bitsStored = o.bitsStored ?? bitsAllocated;
  const base: Item = [
    [0x00080005, 'CS', 'ISO_IR 100'],
    [0x00080008, 'CS', 'ORIGINAL\\PRIMARY\\M\\NORM'],
    [0x00080016, 'UI', MR],
    [0x00080018, 'UI', '1.2.3.4.5.6'],
    [0x00080020, 'DA', '20240102'],
    [0x00080030, 'TM', '101112'],
    [0x00080050, 'SH', ''],
    [0x00080060, 'CS', 'MR'],
    [0x00080070, 'LO', 'Maker'],
    [0x00080090, 'PN', ''],
    [0x0008103e, 'LO', 'T1 sag'],
    [0x00100010, 'PN', 'M\xfcller^J\xf6rg'],
    [0x00100020, 'LO', 'ID1'],
    [0x00100030, 'DA', '19700101'],
    [0x00100040, 'CS', 'O'],
    [0x00180015, 'CS', 'BRAIN'],
    [0x00180020, 'CS', 'GR'],
    [0x00180021, 'CS', 'MP'],
    [0x00180022, 'CS', ''],
    [0x00180023, 'CS', '3D'],
    [0x00180050, 'DS', '1'],
    [0x00180080, 'DS', '6.5'],
    [0x00180081, 'DS', '2.9'],
    [0x00180091, 'IS', '1'],
    [0x00181310, 'US', [0, 256, 256, 0]],
    [0x00185100, 'CS', 'HFS'],
    [0x00189073, 'FD', 301.5],
    [0x00190010, 'LO', 'PRIVATE MAKER'],
    [0x00191001, 'DS', '42'],
    [0x0020000d, 'UI', '1.2.3.4'],
    [0x0020000e, 'UI', '1.2.3.4.5'],
    [0x00200010, 'SH', '1'],
    [0x00200011, 'IS', '13'],
    [0x00200013, 'IS', '7'],
    [0x00200032, 'DS', '1.5\\-2\\3'],
    [0x00200037, 'DS', '1\\0\\0\\0\\1\\0'],
    [0x00200052, 'UI', '1.2.3.4.9'],
    [0x00201040, 'LO', ''],
    [0x00280002, 'US', 1],
    [0x00280004, 'CS', 'MONOCHROME2'],
    [0x00280010, 'US', o.rows ?? 4],
    [0x00280011, 'US', o.columns ?? 6],
    [0x00280030, 'DS', '1\\1'],
    [0x00280100, 'US', bitsAllocated],
    [0x00280101, 'US', bitsStored],
    [0x00280102, 'US', o.highBit ?? bitsStored - 1],
    [0x00280103, 'US', o.signed === true ? 1 : 0],
    [0x00281050, 'DS', '500'],
    [0x00281051, 'DS', '1000'],
  ];
  if (o.frames !== undefined) base.push([0x00280008, 'IS', String(o.frames)]);
  const extra = o.extra ?? [];
  const replaced = new Set(extra.map(([tag]) => tag));
  return [...base.filter(([tag]) => !replaced.has(tag)), ...extra].sort((a, b) => a[0] - b[0]);
}

/** A part 10 file of a data set that is encoded already. */
export function part10(s: { uid: string }, body: Buffer): Buffer {
  const meta = encodeDataSet(explicitLE, [[0x00020010, 'UI', s.uid]]);
  return Buffer.concat([
    Buffer.alloc(128),
    Buffer.from('DICM'),
    encodeElement(explicitLE, 0x00020000, 'UL', meta.length),
    meta,
    body,
  ]);
}

/** Stored values as native pixel data of the syntax. */
export function nativePixels(s: Syntax, words: number[], bitsAllocated: number): Buffer {
  const bytes =
    bitsAllocated === 8
      ? Buffer.from(words.map((w) => w & 0xff))
      : binary(
          s,
          'US',
          words.map((w) => w & 0xffff),
        );
  return encodeElement(s, 0x7fe00010, bitsAllocated === 8 ? 'OB' : 'OW', bytes);
}
