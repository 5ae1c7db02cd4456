import { invertAffine, type Volume, volumeCentre } from './volume.js';

export type SlicePlane = 'sagittal' | 'axial' | 'coronal';

/**
 * The field of view of slices, as a radiologist sees them: sagittal rows run from superior to inferior and columns from
 * anterior to posterior; axial rows from anterior to posterior and columns from the patient's right to left; coronal rows from
 * superior to inferior and columns from right to left.
 */
export interface SliceGeometry {
  readonly plane: SlicePlane;
  readonly rows: number;
  readonly columns: number;
  /** [between rows, between columns] in mm. */
  readonly spacing: readonly [number, number];
  /** Slice thickness in mm; the intensity is averaged over it. */
  readonly thickness: number;
  /** RAS mm of the centre pixel (⌊rows/2⌋, ⌊columns/2⌋) of the slice at position 0; default the middle of the volume. */
  readonly centre?: readonly [number, number, number];
  /**
   * Where a point of the slice, mm down and across from its centre, is read instead: displacements in mm along normal, rows and
   * columns. The result may be the same array each time.
   */
  readonly bend?: (down: number, across: number) => readonly [number, number, number];
}

export interface Slice {
  readonly rows: number;
  readonly columns: number;
  readonly pixels: Float32Array;
}

type Axis = readonly [number, number, number];

/** RAS directions of [normal, rows downwards, columns rightwards]; a slice's position grows along its normal. */
const AXES: Readonly<Record<SlicePlane, readonly Axis[]>> = {
  sagittal: [
    [-1, 0, 0],
    [0, 0, -1],
    [0, -1, 0],
  ],
  axial: [
    [0, 0, -1],
    [0, -1, 0],
    [-1, 0, 0],
  ],
  coronal: [
    [0, -1, 0],
    [0, 0, -1],
    [-1, 0, 0],
  ],
};

const unmoved = [0, 0, 0] as const;

/**
 * One slice of a volume by its affine, at `position` mm along the normal (sagittal: towards the patient's left; axial: down; coronal:
 * to the back) from the geometry's centre. Outside the volume it is 0. Where the slice's voxels are larger than the
 * volume's, values are averaged over them (box filter over linear samples), otherwise interpolated by Catmull-Rom cubics;
 * slices are magnitudes, so values below 0 become 0.
 */
export function sampleSlice(volume: Volume, geometry: SliceGeometry, position: number): Slice {
  const { rows, columns, spacing, thickness, bend } = geometry;
  const axes = AXES[geometry.plane];
  const inverse = invertAffine(volume.affine);
  const centre = geometry.centre ?? volumeCentre(volume);
  const steps = axes.map(
    (axis) =>
      [0, 1, 2].map(
        (i) => inverse[4 * i]! * axis[0] + inverse[4 * i + 1]! * axis[1] + inverse[4 * i + 2]! * axis[2],
      ) as [number, number, number],
  );
  // the volume's voxel size along each axis of the slice
  const sizes = steps.map((step) => 1 / Math.hypot(...step));
  const through = Math.max(1, Math.round(thickness / sizes[0]!));
  const down = Math.max(1, Math.round(spacing[0] / sizes[1]!));
  const across = Math.max(1, Math.round(spacing[1] / sizes[2]!));
  const start = [0, 1, 2].map(
    (i) =>
      inverse[4 * i]! * centre[0] +
      inverse[4 * i + 1]! * centre[1] +
      inverse[4 * i + 2]! * centre[2] +
      inverse[4 * i + 3]!,
  );
  const [normal, rowAxis, columnAxis] = steps as [(typeof steps)[0], (typeof steps)[0], (typeof steps)[0]];
  const sample = through * down * across > 1 ? linear : cubic;
  const pixels = new Float32Array(rows * columns);
  const share = 1 / (through * down * across);
  const centreRow = Math.floor(rows / 2);
  const centreColumn = Math.floor(columns / 2);
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) {
      let sum = 0;
      const moved = bend?.((row - centreRow) * spacing[0], (column - centreColumn) * spacing[1]) ?? unmoved;
      for (let a = 0; a < down; a++) {
        const y = (row - centreRow + (a + 0.5) / down - 0.5) * spacing[0] + moved[1];
        for (let b = 0; b < across; b++) {
          const x = (column - centreColumn + (b + 0.5) / across - 0.5) * spacing[1] + moved[2];
          for (let c = 0; c < through; c++) {
            const z = position + ((c + 0.5) / through - 0.5) * thickness + moved[0];
            sum += sample(
              volume,
              start[0]! + z * normal[0]! + y * rowAxis[0]! + x * columnAxis[0]!,
              start[1]! + z * normal[1]! + y * rowAxis[1]! + x * columnAxis[1]!,
              start[2]! + z * normal[2]! + y * rowAxis[2]! + x * columnAxis[2]!,
            );
          }
        }
      }
      pixels[row * columns + column] = Math.max(0, sum * share);
    }
  }
  return { rows, columns, pixels };
}

