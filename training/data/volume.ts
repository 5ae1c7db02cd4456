/** Row-major 3 × 4: RAS mm = A · (i, j, k, 1). */
export type Affine = readonly number[];

/** A scalar volume; voxel (i, j, k) is at i + dims[0]·(j + dims[1]·k), as in NIfTI. */
export interface Volume {
  /** Names the source in errors and in data sets (a file name without its extensions). */
  readonly name: string;
  readonly dims: readonly [number, number, number];
  readonly data: Float32Array;
  readonly affine: Affine;
}

/** Why a volume cannot be used: the message names the file and says what to do. */
export class VolumeError extends Error {
  override readonly name = 'VolumeError';
}

/** Voxel size along i, j, k in mm. */
export function voxelSize(affine: Affine): [number, number, number] {
  const size = (column: number): number =>
    Math.hypot(affine[column]!, affine[4 + column]!, affine[8 + column]!);
  return [size(0), size(1), size(2)];
}

/** RAS position in mm of the voxel coordinates (i, j, k). */
export function voxelToWorld(affine: Affine, i: number, j: number, k: number): [number, number, number] {
  const at = (row: number): number =>
    affine[4 * row]! * i + affine[4 * row + 1]! * j + affine[4 * row + 2]! * k + affine[4 * row + 3]!;
  return [at(0), at(1), at(2)];
}

/** The inverse affine (world to voxel), same layout. Throws RangeError when the matrix is singular. */
export function invertAffine(affine: Affine): Affine {
  const [a, b, c, tx, d, e, f, ty, g, h, i, tz] = affine as number[] as [
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
    number,
  ];
  const A = e * i - f * h;
  const B = f * g - d * i;
  const C = d * h - e * g;
  const determinant = a * A + b * B + c * C;
  if (!(Math.abs(determinant) > 1e-9)) throw new RangeError('the affine is singular');
  const s = 1 / determinant;
  const m = [
    A * s,
    (c * h - b * i) * s,
    (b * f - c * e) * s,
    B * s,
    (a * i - c * g) * s,
    (c * d - a * f) * s,
    C * s,
    (b * g - a * h) * s,
    (a * e - b * d) * s,
  ] as const;
  return [
    m[0],
    m[1],
    m[2],
    -(m[0] * tx + m[1] * ty + m[2] * tz),
    m[3],
    m[4],
    m[5],
    -(m[3] * tx + m[4] * ty + m[5] * tz),
    m[6],
    m[7],
    m[8],
    -(m[6] * tx + m[7] * ty + m[8] * tz),
  ];
}

/** RAS position of the middle of the field of view. */
export function volumeCentre(volume: Pick<Volume, 'dims' | 'affine'>): [number, number, number] {
  const [x, y, z] = volume.dims;
  return voxelToWorld(volume.affine, (x - 1) / 2, (y - 1) / 2, (z - 1) / 2);
}
