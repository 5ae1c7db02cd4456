import type * as tf from '@tensorflow/tfjs';
import { int, ints } from '../onnx.js';
import type { GraphRecorder } from '../recorder.js';

type Conv2DInfo = tf.backend_util.Conv2DInfo;

/**
 * The gradient of a convolution with respect to its input, [N, I, rows, columns], from `dy` (NCHW) and the filter
 * (OIHW): for stride 1 a convolution with the filter turned by 180 degrees and its channels exchanged.
 */
export function inputGradientOnGpu(
  graph: GraphRecorder,
  dy: string,
  filter: string,
  info: Conv2DInfo,
): string {
  const { filterHeight, filterWidth, inChannels, outChannels, strideHeight, strideWidth, padInfo } = info;
  if (strideHeight !== 1 || strideWidth !== 1) {
    const reached = (size: number, stride: number, taps: number) => (size - 1) * stride + taps;
    return graph.node('ConvTranspose', [dy, filter], {
      kernel_shape: ints(filterHeight, filterWidth),
      strides: ints(strideHeight, strideWidth),
      pads: ints(padInfo.top, padInfo.left, padInfo.bottom, padInfo.right),
      output_padding: ints(
        info.inHeight - reached(info.outHeight, strideHeight, filterHeight) + padInfo.top + padInfo.bottom,
        info.inWidth - reached(info.outWidth, strideWidth, filterWidth) + padInfo.left + padInfo.right,
      ),
    });
  }
  const taps = filterHeight * filterWidth;
  const flat = graph.node('Reshape', [filter, graph.integers([outChannels, inChannels, taps])]);
  const turned =
    taps === 1 ? flat : graph.node('Gather', [flat, graph.integers(range(taps).reverse())], { axis: int(2) });
  const weights = graph.node('Reshape', [
    graph.node('Transpose', [turned], { perm: ints(1, 0, 2) }),
    graph.integers([inChannels, outChannels, filterHeight, filterWidth]),
  ]);
  return graph.node('Conv', [dy, weights], {
    kernel_shape: ints(filterHeight, filterWidth),
    strides: ints(1, 1),
    dilations: ints(1, 1),
    pads: ints(
      filterHeight - 1 - padInfo.top,
      filterWidth - 1 - padInfo.left,
      filterHeight - 1 - padInfo.bottom,
      filterWidth - 1 - padInfo.right,
    ),
  });
}

/**
 * dW[o, i, ky, kx] = Σ dy[n, o, y, x] · image[n, i, s·y + ky − top, s·x + kx − left], OIHW, from NCHW, as one matrix
 * product of all taps. For stride 1 dy is repeated for each vertical shift and the image for each horizontal one;
 * for other strides, and for images of few channels, the image is repeated for every shift.
 */
export function filterGradientOnGpu(
  graph: GraphRecorder,
  image: string,
  dy: string,
  info: Conv2DInfo,
): string {
  const { batchSize: batch, inChannels: inputs, outChannels: outputs, filterHeight, filterWidth } = info;
  const { strideHeight, strideWidth, outHeight, outWidth, inHeight, inWidth, padInfo } = info;
  const shape = graph.integers([outputs, inputs, filterHeight, filterWidth]);
  const columns = shifted(filterWidth, outWidth, inWidth, (tap, x) => x * strideWidth + tap - padInfo.left);
  const beside = gatherShifts(graph, image, 3, inWidth, columns);
  if (strideHeight !== 1 || strideWidth !== 1 || inputs * 4 <= outputs) {
    const rows = shifted(filterHeight, outHeight, inHeight, (tap, y) => y * strideHeight + tap - padInfo.top);
    const all = gatherShifts(graph, beside, 2, inHeight, rows);
    const sizes = [batch, inputs * filterHeight, outHeight, filterWidth, outWidth];
    const product = contract(graph, dy, all, sizes, outputs);
    return graph.node('Reshape', [product, shape]);
  }
  const rows = shifted(filterHeight, inHeight, outHeight, (tap, y) => y - tap + padInfo.top);
  const above = gatherShifts(graph, dy, 2, outHeight, rows);
  const sizes = [batch, inputs, inHeight, filterWidth, outWidth];
  const product = contract(graph, above, beside, sizes, outputs * filterHeight);
  const taps = graph.node('Reshape', [product, graph.integers([outputs, filterHeight, inputs, filterWidth])]);
  return graph.node('Transpose', [taps], { perm: ints(0, 2, 1, 3) });
}

