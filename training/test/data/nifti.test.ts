import assert from 'node:assert/strict';
import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { parseNifti, readNifti, VolumeError, voxelToWorld } from '../../data/index.js';

interface Made {
  little?: boolean;
  two?: boolean;
  datatype?: number;
  dims?: number[];
  values?: number[];
  slope?: number;
  intercept?: number;
  sform?: number[] | null;
  qform?: { code: number; quaternion: number[]; offset: number[]; qfac: number } | null;
}

const BYTES: Record<number, number> = {
  2: 1,
  4: 2,
  8: 4,
  16: 4,
  64: 8,
  256: 1,
  512: 2,
  768: 4,
  1024: 8,
  1280: 8,
};
const IDENTITY = [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0];

function makeNifti(made: Made = {}): Uint8Array {
  const le = made.little ?? true;
  const datatype = made.datatype ?? 16;
  const dims = made.dims ?? [2, 2, 2];
  const count = dims.reduce((product, extent) => product * extent, 1);
  const values = made.values ?? Array.from({ length: count }, (_, i) => i + 1);
  const offset = made.two === true ? 544 : 352;
  const bytes = new Uint8Array(offset + count * (BYTES[datatype] ?? 4));
  const view = new DataView(bytes.buffer);
  const sform = made.sform === undefined ? IDENTITY : made.sform;
  const qform = made.qform ?? null;
  const rankAndDims = [dims.length, ...dims, 1, 1, 1, 1].slice(0, 8);
  if (made.two === true) {
    view.setInt32(0, 540, le);
    bytes.set([0x6e, 0x2b, 0x32, 0], 4);
    view.setInt16(12, datatype, le);
    rankAndDims.forEach((extent, i) => {
      view.setBigInt64(16 + 8 * i, BigInt(extent), le);
    });
    for (let i = 1; i < 4; i++) view.setFloat64(104 + 8 * i, 1, le);
    view.setBigInt64(168, BigInt(offset), le);
    view.setFloat64(176, made.slope ?? 0, le);
    view.setFloat64(184, made.intercept ?? 0, le);
    view.setInt32(348, sform === null ? 0 : 1, le);
    (sform ?? []).forEach((value, i) => {
      view.setFloat64(400 + 8 * i, value, le);
    });
  } else {
    view.setInt32(0, 348, le);
    bytes.set([0x6e, 0x2b, 0x31, 0], 344);
    view.setInt16(70, datatype, le);
    rankAndDims.forEach((extent, i) => {
      view.setInt16(40 + 2 * i, extent, le);
    });
    view.setFloat32(76, qform?.qfac ?? 1, le);
    for (let i = 1; i < 4; i++) view.setFloat32(76 + 4 * i, i, le);
    view.setFloat32(108, offset, le);
    view.setFloat32(112, made.slope ?? 0, le);
    view.setFloat32(116, made.intercept ?? 0, le);
    view.setInt16(252, qform?.code ?? 0, le);
    view.setInt16(254, sform === null ? 0 : 1, le);
    [...(qform?.quaternion ?? [0, 0, 0]), ...(qform?.offset ?? [0, 0, 0])].forEach((value, i) => {
      view.setFloat32(256 + 4 * i, value, le);
    });
    (sform ?? []).forEach((value, i) => {
      view.setFloat32(280 + 4 * i, value, le);
    });
  }
  values.forEach((value, i) => {
    const at = offset + i * (BYTES[datatype] ?? 4);
    if (datatype === 2) view.setUint8(at, value);
    else if (datatype === 256) view.setInt8(at, value);
    else if (datatype === 4) view.setInt16(at, value, le);
    else if (datatype === 512) view.setUint16(at, value, le);
    else if (datatype === 8) view.setInt32(at, value, le);
    else if (datatype === 768) view.setUint32(at, value, le);
    else if (datatype === 1024) view.setBigInt64(at, BigInt(value), le);
    else if (datatype === 1280) view.setBigUint64(at, BigInt(value), le);
    else if (datatype === 64) view.setFloat64(at, value, le);
    else view.setFloat32(at, value, le);
  });
  return bytes;
}

