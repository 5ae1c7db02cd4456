import { int, ints } from '../onnx.js';
import type { GraphRecorder } from '../recorder.js';
import { canBlock, recordBlockedConvolution } from './blocked.js';
import { filterGradient } from './filter-gradient.js';

/**
 * A 3×3 convolution of an image that was upsampled twofold by nearest neighbour, computed without the upsampled
 * image: the pixels of each phase (even or odd row, even or odd column) are a 2×2 convolution of the small image,
 * whose taps are sums of the 3×3 filter's taps. 16 products for four pixels instead of 36; the same holds for
 * both gradients.
 *
 * The phases of the columns are interleaved, and taken apart, by a Transpose of pairs, which is several times faster on a core
 * than DepthToSpace and SpaceToDepth.
 */
export interface UpsampledConvolution {
  batch: number;
  /** Of the small image. */
  rows: number;
  columns: number;
  inputs: number;
  outputs: number;
}

/** Row and column phase, in the order in which the phases are stored. */
const phases = [
  [0, 0],
  [0, 1],
  [1, 0],
  [1, 1],
] as const;

/** Which of three taps make up tap t of phase a: along one dimension, [a][t][k]. */
const shares = [
  [
    [1, 0, 0],
    [0, 1, 1],
  ],
  [
    [1, 1, 0],
    [0, 0, 1],
  ],
] as const;

/** Which of three taps act from small pixel i on the large pixels 2i − 1 … 2i + 2: along one dimension, [d][k]. */
const reach = [
  [0, 0, 1],
  [0, 1, 1],
  [1, 1, 0],
  [1, 0, 0],
] as const;

/**
 * Records the convolution.
 *
 * @param image the small image, NCHW
 * @param filter OHWI
 * @returns the name of the result, NCHW, of twice the image's rows and columns
 */
export function recordUpsampledConvolution(
  graph: GraphRecorder,
  image: string,
  filter: string,
  bias: string | undefined,
  { batch, rows, columns, inputs, outputs }: UpsampledConvolution,
): string {
  const taps = graph.node('Reshape', [filter, graph.integers([outputs, 9, inputs])]);
  const parts = phases.map(([row, column], phase) => {
    const attributes = {
      kernel_shape: ints(2, 2),
      strides: ints(1, 1),
      dilations: ints(1, 1),
      pads: ints(1 - row, 1 - column, row, column),
    };
    const blocked = { inputs, outputs, filterRows: 2, filterColumns: 2, rows, columns, attributes };
    if (canBlock(blocked)) {
      const own = graph.node('MatMul', [graph.floats(phaseShares(phase), [4, 9]), taps]);
      return recordBlockedConvolution(graph, image, own, 'forwards', blocked, bias);
    }
    const combined = graph.node(
      'FusedMatMul',
      [taps, graph.floats(transposed(phaseShares(phase), 9), [9, 4])],
      { transA: int(1), transB: int(0) },
      'com.microsoft',
    );
    const weights = graph.node('Reshape', [combined, graph.integers([outputs, inputs, 2, 2])]);
    return graph.node('Conv', [image, weights, ...(bias === undefined ? [] : [bias])], attributes);
  });
  const lines = graph.node('Concat', parts, { axis: int(3) });
  const halves = graph.node('Reshape', [lines, graph.integers([batch * outputs * 2 * rows, 2, columns])]);
  const pairs = graph.node('Transpose', [halves], { perm: ints(0, 2, 1) });
  return graph.node('Reshape', [pairs, graph.integers([batch, outputs, 2 * rows, 2 * columns])]);
}

/**
 * Records the gradient with respect to the small image: a 4×4 convolution of stride 2. `dy` and the result are
 * NCHW, `filter` OHWI.
 */
export function recordUpsampledInputGradient(
  graph: GraphRecorder,
  dy: string,
  filter: string,
  { rows, columns, inputs, outputs }: UpsampledConvolution,
): string {
  const taps = graph.node('Reshape', [filter, graph.integers([outputs, 9, inputs])]);
  const spread = outer(reach, reach);
  const attributes = {
    kernel_shape: ints(4, 4),
    strides: ints(2, 2),
    dilations: ints(1, 1),
    pads: ints(1, 1, 1, 1),
  };
  const blocked = {
    inputs: outputs,
    outputs: inputs,
    filterRows: 4,
    filterColumns: 4,
    rows,
    columns,
    attributes,
  };
  if (canBlock(blocked)) {
    const turned = Float32Array.from(spread.toReversed().flat());
    const own = graph.node('MatMul', [graph.floats(turned, [16, 9]), taps]);
    return recordBlockedConvolution(graph, dy, own, 'backwards', blocked);
  }
  const combined = graph.node('MatMul', [graph.floats(Float32Array.from(spread.flat()), [16, 9]), taps]);
  const matrix = graph.node('Reshape', [combined, graph.integers([outputs * 16, inputs])]);
  const exchanged = graph.node('Transpose', [matrix], { perm: ints(1, 0) });
  const weights = graph.node('Reshape', [exchanged, graph.integers([inputs, outputs, 4, 4])]);
  return graph.node('Conv', [dy, weights], attributes);
}

/** Records the gradient with respect to the filter: [O, 9, I]. `image` (small) and `dy` (large) are NCHW. */
export function recordUpsampledFilterGradient(
  graph: GraphRecorder,
  image: string,
  dy: string,
  shape: UpsampledConvolution,
): string {
  const { batch, rows, columns, inputs, outputs } = shape;
  const pairs = graph.node('Reshape', [dy, graph.integers([batch * outputs * 2 * rows, columns, 2])]);
  const halves = graph.node('Transpose', [pairs], { perm: ints(0, 2, 1) });
  const lines = graph.node('Reshape', [halves, graph.integers([batch, outputs, 4 * rows, columns])]);
  const parts = phases.map(([row, column], phase) => {
    const taps = filterGradient(graph, image, lines, {
      ...shape,
      outRows: rows,
      outColumns: columns,
      filterRows: 2,
      filterColumns: 2,
      top: 1 - row,
      left: 1 - column,
      lines: { perImage: 4 * rows, first: phase, step: 4 },
    });
    return graph.node('Reshape', [taps, graph.integers([outputs, 4, inputs])]);
  });
  const stacked = graph.node('Concat', parts, { axis: int(1) });
  const all = Float32Array.from(phases.flatMap((_, phase) => [...phaseShares(phase)]));
  return graph.node('MatMul', [graph.floats(transposed(all, 9), [9, 16]), stacked]);
}

/** The shares of the nine taps in the four of a phase, [4, 9]. */
function phaseShares(phase: number): Float32Array {
  const [row, column] = phases[phase]!;
  return Float32Array.from(outer(shares[row], shares[column]).flat());
}

/** For taps of two dimensions in row-major order: the products of the shares along each. */
function outer(
  vertical: readonly (readonly number[])[],
  horizontal: readonly (readonly number[])[],
): number[][] {
  return vertical.flatMap((above) =>
    horizontal.map((beside) => above.flatMap((share) => beside.map((other) => share * other))),
  );
}

function transposed(matrix: Float32Array, columns: number): Float32Array {
  const rows = matrix.length / columns;
  return Float32Array.from(matrix, (_, i) => matrix[(i % rows) * columns + Math.floor(i / rows)]!);
}
