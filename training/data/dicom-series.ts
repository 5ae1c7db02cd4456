import { closeSync, openSync, readdirSync, readFileSync, readSync, statSync } from 'node:fs';
import { basename, join } from 'node:path';
import {
  correctable,
  type DataSet,
  DicomError,
  decodeFrames,
  itemsOf,
  number,
  numbers,
  type Part10,
  parsePart10,
  string,
} from '../../src/dicom/index.js';
import { type Affine, type Volume, VolumeError } from './volume.js';

type Vector = readonly [number, number, number];

/** One slice of a series, in the patient's coordinates of DICOM (LPS, mm; PS3.3 C.7.6.2). */
interface Plane {
  readonly file: string;
  readonly frame: number;
  readonly rows: number;
  readonly columns: number;
  /** Of the centre of the first pixel. */
  readonly position: Vector;
  /** Directions in which columns and rows are counted. */
  readonly across: Vector;
  readonly down: Vector;
  /** [between rows, between columns] */
  readonly spacing: readonly [number, number];
  readonly slope: number;
  readonly intercept: number;
}

/** Directions may differ by so much (they are written with six decimals), pixel sizes and slice gaps by a share. */
const DIRECTION_TOLERANCE = 1e-3;
const SPACING_TOLERANCE = 1e-3;
/** Scanners write positions with few decimals. */
const GAP_TOLERANCE_MM = 0.05;

/** Whether a file starts as a DICOM file does (PS3.10 section 7.1). */
function isDicomFile(file: string): boolean {
  const handle = openSync(file, 'r');
  try {
    const prefix = Buffer.alloc(132);
    return readSync(handle, prefix, 0, 132, 0) === 132 && prefix.toString('latin1', 128) === 'DICM';
  } finally {
    closeSync(handle);
  }
}

/** The DICOM files of a folder by name, without DICOMDIR; none when it has none. */
export function dicomFiles(folder: string): string[] {
  return readdirSync(folder)
    .filter((name) => name !== 'DICOMDIR' && !name.startsWith('.'))
    .sort()
    .map((name) => join(folder, name))
    .filter((file) => statSync(file).isFile() && isDicomFile(file));
}

/** Whether a folder holds DICOM files; only as many as needed are looked at. */
export function isDicomFolder(folder: string): boolean {
  return readdirSync(folder).some((name) => {
    const file = join(folder, name);
    return name !== 'DICOMDIR' && !name.startsWith('.') && statSync(file).isFile() && isDicomFile(file);
  });
}

/**
 * Reads one DICOM series of MR slices (files of single slices, or enhanced multi-frame) as a volume: slices in the order of their
 * positions along the normal, values rescaled, pixel padding as 0, the affine in RAS mm.
 *
 * @throws VolumeError naming the file: when it is damaged or no magnitude image of MR, when files belong to several series, when
 * matrices, orientations or pixel sizes differ, when slices are missing, doubled or unevenly spaced
 */
export async function readDicomSeries(folder: string): Promise<Volume> {
  const files = dicomFiles(folder);
  if (files.length === 0) throw new VolumeError(`${folder}: no DICOM files in this folder`);
  const planes: Plane[] = [];
  let series: { uid: string | undefined; file: string } | undefined;
  for (const file of files) {
    const { dataSet } = parse(file, true);
    const uid = string(dataSet, 'SeriesInstanceUID');
    series ??= { uid, file };
    if (uid !== series.uid) {
      throw new VolumeError(
        `${file}: of another series than ${basename(series.file)} (Series Instance UID ${uid} and ${series.uid}); put each series into a folder of its own`,
      );
    }
    planes.push(...planesOf(dataSet, file));
  }
  const first = planes[0]!;
  for (const plane of planes) checkAlike(plane, first);
  if (planes.length < 2) throw new VolumeError(`${first.file}: one slice is no volume`);
  const normal = cross(first.across, first.down);
  const along = (plane: Plane): number => dot(plane.position, normal);
  planes.sort((a, b) => along(a) - along(b));
  const step = checkGaps(planes, along);
  const data = await readPixels(planes, first);
  if (data.every((value) => value === data[0])) {
    throw new VolumeError(`${folder}: empty, all its pixels are ${data[0]}`);
  }
  const { columns, rows, across, down, spacing } = first;
  const column = scaled(across, spacing[1]);
  const row = scaled(down, spacing[0]);
  const origin = planes[0]!.position;
  // DICOM's x grows to the left and y to the back, RAS' to the right and to the front
  const line = (i: 0 | 1 | 2): number[] => {
    const sense = i === 2 ? 1 : -1;
    return [column[i], row[i], step[i], origin[i]].map((value) => (value === 0 ? 0 : sense * value));
  };
  const affine: Affine = [...line(0), ...line(1), ...line(2)];
  return { name: basename(folder), dims: [columns, rows, planes.length], data, affine };
}

