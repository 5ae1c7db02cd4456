import assert from 'node:assert/strict';
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { after, test } from 'node:test';
import { decodeFrames, numbers, parsePart10 } from '../../../src/dicom/index.js';
import {
  ENHANCED_MR,
  encodeDataSet,
  explicitLE,
  type Item,
  mrImage,
  nativePixels,
  part10,
} from '../../../test/unit/dicom/encode.js';
import { sharedDataMissing, sharedFiles } from '../../../test/unit/dicom/shared-data.js';
import {
  checkHead,
  coverageOf,
  invertAffine,
  listVolumes,
  readDicomSeries,
  readVolume,
  VolumeError,
  volumeDigest,
  voxelSize,
  voxelToWorld,
} from '../../data/index.js';

const folder = mkdtempSync(join(tmpdir(), 'mcnet-dicom-series-'));
after(() => rmSync(folder, { recursive: true }));

/** Oblique directions, so that no axis is like another. */
const ACROSS = [0.8, 0.6, 0];
const DOWN = [0, 0, -1];
const NORMAL = [-0.6, 0.8, 0];

interface SliceOptions {
  extra?: Item;
  rows?: number;
  words?: number[];
}

/** One file of a series of 4 × 6 pixels of 0.5 × 2 mm, slices 3 mm apart, with values 100·slice + pixel. */
function sliceFile(slice: number, options: SliceOptions = {}): Buffer {
  const rows = options.rows ?? 4;
  const position = NORMAL.map((value, i) => [10, 20, 30][i]! + 3 * slice * value);
  const item = mrImage({
    rows,
    columns: 6,
    extra: [
      [0x00080018, 'UI', `1.2.3.4.5.${slice + 10}`],
      [0x00200032, 'DS', position.map((value) => value.toFixed(4)).join('\\')],
      [0x00200037, 'DS', [...ACROSS, ...DOWN].join('\\')],
      [0x00280030, 'DS', '0.5\\2'],
      [0x00281052, 'DS', '-7'],
      [0x00281053, 'DS', '2'],
      ...(options.extra ?? []),
    ],
  });
  const unique = item.filter(([tag], i) => item.findLastIndex(([other]) => other === tag) === i);
  const words = options.words ?? Array.from({ length: rows * 6 }, (_, i) => 100 * slice + i);
  const body = Buffer.concat([encodeDataSet(explicitLE, unique), nativePixels(explicitLE, words, 16)]);
  return part10(explicitLE, body);
}

/** A folder of files, by name. */
function series(name: string, files: Readonly<Record<string, Buffer>>): string {
  const at = join(folder, name);
  mkdirSync(at, { recursive: true });
  for (const [file, bytes] of Object.entries(files)) writeFileSync(join(at, file), bytes);
  return at;
}

/** The voxel that a point of DICOM's patient coordinates (LPS) lies in. */
function voxelOf(affine: readonly number[], lps: readonly number[]): number[] {
  const inverse = invertAffine(affine);
  return voxelToWorld(inverse, -lps[0]!, -lps[1]!, lps[2]!);
}

test('slices are sorted by position, values rescaled, and the affine is that of PS3.3 C.7.6.2.1.1', async () => {
  const at = series('shuffled', {
    IM3: sliceFile(0),
    IM1: sliceFile(2),
    'IM2.dcm': sliceFile(1),
    IM0: sliceFile(3),
    'notes.txt': Buffer.from('no DICOM file'),
    DICOMDIR: sliceFile(7),
  });
  const volume = await readDicomSeries(at);
  assert.equal(volume.name, 'shuffled');
  assert.deepEqual(volume.dims, [6, 4, 4]);
  voxelSize(volume.affine).forEach((size, i) => {
    assert.ok(Math.abs(size - [2, 0.5, 3][i]!) < 1e-3);
  });
  for (const [slice, row, column] of [
    [0, 0, 0],
    [3, 1, 5],
    [2, 3, 2],
  ] as const) {
    assert.equal(volume.data[(slice * 4 + row) * 6 + column], 2 * (100 * slice + row * 6 + column) - 7);
    const point = [0, 1, 2].map(
      (i) => [10, 20, 30][i]! + 3 * slice * NORMAL[i]! + 2 * column * ACROSS[i]! + 0.5 * row * DOWN[i]!,
    );
    voxelOf(volume.affine, point).forEach((value, i) => {
      assert.ok(Math.abs(value - [column, row, slice][i]!) < 1e-3);
    });
  }
});

