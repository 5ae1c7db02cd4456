import { int, ints } from '../onnx.js';
import type { GraphRecorder } from '../recorder.js';

/** A convolution of stride 1 without dilation. */
export interface StrideOneShape {
  batch: number;
  inputs: number;
  outputs: number;
  rows: number;
  columns: number;
  /** Of the gradient that comes in. */
  outRows: number;
  outColumns: number;
  filterRows: number;
  filterColumns: number;
  /** Padding above and left of the image. */
  top: number;
  left: number;
  /**
   * Where the rows of the incoming gradient lie, if it holds more than them: `perImage` lines for each channel of
   * each image, of which line `first + step · y` is row y.
   */
  lines?: { perImage: number; first: number; step: number };
}

/**
 * dW[o, ky, kx, i] = Σ dy[n, o, y, x] · image[n, i, y + ky − top, x + kx − left], as a tensor [O·ky, kx, I].
 *
 * The rows of dy are stacked once for every vertical shift (a Gather of whole rows); the image is shifted
 * horizontally by a Pad with negative pads; one matrix product for each horizontal shift. Where the spatial
 * extent is large every image of the batch has its own product and the products are added up; where the filters
 * are larger than the activations the batch is made part of the summed dimension instead. Matrices whose rows would
 * lie a multiple of {@link cacheStride} apart get a row of zeros more from both images.
 */
export function filterGradient(
  graph: GraphRecorder,
  image: string,
  dy: string,
  shape: StrideOneShape,
): string {
  const { batch, inputs, outputs, rows, columns, outRows, outColumns, filterRows, filterColumns } = shape;
  if (inputs * 4 <= outputs && shape.lines === undefined) {
    return filterGradientOfFewInputs(graph, image, dy, shape);
  }
  const merge = batch > 1 && outRows * outColumns * 2 < inputs * filterColumns;
  const swap = { perm: ints(1, 0, 2, 3) };
  const x = merge ? graph.node('Transpose', [image], swap) : image;
  const gradient = merge ? graph.node('Transpose', [dy], swap) : dy;
  const [outer, inner] = merge ? [outputs, batch] : [batch, outputs];

  const lines = rows * (merge ? batch : 1);
  const spare = outputs * filterRows > 8 && (lines * outColumns) % cacheStride === 0 ? 1 : 0;
  const stacked = stackRows(graph, gradient, { ...shape, outer, inner, merge, spare });
  const depth = (lines + spare) * outColumns;
  const matrixShape = merge ? [outputs * filterRows, depth] : [batch, outputs * filterRows, depth];
  const left = graph.node('Reshape', [stacked, graph.integers(matrixShape)]);
  const whole = merge ? graph.node('Reshape', [x, graph.integers([1, inputs, lines, columns])]) : x;
  const products = range(filterColumns).map((tap) => {
    const before = shape.left - tap;
    const pads = [0, 0, 0, before, 0, 0, spare, outColumns - columns - before];
    const shifted = pads.some((pad) => pad !== 0) ? graph.node('Pad', [whole, graph.integers(pads)]) : whole;
    const right = graph.node('Reshape', [
      shifted,
      graph.integers(merge ? [inputs, depth] : [batch, inputs, depth]),
    ]);
    const matrix = graph.node(
      'FusedMatMul',
      [left, right],
      { transA: int(0), transB: int(1) },
      'com.microsoft',
    );
    const sum =
      merge || batch === 1
        ? matrix
        : graph.node('ReduceSum', [matrix, graph.integers([0])], { keepdims: int(0) });
    return graph.node('Reshape', [sum, graph.integers([outputs * filterRows, 1, inputs])]);
  });
  return products.length === 1 ? products[0]! : graph.node('Concat', products, { axis: int(1) });
}

/**
 * Values: pages of 4096 bytes. Rows so far apart fall on the same few lines of a core's first cache, and a matrix product
 * that reads a dozen of them at once evicts what it is about to read: a quarter slower.
 */
const cacheStride = 1024;

/** Where the image has few channels: all its shifts stacked, against dy as it is, in one matrix product. */
function filterGradientOfFewInputs(
  graph: GraphRecorder,
  image: string,
  dy: string,
  shape: StrideOneShape,
): string {
  const { batch, inputs, outputs, rows, columns, outRows, outColumns, filterRows, filterColumns } = shape;
  const index = range(filterRows).flatMap((tap) =>
    range(outRows).map((row) => {
      const source = row + tap - shape.top;
      return source >= 0 && source < rows ? source : rows;
    }),
  );
  const depth = outRows * outColumns;
  const shifts = range(filterColumns).map((tap) => {
    const before = shape.left - tap;
    const shifted = graph.node('Pad', [
      image,
      graph.integers([0, 0, 0, before, 0, 0, 1, outColumns - columns - before]),
    ]);
    const stacked = graph.node('Gather', [shifted, graph.integers(index)], { axis: int(2) });
    return graph.node('Reshape', [stacked, graph.integers([batch, inputs * filterRows, depth])]);
  });
  const right = shifts.length === 1 ? shifts[0]! : graph.node('Concat', shifts, { axis: int(1) });
  const matrix = graph.node(
    'FusedMatMul',
    [graph.node('Reshape', [dy, graph.integers([batch, outputs, depth])]), right],
    { transA: int(0), transB: int(1) },
    'com.microsoft',
  );
  const sum = graph.node('ReduceSum', [matrix, graph.integers([0])], { keepdims: int(0) });
  const taps = graph.node('Reshape', [sum, graph.integers([outputs, filterColumns, inputs, filterRows])]);
  const ordered = graph.node('Transpose', [taps], { perm: ints(0, 3, 1, 2) });
  return graph.node('Reshape', [ordered, graph.integers([outputs * filterRows, filterColumns, inputs])]);
}

function stackRows(
  graph: GraphRecorder,
  gradient: string,
  shape: StrideOneShape & { outer: number; inner: number; merge: boolean; spare: number },
): string {
  const { batch, outputs, rows, outRows, outColumns, filterRows, top, merge, spare } = shape;
  const { perImage, first, step } = shape.lines ?? { perImage: outRows, first: 0, step: 1 };
  if (filterRows === 1 && top === 0 && rows === outRows && shape.lines === undefined && spare === 0) {
    return gradient;
  }
  const lines = merge ? batch * perImage : perImage;
  const zero = lines;
  const flat = merge
    ? graph.node('Reshape', [gradient, graph.integers([1, outputs, lines, outColumns])])
    : gradient;
  const padded = graph.node('Pad', [flat, graph.integers([0, 0, 0, 0, 0, 0, 1, 0])]);
  const index = range(filterRows).flatMap((tap) => [
    ...range(merge ? batch : 1).flatMap((slice) =>
      range(rows).map((row) => {
        const source = row - tap + top;
        return source >= 0 && source < outRows ? slice * perImage + first + step * source : zero;
      }),
    ),
    ...range(spare).map(() => zero),
  ]);
  return graph.node('Gather', [padded, graph.integers(index)], { axis: int(2) });
}

function range(count: number): number[] {
  return Array.from({ length: count }, (_, index) => index);
}
