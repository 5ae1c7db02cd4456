import * as tf from '@tensorflow/tfjs';
import type { TracingBackend } from '../backend.js';
import { int, ints } from '../onnx.js';
import type { GraphRecorder } from '../recorder.js';
import { traceKernel } from './register.js';

type Conv2DAttributes = tf.Conv2DAttrs;
type Conv2DInfo = tf.backend_util.Conv2DInfo;

/** Kernels of two-dimensional convolution and its two gradients. */
export function registerConvolution(): void {
  traceKernel<Conv2DAttributes>('Conv2D', ({ inputs, attributes, backend }) =>
    recordConvolution(backend, inputs.x!, inputs.filter!, attributes),
  );
  traceKernel<Conv2DAttributes & { activation?: string }>(
    'FusedConv2D',
    ({ inputs, attributes, backend }) => {
      if (inputs.preluActivationWeights !== undefined) {
        throw new Error('a fused convolution with PReLU cannot be traced: use a separate activation layer');
      }
      const result = recordConvolution(backend, inputs.x!, inputs.filter!, attributes, inputs.bias);
      const activation = attributes.activation ?? 'linear';
      if (activation === 'linear') return result;
      if (activation !== 'relu') {
        throw new Error(`a fused convolution with activation ${activation} cannot be traced`);
      }
      const name = backend.graph.node('Relu', [backend.materialise(result, 'channelsFirst')]);
      return backend.symbol(name, result.shape, 'channelsFirst');
    },
  );
  traceKernel<tf.Conv2DBackpropInputAttrs>('Conv2DBackpropInput', ({ inputs, attributes, backend }) => {
    const { strides, pad, inputShape, dimRoundingMode, dataFormat } = attributes;
    checkDataFormat(dataFormat);
    const info = convolutionInfo(inputShape, inputs.filter!.shape, strides, 1, pad, dimRoundingMode);
    return recordInputGradient(backend, inputs.dy!, inputs.filter!, info);
  });
  traceKernel<tf.Conv2DBackpropFilterAttrs>('Conv2DBackpropFilter', ({ inputs, attributes, backend }) => {
    const { strides, pad, filterShape, dimRoundingMode, dataFormat } = attributes;
    checkDataFormat(dataFormat);
    const info = convolutionInfo(inputs.x!.shape, filterShape, strides, 1, pad, dimRoundingMode);
    return recordFilterGradient(backend, inputs.x!, inputs.dy!, info);
  });
}

function recordConvolution(
  backend: TracingBackend,
  x: tf.TensorInfo,
  filter: tf.TensorInfo,
  attributes: Conv2DAttributes,
  bias?: tf.TensorInfo,
): tf.TensorInfo {
  const { strides, pad, dilations, dimRoundingMode, dataFormat } = attributes;
  checkDataFormat(dataFormat);
  const info = convolutionInfo(x.shape, filter.shape, strides, dilations, pad, dimRoundingMode);
  const operands = [backend.materialise(x, 'channelsFirst'), filterForwards(backend, filter)];
  if (bias !== undefined) operands.push(backend.materialise(bias));
  const name = backend.graph.node('Conv', operands, {
    kernel_shape: ints(info.filterHeight, info.filterWidth),
    strides: ints(info.strideHeight, info.strideWidth),
    dilations: ints(info.dilationHeight, info.dilationWidth),
    pads: ints(info.padInfo.top, info.padInfo.left, info.padInfo.bottom, info.padInfo.right),
  });
  return backend.symbol(name, info.outShape, 'channelsFirst');
}

/** OIHW. Constants are rearranged while tracing. */
function filterForwards(backend: TracingBackend, filter: tf.TensorInfo): string {
  const { value, shape } = backend.lookUp(filter);
  const [height, width, inputs, outputs] = shape as [number, number, number, number];
  if (inputs === 1 && value.kind === 'symbol') {
    const stored = backend.materialise(filter, 'filter');
    return backend.graph.node('Reshape', [stored, backend.graph.integers([outputs, 1, height, width])]);
  }
  if (value.kind !== 'symbol') return backend.materialise(filter, 'oihw');
  return backend.graph.node('Transpose', [backend.materialise(filter, 'filter')], { perm: ints(0, 3, 1, 2) });
}

/**
 * The gradient with respect to the input: for stride 1 a convolution with the filter turned by 180 degrees and
 * its channels exchanged (ONNX Runtime's ConvTranspose is slower); for a stride equal to the filter size, where
 * nothing overlaps, a 1×1 convolution and a rearrangement of channels into pixels; ConvTranspose otherwise.
 */
