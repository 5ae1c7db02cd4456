import { readFileSync } from 'node:fs';
import { basename } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { type Affine, type Volume, VolumeError } from './volume.js';

interface Header {
  littleEndian: boolean;
  dims: number[];
  pixdim: number[];
  datatype: number;
  offset: number;
  slope: number;
  intercept: number;
  qformCode: number;
  sformCode: number;
  quaternion: [number, number, number];
  quaternionOffset: [number, number, number];
  sform: number[];
}

/** Bytes and reader of each scalar NIfTI datatype code (nifti1.h). */
const DATATYPES: ReadonlyMap<
  number,
  { name: string; bytes: number; read: (view: DataView, at: number, little: boolean) => number }
> = new Map([
  [2, { name: 'uint8', bytes: 1, read: (v: DataView, at: number) => v.getUint8(at) }],
  [4, { name: 'int16', bytes: 2, read: (v: DataView, at: number, le: boolean) => v.getInt16(at, le) }],
  [8, { name: 'int32', bytes: 4, read: (v: DataView, at: number, le: boolean) => v.getInt32(at, le) }],
  [16, { name: 'float32', bytes: 4, read: (v: DataView, at: number, le: boolean) => v.getFloat32(at, le) }],
  [64, { name: 'float64', bytes: 8, read: (v: DataView, at: number, le: boolean) => v.getFloat64(at, le) }],
  [256, { name: 'int8', bytes: 1, read: (v: DataView, at: number) => v.getInt8(at) }],
  [512, { name: 'uint16', bytes: 2, read: (v: DataView, at: number, le: boolean) => v.getUint16(at, le) }],
  [768, { name: 'uint32', bytes: 4, read: (v: DataView, at: number, le: boolean) => v.getUint32(at, le) }],
  [
    1024,
    {
      name: 'int64',
      bytes: 8,
      read: (v: DataView, at: number, le: boolean) => Number(v.getBigInt64(at, le)),
    },
  ],
  [
    1280,
    {
      name: 'uint64',
      bytes: 8,
      read: (v: DataView, at: number, le: boolean) => Number(v.getBigUint64(at, le)),
    },
  ],
]);

/**
 * Reads a 3D volume from a NIfTI-1 or NIfTI-2 single file (.nii, .nii.gz), either byte order, every real datatype, scaled
 * by scl_slope and scl_inter where the slope is not 0. The affine is the sform when its code is above 0, else the qform.
 *
 * @throws VolumeError when the file is not such a file, is truncated, empty (a dimension of 0, or all voxels alike), 4D, holds values
 *   that are not finite, or has no usable affine
 */
export function readNifti(file: string): Volume {
  let bytes: Buffer;
  try {
    bytes = readFileSync(file);
    if (bytes.length >= 2 && bytes[0] === 0x1f && bytes[1] === 0x8b) bytes = gunzipSync(bytes);
  } catch (error) {
    throw new VolumeError(
      `${file}: cannot be read: ${error instanceof Error ? error.message : String(error)}`,
    );
  }
  return parseNifti(bytes, file);
}

/** Name of a volume's file without .nii or .nii.gz. */
export function volumeName(file: string): string {
  return basename(file).replace(/\.nii(\.gz)?$/i, '');
}

