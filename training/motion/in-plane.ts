import type { SlicePlane } from '../data/index.js';
import {
  type MotionTrace,
  poseFromParameters,
  type RigidPose,
  ROT_X,
  ROT_Y,
  ROT_Z,
  referencePoses,
  TRANS_X,
  TRANS_Y,
  TRANS_Z,
} from './trace.js';

export type MotionKind = 'rotation' | 'rotation+translation';

/**
 * Motion within a slice, one pose per phase-encode line: a point at (row, column), in mm from the centre pixel, moves to
 * column·cos a − row·sin a + shiftColumns, column·sin a + row·cos a + shiftRows.
 */
export interface InPlanePoses {
  readonly lines: number;
  /** Radians. */
  readonly angle: Float64Array;
  /** mm, towards higher row numbers. */
  readonly shiftRows: Float64Array;
  /** mm, towards higher column numbers. */
  readonly shiftColumns: Float64Array;
}

/**
 * A trace at another number of points, as times run evenly from the first of `from` to the last. Estimators repeat values
 * exactly (they quantise), so the trace is first smoothed with a Gaussian of `smoothing` points' standard deviation, then
 * interpolated by Catmull-Rom splines.
 *
 * @param window points of the trace to use, [first, count]; default all of it
 */
export function resampleTrace(
  trace: MotionTrace,
  lines: number,
  smoothing = 0.4,
  window: readonly [number, number] = [0, trace.points],
): Float64Array {
  const [start, count] = window;
  if (!(start >= 0 && count >= 2 && start + count <= trace.points)) {
    throw new RangeError(
      `trace ${trace.name} has ${trace.points} points: a window of ${count} from ${start} does not fit`,
    );
  }
  const radius = Math.ceil(3 * smoothing);
  const taps = new Float64Array(2 * radius + 1);
  for (let i = -radius; i <= radius; i++) {
    taps[i + radius] = smoothing > 0 ? Math.exp(-(i * i) / (2 * smoothing * smoothing)) : 1;
  }
  const smooth = new Float64Array(count * 6);
  for (let i = 0; i < count; i++) {
    for (let j = 0; j < 6; j++) {
      let sum = 0;
      let weights = 0;
      for (let d = -radius; d <= radius; d++) {
        const at = start + i + d;
        if (at < 0 || at >= trace.points) continue;
        sum += taps[d + radius]! * trace.parameters[at * 6 + j]!;
        weights += taps[d + radius]!;
      }
      smooth[i * 6 + j] = sum / weights;
    }
  }
  const out = new Float64Array(lines * 6);
  for (let line = 0; line < lines; line++) {
    const time = lines === 1 ? 0 : (line * (count - 1)) / (lines - 1);
    const i1 = Math.min(count - 2, Math.floor(time));
    const u = time - i1;
    const i0 = Math.max(0, i1 - 1);
    const i2 = i1 + 1;
    const i3 = Math.min(count - 1, i1 + 2);
    for (let j = 0; j < 6; j++) {
      const a = smooth[i0 * 6 + j]!;
      const b = smooth[i1 * 6 + j]!;
      const c = smooth[i2 * 6 + j]!;
      const d = smooth[i3 * 6 + j]!;
      out[line * 6 + j] = b + 0.5 * u * (c - a + u * (2 * a - 5 * b + 4 * c - d + u * (3 * (b - c) + d - a)));
    }
  }
  return out;
}

/** How a trace becomes the motion of an acquisition. */
export interface AcquisitionMotion {
  readonly plane: SlicePlane;
  readonly motion: MotionKind;
  /** The trace's parameters are multiplied by this. */
  readonly factor: number;
  /** Phase-encode lines. */
  readonly lines: number;
  /** Points of the trace that the acquisition lasts; default the whole trace. */
  readonly window?: readonly [number, number];
  /** Standard deviation of the smoothing in points; default 0.4. */
  readonly smoothing?: number;
}

/**
 * The in-plane part of a trace: one rotation and (for `rotation+translation`) two translations, times the factor, relative to the
 * pose at the line ⌊lines/2⌋ (angles subtracted, the translation there turned with them). Slices as a radiologist sees them:
 * sagittal rows run from superior to inferior and columns from anterior to posterior; axial rows from anterior to
 * posterior and columns from right to left; coronal rows from superior to inferior and columns from right to left.
 */
