/** Row-major 0 / 1 image. */
export type Mask = Uint8Array;

/** The value below which the share `fraction` (0 to 1) of the values lies, by nearest rank. NaN for no values. */
export function percentile(values: ArrayLike<number>, fraction: number): number {
  const sorted = Float32Array.from(values).sort();
  if (sorted.length === 0) return Number.NaN;
  return sorted[Math.min(sorted.length - 1, Math.floor(fraction * sorted.length))]!;
}

/**
 * Squared Euclidean distance, in mm², of every pixel to the nearest set pixel (Felzenszwalb and Huttenlocher 2012);
 * infinite where nothing is set.
 */
export function squaredDistance(
  mask: Mask,
  rows: number,
  columns: number,
  spacing: readonly [number, number] = [1, 1],
): Float64Array {
  const out = new Float64Array(rows * columns);
  for (let i = 0; i < out.length; i++) out[i] = mask[i] === 1 ? 0 : Number.POSITIVE_INFINITY;
  for (let column = 0; column < columns; column++) {
    distanceAlong(out, column, columns, rows, spacing[0]);
  }
  for (let row = 0; row < rows; row++) distanceAlong(out, row * columns, 1, columns, spacing[1]);
  return out;
}

function distanceAlong(out: Float64Array, start: number, step: number, count: number, size: number): void {
  const value = new Float64Array(count);
  for (let i = 0; i < count; i++) value[i] = out[start + i * step]!;
  const vertex = new Int32Array(count);
  const border = new Float64Array(count + 1);
  const w = size * size;
  let k = -1;
  for (let q = 0; q < count; q++) {
    if (value[q] === Number.POSITIVE_INFINITY) continue;
    let from = Number.NEGATIVE_INFINITY;
    while (k >= 0) {
      const v = vertex[k]!;
      from = (value[q]! + w * q * q - (value[v]! + w * v * v)) / (2 * w * (q - v));
      if (from > border[k]!) break;
      k--;
    }
    if (k < 0) from = Number.NEGATIVE_INFINITY;
    k++;
    vertex[k] = q;
    border[k] = from;
    border[k + 1] = Number.POSITIVE_INFINITY;
  }
  if (k < 0) return;
  const last = k;
  k = 0;
  for (let q = 0; q < count; q++) {
    while (k < last && border[k + 1]! < q) k++;
    const v = vertex[k]!;
    out[start + q * step] = w * (q - v) * (q - v) + value[v]!;
  }
}

/** Marks everything that 4-connected paths of `open` pixels reach from the seeds. */
function flood(open: (at: number) => boolean, rows: number, columns: number, seeds: number[]): Mask {
  const reached = new Uint8Array(rows * columns);
  const stack = new Int32Array(rows * columns);
  let top = 0;
  const visit = (at: number): void => {
    if (reached[at] === 0 && open(at)) {
      reached[at] = 1;
      stack[top++] = at;
    }
  };
  for (const seed of seeds) visit(seed);
  while (top > 0) {
    const at = stack[--top]!;
    const column = at % columns;
    if (column > 0) visit(at - 1);
    if (column < columns - 1) visit(at + 1);
    if (at >= columns) visit(at - columns);
    if (at < (rows - 1) * columns) visit(at + columns);
  }
  return reached;
}

/** Sets every pixel that is not reached from the border through unset pixels. */
export function fillHoles(mask: Mask, rows: number, columns: number): Mask {
  const border: number[] = [];
  for (let row = 0; row < rows; row++) border.push(row * columns, row * columns + columns - 1);
  for (let column = 0; column < columns; column++) border.push(column, (rows - 1) * columns + column);
  const outside = flood((at) => mask[at] === 0, rows, columns, border);
  return outside.map((value) => 1 - value);
}

/** The largest 4-connected component; empty when the mask is. */
export function largestComponent(mask: Mask, rows: number, columns: number): Mask {
  const seen = new Uint8Array(mask.length);
  let best: Mask = new Uint8Array(mask.length);
  let bestArea = 0;
  for (let at = 0; at < mask.length; at++) {
    if (mask[at] === 0 || seen[at] === 1) continue;
    const component = flood((i) => mask[i] === 1, rows, columns, [at]);
    let area = 0;
    for (let i = 0; i < component.length; i++) {
      if (component[i] === 1) {
        area++;
        seen[i] = 1;
      }
    }
    if (area > bestArea) {
      best = component;
      bestArea = area;
    }
  }
  return best;
}

/** All pixels within `radius` mm of the mask. */
export function dilate(
  mask: Mask,
  rows: number,
  columns: number,
  radius: number,
  spacing: readonly [number, number] = [1, 1],
): Mask {
  const distance = squaredDistance(mask, rows, columns, spacing);
  return Uint8Array.from(distance, (value) => (value <= radius * radius ? 1 : 0));
}

/**
 * The head (or the brain of a brain-only image) in a slice: above `threshold` of the 99.5th percentile of the slice, largest
 * component, holes filled, then dilated by `dilation` pixels. Empty for an empty slice.
 */
export function headMask(
  image: Float32Array,
  rows: number,
  columns: number,
  options: { readonly threshold?: number; readonly dilation?: number } = {},
): Mask {
  const limit = (options.threshold ?? 0.1) * percentile(image, 0.995);
  const above = Uint8Array.from(image, (value) => (value > limit ? 1 : 0));
  const filled = fillHoles(largestComponent(above, rows, columns), rows, columns);
  const dilation = options.dilation ?? 3;
  return dilation > 0 ? dilate(filled, rows, columns, dilation) : filled;
}

/** Number of set pixels. */
export function maskArea(mask: Mask): number {
  let area = 0;
  for (const value of mask) area += value;
  return area;
}
