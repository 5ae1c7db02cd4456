import {
  type Coverage,
  createRandom,
  headMask,
  maskArea,
  percentile,
  type Random,
  type Slice,
  type SliceGeometry,
  type SlicePlane,
  sampleSlice,
  sampleStack,
  type Volume,
  volumeCentre,
} from '../data/index.js';
import {
  generateTrace,
  type InPlanePoses,
  inPlanePoses,
  MOTION_PATTERNS,
  type MotionKind,
  type MotionTrace,
  motionMagnitude,
  rigidPoses,
  stillPoses,
} from '../motion/index.js';
import { randomBend } from './bend.js';
import {
  acquireSlice,
  addRicianNoise,
  drawNoise,
  type PhaseEncodingDirection,
  phaseEncodeLines,
  prepareSlice,
  reconstruct,
} from './in-plane.js';
import type { RandomSampling, Recipe, StackSampling } from './recipe.js';
import { corruptVolume } from './rigid.js';
import { addScalp } from './scalp.js';

/** What is known of one pair of slices. */
export interface SampleFacts {
  readonly volume: string;
  readonly coverage: Coverage;
  readonly plane: SlicePlane;
  readonly rows: number;
  readonly columns: number;
  /** Square pixels, mm. */
  readonly pixel: number;
  /** mm along the normal from the middle of the volume. */
  readonly position: number;
  /** Name of the trace; null where nothing moved. */
  readonly trace: string | null;
  readonly window: readonly [number, number] | null;
  readonly factor: number;
  readonly motion: MotionKind | 'six-degree' | 'none';
  readonly direction: PhaseEncodingDirection;
  /** Standard deviations over the lines of what moves within the plane: degrees, mm. */
  readonly rotationDeviation: number;
  readonly translationDeviation: number;
  /** Standard deviation of the added noise in stored units. */
  readonly noise: number;
  readonly scalpAdded: boolean;
  /** The 99.5th percentile of the clean slice. */
  readonly cleanScale: number;
}

export interface Sample {
  readonly facts: SampleFacts;
  readonly clean: Float32Array;
  readonly corrupted: Float32Array;
}

/**
 * All samples of one volume, in order, one at a time: a function of recipe, volume and traces alone. Consecutive samples of a stack
 * share the same `clean` array.
 */
export function* simulateVolume(
  recipe: Recipe,
  volume: Volume,
  coverage: Coverage,
  traces: readonly MotionTrace[],
): Generator<Sample> {
  if (traces.length === 0) throw new RangeError(`recipe ${recipe.name}: there are no traces`);
  const { sampling } = recipe;
  if (sampling.kind === 'stack' && sampling.moves === 'volume')
    yield* simulateMovingVolume(recipe, sampling, volume, coverage, traces);
  else if (sampling.kind === 'stack') yield* simulateStack(recipe, sampling, volume, coverage, traces);
  else yield* simulateRandom(recipe, sampling, volume, coverage, traces);
}

/** Number of samples that {@link simulateVolume} makes at most (boundary slices may be left out). */
export function samplesOfVolume(recipe: Recipe, coverage: Coverage, traces: number): number {
  const { sampling } = recipe;
  return sampling.kind === 'stack'
    ? sampling.slices * Math.min(traces, sampling.tracesPerSlice)
    : sampling.samplesPerVolume[coverage];
}

/** The slices of a stack, boundary slices left out. */
export function stackSlices(
  sampling: StackSampling,
  volume: Volume,
  coverage: Coverage,
): { position: number; slice: Slice }[] {
  const geometry = stackGeometry(sampling, coverage);
  const all = stackPositions(sampling).map((position) => {
    const slice = sampleSlice(volume, geometry, position);
    const head = maskArea(headMask(slice.pixels, slice.rows, slice.columns, { dilation: 0 }));
    return { position, slice, head };
  });
  return withoutBoundary(sampling, all);
}

function stackGeometry(sampling: StackSampling, coverage: Coverage): SliceGeometry {
  const { plane, rows, columns } = sampling;
  const pixel = sampling.fieldOfView[coverage] / rows;
  return { plane, rows, columns, spacing: [pixel, pixel], thickness: pixel };
}

function stackPositions({ slices, slicesApart }: StackSampling): number[] {
  return Array.from({ length: slices }, (_, i) => (i - (slices - 1) / 2) * slicesApart);
}

function withoutBoundary<Entry extends { readonly head: number }>(
  { leastHead }: StackSampling,
  all: readonly Entry[],
): Entry[] {
  const largest = Math.max(...all.map(({ head }) => head));
  return all.filter(({ head }) => head > 0 && head >= leastHead * largest);
}

