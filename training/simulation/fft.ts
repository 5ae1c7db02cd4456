/**
 * Complex discrete Fourier transforms of any length on typed arrays: Stockham's self-sorting mixed radix (4, 2, 3, 5
 * and any prime up to 31), Bluestein's chirp for lengths with a larger prime factor.
 */
const LARGEST_RADIX = 31;

interface Stage {
  radix: number;
  /** Remaining length divided by the radix. */
  m: number;
  /** w_n^(p·k) for p < m, k < radix, as [p][k]. */
  twiddleRe: Float64Array;
  twiddleIm: Float64Array;
  /** w_radix^j, for the generic butterfly. */
  rootRe: Float64Array;
  rootIm: Float64Array;
}

interface Chirp {
  inner: FftPlan;
  chirpRe: Float64Array;
  chirpIm: Float64Array;
  filterRe: Float64Array;
  filterIm: Float64Array;
}

export interface FftPlan {
  readonly length: number;
  readonly stages: readonly Stage[];
  readonly chirp: Chirp | null;
}

const plans = new Map<number, FftPlan>();

function factorise(length: number): number[] {
  const factors: number[] = [];
  let left = length;
  for (const radix of [4, 2, 3, 5]) {
    while (left % radix === 0) {
      factors.push(radix);
      left /= radix;
    }
  }
  for (let prime = 7; left > 1; prime += 2) {
    if (prime * prime > left) prime = left;
    while (left % prime === 0) {
      factors.push(prime);
      left /= prime;
    }
  }
  return factors;
}

/** The plan of one length, made once. Throws RangeError unless length is a whole number of at least 1. */
export function fftPlan(length: number): FftPlan {
  const known = plans.get(length);
  if (known !== undefined) return known;
  if (!Number.isInteger(length) || length < 1) {
    throw new RangeError(`fftPlan: a transform needs a whole length of at least 1, got ${length}`);
  }
  const factors = factorise(length);
  const plan =
    factors.length > 0 && Math.max(...factors) > LARGEST_RADIX
      ? chirpPlan(length)
      : stagePlan(length, factors);
  plans.set(length, plan);
  return plan;
}

function stagePlan(length: number, factors: number[]): FftPlan {
  const stages: Stage[] = [];
  let n = length;
  for (const radix of factors) {
    const m = n / radix;
    const twiddleRe = new Float64Array(m * radix);
    const twiddleIm = new Float64Array(m * radix);
    for (let p = 0; p < m; p++) {
      for (let k = 0; k < radix; k++) {
        const angle = (-2 * Math.PI * ((p * k) % n)) / n;
        twiddleRe[p * radix + k] = Math.cos(angle);
        twiddleIm[p * radix + k] = Math.sin(angle);
      }
    }
    const rootRe = new Float64Array(radix);
    const rootIm = new Float64Array(radix);
    for (let j = 0; j < radix; j++) {
      rootRe[j] = Math.cos((-2 * Math.PI * j) / radix);
      rootIm[j] = Math.sin((-2 * Math.PI * j) / radix);
    }
    stages.push({ radix, m, twiddleRe, twiddleIm, rootRe, rootIm });
    n = m;
  }
  return { length, stages, chirp: null };
}

function chirpPlan(length: number): FftPlan {
  let padded = 1;
  while (padded < 2 * length - 1) padded *= 2;
  const inner = fftPlan(padded);
  const chirpRe = new Float64Array(length);
  const chirpIm = new Float64Array(length);
  for (let j = 0; j < length; j++) {
    const angle = (-Math.PI * ((j * j) % (2 * length))) / length;
    chirpRe[j] = Math.cos(angle);
    chirpIm[j] = Math.sin(angle);
  }
  const filterRe = new Float64Array(padded);
  const filterIm = new Float64Array(padded);
  for (let j = 0; j < length; j++) {
    filterRe[j] = chirpRe[j]!;
    filterIm[j] = -chirpIm[j]!;
    filterRe[(padded - j) % padded] = chirpRe[j]!;
    filterIm[(padded - j) % padded] = -chirpIm[j]!;
  }
  forwardStages(inner, filterRe, filterIm, 0, 1);
  return { length, stages: [], chirp: { inner, chirpRe, chirpIm, filterRe, filterIm } };
}

