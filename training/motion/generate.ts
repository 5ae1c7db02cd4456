import type { Random } from '../data/index.js';
import type { MotionTrace } from './trace.js';

/** What a head does in a scanner. */
export type MotionPattern = 'drift' | 'jerk' | 'nod' | 'breathing' | 'mixed';
export const MOTION_PATTERNS: readonly MotionPattern[] = ['drift', 'jerk', 'nod', 'breathing', 'mixed'];

export interface GenerateOptions {
  readonly pattern: MotionPattern;
  /** Time points; default 128. */
  readonly points?: number;
  /** Typical standard deviation of a rotation in degrees, and of a translation in mm; default 0.2. */
  readonly amplitude?: number;
}

/**
 * A synthetic motion trace, deterministic by the generator's state: slow drift (integrated noise), sudden jerks that stay, nods that
 * return, breathing (a period of 12 to 30 points with a wandering rate), each in a random direction that couples
 * rotations and translations as a head on its neck does (nodding about x goes with y and z).
 */
export function generateTrace(random: Random, options: GenerateOptions): MotionTrace {
  const points = options.points ?? 128;
  if (!Number.isInteger(points) || points < 16) {
    throw new RangeError(`a trace needs at least 16 points, got ${points}`);
  }
  const amplitude = options.amplitude ?? 0.2;
  const parameters = new Float64Array(points * 6);
  const parts: readonly MotionPattern[] =
    options.pattern === 'mixed' ? ['drift', 'jerk', 'nod', 'breathing'] : [options.pattern];
  for (const part of parts) {
    const strength =
      amplitude *
      Math.exp(0.4 * random.normal()) *
      (part === 'nod' ? 2 : 1) *
      (parts.length > 1 ? random.between(0.2, 1) : 1);
    if (part === 'drift') {
      for (let j = 0; j < 6; j++) {
        addScaled(parameters, j, drift(points, random), strength * axisWeight(j, random));
      }
      continue;
    }
    const events = part === 'breathing' ? 1 : 1 + random.integer(part === 'jerk' ? 4 : 5);
    for (let event = 0; event < events; event++) {
      const course =
        part === 'jerk'
          ? jerk(points, random)
          : part === 'nod'
            ? nod(points, random)
            : breathing(points, random);
      for (let j = 0; j < 6; j++) addScaled(parameters, j, course, strength * axisWeight(j, random));
    }
  }
  return { name: `synthetic-${options.pattern}`, points, parameters };
}

/** Signed size of one parameter in a movement; radians for rotations. Nodding, and the shifts that come with it, prevail. */
function axisWeight(j: number, random: Random): number {
  const prevalence = [0.5, 0.8, 1, 1, 0.6, 0.7][j]!;
  return prevalence * random.normal() * (j < 3 ? 1 : Math.PI / 180);
}

function addScaled(parameters: Float64Array, j: number, course: Float64Array, scale: number): void {
  for (let i = 0; i < course.length; i++) parameters[i * 6 + j]! += scale * course[i]!;
}

function unitDeviation(course: Float64Array): Float64Array {
  let mean = 0;
  for (const value of course) mean += value / course.length;
  let power = 0;
  for (const value of course) power += ((value - mean) * (value - mean)) / course.length;
  const deviation = Math.sqrt(power) || 1;
  for (let i = 0; i < course.length; i++) course[i] = (course[i]! - mean) / deviation;
  return course;
}

function drift(points: number, random: Random): Float64Array {
  const course = new Float64Array(points);
  let speed = 0;
  for (let i = 1; i < points; i++) {
    speed = 0.9 * speed + 0.1 * random.normal();
    course[i] = course[i - 1]! + speed;
  }
  return unitDeviation(course);
}

function jerk(points: number, random: Random): Float64Array {
  const at = random.between(0.05, 0.95) * points;
  const width = random.between(0.3, 2.5);
  const overshoot = random.between(0, 0.6);
  const course = new Float64Array(points);
  for (let i = 0; i < points; i++) {
    const step = 1 / (1 + Math.exp(-(i - at) / width));
    const after = i > at ? overshoot * Math.exp(-(i - at) / (4 * width)) : 0;
    course[i] = step + after * step;
  }
  return course;
}

function nod(points: number, random: Random): Float64Array {
  const at = random.between(0, 1) * points;
  const rise = random.between(0.7, 4);
  const hold = random.between(1, points / 6);
  const rest = random.between(-0.2, 0.4);
  const course = new Float64Array(points);
  for (let i = 0; i < points; i++) {
    const up = 1 / (1 + Math.exp(-(i - at) / rise));
    const down = 1 / (1 + Math.exp(-(i - at - hold) / rise));
    course[i] = up - (1 - rest) * down;
  }
  return course;
}

function breathing(points: number, random: Random): Float64Array {
  const course = new Float64Array(points);
  let phase = random.between(0, 2 * Math.PI);
  const period = random.between(12, 30);
  let rate = 1;
  for (let i = 0; i < points; i++) {
    rate += 0.1 * random.normal() + 0.1 * (1 - rate);
    phase += ((2 * Math.PI) / period) * Math.max(0.3, rate);
    course[i] = Math.sin(phase) + 0.25 * Math.sin(2 * phase);
  }
  return unitDeviation(course);
}