/**
 * A volume resampled along the axes of slices: voxel (column, row, slice), columns fastest, `depth` slices as far apart as they
 * are thick, and the geometry's centre at voxel (⌊columns/2⌋, ⌊rows/2⌋, ⌊depth/2⌋).
 */
export function sampleStack(volume: Volume, geometry: SliceGeometry, depth: number): Volume {
  const { rows, columns, spacing, thickness } = geometry;
  const centre = geometry.centre ?? volumeCentre(volume);
  const [normal, down, across] = AXES[geometry.plane] as [Axis, Axis, Axis];
  const data = new Float32Array(rows * columns * depth);
  for (let slice = 0; slice < depth; slice++) {
    const position = (slice - Math.floor(depth / 2)) * thickness;
    data.set(sampleSlice(volume, { ...geometry, centre }, position).pixels, slice * rows * columns);
  }
  const middle = [Math.floor(columns / 2), Math.floor(rows / 2), Math.floor(depth / 2)] as const;
  const line = (axis: 0 | 1 | 2): number[] => {
    const steps = [across[axis] * spacing[1], down[axis] * spacing[0], normal[axis] * thickness];
    return [...steps, centre[axis] - steps.reduce((sum, step, i) => sum + step * middle[i]!, 0)];
  };
  return {
    ...volume,
    dims: [columns, rows, depth],
    affine: [...line(0), ...line(1), ...line(2), 0, 0, 0, 1] as unknown as Volume['affine'],
    data,
  };
}

/** Trilinear; half a voxel beyond the outermost voxel centres the volume ends and is 0. */
function linear(volume: Volume, x: number, y: number, z: number): number {
  const [nx, ny, nz] = volume.dims;
  if (!(x > -0.5 && y > -0.5 && z > -0.5 && x < nx - 0.5 && y < ny - 0.5 && z < nz - 0.5)) return 0;
  const px = Math.min(nx - 1, Math.max(0, x));
  const py = Math.min(ny - 1, Math.max(0, y));
  const pz = Math.min(nz - 1, Math.max(0, z));
  const i = Math.min(nx - 2, Math.floor(px));
  const j = Math.min(ny - 2, Math.floor(py));
  const k = Math.min(nz - 2, Math.floor(pz));
  const u = px - i;
  const v = py - j;
  const w = pz - k;
  const d = volume.data;
  const at = i + nx * (j + ny * k);
  const up = at + nx * ny;
  const a = d[at]! + u * (d[at + 1]! - d[at]!);
  const b = d[at + nx]! + u * (d[at + nx + 1]! - d[at + nx]!);
  const e = d[up]! + u * (d[up + 1]! - d[up]!);
  const f = d[up + nx]! + u * (d[up + nx + 1]! - d[up + nx]!);
  const p = a + v * (b - a);
  return p + w * (e + v * (f - e) - p);
}

const weightsX = new Float64Array(4);
const weightsY = new Float64Array(4);
const weightsZ = new Float64Array(4);

function catmullRom(u: number, weights: Float64Array): void {
  weights[0] = 0.5 * u * (-1 + u * (2 - u));
  weights[1] = 1 + 0.5 * u * u * (-5 + 3 * u);
  weights[2] = 0.5 * u * (1 + u * (4 - 3 * u));
  weights[3] = 0.5 * u * u * (u - 1);
}

function cubic(volume: Volume, x: number, y: number, z: number): number {
  const [nx, ny, nz] = volume.dims;
  if (!(x > -0.5 && y > -0.5 && z > -0.5 && x < nx - 0.5 && y < ny - 0.5 && z < nz - 0.5)) return 0;
  const i = Math.floor(x);
  const j = Math.floor(y);
  const k = Math.floor(z);
  catmullRom(x - i, weightsX);
  catmullRom(y - j, weightsY);
  catmullRom(z - k, weightsZ);
  let sum = 0;
  for (let c = 0; c < 4; c++) {
    const wz = weightsZ[c]!;
    if (wz === 0) continue;
    const kk = Math.min(nz - 1, Math.max(0, k - 1 + c));
    for (let b = 0; b < 4; b++) {
      const wyz = wz * weightsY[b]!;
      if (wyz === 0) continue;
      const line = nx * (Math.min(ny - 1, Math.max(0, j - 1 + b)) + ny * kk);
      if (i >= 1 && i + 2 < nx) {
        const at = line + i - 1;
        const d = volume.data;
        sum +=
          wyz *
          (weightsX[0]! * d[at]! +
            weightsX[1]! * d[at + 1]! +
            weightsX[2]! * d[at + 2]! +
            weightsX[3]! * d[at + 3]!);
      } else {
        for (let a = 0; a < 4; a++) {
          sum += wyz * weightsX[a]! * volume.data[line + Math.min(nx - 1, Math.max(0, i - 1 + a))]!;
        }
      }
    }
  }
  return sum;
}
