import * as tf from '@tensorflow/tfjs';
import type { TracingBackend } from '../backend.js';
import { type Attributes, elementTypes, float, int, ints, text } from '../onnx.js';
import type { GraphRecorder } from '../recorder.js';
import { traceKernel } from './register.js';
import { recordUpsampledInputGradient } from './upsampled.js';

interface PoolAttributes {
  filterSize: number | [number, number];
  strides: number | [number, number];
  pad: 'valid' | 'same' | number;
  dimRoundingMode?: 'floor' | 'round' | 'ceil';
}

/** Kernels of pooling and of nearest-neighbour upsampling, with their gradients. */
export function registerPooling(): void {
  traceKernel<PoolAttributes>('MaxPool', ({ inputs, attributes, backend }) => {
    const info = poolInfo(inputs.x!.shape, attributes);
    return backend.symbol(recordMaxPool(backend, inputs.x!, info)[0], info.outShape, 'channelsFirst');
  });
  traceKernel<PoolAttributes>('MaxPoolGrad', ({ inputs, attributes, backend }) => {
    const info = poolInfo(inputs.input!.shape, attributes);
    if (backend.lowering === 'gpu' || isTiled(info)) {
      const gradient = recordMaxPoolGradient(backend, inputs.input!, inputs.dy!, info);
      return backend.symbol(gradient, info.inShape, 'channelsFirst');
    }
    const indices = recordMaxPool(backend, inputs.input!, info)[1];
    const [batch, rows, columns, channels] = info.inShape;
    const name = backend.graph.node(
      'MaxUnpool',
      [
        backend.materialise(inputs.dy!, 'channelsFirst'),
        indices,
        backend.graph.integers([batch, channels, rows, columns]),
      ],
      {
        kernel_shape: ints(info.filterHeight, info.filterWidth),
        strides: ints(info.strideHeight, info.strideWidth),
      },
    );
    return backend.symbol(name, info.inShape, 'channelsFirst');
  });
  traceKernel<PoolAttributes>('AvgPool', ({ inputs, attributes, backend }) => {
    const info = poolInfo(inputs.x!.shape, attributes);
    const name = backend.graph.node(
      'AveragePool',
      [backend.materialise(inputs.x!, 'channelsFirst')],
      window(info),
    );
    return backend.symbol(name, info.outShape, 'channelsFirst');
  });
  traceKernel<{ size: [number, number]; alignCorners: boolean; halfPixelCenters: boolean }>(
    'ResizeNearestNeighbor',
    ({ inputs, attributes, backend }) => {
      const [batch, rows, columns, channels] = inputs.images!.shape as [number, number, number, number];
      const [factorRows, factorColumns] = wholeFactors(
        rows,
        columns,
        attributes.size,
        attributes.alignCorners,
      );
      const image = backend.materialise(inputs.images!, 'channelsFirst');
      const name = recordNearest(backend.graph, image, Float32Array.of(1, 1, factorRows, factorColumns));
      if (factorRows === 2 && factorColumns === 2) backend.setOrigin(name, { kind: 'upsampled', image });
      return backend.symbol(name, [batch, ...attributes.size, channels], 'channelsFirst');
    },
  );
  traceKernel<{ alignCorners: boolean }>('ResizeNearestNeighborGrad', ({ inputs, attributes, backend }) => {
    const [, rows, columns] = inputs.images!.shape as [number, number, number, number];
    const [, outRows, outColumns] = inputs.dy!.shape as [number, number, number, number];
    const [factorRows, factorColumns] = wholeFactors(
      rows,
      columns,
      [outRows, outColumns],
      attributes.alignCorners,
    );
    const gradient = backend.materialise(inputs.dy!, 'channelsFirst');
    const origin = backend.originOf(gradient);
    if (origin?.kind === 'inputGradient' && factorRows === 2 && factorColumns === 2) {
      const name = recordUpsampledInputGradient(backend.graph, origin.dy, origin.filter, origin.shape);
      return backend.symbol(name, inputs.images!.shape, 'channelsFirst');
    }
    const mean = backend.graph.node('AveragePool', [gradient], {
      kernel_shape: ints(factorRows, factorColumns),
      strides: ints(factorRows, factorColumns),
    });
    const sum = backend.graph.node('Mul', [mean, backend.graph.scalar(factorRows * factorColumns)]);
    return backend.symbol(sum, inputs.images!.shape, 'channelsFirst');
  });
  traceKernel<{ varianceEpsilon: number }>('FusedBatchNorm', ({ inputs, attributes, backend }) => {
    const { x, mean, variance, offset, scale } = inputs;
    if (offset === undefined || scale === undefined) {
      throw new Error('a batch normalisation without scale or offset cannot be traced');
    }
    const name = backend.graph.node(
      'BatchNormalization',
      [
        backend.materialise(x!, 'channelsFirst'),
        backend.materialise(scale),
        backend.materialise(offset),
        backend.materialise(mean!),
        backend.materialise(variance!),
      ],
      { epsilon: float(attributes.varianceEpsilon) },
    );
    return backend.symbol(name, x!.shape, 'channelsFirst');
  });
}