export function inPlanePoses(trace: MotionTrace, options: AcquisitionMotion): InPlanePoses {
  const { plane, motion, factor, lines } = options;
  const parameters = resampleTrace(trace, lines, options.smoothing, options.window);
  const rotation = plane === 'sagittal' ? ROT_X : plane === 'axial' ? ROT_Z : ROT_Y;
  // rotating from left-right to feet-head is against the sense of a rotation about y
  const sense = plane === 'coronal' ? -factor : factor;
  const rowAxis = plane === 'axial' ? TRANS_Y : TRANS_Z;
  const columnAxis = plane === 'sagittal' ? TRANS_Y : TRANS_X;
  const moves = motion === 'rotation+translation' ? factor : 0;
  const angle = new Float64Array(lines);
  const shiftRows = new Float64Array(lines);
  const shiftColumns = new Float64Array(lines);
  for (let line = 0; line < lines; line++) {
    angle[line] = sense * parameters[line * 6 + rotation]!;
    // all image axes run against x (to the right), y (to the front) and z (up)
    shiftRows[line] = -moves * parameters[line * 6 + rowAxis]!;
    shiftColumns[line] = -moves * parameters[line * 6 + columnAxis]!;
  }
  return referenceInPlane({ lines, angle, shiftRows, shiftColumns });
}

/** Poses relative to that of line ⌊lines/2⌋: Tₙ ∘ T_c⁻¹ in the plane. */
export function referenceInPlane(poses: InPlanePoses, centre = Math.floor(poses.lines / 2)): InPlanePoses {
  const { lines } = poses;
  const angle = new Float64Array(lines);
  const shiftRows = new Float64Array(lines);
  const shiftColumns = new Float64Array(lines);
  const centreRow = poses.shiftRows[centre]!;
  const centreColumn = poses.shiftColumns[centre]!;
  for (let line = 0; line < lines; line++) {
    const turned = poses.angle[line]! - poses.angle[centre]!;
    const cos = Math.cos(turned);
    const sin = Math.sin(turned);
    angle[line] = turned;
    shiftColumns[line] = poses.shiftColumns[line]! - (cos * centreColumn - sin * centreRow);
    shiftRows[line] = poses.shiftRows[line]! - (sin * centreColumn + cos * centreRow);
  }
  return { lines, angle, shiftRows, shiftColumns };
}

/** No motion at all. */
export function stillPoses(lines: number): InPlanePoses {
  return {
    lines,
    angle: new Float64Array(lines),
    shiftRows: new Float64Array(lines),
    shiftColumns: new Float64Array(lines),
  };
}

/** Six-degree poses, one per outer phase-encode step, times the factor, relative to that at the centre of k-space. */
export function rigidPoses(
  trace: MotionTrace,
  options: {
    readonly factor: number;
    readonly lines: number;
    readonly window?: readonly [number, number];
    readonly smoothing?: number;
  },
): RigidPose[] {
  const parameters = resampleTrace(trace, options.lines, options.smoothing, options.window);
  const poses: RigidPose[] = [];
  for (let line = 0; line < options.lines; line++) {
    const row = Array.from(parameters.subarray(line * 6, line * 6 + 6), (value) => value * options.factor);
    poses.push(poseFromParameters(row));
  }
  return referencePoses(poses);
}

/** Spread of a slice's motion: standard deviations over the lines, and their sum as the paper's Figure 5 has it. */
export interface MotionMagnitude {
  /** Degrees. */
  readonly rotation: number;
  /** mm, root of the summed variances of both directions. */
  readonly translation: number;
}

export function motionMagnitude(poses: InPlanePoses): MotionMagnitude {
  const deviation = (values: Float64Array): number => {
    let mean = 0;
    for (const value of values) mean += value / values.length;
    let power = 0;
    for (const value of values) power += ((value - mean) * (value - mean)) / values.length;
    return Math.sqrt(power);
  };
  return {
    rotation: (deviation(poses.angle) * 180) / Math.PI,
    translation: Math.hypot(deviation(poses.shiftRows), deviation(poses.shiftColumns)),
  };
}
