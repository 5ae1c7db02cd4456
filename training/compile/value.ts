import type { DataType } from '@tensorflow/tfjs';

/**
 * What a tensor of the tracing backend stands for.
 *
 * - `constant`: values known while tracing, in TensorFlow.js' row-major order.
 * - `uniform`: a known single value in every element (zeros, ones, scalars).
 * - `symbol`: a value of the graph. `stored` is the logical shape that the graph's tensor has; where it differs
 *   from the tensor's own shape it is broadcast to it on use.
 */
export type TracedValue =
  | { kind: 'constant'; values: Float32Array | Int32Array }
  | { kind: 'uniform'; value: number }
  | { kind: 'symbol'; name: string; layout: Layout; stored: readonly number[] };

export type SymbolValue = Extract<TracedValue, { kind: 'symbol' }>;

/**
 * How the elements of a rank-4 tensor lie in the graph. TensorFlow.js sees activations as NHWC and filters as
 * HWIO. `channelsFirst` is NCHW, the order of ONNX Runtime's convolutions. `filter` is OHWI: a weight gradient comes
 * out of its matrix product in this order, and both forms that convolutions need (OIHW forwards; IOHW, turned by
 * 180 degrees, backwards) are one transposition away from it. On a GPU, filters are kept as `oihw`.
 */
export type Layout = 'plain' | 'channelsFirst' | 'filter' | 'oihw';

/** For each layout, which logical dimension stands at each position of the graph's tensor. */
export const layoutOrder: Readonly<Record<Exclude<Layout, 'plain'>, readonly number[]>> = {
  channelsFirst: [0, 3, 1, 2],
  filter: [3, 0, 1, 2],
  oihw: [3, 2, 0, 1],
};

export interface TracedTensor {
  value: TracedValue;
  shape: readonly number[];
  dtype: DataType;
}

/** The shape that the graph's tensor has when a logical shape is stored in a layout. */
export function storedShape(shape: readonly number[], layout: Layout): number[] {
  return layout === 'plain' ? [...shape] : layoutOrder[layout].map((axis) => shape[axis]!);
}

/** Row-major values brought into another order of dimensions: result dimension i is dimension order[i]. */
export function transposeValues(
  values: Float32Array,
  shape: readonly number[],
  order: readonly number[],
): Float32Array<ArrayBuffer> {
  const strides = shape.map((_, axis) => product(shape.slice(axis + 1)));
  const sizes = order.map((axis) => shape[axis]!);
  const steps = order.map((axis) => strides[axis]!);
  const result = new Float32Array(values.length);
  const index = new Array<number>(sizes.length).fill(0);
  let source = 0;
  for (let target = 0; target < result.length; target += 1) {
    result[target] = values[source]!;
    for (let axis = sizes.length - 1; axis >= 0; axis -= 1) {
      source += steps[axis]!;
      if (++index[axis]! < sizes[axis]!) break;
      source -= steps[axis]! * sizes[axis]!;
      index[axis] = 0;
    }
  }
  return result;
}

/** Values of a tensor in TensorFlow.js' order, brought into a layout of the graph. */
export function toLayout(values: Float32Array, shape: readonly number[], layout: Layout): Float32Array {
  return layout === 'plain' ? values : transposeValues(values, shape, layoutOrder[layout]);
}

/** Values stored in a layout of the graph, brought back into TensorFlow.js' order. */
export function fromLayout(values: Float32Array, shape: readonly number[], layout: Layout): Float32Array {
  if (layout === 'plain') return values;
  const order = layoutOrder[layout];
  const inverse = order.map((_, axis) => order.indexOf(axis));
  return transposeValues(values, storedShape(shape, layout), inverse);
}

export function product(sizes: readonly number[]): number {
  return sizes.reduce((whole, size) => whole * size, 1);
}