test('every scalar datatype, both byte orders, NIfTI-1 and NIfTI-2', () => {
  for (const two of [false, true]) {
    for (const little of [true, false]) {
      for (const datatype of Object.keys(BYTES).map(Number)) {
        const volume = parseNifti(makeNifti({ two, little, datatype }), 'head.nii');
        assert.deepEqual([...volume.data], [1, 2, 3, 4, 5, 6, 7, 8], `datatype ${datatype}`);
        assert.deepEqual(volume.dims, [2, 2, 2]);
        assert.deepEqual(volume.affine, IDENTITY);
      }
    }
  }
});

test('scl_slope and scl_inter scale, a slope of 0 does not', () => {
  const scaled = parseNifti(makeNifti({ datatype: 4, slope: 2, intercept: -1 }), 'a.nii');
  assert.deepEqual([...scaled.data], [1, 3, 5, 7, 9, 11, 13, 15]);
  const plain = parseNifti(makeNifti({ datatype: 4, slope: 0, intercept: 7 }), 'a.nii');
  assert.deepEqual([...plain.data], [1, 2, 3, 4, 5, 6, 7, 8]);
});

test('the qform is used when there is no sform: quaternion, voxel sizes, qfac', () => {
  // half a turn about z: (b, c, d) = (0, 0, 1)
  const bytes = makeNifti({
    sform: null,
    qform: { code: 1, quaternion: [0, 0, 1], offset: [10, 20, 30], qfac: -1 },
  });
  const volume = parseNifti(bytes, 'q.nii');
  const [x, y, z] = voxelToWorld(volume.affine, 1, 1, 1);
  assert.deepEqual([x, y, z], [9, 18, 27]);
});

test('gzipped files are read and named without their extensions', () => {
  const file = join(mkdtempSync(join(tmpdir(), 'mcnet-nifti-')), 'sub-01_T1w.nii.gz');
  writeFileSync(file, gzipSync(makeNifti()));
  assert.equal(readNifti(file).name, 'sub-01_T1w');
});

test('what is not a usable volume is refused with a sentence naming the file', () => {
  const cases: [string, Uint8Array, RegExp][] = [
    ['no bytes', new Uint8Array(0), /x\.nii: the file is empty/],
    ['short', new Uint8Array(100), /not a NIfTI/],
    ['other', new Uint8Array(400), /not a NIfTI/],
    ['all alike', makeNifti({ values: [3, 3, 3, 3, 3, 3, 3, 3] }), /empty, every voxel is 3/],
    ['zero extent', makeNifti({ dims: [2, 0, 2], values: [] }), /empty, its dimensions/],
    ['4D', makeNifti({ dims: [2, 2, 2, 2] }), /4D \(2 x 2 x 2 x 2\)/],
    ['2D', makeNifti({ dims: [4, 4] }), /2D/],
    ['NaN', makeNifti({ values: [1, 2, Number.NaN, 4, 5, 6, 7, 8] }), /voxel 2 is not a finite number/],
    ['no affine', makeNifti({ sform: null }), /no affine/],
    ['singular', makeNifti({ sform: [0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0] }), /affine is not usable/],
    ['truncated', makeNifti().slice(0, 370), /truncated/],
    ['complex', makeNifti({ datatype: 32 }), /datatype code 32/],
  ];
  for (const [name, bytes, expected] of cases) {
    assert.throws(
      () => parseNifti(bytes, 'x.nii'),
      (error: unknown) => {
        assert.ok(error instanceof VolumeError, name);
        assert.match(error.message, expected, name);
        assert.match(error.message, /^x\.nii:/);
        return true;
      },
    );
  }
  assert.throws(() => readNifti('/nowhere/a.nii'), /\/nowhere\/a\.nii: cannot be read/);
});