function parse(file: string, untilPixelData: boolean): Part10 {
  try {
    return parsePart10(readFileSync(file), { untilPixelData });
  } catch (error) {
    throw failure(file, error);
  }
}

function failure(file: string, error: unknown): VolumeError {
  if (error instanceof VolumeError) return error;
  const why = error instanceof Error ? error.message : String(error);
  const advice = error instanceof DicomError ? '; remove the file or convert the series to NIfTI' : '';
  return new VolumeError(`${file}: ${why}${advice}`);
}

/** The planes that a file holds, from its header. */
function planesOf(dataSet: DataSet, file: string): Plane[] {
  const usable = correctable(dataSet, string(dataSet, 'SOPClassUID') ?? '');
  if (!usable.ok) {
    throw new VolumeError(`${file}: not an image to train on: ${usable.reason}; move it out of the folder`);
  }
  const rows = number(dataSet, 'Rows') ?? 0;
  const columns = number(dataSet, 'Columns') ?? 0;
  const perFrame = itemsOf(dataSet, 'PerFrameFunctionalGroupsSequence');
  const shared = itemsOf(dataSet, 'SharedFunctionalGroupsSequence').slice(0, 1);
  const count = Math.max(1, Math.trunc(number(dataSet, 'NumberOfFrames') ?? 1));
  if (count > 1 && perFrame.length !== count) {
    throw new VolumeError(
      `${file}: ${count} frames, but positions of ${perFrame.length} (Per-frame Functional Groups Sequence)`,
    );
  }
  return Array.from({ length: count }, (_, frame) => {
    const groups = [...(perFrame[frame] === undefined ? [] : [perFrame[frame]]), ...shared];
    // an attribute stands in its functional group, or in a single-frame image at the top
    const of = (group: string, keyword: string): number[] => {
      for (const place of groups.flatMap((entry) => itemsOf(entry, group))) {
        const values = numbers(place, keyword);
        if (values.length > 0) return values;
      }
      return numbers(dataSet, keyword);
    };
    const need = (group: string, keyword: string, length: number): number[] => {
      const values = of(group, keyword);
      if (values.length === length && values.every(Number.isFinite)) return values;
      throw new VolumeError(
        `${file}: ${keyword} ${values.length === 0 ? 'is absent' : 'is not usable'}: the slice’s place in the patient is unknown`,
      );
    };
    const position = need('PlanePositionSequence', 'ImagePositionPatient', 3);
    const directions = need('PlaneOrientationSequence', 'ImageOrientationPatient', 6);
    const spacing = need('PixelMeasuresSequence', 'PixelSpacing', 2);
    const across = directions.slice(0, 3) as unknown as Vector;
    const down = directions.slice(3) as unknown as Vector;
    if (!isRightAngled(across, down) || !spacing.every((size) => size > 0)) {
      throw new VolumeError(
        `${file}: Image Orientation (Patient) or Pixel Spacing is not usable: directions must be unit vectors at right angles, spacings positive`,
      );
    }
    return {
      file,
      frame,
      rows,
      columns,
      position: position as unknown as Vector,
      across,
      down,
      spacing: spacing as unknown as readonly [number, number],
      slope: of('PixelValueTransformationSequence', 'RescaleSlope')[0] ?? 1,
      intercept: of('PixelValueTransformationSequence', 'RescaleIntercept')[0] ?? 0,
    };
  });
}