function* simulateStack(
  recipe: Recipe,
  sampling: StackSampling,
  volume: Volume,
  coverage: Coverage,
  traces: readonly MotionTrace[],
): Generator<Sample> {
  const pixel = sampling.fieldOfView[coverage] / sampling.rows;
  for (const { position, slice } of stackSlices(sampling, volume, coverage)) {
    const random = createRandom(recipe.seed, volume.name, position);
    const prepared = prepareSlice(slice.pixels, slice.rows, slice.columns, [pixel, pixel]);
    const cleanScale = percentile(slice.pixels, 0.995);
    for (const trace of drawTraces(traces, sampling.tracesPerSlice, random)) {
      const direction = random.pick(recipe.directions);
      const motion = random.pick(recipe.motions);
      const poses = inPlanePoses(trace, {
        plane: sampling.plane,
        motion,
        factor: sampling.factor,
        lines: phaseEncodeLines(slice.rows, slice.columns, direction),
        smoothing: recipe.smoothing,
      });
      const corrupted = reconstruct(acquireSlice(prepared, poses, direction), slice.rows, slice.columns);
      yield {
        clean: slice.pixels,
        corrupted,
        facts: stackFacts(sampling, volume, coverage, {
          position,
          trace,
          motion,
          direction,
          within: motionMagnitude(poses),
          cleanScale,
        }),
      };
    }
  }
}

/** What is known of a sample of a stack. */
function stackFacts(
  { plane, rows, columns, fieldOfView, factor }: StackSampling,
  volume: Volume,
  coverage: Coverage,
  sample: Pick<SampleFacts, 'position' | 'motion' | 'direction' | 'cleanScale'> & {
    readonly trace: MotionTrace;
    /** Standard deviations of what moves within the plane. */
    readonly within: { readonly rotation: number; readonly translation: number };
  },
): SampleFacts {
  const { position, trace, motion, direction, within, cleanScale } = sample;
  return {
    volume: volume.name,
    coverage,
    plane,
    rows,
    columns,
    pixel: fieldOfView[coverage] / rows,
    position,
    trace: trace.name,
    window: [0, trace.points],
    factor,
    motion,
    direction,
    rotationDeviation: within.rotation,
    translationDeviation: within.translation,
    noise: 0,
    scalpAdded: false,
    cleanScale,
  };
}

function* simulateMovingVolume(
  recipe: Recipe,
  sampling: StackSampling,
  volume: Volume,
  coverage: Coverage,
  traces: readonly MotionTrace[],
): Generator<Sample> {
  const { plane, rows, columns, factor } = sampling;
  const geometry = stackGeometry(sampling, coverage);
  const pixel = geometry.thickness;
  const cube = sampleStack(volume, geometry, rows);
  const pivot = volumeCentre(volume);
  const pixels = rows * columns;
  const sliceOf = (data: Float32Array, index: number) => data.slice(index * pixels, (index + 1) * pixels);
  const all = stackPositions(sampling).map((position) => {
    const index = Math.floor(rows / 2) + Math.round(position / pixel);
    const clean = sliceOf(cube.data, index);
    const head = maskArea(headMask(clean, rows, columns, { dilation: 0 }));
    return { index, clean, head, cleanScale: percentile(clean, 0.995) };
  });
  const kept = withoutBoundary(sampling, all);
  const random = createRandom(recipe.seed, volume.name, 'volume');
  const moved = drawTraces(traces, sampling.tracesPerSlice, random).map((trace) => {
    const direction = random.pick(recipe.directions);
    const lines = phaseEncodeLines(rows, columns, direction);
    const { smoothing } = recipe;
    const outerAxis = direction === 'COL' ? 1 : 0;
    const { data } = corruptVolume(cube, rigidPoses(trace, { factor, lines, smoothing }), {
      outerAxis,
      pivot,
    });
    const motion = 'rotation+translation';
    const within = motionMagnitude(inPlanePoses(trace, { plane, motion, factor, lines, smoothing }));
    return { trace, direction, within, slices: kept.map(({ index }) => sliceOf(data, index)) };
  });
  for (const [at, { index, clean, cleanScale }] of kept.entries()) {
    for (const { trace, direction, within, slices } of moved) {
      yield {
        clean,
        corrupted: slices[at]!,
        facts: stackFacts(sampling, volume, coverage, {
          position: (index - Math.floor(rows / 2)) * pixel,
          trace,
          motion: 'six-degree',
          direction,
          within,
          cleanScale,
        }),
      };
    }
  }
}

function drawTraces(traces: readonly MotionTrace[], count: number, random: Random): MotionTrace[] {
  if (count >= traces.length) return [...traces];
  const left = [...traces];
  const drawn: MotionTrace[] = [];
  for (let i = 0; i < count; i++) drawn.push(left.splice(random.integer(left.length), 1)[0]!);
  return drawn;
}

const PLANES: readonly SlicePlane[] = ['sagittal', 'axial', 'coronal'];

function* simulateRandom(
  recipe: Recipe,
  sampling: RandomSampling,
  volume: Volume,
  coverage: Coverage,
  traces: readonly MotionTrace[],
): Generator<Sample> {
  for (let i = 0; i < sampling.samplesPerVolume[coverage]; i++) {
    yield randomSample(recipe, sampling, volume, coverage, traces, createRandom(recipe.seed, volume.name, i));
  }
}

interface DrawnSlice {
  plane: SlicePlane;
  pixel: number;
  position: number;
  rows: number;
  columns: number;
  pixels: Float32Array;
}