test('pixel padding is 0', async () => {
  const words = Array.from({ length: 24 }, (_, i) => (i < 3 ? 63_000 : 50 + i));
  const extra: Item = [[0x00280120, 'US', 63_000]];
  const volume = await readDicomSeries(
    series('padding', { a: sliceFile(0, { words, extra }), b: sliceFile(1, { words, extra }) }),
  );
  assert.deepEqual([...volume.data.subarray(0, 5)], [0, 0, 0, 2 * 53 - 7, 2 * 54 - 7]);
});

test('an enhanced image: positions and scaling of every frame', async () => {
  const groups = (frame: number): Item => [
    [0x00209113, 'SQ', [[[0x00200032, 'DS', `5\\${-6 + 1.5 * frame}\\7`]]]],
    [
      0x00289145,
      'SQ',
      [
        [
          [0x00281052, 'DS', '0'],
          [0x00281053, 'DS', String(frame + 1)],
        ],
      ],
    ],
  ];
  const shared: Item = [
    [0x00209116, 'SQ', [[[0x00200037, 'DS', '1\\0\\0\\0\\0\\-1']]]],
    [0x00289110, 'SQ', [[[0x00280030, 'DS', '1\\1']]]],
  ];
  const item = mrImage({
    frames: 3,
    extra: [
      [0x00080016, 'UI', ENHANCED_MR],
      [0x52009229, 'SQ', [shared]],
      // the frames run against the normal
      [0x52009230, 'SQ', [groups(2), groups(1), groups(0)]],
    ],
  }).filter(([tag]) => ![0x00200032, 0x00200037, 0x00280030].includes(tag));
  const words = Array.from({ length: 72 }, (_, i) => i);
  const bytes = part10(
    explicitLE,
    Buffer.concat([encodeDataSet(explicitLE, item), nativePixels(explicitLE, words, 16)]),
  );
  const volume = await readDicomSeries(series('enhanced', { 'enhanced.dcm': bytes }));
  assert.deepEqual(volume.dims, [6, 4, 3]);
  // across × down = +y (to the back): the frame with the least y is the last one in the file
  assert.equal(volume.data[1], 48 + 1);
  assert.equal(volume.data[24 + 1], 2 * (24 + 1));
  assert.equal(volume.data[48 + 1], 3 * 1);
  assert.deepEqual(voxelToWorld(volume.affine, 0, 0, 0), [-5, 6, 7]);
  assert.deepEqual(voxelToWorld(volume.affine, 1, 2, 2), [-6, 3, 5]);
});

test('series that are no volume are refused, the file named', async () => {
  const good = { a: sliceFile(0), b: sliceFile(1), c: sliceFile(2), d: sliceFile(3) };
  const cases: [string, Readonly<Record<string, Buffer>>, RegExp][] = [
    ['empty', {}, /empty: no DICOM files/],
    ['one', { a: sliceFile(0) }, /one[/\\]a: one slice is no volume/],
    [
      'gap',
      { a: sliceFile(0), b: sliceFile(1), c: sliceFile(2), e: sliceFile(4) },
      /e: 6\.00 mm .*others are 3\.00/,
    ],
    ['double', { ...good, e: sliceFile(2) }, /[ce]: at the same place as [ce]/],
    [
      'series',
      { ...good, e: sliceFile(4, { extra: [[0x0020000e, 'UI', '1.2.3.9']] }) },
      /e: of another series than a/,
    ],
    ['matrix', { ...good, e: sliceFile(4, { rows: 5 }) }, /e: 5 x 6 pixels, a has 4 x 6/],
    [
      'turned',
      { ...good, e: sliceFile(4, { extra: [[0x00200037, 'DS', '1\\0\\0\\0\\1\\0']] }) },
      /e: its slice is not parallel/,
    ],
    [
      'pixels',
      { ...good, e: sliceFile(4, { extra: [[0x00280030, 'DS', '0.6\\2']] }) },
      /e: pixels of 0\.6 x 2 mm, a has 0\.5 x 2 mm/,
    ],
    [
      'position',
      { ...good, e: sliceFile(4, { extra: [[0x00200032, 'DS', '']] }) },
      /e: ImagePositionPatient is absent/,
    ],
    [
      'phase',
      { ...good, e: sliceFile(4, { extra: [[0x00080008, 'CS', 'ORIGINAL\\PRIMARY\\P']] }) },
      /e: not an image to train on: phase image/,
    ],
    ['cut', { ...good, e: sliceFile(4).subarray(0, -20) }, /e: .*(bytes|ends)/],
    [
      'black',
      {
        a: sliceFile(0, { words: new Array(24).fill(0) }),
        b: sliceFile(1, { words: new Array(24).fill(0) }),
      },
      /black: empty, all its pixels are -7/,
    ],
  ];
  for (const [name, files, message] of cases) {
    await assert.rejects(readDicomSeries(series(`bad-${name}`, files)), (error: Error) => {
      assert.ok(error instanceof VolumeError, name);
      assert.match(error.message, message);
      return true;
    });
  }
});

