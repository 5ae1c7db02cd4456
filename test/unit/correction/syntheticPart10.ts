/** Part 10 files written by hand, so that the corrector is tested with objects whose every pixel is known. */

export interface Synthetic {
  rows: number;
  columns: number;
  bitsAllocated: 8 | 16;
  bitsStored: number;
  signed: boolean;
  rescale?: { slope: number; intercept: number };
  photometric?: 'MONOCHROME1' | 'MONOCHROME2';
  padding?: number;
  frames: ArrayLike<number>[];
  sopClass?: string;
  /** Last number of the UIDs. */
  number?: number;
}

const ROOT = '1.2.826.0.1.3680043.10.1';
export const MR_IMAGE = '1.2.840.10008.5.1.4.1.1.4';
export const ENHANCED_MR_IMAGE = '1.2.840.10008.5.1.4.1.1.4.1';

function element(tag: number, vr: string, value: Buffer): Buffer {
  const long = ['OB', 'OW', 'SQ', 'UN', 'UT'].includes(vr);
  const header = Buffer.alloc(long ? 12 : 8);
  header.writeUInt16LE(tag >>> 16, 0);
  header.writeUInt16LE(tag & 0xffff, 2);
  header.write(vr, 4, 'latin1');
  if (long) header.writeUInt32LE(value.length, 8);
  else header.writeUInt16LE(value.length, 6);
  return Buffer.concat([header, value]);
}

function text(tag: number, vr: string, value: string): Buffer {
  const padding = value.length % 2 === 0 ? '' : vr === 'UI' ? '\0' : ' ';
  return element(tag, vr, Buffer.from(value + padding, 'latin1'));
}

function word(tag: number, vr: 'US' | 'SS', value: number): Buffer {
  const bytes = Buffer.alloc(2);
  if (vr === 'SS') bytes.writeInt16LE(value);
  else bytes.writeUInt16LE(value);
  return element(tag, vr, bytes);
}

function pixelBytes({ frames, bitsAllocated, signed }: Synthetic): Buffer {
  const size = bitsAllocated / 8;
  const count = frames.reduce((sum, frame) => sum + frame.length, 0);
  const bytes = Buffer.alloc(count * size + ((count * size) % 2));
  let at = 0;
  for (const frame of frames) {
    for (let i = 0; i < frame.length; i += 1) {
      if (size === 1) bytes.writeUInt8(frame[i]! & 0xff, at);
      else if (signed) bytes.writeInt16LE(frame[i]!, at);
      else bytes.writeUInt16LE(frame[i]!, at);
      at += size;
    }
  }
  return bytes;
}

/** An MR image (Explicit VR Little Endian) of the head. */
export function syntheticPart10(image: Synthetic): Buffer {
  const number = image.number ?? 1;
  const sopClass = image.sopClass ?? MR_IMAGE;
  const sop = `${ROOT}.3.${number}`;
  const meta = Buffer.concat([
    element(0x00020001, 'OB', Buffer.from([0, 1])),
    text(0x00020002, 'UI', sopClass),
    text(0x00020003, 'UI', sop),
    text(0x00020010, 'UI', '1.2.840.10008.1.2.1'),
    text(0x00020012, 'UI', `${ROOT}.9`),
  ]);
  const length = Buffer.alloc(4);
  length.writeUInt32LE(meta.length);
  const wide = image.bitsAllocated === 16;
  return Buffer.concat([
    Buffer.alloc(128),
    Buffer.from('DICM'),
    element(0x00020000, 'UL', length),
    meta,
    text(0x00080008, 'CS', 'ORIGINAL\\PRIMARY\\M\\ND'),
    text(0x00080016, 'UI', sopClass),
    text(0x00080018, 'UI', sop),
    text(0x00080020, 'DA', '20240102'),
    text(0x00080060, 'CS', 'MR'),
    text(0x0008103e, 'LO', 't1 mprage sag'),
    text(0x00100010, 'PN', 'Phantom^Head'),
    text(0x00100020, 'LO', 'PHANTOM'),
    text(0x00180015, 'CS', 'BRAIN'),
    text(0x0020000d, 'UI', `${ROOT}.1`),
    text(0x0020000e, 'UI', `${ROOT}.2`),
    text(0x00200011, 'IS', '4'),
    text(0x00200013, 'IS', String(number)),
    word(0x00280002, 'US', 1),
    text(0x00280004, 'CS', image.photometric ?? 'MONOCHROME2'),
    ...(image.frames.length > 1 ? [text(0x00280008, 'IS', String(image.frames.length))] : []),
    word(0x00280010, 'US', image.rows),
    word(0x00280011, 'US', image.columns),
    word(0x00280100, 'US', image.bitsAllocated),
    word(0x00280101, 'US', image.bitsStored),
    word(0x00280102, 'US', image.bitsStored - 1),
    word(0x00280103, 'US', image.signed ? 1 : 0),
    ...(image.padding === undefined ? [] : [word(0x00280120, image.signed ? 'SS' : 'US', image.padding)]),
    ...(image.rescale === undefined
      ? []
      : [
          text(0x00281052, 'DS', String(image.rescale.intercept)),
          text(0x00281053, 'DS', String(image.rescale.slope)),
        ]),
    element(0x7fe00010, wide ? 'OW' : 'OB', pixelBytes(image)),
  ]);
}

/** A head-like slice in stored values: a bright textured ellipse in faint noise, within the range given. */
export function headSlice(
  rows: number,
  columns: number,
  range: { min: number; max: number },
  seed = 1,
): Float64Array {
  let state = seed >>> 0;
  const random = (): number => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
  const zero = Math.max(0, range.min);
  return Float64Array.from({ length: rows * columns }, (_, i) => {
    const x = ((i % columns) / columns - 0.5) / 0.4;
    const y = (Math.floor(i / columns) / rows - 0.5) / 0.45;
    const inside = x * x + y * y < 1;
    const signal = inside
      ? 0.35 + 0.2 * Math.cos(20 * x + seed) * Math.sin(17 * y) + 0.05 * random()
      : 0.02 * random();
    return Math.round(zero + signal * (range.max - zero));
  });
}