/** {@link readNifti} on (uncompressed) bytes already in memory. */
export function parseNifti(bytes: Uint8Array, file: string): Volume {
  if (bytes.length === 0) throw new VolumeError(`${file}: the file is empty`);
  const header = parseHeader(bytes, file);
  const rank = header.dims[0]!;
  const extents = header.dims.slice(1, rank + 1);
  if (extents.some((extent) => extent < 1)) {
    throw new VolumeError(`${file}: the volume is empty, its dimensions are ${extents.join(' x ')}`);
  }
  if (rank < 3 || extents.slice(3).some((extent) => extent > 1)) {
    throw new VolumeError(
      `${file}: the image is ${rank}D (${extents.join(' x ')}); a single 3D volume is needed, extract one first`,
    );
  }
  const dims: [number, number, number] = [extents[0]!, extents[1]!, extents[2]!];
  if (Math.min(...dims) < 2) {
    throw new VolumeError(`${file}: the volume has only ${dims.join(' x ')} voxels; a 3D volume is needed`);
  }
  const type = DATATYPES.get(header.datatype);
  if (type === undefined) {
    throw new VolumeError(
      `${file}: datatype code ${header.datatype} is not a real scalar type that can be read (complex, RGB or 128 bit)`,
    );
  }
  const count = dims[0] * dims[1] * dims[2];
  if (header.offset + count * type.bytes > bytes.length) {
    throw new VolumeError(
      `${file}: truncated, ${count} voxels of ${type.name} need ${header.offset + count * type.bytes} bytes, the file has ${bytes.length}`,
    );
  }
  const affine = chooseAffine(header, file);
  const view = new DataView(bytes.buffer, bytes.byteOffset + header.offset, count * type.bytes);
  const data = new Float32Array(count);
  const { slope, intercept } = header;
  const scaled = Number.isFinite(slope) && slope !== 0 && (slope !== 1 || intercept !== 0);
  const { read, bytes: size } = type;
  let least = Number.POSITIVE_INFINITY;
  let most = Number.NEGATIVE_INFINITY;
  for (let i = 0; i < count; i++) {
    let value = read(view, i * size, header.littleEndian);
    if (scaled) value = value * slope + intercept;
    if (!Number.isFinite(value)) {
      throw new VolumeError(
        `${file}: voxel ${i} is not a finite number (NaN or infinite); repair or replace the volume`,
      );
    }
    data[i] = value;
    if (value < least) least = value;
    if (value > most) most = value;
  }
  if (least === most) {
    throw new VolumeError(`${file}: the volume is empty, every voxel is ${least}`);
  }
  return { name: volumeName(file), dims, data, affine };
}

function parseHeader(bytes: Uint8Array, file: string): Header {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes.length < 348) throw new VolumeError(`${file}: not a NIfTI file, only ${bytes.length} bytes`);
  for (const littleEndian of [true, false]) {
    const size = view.getInt32(0, littleEndian);
    if (size === 348) return headerOne(bytes, view, littleEndian, file);
    if (size === 540 && bytes.length >= 540) return headerTwo(bytes, view, littleEndian, file);
  }
  throw new VolumeError(`${file}: not a NIfTI-1 or NIfTI-2 file (its header size is neither 348 nor 540)`);
}

function checkMagic(bytes: Uint8Array, at: number, expected: string, file: string): void {
  const magic = String.fromCharCode(...bytes.subarray(at, at + 3));
  if (magic !== expected) {
    throw new VolumeError(
      `${file}: not a single-file NIfTI (magic "${magic.replace(/[^ -~]/g, '?')}"); convert .hdr/.img pairs and Analyze to .nii`,
    );
  }
}

function floats(view: DataView, at: number, count: number, little: boolean): number[] {
  return Array.from({ length: count }, (_, i) => view.getFloat32(at + 4 * i, little));
}

function doubles(view: DataView, at: number, count: number, little: boolean): number[] {
  return Array.from({ length: count }, (_, i) => view.getFloat64(at + 8 * i, little));
}

function triple(list: number[]): [number, number, number] {
  return [list[0]!, list[1]!, list[2]!];
}

