import * as tf from '@tensorflow/tfjs';
import type { TracingBackend } from '../backend.js';
import { int, ints } from '../onnx.js';
import type { GraphRecorder } from '../recorder.js';
import { canBlock, recordBlockedConvolution } from './blocked.js';
import { filterGradient } from './filter-gradient.js';
import { filterGradientOnGpu, inputGradientOnGpu } from './gpu-convolution.js';
import { traceKernel } from './register.js';
import {
  recordUpsampledConvolution,
  recordUpsampledFilterGradient,
  type UpsampledConvolution,
} from './upsampled.js';

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
  const image = backend.materialise(x, 'channelsFirst');
  const small = upsampledFrom(backend, image, info);
  if (small !== undefined) {
    const name = recordUpsampledConvolution(
      backend.graph,
      small.image,
      backend.materialise(filter, 'filter'),
      bias === undefined ? undefined : backend.materialise(bias),
      small.shape,
    );
    return backend.symbol(name, info.outShape, 'channelsFirst');
  }
  const attributesOfConv = {
    kernel_shape: ints(info.filterHeight, info.filterWidth),
    strides: ints(info.strideHeight, info.strideWidth),
    dilations: ints(info.dilationHeight, info.dilationWidth),
    pads: ints(info.padInfo.top, info.padInfo.left, info.padInfo.bottom, info.padInfo.right),
  };
  const blocked = {
    inputs: info.inChannels,
    outputs: info.outChannels,
    filterRows: info.filterHeight,
    filterColumns: info.filterWidth,
    rows: info.outHeight,
    columns: info.outWidth,
    attributes: attributesOfConv,
  };
  if (bias === undefined && !backend.isFrozen && backend.lowering === 'cpu' && canBlock(blocked)) {
    const stored = backend.materialise(filter, 'filter');
    const name = recordBlockedConvolution(backend.graph, image, stored, 'forwards', blocked);
    return backend.symbol(name, info.outShape, 'channelsFirst');
  }
  const operands = [image, filterForwards(backend, filter)];
  if (bias !== undefined) operands.push(backend.materialise(bias));
  const name = backend.graph.node('Conv', operands, attributesOfConv);
  return backend.symbol(name, info.outShape, 'channelsFirst');
}

/** The small image where a convolution is a 3×3 one of an image upsampled twofold. */
function upsampledFrom(
  backend: TracingBackend,
  image: string,
  info: Conv2DInfo,
): { image: string; shape: UpsampledConvolution } | undefined {
  const origin = backend.originOf(image);
  if (origin?.kind !== 'upsampled' || !isPlain3x3(info)) return undefined;
  return { image: origin.image, shape: smallShape(info) };
}

function isPlain3x3(info: Conv2DInfo): boolean {
  const { padInfo } = info;
  return (
    [info.filterHeight, info.filterWidth].every((size) => size === 3) &&
    [info.strideHeight, info.strideWidth, info.dilationHeight, info.dilationWidth].every(
      (size) => size === 1,
    ) &&
    [padInfo.top, padInfo.left, padInfo.bottom, padInfo.right].every((size) => size === 1)
  );
}

function smallShape(info: Conv2DInfo): UpsampledConvolution {
  return {
    batch: info.batchSize,
    rows: info.inHeight / 2,
    columns: info.inWidth / 2,
    inputs: info.inChannels,
    outputs: info.outChannels,
  };
}

/** OIHW. Constants are rearranged while tracing. */
function filterForwards(backend: TracingBackend, filter: tf.TensorInfo): string {
  if (backend.lowering === 'gpu' || backend.lookUp(filter).value.kind !== 'symbol') {
    return backend.materialise(filter, 'oihw');
  }
  return outputsInputsFirst(backend.graph, backend.materialise(filter, 'filter'), filter.shape);
}