let workRe: Float64Array = new Float64Array(0);
let workIm: Float64Array = new Float64Array(0);

/**
 * Forward transform (exponent −2πi), unscaled, in place, of `vector` interleaved sequences: element p of sequence q is
 * at `offset + p·vector + q`. With vector = 1 it is one contiguous sequence; with vector = the number of columns it
 * transforms all columns of a row-major image at once. The inverse is the same call with `re` and `im` exchanged.
 */
export function fftInPlace(plan: FftPlan, re: Float64Array, im: Float64Array, offset = 0, vector = 1): void {
  if (plan.chirp === null) forwardStages(plan, re, im, offset, vector);
  else forwardChirp(plan.length, plan.chirp, re, im, offset, vector);
}

function forwardChirp(
  length: number,
  chirp: Chirp,
  re: Float64Array,
  im: Float64Array,
  offset: number,
  vector: number,
): void {
  const padded = chirp.inner.length;
  const aRe = new Float64Array(padded);
  const aIm = new Float64Array(padded);
  for (let q = 0; q < vector; q++) {
    aRe.fill(0);
    aIm.fill(0);
    for (let j = 0; j < length; j++) {
      const at = offset + j * vector + q;
      const cRe = chirp.chirpRe[j]!;
      const cIm = chirp.chirpIm[j]!;
      aRe[j] = re[at]! * cRe - im[at]! * cIm;
      aIm[j] = re[at]! * cIm + im[at]! * cRe;
    }
    forwardStages(chirp.inner, aRe, aIm, 0, 1);
    for (let j = 0; j < padded; j++) {
      const xRe = aRe[j]!;
      const xIm = aIm[j]!;
      aRe[j] = xRe * chirp.filterRe[j]! - xIm * chirp.filterIm[j]!;
      aIm[j] = xRe * chirp.filterIm[j]! + xIm * chirp.filterRe[j]!;
    }
    forwardStages(chirp.inner, aIm, aRe, 0, 1);
    for (let j = 0; j < length; j++) {
      const at = offset + j * vector + q;
      const cRe = chirp.chirpRe[j]!;
      const cIm = chirp.chirpIm[j]!;
      re[at] = (aRe[j]! * cRe - aIm[j]! * cIm) / padded;
      im[at] = (aRe[j]! * cIm + aIm[j]! * cRe) / padded;
    }
  }
}

function forwardStages(
  plan: FftPlan,
  re: Float64Array,
  im: Float64Array,
  offset: number,
  vector: number,
): void {
  const size = plan.length * vector;
  if (workRe.length < size) {
    workRe = new Float64Array(size);
    workIm = new Float64Array(size);
  }
  let xRe = re;
  let xIm = im;
  let yRe: Float64Array = workRe;
  let yIm: Float64Array = workIm;
  let xAt = offset;
  let yAt = 0;
  let s = vector;
  for (const stage of plan.stages) {
    if (stage.radix === 4) radix4(stage, s, xRe, xIm, xAt, yRe, yIm, yAt);
    else if (stage.radix === 2) radix2(stage, s, xRe, xIm, xAt, yRe, yIm, yAt);
    else if (stage.radix === 3) radix3(stage, s, xRe, xIm, xAt, yRe, yIm, yAt);
    else radixAny(stage, s, xRe, xIm, xAt, yRe, yIm, yAt);
    s *= stage.radix;
    [xRe, yRe] = [yRe, xRe];
    [xIm, yIm] = [yIm, xIm];
    [xAt, yAt] = [yAt, xAt];
  }
  if (xRe !== re) {
    re.set(xRe.subarray(0, size), offset);
    im.set(xIm.subarray(0, size), offset);
  }
}

