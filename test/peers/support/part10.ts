import { readFileSync } from 'node:fs';

/** A file split where C-STORE splits it, by a reader of the tests' own: the meta header's UIDs, and the bytes behind it. */
export interface SplitFile {
  sopClassUid: string;
  sopInstanceUid: string;
  transferSyntaxUid: string;
  dataSet: Buffer;
}

const LONG_VRS = new Set(['OB', 'OW', 'OF', 'SQ', 'UN', 'UT']);

/** Splits a part 10 file (PS3.10 section 7.1); throws when it has no meta header. */
export function splitPart10(path: string): SplitFile {
  const bytes = readFileSync(path);
  if (bytes.toString('latin1', 128, 132) !== 'DICM') throw new Error(`${path} has no meta header`);
  const values = new Map<number, string>();
  let at = 132;
  while (at + 8 <= bytes.length && bytes.readUInt16LE(at) === 2) {
    const long = LONG_VRS.has(bytes.toString('latin1', at + 4, at + 6));
    const start = at + (long ? 12 : 8);
    const length = long ? bytes.readUInt32LE(at + 8) : bytes.readUInt16LE(at + 6);
    const text = bytes.toString('latin1', start, start + length);
    values.set(bytes.readUInt16LE(at + 2), text.replace(/\0+$/, ''));
    at = start + length;
  }
  return {
    sopClassUid: values.get(0x02) ?? '',
    sopInstanceUid: values.get(0x03) ?? '',
    transferSyntaxUid: values.get(0x10) ?? '',
    dataSet: bytes.subarray(at),
  };
}

function metaElement(number: number, vr: string, value: string): Buffer {
  const bytes = Buffer.from(value.length % 2 === 0 ? value : `${value}\0`, 'latin1');
  const header = Buffer.alloc(8);
  header.writeUInt16LE(2, 0);
  header.writeUInt16LE(number, 2);
  header.write(vr, 4, 'latin1');
  header.writeUInt16LE(bytes.length, 6);
  return Buffer.concat([header, bytes]);
}

/** A part 10 file around a data set, for the programs that read files. */
export function joinPart10(file: SplitFile): Buffer {
  return Buffer.concat([
    Buffer.alloc(128),
    Buffer.from('DICM'),
    metaElement(0x02, 'UI', file.sopClassUid),
    metaElement(0x03, 'UI', file.sopInstanceUid),
    metaElement(0x10, 'UI', file.transferSyntaxUid),
    file.dataSet,
  ]);
}