/** Records the pooling and returns the names of its maxima and of their positions. */
function recordMaxPool(
  backend: TracingBackend,
  x: tf.TensorInfo,
  info: tf.backend_util.Conv2DInfo,
): readonly [string, string] {
  const [maxima, indices] = backend.graph.nodeWithOutputs(
    'MaxPool',
    [backend.materialise(x, 'channelsFirst')],
    window(info),
    2,
  );
  return [maxima!, indices!];
}

/** Whether the windows cover the image without gaps or overlaps. */
function isTiled(info: tf.backend_util.Conv2DInfo): boolean {
  return (
    info.filterHeight * info.outHeight === info.inHeight &&
    info.filterWidth * info.outWidth === info.inWidth &&
    info.strideHeight === info.filterHeight &&
    info.strideWidth === info.filterWidth
  );
}

/**
 * The gradient of pooling over windows that tile the image, without positions, for which ONNX Runtime's pooling is ten times
 * slower: where a pixel equals its window's maximum. Of several such pixels in a window the first counts, as in TensorFlow.js.
 */
function recordMaxPoolGradient(
  backend: TracingBackend,
  x: tf.TensorInfo,
  dy: tf.TensorInfo,
  info: tf.backend_util.Conv2DInfo,
): string {
  const { graph } = backend;
  const { filterHeight, filterWidth, outHeight, outWidth, inHeight, inWidth, batchSize, inChannels } = info;
  if (!isTiled(info)) {
    throw new Error(
      `the gradient of a ${filterHeight}×${filterWidth} max-pool with stride ${info.strideHeight}×${info.strideWidth} on ${inHeight}×${inWidth} cannot be traced for a GPU: its windows must tile the image`,
    );
  }
  const isGpu = backend.lowering === 'gpu';
  const lines = batchSize * inChannels * outHeight;
  const whole = graph.integers([batchSize, inChannels, inHeight, inWidth]);
  const windows = graph.integers([lines, filterHeight, outWidth, filterWidth]);
  const scales = Float32Array.of(1, 1, filterHeight, filterWidth);
  // A GPU compares a window's pixels with one value, a core an image with an image.
  const asWindows = (image: string) => (isGpu ? graph.node('Reshape', [image, windows]) : image);
  const perWindow = (pooled: string) =>
    isGpu
      ? graph.node('Reshape', [pooled, graph.integers([lines, 1, outWidth, 1])])
      : recordNearest(graph, pooled, scales);
  const asImage = (pixels: string) => (isGpu ? graph.node('Reshape', [pixels, whole]) : pixels);
  const isMaximum = (image: string): string => {
    const maxima = graph.node('MaxPool', [image], window(info));
    return graph.node('Cast', [graph.node('Equal', [asWindows(image), perWindow(maxima)])], {
      to: int(elementTypes.float32),
    });
  };
  const first = isMaximum(backend.materialise(x, 'channelsFirst'));
  const ranked = asImage(graph.node('Mul', [first, ranks(backend, info)]));
  const gradient = perWindow(backend.materialise(dy, 'channelsFirst'));
  return asImage(graph.node('Mul', [isMaximum(ranked), gradient]));
}

/** The pixels of a window in falling order, for every window of a row (GPU) or of an image. */
function ranks(backend: TracingBackend, info: tf.backend_util.Conv2DInfo): string {
  const { filterHeight, filterWidth, inHeight, inWidth } = info;
  const [rows, columns] = backend.lowering === 'gpu' ? [filterHeight, filterWidth] : [inHeight, inWidth];
  const values = Float32Array.from({ length: rows * columns }, (_, at) => {
    const [row, column] = [Math.floor(at / columns) % filterHeight, (at % columns) % filterWidth];
    return filterHeight * filterWidth - (row * filterWidth + column);
  });
  const shape = backend.lowering === 'gpu' ? [1, rows, 1, columns] : [1, 1, rows, columns];
  return backend.graph.floats(values, shape);
}

/** Every pixel repeated; `scales` for each of the four dimensions. */
function recordNearest(graph: GraphRecorder, image: string, scales: Float32Array): string {
  return graph.node('Resize', [image, '', graph.floats(scales, [4])], {
    mode: text('nearest'),
    nearest_mode: text('floor'),
    coordinate_transformation_mode: text('asymmetric'),
  });
}

function window(info: tf.backend_util.Conv2DInfo): Attributes {
  return {
    kernel_shape: ints(info.filterHeight, info.filterWidth),
    strides: ints(info.strideHeight, info.strideWidth),
    pads: ints(info.padInfo.top, info.padInfo.left, info.padInfo.bottom, info.padInfo.right),
    ceil_mode: int(0),
  };
}

function poolInfo(shape: readonly number[], attributes: PoolAttributes): tf.backend_util.Conv2DInfo {
  const { filterSize, strides, pad, dimRoundingMode } = attributes;
  return tf.backend_util.computePool2DInfo(
    shape as [number, number, number, number],
    filterSize,
    strides,
    1,
    pad,
    dimRoundingMode,
  );
}

function wholeFactors(
  rows: number,
  columns: number,
  size: readonly [number, number],
  alignCorners: boolean,
): [number, number] {
  const factors: [number, number] = [size[0] / rows, size[1] / columns];
  if (alignCorners || !factors.every(Number.isInteger)) {
    throw new Error(
      `nearest-neighbour resizing from ${rows}×${columns} to ${size.join('×')} cannot be traced: only whole factors without aligned corners`,
    );
  }
  return factors;
}