function radix4(
  stage: Stage,
  s: number,
  xRe: Float64Array,
  xIm: Float64Array,
  xAt: number,
  yRe: Float64Array,
  yIm: Float64Array,
  yAt: number,
): void {
  const { m, twiddleRe, twiddleIm } = stage;
  const step = s * m;
  for (let p = 0; p < m; p++) {
    const w1r = twiddleRe[4 * p + 1]!;
    const w1i = twiddleIm[4 * p + 1]!;
    const w2r = twiddleRe[4 * p + 2]!;
    const w2i = twiddleIm[4 * p + 2]!;
    const w3r = twiddleRe[4 * p + 3]!;
    const w3i = twiddleIm[4 * p + 3]!;
    let x0 = xAt + s * p;
    let y0 = yAt + s * 4 * p;
    const end = x0 + s;
    while (x0 < end) {
      const x1 = x0 + step;
      const x2 = x1 + step;
      const x3 = x2 + step;
      const sumR = xRe[x0]! + xRe[x2]!;
      const sumI = xIm[x0]! + xIm[x2]!;
      const difR = xRe[x0]! - xRe[x2]!;
      const difI = xIm[x0]! - xIm[x2]!;
      const oddR = xRe[x1]! + xRe[x3]!;
      const oddI = xIm[x1]! + xIm[x3]!;
      const turnR = xIm[x1]! - xIm[x3]!;
      const turnI = xRe[x3]! - xRe[x1]!;
      yRe[y0] = sumR + oddR;
      yIm[y0] = sumI + oddI;
      const aR = difR + turnR;
      const aI = difI + turnI;
      const y1 = y0 + s;
      yRe[y1] = aR * w1r - aI * w1i;
      yIm[y1] = aR * w1i + aI * w1r;
      const bR = sumR - oddR;
      const bI = sumI - oddI;
      const y2 = y1 + s;
      yRe[y2] = bR * w2r - bI * w2i;
      yIm[y2] = bR * w2i + bI * w2r;
      const cR = difR - turnR;
      const cI = difI - turnI;
      const y3 = y2 + s;
      yRe[y3] = cR * w3r - cI * w3i;
      yIm[y3] = cR * w3i + cI * w3r;
      x0++;
      y0++;
    }
  }
}

function radix2(
  stage: Stage,
  s: number,
  xRe: Float64Array,
  xIm: Float64Array,
  xAt: number,
  yRe: Float64Array,
  yIm: Float64Array,
  yAt: number,
): void {
  const { m, twiddleRe, twiddleIm } = stage;
  for (let p = 0; p < m; p++) {
    const wr = twiddleRe[2 * p + 1]!;
    const wi = twiddleIm[2 * p + 1]!;
    for (let q = 0; q < s; q++) {
      const x0 = xAt + s * p + q;
      const x1 = x0 + s * m;
      const y0 = yAt + s * 2 * p + q;
      const aR = xRe[x0]!;
      const aI = xIm[x0]!;
      const bR = xRe[x1]!;
      const bI = xIm[x1]!;
      yRe[y0] = aR + bR;
      yIm[y0] = aI + bI;
      yRe[y0 + s] = (aR - bR) * wr - (aI - bI) * wi;
      yIm[y0 + s] = (aR - bR) * wi + (aI - bI) * wr;
    }
  }
}

const HALF_ROOT3 = Math.sqrt(3) / 2;