/** For each tap and each place the line to take, `size` standing for a line of zeros. */
function shifted(
  taps: number,
  places: number,
  size: number,
  sourceOf: (tap: number, place: number) => number,
): number[] {
  return range(taps).flatMap((tap) =>
    range(places).map((place) => {
      const source = sourceOf(tap, place);
      return source >= 0 && source < size ? source : size;
    }),
  );
}

/** Takes the lines of an NCHW tensor's rows (axis 2) or columns (axis 3); line `size` is one of zeros. */
function gatherShifts(
  graph: GraphRecorder,
  name: string,
  axis: 2 | 3,
  size: number,
  lines: readonly number[],
): string {
  if (lines.length === size && lines.every((line, i) => line === i)) return name;
  const pads = [0, 0, 0, 0, 0, 0, axis === 2 ? 1 : 0, axis === 3 ? 1 : 0];
  const source = lines.includes(size) ? graph.node('Pad', [name, graph.integers(pads)]) : name;
  return graph.node('Gather', [source, graph.integers(lines)], { axis: int(axis) });
}

/** So many 64×64 tiles of results keep a large GPU busy. */
const enoughTiles = 256;
const tile = 64;

/**
 * Σ over batch, rows and columns of left[n, m, row, column] · right[n, q, row, tap, column], as [m, q·tap]. The sum is
 * taken in so many parts, added up in the end, that even a small result is computed by many tiles.
 *
 * @param sizes of the right operand: batch, q, rows, taps, columns
 */
function contract(
  graph: GraphRecorder,
  left: string,
  right: string,
  sizes: readonly number[],
  outer: number,
): string {
  const [batch, channels, rows, taps, columns] = sizes as [number, number, number, number, number];
  const inner = channels * taps;
  const wanted = Math.ceil(enoughTiles / (Math.ceil(outer / tile) * Math.ceil(inner / tile)));
  const split = graph.node('Reshape', [right, graph.integers(sizes)]);
  const factors = graph.node('Transpose', [split], { perm: ints(0, 2, 4, 1, 3) });
  if (wanted === 1) {
    const depth = batch * rows * columns;
    const flat = graph.node('Reshape', [left, graph.integers([batch, outer, rows * columns])]);
    const joined = graph.node('Transpose', [flat], { perm: ints(1, 0, 2) });
    return graph.node('MatMul', [
      graph.node('Reshape', [joined, graph.integers([outer, depth])]),
      graph.node('Reshape', [factors, graph.integers([depth, inner])]),
    ]);
  }
  const parts = range(rows + 1).find((count) => count * batch >= wanted && rows % count === 0) ?? rows;
  const depth = (rows * columns) / parts;
  const apart = graph.node('Reshape', [left, graph.integers([batch, outer, parts, depth])]);
  const ordered = parts === 1 ? apart : graph.node('Transpose', [apart], { perm: ints(0, 2, 1, 3) });
  const product = graph.node('MatMul', [
    graph.node('Reshape', [ordered, graph.integers([batch * parts, outer, depth])]),
    graph.node('Reshape', [factors, graph.integers([batch * parts, depth, inner])]),
  ]);
  return graph.node('ReduceSum', [product, graph.integers([0])], { keepdims: int(0) });
}

function range(count: number): number[] {
  return Array.from({ length: count }, (_, index) => index);
}