function headerOne(bytes: Uint8Array, view: DataView, le: boolean, file: string): Header {
  checkMagic(bytes, 344, 'n+1', file);
  return {
    littleEndian: le,
    dims: checkedDims(
      Array.from({ length: 8 }, (_, i) => view.getInt16(40 + 2 * i, le)),
      file,
    ),
    datatype: view.getInt16(70, le),
    pixdim: floats(view, 76, 8, le),
    offset: checkedOffset(view.getFloat32(108, le), 348, file),
    slope: view.getFloat32(112, le),
    intercept: view.getFloat32(116, le),
    qformCode: view.getInt16(252, le),
    sformCode: view.getInt16(254, le),
    quaternion: triple(floats(view, 256, 3, le)),
    quaternionOffset: triple(floats(view, 268, 3, le)),
    sform: floats(view, 280, 12, le),
  };
}

function headerTwo(bytes: Uint8Array, view: DataView, le: boolean, file: string): Header {
  checkMagic(bytes, 4, 'n+2', file);
  return {
    littleEndian: le,
    datatype: view.getInt16(12, le),
    dims: checkedDims(
      Array.from({ length: 8 }, (_, i) => Number(view.getBigInt64(16 + 8 * i, le))),
      file,
    ),
    pixdim: doubles(view, 104, 8, le),
    offset: checkedOffset(Number(view.getBigInt64(168, le)), 540, file),
    slope: view.getFloat64(176, le),
    intercept: view.getFloat64(184, le),
    qformCode: view.getInt32(344, le),
    sformCode: view.getInt32(348, le),
    quaternion: triple(doubles(view, 352, 3, le)),
    quaternionOffset: triple(doubles(view, 376, 3, le)),
    sform: doubles(view, 400, 12, le),
  };
}

function checkedDims(dims: number[], file: string): number[] {
  const rank = dims[0]!;
  if (!(rank >= 1 && rank <= 7)) {
    throw new VolumeError(`${file}: damaged header, it claims ${rank} dimensions`);
  }
  return dims;
}

function checkedOffset(offset: number, least: number, file: string): number {
  if (!Number.isInteger(offset) || offset < least) {
    throw new VolumeError(`${file}: damaged header, its voxels would start at byte ${offset}`);
  }
  return offset;
}

function chooseAffine(header: Header, file: string): Affine {
  const affine = header.sformCode > 0 ? header.sform : header.qformCode > 0 ? qformAffine(header) : null;
  if (affine === null) {
    throw new VolumeError(
      `${file}: no affine (sform_code and qform_code are both 0), so left and right cannot be told; set one, for example with nibabel or fslorient`,
    );
  }
  const [a, b, c, , d, e, f, , g, h, i] = affine as [
    number,
    number,
    number,
    number,
    number,
    number,
    number,
    number,
    number,
    number,
    number,
  ];
  const determinant = a * (e * i - f * h) - b * (d * i - f * g) + c * (d * h - e * g);
  if (affine.some((value) => !Number.isFinite(value)) || !(Math.abs(determinant) > 1e-6)) {
    throw new VolumeError(`${file}: the affine is not usable (singular or not finite)`);
  }
  return affine;
}

/** Method 2 of nifti1.h: a unit quaternion, voxel sizes, qfac in pixdim[0]. */
function qformAffine(header: Header): Affine {
  const [b, c, d] = header.quaternion;
  const a = Math.sqrt(Math.max(0, 1 - (b * b + c * c + d * d)));
  const rotation = [
    a * a + b * b - c * c - d * d,
    2 * (b * c - a * d),
    2 * (b * d + a * c),
    2 * (b * c + a * d),
    a * a + c * c - b * b - d * d,
    2 * (c * d - a * b),
    2 * (b * d - a * c),
    2 * (c * d + a * b),
    a * a + d * d - c * c - b * b,
  ];
  const qfac = header.pixdim[0] === -1 ? -1 : 1;
  const size = [header.pixdim[1]!, header.pixdim[2]!, header.pixdim[3]! * qfac];
  const affine: number[] = [];
  for (let row = 0; row < 3; row++) {
    for (let column = 0; column < 3; column++) affine.push(rotation[3 * row + column]! * size[column]!);
    affine.push(header.quaternionOffset[row]!);
  }
  return affine;
}