function drawSlice(sampling: RandomSampling, volume: Volume, coverage: Coverage, random: Random): DrawnSlice {
  const plane = PLANES[random.weighted(PLANES.map((name) => sampling.planes[name]))]!;
  const bent = sampling.bend !== undefined && random.uniform() < sampling.bend.share;
  const bend = bent ? { bend: randomBend(sampling.bend!, random) } : {};
  for (let attempt = 0; attempt < 200; attempt++) {
    const { rows, columns } = sampling.shapes[random.weighted(sampling.shapes.map((shape) => shape.weight))]!;
    const [smallest, largest] = sampling.fieldOfView[coverage];
    const pixel = random.between(smallest, largest) / rows;
    const position = random.between(-sampling.offCentre, sampling.offCentre);
    const thickness = random.between(...sampling.thickness);
    if (pixel < sampling.pixel[0] || pixel > sampling.pixel[1]) continue;
    const geometry = { plane, rows, columns, spacing: [pixel, pixel] as const, thickness, ...bend };
    const { pixels } = sampleSlice(volume, geometry, position);
    const head = maskArea(headMask(pixels, rows, columns, { dilation: 0 }));
    // a slice of nothing but noise "fills" the frame: its own brightest pixels are noise
    if (head < sampling.leastHead * rows * columns) continue;
    return { plane, pixel, position, rows, columns, pixels };
  }
  throw new Error(
    `${volume.name}: no ${plane} slice with enough head in it was found in 200 attempts; is the volume a head?`,
  );
}

function randomSample(
  recipe: Recipe,
  sampling: RandomSampling,
  volume: Volume,
  coverage: Coverage,
  traces: readonly MotionTrace[],
  random: Random,
): Sample {
  const drawn = drawSlice(sampling, volume, coverage, random);
  const { rows, columns, pixel } = drawn;
  const scalpAdded = coverage === 'brain' && random.uniform() < sampling.scalp;
  let image = scalpAdded ? addScalp(drawn.pixels, rows, columns, [pixel, pixel], random) : drawn.pixels;
  if (sampling.augment) image = augment(image, rows, columns, random);
  const direction = random.pick(recipe.directions);
  const lines = phaseEncodeLines(rows, columns, direction);
  const still = random.uniform() < sampling.motionFree;
  const motion = random.pick(recipe.motions);
  const { low, high, power } = sampling.factor;
  const factor = low + (high - low) * random.uniform() ** power;
  const synthetic = random.uniform() < sampling.synthetic;
  const trace = synthetic
    ? generateTrace(random, { pattern: random.pick(MOTION_PATTERNS), points: 64 + random.integer(160) })
    : random.pick(traces);
  const window = drawWindow(trace, random);
  const sense = random.uniform() < 0.5 ? -1 : 1;
  const poses: InPlanePoses = still
    ? stillPoses(lines)
    : inPlanePoses(trace, {
        plane: drawn.plane,
        motion,
        factor: sense * factor,
        lines,
        window,
        smoothing: recipe.smoothing,
      });
  const cleanScale = percentile(image, 0.995);
  const noisy = random.uniform() < sampling.noise.share;
  const deviation = noisy ? cleanScale * random.between(...sampling.noise.range) : 0;
  const noise = noisy ? { noise: drawNoise(rows * columns, random), deviation } : undefined;
  const clean = noise === undefined ? image : addRicianNoise(image, noise.noise, deviation);
  const corrupted = still
    ? clean
    : reconstruct(
        acquireSlice(prepareSlice(image, rows, columns, [pixel, pixel]), poses, direction),
        rows,
        columns,
        noise,
      );
  const { rotation, translation } = motionMagnitude(poses);
  return {
    clean,
    corrupted,
    facts: {
      volume: volume.name,
      coverage,
      plane: drawn.plane,
      rows,
      columns,
      pixel,
      position: drawn.position,
      trace: still ? null : trace.name,
      window: still ? null : window,
      factor: still ? 0 : sense * factor,
      motion: still ? 'none' : motion,
      direction,
      rotationDeviation: rotation,
      translationDeviation: translation,
      noise: deviation,
      scalpAdded,
      cleanScale: percentile(clean, 0.995),
    },
  };
}

function drawWindow(trace: MotionTrace, random: Random): [number, number] {
  const count = Math.round(trace.points * random.between(0.7, 1));
  return [random.integer(trace.points - count + 1), count];
}

/** Mirror images in both directions, and a contrast curve x ↦ x^γ about the 99.5th percentile. */
function augment(image: Float32Array, rows: number, columns: number, random: Random): Float32Array {
  const acrossFlip = random.uniform() < 0.5;
  const downFlip = random.uniform() < 0.1;
  const gamma = random.uniform() < 0.5 ? random.between(0.75, 1.3) : 1;
  const scale = percentile(image, 0.995);
  const out = new Float32Array(image.length);
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) {
      const from = (downFlip ? rows - 1 - row : row) * columns + (acrossFlip ? columns - 1 - column : column);
      const value = image[from]!;
      out[row * columns + column] =
        gamma === 1 || !(scale > 0) ? value : scale * Math.max(0, value / scale) ** gamma;
    }
  }
  return out;
}