function isRightAngled(a: Vector, b: Vector): boolean {
  return (
    Math.abs(dot(a, a) - 1) < 2 * DIRECTION_TOLERANCE &&
    Math.abs(dot(b, b) - 1) < 2 * DIRECTION_TOLERANCE &&
    Math.abs(dot(a, b)) < DIRECTION_TOLERANCE
  );
}

function checkAlike(plane: Plane, first: Plane): void {
  const where = (at: Plane): string => basename(at.file) + (at.frame > 0 ? `, frame ${at.frame + 1}` : '');
  if (plane.rows !== first.rows || plane.columns !== first.columns) {
    throw new VolumeError(
      `${plane.file}: ${plane.rows} x ${plane.columns} pixels, ${where(first)} has ${first.rows} x ${first.columns}; one series must have one matrix`,
    );
  }
  const turned = [plane.across, plane.down].some((direction, i) =>
    direction.some((value, axis) => {
      const other = (i === 0 ? first.across : first.down)[axis]!;
      return Math.abs(value - other) > DIRECTION_TOLERANCE;
    }),
  );
  if (turned) {
    throw new VolumeError(
      `${plane.file}: its slice is not parallel to that of ${where(first)}; a volume needs parallel slices`,
    );
  }
  if (plane.spacing.some((size, i) => Math.abs(size / first.spacing[i]! - 1) > SPACING_TOLERANCE)) {
    throw new VolumeError(
      `${plane.file}: pixels of ${plane.spacing.join(' x ')} mm, ${where(first)} has ${first.spacing.join(' x ')} mm`,
    );
  }
}

/** The step from slice to slice in LPS mm. */
function checkGaps(planes: readonly Plane[], along: (plane: Plane) => number): Vector {
  const gaps = planes.slice(1).map((plane, i) => along(plane) - along(planes[i]!));
  const middle = [...gaps].sort((a, b) => a - b)[Math.floor(gaps.length / 2)]!;
  gaps.forEach((gap, i) => {
    const [before, after] = [planes[i]!, planes[i + 1]!];
    if (gap < GAP_TOLERANCE_MM) {
      throw new VolumeError(
        `${after.file}: at the same place as ${basename(before.file)}; a volume has one slice at each place: give each echo, phase and repetition a folder of its own`,
      );
    }
    if (Math.abs(gap - middle) > Math.max(GAP_TOLERANCE_MM, 0.02 * middle)) {
      throw new VolumeError(
        `${after.file}: ${gap.toFixed(2)} mm from the slice before (${basename(before.file)}), others are ${middle.toFixed(2)} mm apart; slices are missing or not evenly spaced`,
      );
    }
  });
  const first = planes[0]!.position;
  const last = planes.at(-1)!.position;
  return last.map((value, i) => (value - first[i]!) / (planes.length - 1)) as unknown as Vector;
}

async function readPixels(planes: readonly Plane[], first: Plane): Promise<Float32Array> {
  const size = first.rows * first.columns;
  const data = new Float32Array(size * planes.length);
  const places = new Map<string, { plane: Plane; slice: number }[]>();
  planes.forEach((plane, slice) => {
    places.set(plane.file, [...(places.get(plane.file) ?? []), { plane, slice }]);
  });
  for (const [file, slices] of places) {
    try {
      const { frames, padding, photometricInterpretation } = await decodeFrames(parse(file, false));
      if (photometricInterpretation !== 'MONOCHROME2') {
        throw new VolumeError(
          `${file}: ${photometricInterpretation}, bright and dark are exchanged; only MONOCHROME2 is supported`,
        );
      }
      for (const { plane, slice } of slices) {
        const stored = frames[plane.frame]!;
        for (let i = 0; i < size; i++) {
          const value = stored[i]!;
          const padded = padding !== undefined && value >= padding.min && value <= padding.max;
          data[slice * size + i] = padded ? 0 : value * plane.slope + plane.intercept;
        }
      }
    } catch (error) {
      throw failure(file, error);
    }
  }
  return data;
}

function dot(a: Vector, b: Vector): number {
  return a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
}

function cross(a: Vector, b: Vector): Vector {
  return [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]];
}

function scaled(a: Vector, factor: number): Vector {
  return [a[0] * factor, a[1] * factor, a[2] * factor];
}
