/** Rigid head motion over time: six parameters a time point, RAS axes (x left to right, y posterior to anterior, z up). */
export interface MotionTrace {
  readonly name: string;
  readonly points: number;
  /** points × 6: translations x, y, z in mm, then rotations about x, y, z in radians. */
  readonly parameters: Float64Array;
}

/** Columns of a row of {@link MotionTrace.parameters}. */
export const TRANS_X = 0;
export const TRANS_Y = 1;
export const TRANS_Z = 2;
export const ROT_X = 3;
export const ROT_Y = 4;
export const ROT_Z = 5;

/** Why a motion trace cannot be used: the message names the file and says what to do. */
export class TraceError extends Error {
  override readonly name = 'TraceError';
}

/** A 3 × 3 matrix, row-major. */
export type Matrix3 = readonly [number, number, number, number, number, number, number, number, number];
export type Vector3 = readonly [number, number, number];

/** A rigid transform x ↦ R x + t; rotation row-major, translation in mm. */
export interface RigidPose {
  readonly rotation: Matrix3;
  readonly translation: Vector3;
}

/** R = Rx · Ry · Rz, the order of SPM's spm_matrix and FSL's mcflirt; angles in radians. */
export function rotationMatrix(x: number, y: number, z: number): Matrix3 {
  const cx = Math.cos(x);
  const sx = Math.sin(x);
  const cy = Math.cos(y);
  const sy = Math.sin(y);
  const cz = Math.cos(z);
  const sz = Math.sin(z);
  return [
    cy * cz,
    -cy * sz,
    sy,
    cx * sz + sx * sy * cz,
    cx * cz - sx * sy * sz,
    -sx * cy,
    sx * sz - cx * sy * cz,
    sx * cz + cx * sy * sz,
    cx * cy,
  ];
}

/** The rigid transform of one row of six parameters. */
export function poseFromParameters(row: ArrayLike<number>): RigidPose {
  return {
    rotation: rotationMatrix(row[ROT_X]!, row[ROT_Y]!, row[ROT_Z]!),
    translation: [row[TRANS_X]!, row[TRANS_Y]!, row[TRANS_Z]!],
  };
}

export function multiply3(a: Matrix3, b: Matrix3): Matrix3 {
  const at = (i: number, j: number): number =>
    a[3 * i]! * b[j]! + a[3 * i + 1]! * b[3 + j]! + a[3 * i + 2]! * b[6 + j]!;
  return [at(0, 0), at(0, 1), at(0, 2), at(1, 0), at(1, 1), at(1, 2), at(2, 0), at(2, 1), at(2, 2)];
}

export function apply3(a: Matrix3, v: Vector3): Vector3 {
  return [
    a[0] * v[0] + a[1] * v[1] + a[2] * v[2],
    a[3] * v[0] + a[4] * v[1] + a[5] * v[2],
    a[6] * v[0] + a[7] * v[1] + a[8] * v[2],
  ];
}

/** x ↦ outer(inner(x)). */
export function composePoses(outer: RigidPose, inner: RigidPose): RigidPose {
  const moved = apply3(outer.rotation, inner.translation);
  return {
    rotation: multiply3(outer.rotation, inner.rotation),
    translation: [
      moved[0] + outer.translation[0],
      moved[1] + outer.translation[1],
      moved[2] + outer.translation[2],
    ],
  };
}

export function invertPose(pose: RigidPose): RigidPose {
  const r = pose.rotation;
  const rotation: Matrix3 = [r[0], r[3], r[6], r[1], r[4], r[7], r[2], r[5], r[8]];
  const moved = apply3(rotation, pose.translation);
  return { rotation, translation: [-moved[0], -moved[1], -moved[2]] };
}

/**
 * The same motion with its rotation described about another point. A trace whose rotations are about `from` (an fMRI
 * volume's centre, say) becomes one about `to` (the image grid's centre): t₂ = t₁ + (I − R)(c₁ − c₂); both in mm.
 */
export function movePivot(pose: RigidPose, from: Vector3, to: Vector3): RigidPose {
  const difference: Vector3 = [from[0] - to[0], from[1] - to[1], from[2] - to[2]];
  const turned = apply3(pose.rotation, difference);
  return {
    rotation: pose.rotation,
    translation: [
      pose.translation[0] + difference[0] - turned[0],
      pose.translation[1] + difference[1] - turned[1],
      pose.translation[2] + difference[2] - turned[2],
    ],
  };
}

/**
 * Every pose relative to that of the line at the centre of k-space (index ⌊lines/2⌋): Tₙ ∘ T_c⁻¹, so that motion
 * blurs but does not shift or turn the image.
 */
export function referencePoses(
  poses: readonly RigidPose[],
  centre = Math.floor(poses.length / 2),
): RigidPose[] {
  const inverse = invertPose(poses[centre]!);
  return poses.map((pose) => composePoses(pose, inverse));
}