test('a catalogue lists folders of DICOM beside NIfTI files, and tells when the series lies in the folder itself', async () => {
  const at = series('catalogue', { 'head.nii': Buffer.alloc(10) });
  series(join('catalogue', 'scan-1'), { a: sliceFile(0), b: sliceFile(1) });
  series(join('catalogue', 'papers'), { 'readme.txt': Buffer.from('nothing') });
  const entries = listVolumes(at);
  assert.deepEqual(
    entries.map((entry) => entry.name),
    ['head', 'scan-1'],
  );
  assert.deepEqual((await readVolume(entries[1]!.file)).dims, [6, 4, 2]);
  const digest = volumeDigest(entries[1]!.file);
  const other = series('other', { a: sliceFile(0), b: sliceFile(1) });
  assert.equal(volumeDigest(other), digest);
  assert.notEqual(volumeDigest(series('third', { a: sliceFile(0), b: sliceFile(2) })), digest);
  assert.throws(() => listVolumes(other), /put each series into a folder of its own/);
  series(join('catalogue', 'head'), { a: sliceFile(0) });
  assert.throws(() => listVolumes(at), /have the same name head/);
});

for (const [prefix, dims, size] of [
  ['a01', [256, 256, 170], [1, 1, 1]],
  ['a02', [256, 256, 35], [1.015625, 1.015625, 4.8]],
] as const) {
  test(`a real series (${prefix}) is read as its headers say`, { skip: sharedDataMissing() }, async () => {
    const files = sharedFiles(prefix).map(([, path]) => path);
    const at = join(folder, prefix);
    mkdirSync(at);
    // under names in another order
    files.forEach((file, i) => {
      copyFileSync(file, join(at, `${String((i * 37) % files.length).padStart(4, '0')}.dcm`));
    });
    const volume = await readDicomSeries(at);
    assert.deepEqual(volume.dims, dims);
    voxelSize(volume.affine).forEach((value, i) => {
      assert.ok(Math.abs(value - size[i]!) < 1e-3);
    });
    checkHead(volume, prefix);
    assert.equal(coverageOf(volume), 'head');
    for (const file of [files[0]!, files[11]!, files.at(-1)!]) {
      const parsed = parsePart10(readFileSync(file));
      const { frames, rescaleSlope, rescaleIntercept } = await decodeFrames(parsed);
      const origin = voxelOf(volume.affine, numbers(parsed.dataSet, 'ImagePositionPatient'));
      assert.ok(Math.abs(origin[0]!) < 0.01 && Math.abs(origin[1]!) < 0.01, basename(file));
      const slice = Math.round(origin[2]!);
      assert.ok(Math.abs(origin[2]! - slice) < 0.02, basename(file));
      const expected = Float32Array.from(frames[0]!, (value) => value * rescaleSlope + rescaleIntercept);
      assert.deepEqual(
        volume.data.subarray(slice * expected.length, (slice + 1) * expected.length),
        expected,
      );
    }
  });
}