function radix3(
  stage: Stage,
  s: number,
  xRe: Float64Array,
  xIm: Float64Array,
  xAt: number,
  yRe: Float64Array,
  yIm: Float64Array,
  yAt: number,
): void {
  const { m, twiddleRe, twiddleIm } = stage;
  for (let p = 0; p < m; p++) {
    const w1r = twiddleRe[3 * p + 1]!;
    const w1i = twiddleIm[3 * p + 1]!;
    const w2r = twiddleRe[3 * p + 2]!;
    const w2i = twiddleIm[3 * p + 2]!;
    for (let q = 0; q < s; q++) {
      const x0 = xAt + s * p + q;
      const x1 = x0 + s * m;
      const x2 = x1 + s * m;
      const y0 = yAt + s * 3 * p + q;
      const sumR = xRe[x1]! + xRe[x2]!;
      const sumI = xIm[x1]! + xIm[x2]!;
      const midR = xRe[x0]! - 0.5 * sumR;
      const midI = xIm[x0]! - 0.5 * sumI;
      const turnR = HALF_ROOT3 * (xIm[x1]! - xIm[x2]!);
      const turnI = HALF_ROOT3 * (xRe[x2]! - xRe[x1]!);
      yRe[y0] = xRe[x0]! + sumR;
      yIm[y0] = xIm[x0]! + sumI;
      const aR = midR + turnR;
      const aI = midI + turnI;
      yRe[y0 + s] = aR * w1r - aI * w1i;
      yIm[y0 + s] = aR * w1i + aI * w1r;
      const bR = midR - turnR;
      const bI = midI - turnI;
      yRe[y0 + 2 * s] = bR * w2r - bI * w2i;
      yIm[y0 + 2 * s] = bR * w2i + bI * w2r;
    }
  }
}

function radixAny(
  stage: Stage,
  s: number,
  xRe: Float64Array,
  xIm: Float64Array,
  xAt: number,
  yRe: Float64Array,
  yIm: Float64Array,
  yAt: number,
): void {
  const { radix, m, twiddleRe, twiddleIm, rootRe, rootIm } = stage;
  for (let p = 0; p < m; p++) {
    for (let q = 0; q < s; q++) {
      const x0 = xAt + s * p + q;
      const y0 = yAt + s * radix * p + q;
      for (let k = 0; k < radix; k++) {
        let sumR = 0;
        let sumI = 0;
        for (let j = 0; j < radix; j++) {
          const at = x0 + s * m * j;
          const root = (j * k) % radix;
          sumR += xRe[at]! * rootRe[root]! - xIm[at]! * rootIm[root]!;
          sumI += xRe[at]! * rootIm[root]! + xIm[at]! * rootRe[root]!;
        }
        const wr = twiddleRe[radix * p + k]!;
        const wi = twiddleIm[radix * p + k]!;
        yRe[y0 + s * k] = sumR * wr - sumI * wi;
        yIm[y0 + s * k] = sumR * wi + sumI * wr;
      }
    }
  }
}

/** Forward transform (exponent −2πi) of a row-major image, unscaled, in place. */
export function fft2(re: Float64Array, im: Float64Array, rows: number, columns: number): void {
  const rowPlan = fftPlan(columns);
  for (let row = 0; row < rows; row++) fftInPlace(rowPlan, re, im, row * columns, 1);
  fftInPlace(fftPlan(rows), re, im, 0, columns);
}

/** Inverse of {@link fft2}, scaled by 1 / (rows · columns), in place. */
export function inverseFft2(re: Float64Array, im: Float64Array, rows: number, columns: number): void {
  fft2(im, re, rows, columns);
  const scale = 1 / (rows * columns);
  for (let i = 0; i < re.length; i++) {
    re[i]! *= scale;
    im[i]! *= scale;
  }
}

/** The smallest even number of at least `least` whose only prime factors are 2, 3 and 5. */
export function smoothEvenLength(least: number): number {
  for (let length = Math.max(2, 2 * Math.ceil(least / 2)); ; length += 2) {
    let left = length;
    for (const prime of [2, 3, 5]) while (left % prime === 0) left /= prime;
    if (left === 1) return length;
  }
}