/** OHWI to OIHW. */
function outputsInputsFirst(graph: GraphRecorder, stored: string, shape: readonly number[]): string {
  const [height, width, inputs, outputs] = shape as [number, number, number, number];
  const target = graph.integers([outputs, inputs, height, width]);
  if (inputs === 1) return graph.node('Reshape', [stored, target]);
  const taps = height * width;
  // The same as a Transpose, but on all cores.
  const exchanged = graph.node(
    'FusedMatMul',
    [graph.node('Reshape', [stored, graph.integers([outputs, taps, inputs])]), identityMatrix(graph, taps)],
    { transA: int(1), transB: int(0) },
    'com.microsoft',
  );
  return graph.node('Reshape', [exchanged, target]);
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
  const { image: gradient, factors } = withoutFactors(backend, dy, info);
  if (backend.lowering === 'gpu') {
    const scaled = scaleFilter(graph, backend.materialise(filter, 'oihw'), factors, outChannels);
    return backend.symbol(inputGradientOnGpu(graph, gradient, scaled, info), info.inShape, 'channelsFirst');
  }
  const stored = scaleFilter(graph, backend.materialise(filter, 'filter'), factors, outChannels);
  if (strideHeight === 1 && strideWidth === 1) {
    const attributes = {
      kernel_shape: ints(filterHeight, filterWidth),
      strides: ints(1, 1),
      dilations: ints(1, 1),
      pads: ints(
        filterHeight - 1 - padInfo.top,
        filterWidth - 1 - padInfo.left,
        filterHeight - 1 - padInfo.bottom,
        filterWidth - 1 - padInfo.right,
      ),
    };
    const blocked = {
      inputs: outChannels,
      outputs: inChannels,
      filterRows: filterHeight,
      filterColumns: filterWidth,
      rows: info.inHeight,
      columns: info.inWidth,
      attributes,
    };
    const plain = (): string => {
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
      return graph.node('Conv', [gradient, weights], attributes);
    };
    const name =
      !backend.isFrozen && canBlock(blocked)
        ? recordBlockedConvolution(graph, gradient, stored, 'backwards', blocked)
        : plain();
    if (isPlain3x3(info) && info.inHeight % 2 === 0 && info.inWidth % 2 === 0) {
      backend.setOrigin(name, {
        kind: 'inputGradient',
        dy: gradient,
        filter: stored,
        shape: smallShape(info),
      });
    }
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
    const name = graph.node('ConvTranspose', [gradient, outputsInputsFirst(graph, stored, filter.shape)], {
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
  const { image: gradient, factors } = withoutFactors(backend, dy, info);
  if (backend.lowering === 'gpu') {
    const filter = filterGradientOnGpu(graph, image, gradient, info);
    return backend.symbol(scaleFilter(graph, filter, factors, outChannels), filterShape, 'oihw');
  }
  const shaped = (name: string): tf.TensorInfo => {
    const shape = [outChannels, filterHeight, filterWidth, inChannels];
    const filter = graph.node('Reshape', [name, graph.integers(shape)]);
    return backend.symbol(scaleFilter(graph, filter, factors, outChannels), filterShape, 'filter');
  };
  const small = upsampledFrom(backend, image, info);
  if (small !== undefined) {
    return shaped(recordUpsampledFilterGradient(graph, small.image, gradient, small.shape));
  }
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
    return shaped(name);
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
  return shaped(interleaved);
}

/**
 * The incoming gradient without a factor for each channel, such as a normalisation leaves behind: the factors are
 * applied to the filter or to its gradient instead, where those are smaller.
 */
function withoutFactors(
  backend: TracingBackend,
  dy: tf.TensorInfo,
  info: Conv2DInfo,
): { image: string; factors?: string } {
  const image = backend.materialise(dy, 'channelsFirst');
  const origin = backend.originOf(image);
  const filterSize = info.filterHeight * info.filterWidth * info.inChannels;
  const imageSize = info.batchSize * info.outHeight * info.outWidth;
  if (origin?.kind !== 'scaled' || 2 * filterSize > imageSize) return { image };
  return { image: origin.image, factors: origin.factors };
}

/** An OHWI or OIHW filter times a factor for each of its outputs. */
function scaleFilter(
  graph: GraphRecorder,
  filter: string,
  factors: string | undefined,
  outputs: number,
): string {
  if (factors === undefined) return filter;
  const column = graph.node('Reshape', [factors, graph.integers([outputs, 1, 1, 1])]);
  return graph.node('Mul', [filter, column]);
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

function identityMatrix(graph: GraphRecorder, size: number): string {
  const matrix = Float32Array.from({ length: size * size }, (_, i) => (i % (size + 1) === 0 ? 1 : 0));
  return graph.floats(matrix, [size, size]);
}

function checkDataFormat(dataFormat: string | undefined): void {
  if (dataFormat !== undefined && dataFormat !== 'NHWC') {
    throw new Error(`a convolution of data format ${dataFormat} cannot be traced: build the network in NHWC`);
  }
}

function range(count: number): number[] {
  return Array.from({ length: count }, (_, index) => index);
}