function recordInputGradient(
  backend: TracingBackend,
  dy: tf.TensorInfo,
  filter: tf.TensorInfo,
  info: Conv2DInfo,
): tf.TensorInfo {
  const { graph } = backend;
  const { filterHeight, filterWidth, inChannels, outChannels, strideHeight, strideWidth, padInfo } = info;
  const stored = backend.materialise(filter, 'filter');
  const gradient = backend.materialise(dy, 'channelsFirst');
  if (strideHeight === 1 && strideWidth === 1) {
    const taps = filterHeight * filterWidth;
    const flat = graph.node('Reshape', [stored, graph.integers([outChannels, taps, inChannels])]);
    const turned =
      taps === 1
        ? flat
        : graph.node('Gather', [flat, graph.integers(range(taps).reverse())], { axis: int(1) });
    const matrix = graph.node('Reshape', [turned, graph.integers([outChannels * taps, inChannels])]);
    const exchanged = graph.node('Transpose', [matrix], { perm: ints(1, 0) });
    const weights = graph.node('Reshape', [
      exchanged,
      graph.integers([inChannels, outChannels, filterHeight, filterWidth]),
    ]);
    const name = graph.node('Conv', [gradient, weights], {
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
    return backend.symbol(name, info.inShape, 'channelsFirst');
  }
  const padded = padInfo.top + padInfo.left + padInfo.bottom + padInfo.right > 0;
  const square = strideHeight === strideWidth;
  if (!square || filterHeight !== strideHeight || filterWidth !== strideWidth || padded) {
    const reached = (size: number, stride: number, taps: number) => (size - 1) * stride + taps;
    const beyondRows =
      info.inHeight - reached(info.outHeight, strideHeight, filterHeight) + padInfo.top + padInfo.bottom;
    const beyondColumns =
      info.inWidth - reached(info.outWidth, strideWidth, filterWidth) + padInfo.left + padInfo.right;
    const name = graph.node('ConvTranspose', [gradient, filterForwards(backend, filter)], {
      kernel_shape: ints(filterHeight, filterWidth),
      strides: ints(strideHeight, strideWidth),
      pads: ints(padInfo.top, padInfo.left, padInfo.bottom, padInfo.right),
      output_padding: ints(beyondRows, beyondColumns),
    });
    return backend.symbol(name, info.inShape, 'channelsFirst');
  }
  const phases = filterHeight * filterWidth;
  const flat = graph.node('Reshape', [stored, graph.integers([outChannels, phases, inChannels])]);
  const exchanged = graph.node('Transpose', [flat], { perm: ints(2, 1, 0) });
  const weights = graph.node('Reshape', [
    exchanged,
    graph.integers([inChannels * phases, outChannels, 1, 1]),
  ]);
  const channels = graph.node('Conv', [gradient, weights], { kernel_shape: ints(1, 1) });
  const name = graph.node('DepthToSpace', [channels], {
    blocksize: int(strideHeight),
    mode: { kind: 'string', value: 'CRD' },
  });
  return backend.symbol(name, info.inShape, 'channelsFirst');
}

/**
 * The gradient with respect to the filter, as matrix products of shifted tensors. A convolution with the roles of
 * batch and channels exchanged would say the same and be several times slower.
 *
 * A stride is first turned into channels (SpaceToDepth), which leaves a convolution of stride 1.
 */
function recordFilterGradient(
  backend: TracingBackend,
  x: tf.TensorInfo,
  dy: tf.TensorInfo,
  info: Conv2DInfo,
): tf.TensorInfo {
  const { graph } = backend;
  const { filterHeight, filterWidth, inChannels, outChannels, strideHeight, strideWidth, padInfo } = info;
  const filterShape = [filterHeight, filterWidth, inChannels, outChannels];
  const image = backend.materialise(x, 'channelsFirst');
  const gradient = backend.materialise(dy, 'channelsFirst');
  const shared = {
    batch: info.batchSize,
    outputs: outChannels,
    outRows: info.outHeight,
    outColumns: info.outWidth,
  };
  if (strideHeight === 1 && strideWidth === 1) {
    const name = filterGradient(graph, image, gradient, {
      ...shared,
      inputs: inChannels,
      rows: info.inHeight,
      columns: info.inWidth,
      filterRows: filterHeight,
      filterColumns: filterWidth,
      top: padInfo.top,
      left: padInfo.left,
    });
    const shape = [outChannels, filterHeight, filterWidth, inChannels];
    return backend.symbol(graph.node('Reshape', [name, graph.integers(shape)]), filterShape, 'filter');
  }
  const stride = strideHeight;
  if (strideWidth !== stride || filterHeight % stride !== 0 || filterWidth % stride !== 0) {
    throw new Error(
      `the filter gradient of a ${filterHeight}×${filterWidth} convolution with stride ${strideHeight}×${strideWidth} cannot be traced: the filter size must be a multiple of the stride`,
    );
  }
  const paddedRows = (info.outHeight - 1) * stride + filterHeight;
  const paddedColumns = (info.outWidth - 1) * stride + filterWidth;
  const bottom = paddedRows - info.inHeight - padInfo.top;
  const right = paddedColumns - info.inWidth - padInfo.left;
  const pads = [0, 0, padInfo.top, padInfo.left, 0, 0, bottom, right];
  const padded = pads.every((pad) => pad === 0) ? image : graph.node('Pad', [image, graph.integers(pads)]);
  const blocks = graph.node('SpaceToDepth', [padded], { blocksize: int(stride) });
  const [tapRows, tapColumns] = [filterHeight / stride, filterWidth / stride];
  const name = filterGradient(graph, blocks, gradient, {
    ...shared,
    inputs: inChannels * stride * stride,
    rows: paddedRows / stride,
    columns: paddedColumns / stride,
    filterRows: tapRows,
    filterColumns: tapColumns,
    top: 0,
    left: 0,
  });
  const split = [outChannels, tapRows, tapColumns, stride, stride, inChannels];
  const interleaved = graph.node('Transpose', [graph.node('Reshape', [name, graph.integers(split)])], {
    perm: ints(0, 1, 3, 2, 4, 5),
  });
  const shape = [outChannels, filterHeight, filterWidth, inChannels];
  return backend.symbol(graph.node('Reshape', [interleaved, graph.integers(shape)]), filterShape, 'filter');
}

interface StrideOneShape {
  batch: number;
  inputs: number;
  outputs: number;
  rows: number;
  columns: number;
  outRows: number;
  outColumns: number;
  filterRows: number;
  filterColumns: number;
  top: number;
  left: number;
}

/**
 * dW[o, ky, kx, i] = Σ dy[n, o, y, x] · image[n, i, y + ky − top, x + kx − left], as a tensor [O·ky, kx, I].
 *
 * The rows of dy are stacked once for every vertical shift (a Gather of whole rows); the image is shifted
 * horizontally by a Pad with negative pads; one matrix product for each horizontal shift. Where the spatial
 * extent is large every image of the batch has its own product and the products are added up; where the filters
 * are larger than the activations the batch is made part of the summed dimension instead.
 */
function filterGradient(graph: GraphRecorder, image: string, dy: string, shape: StrideOneShape): string {
  const { batch, inputs, outputs, rows, columns, outRows, outColumns, filterRows, filterColumns } = shape;
  const merge = batch > 1 && outRows * outColumns * 2 < inputs * filterColumns;
  const swap = { perm: ints(1, 0, 2, 3) };
  const x = merge ? graph.node('Transpose', [image], swap) : image;
  const gradient = merge ? graph.node('Transpose', [dy], swap) : dy;
  const [outer, inner] = merge ? [outputs, batch] : [batch, outputs];

  const stacked = stackRows(graph, gradient, { ...shape, outer, inner, merge });
  const depth = rows * outColumns * (merge ? batch : 1);
  const matrixShape = merge ? [outputs * filterRows, depth] : [batch, outputs * filterRows, depth];
  const left = graph.node('Reshape', [stacked, graph.integers(matrixShape)]);
  const products = range(filterColumns).map((tap) => {
    const before = shape.left - tap;
    const after = outColumns - columns - before;
    const shifted =
      before === 0 && after === 0
        ? x
        : graph.node('Pad', [x, graph.integers([0, 0, 0, before, 0, 0, 0, after])]);
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

function stackRows(
  graph: GraphRecorder,
  gradient: string,
  shape: StrideOneShape & { outer: number; inner: number; merge: boolean },
): string {
  const { batch, outputs, rows, outRows, outColumns, filterRows, top, merge } = shape;
  if (filterRows === 1 && top === 0 && rows === outRows) return gradient;
  const lines = merge ? batch * outRows : outRows;
  const zero = lines;
  const flat = merge
    ? graph.node('Reshape', [gradient, graph.integers([1, outputs, lines, outColumns])])
    : gradient;
  const padded = graph.node('Pad', [flat, graph.integers([0, 0, 0, 0, 0, 0, 1, 0])]);
  const index = range(filterRows).flatMap((tap) =>
    range(merge ? batch : 1).flatMap((slice) =>
      range(rows).map((row) => {
        const source = row - tap + top;
        return source >= 0 && source < outRows ? slice * outRows + source : zero;
      }),
    ),
  );
  return graph.node('Gather', [padded, graph.integers(index)], { axis: int(2) });
}

function convolutionInfo(
  inputShape: readonly number[],
  filterShape: readonly number[],
  strides: number | [number, number],
  dilations: number | [number, number],
  pad: Conv2DAttributes['pad'],
  dimRoundingMode?: 'floor' | 'round' | 'ceil',
): Conv2DInfo {
  return tf.backend_util.computeConv2DInfo(
    inputShape as [number, number, number, number],
    filterShape as [number, number, number, number],
    strides,
    dilations,
    pad,
    dimRoundingMode,
  );
}

function checkDataFormat(dataFormat: string | undefined): void {
  if (dataFormat !== undefined && dataFormat !== 'NHWC') {
    throw new Error(`a convolution of data format ${dataFormat} cannot be traced: build the network in NHWC`);
  }
}

function range(count: number): number[] {
  return Array.from({ length: count }, (_, index) => index);
}
