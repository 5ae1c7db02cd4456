import * as tf from '@tensorflow/tfjs';
import type { TracingBackend } from '../backend.js';
import { int, ints } from '../onnx.js';
import { type Layout, layoutOrder, product } from '../value.js';
import { traceKernel } from './register.js';

/** Kernels that rearrange elements, reduce over dimensions, or multiply matrices. */
export function registerShape(): void {
  traceKernel<{ shape: number[] }>('Reshape', ({ inputs, attributes, backend }) =>
    recordReshape(backend, inputs.x!, attributes.shape),
  );
  traceKernel<{ dim: number }>('ExpandDims', ({ inputs, attributes, backend }) => {
    const shape = [...inputs.input!.shape];
    shape.splice(attributes.dim < 0 ? shape.length + attributes.dim + 1 : attributes.dim, 0, 1);
    return recordReshape(backend, inputs.input!, shape);
  });
  traceKernel<{ perm: number[] }>('Transpose', ({ inputs, attributes, backend }) => {
    const name = backend.graph.node('Transpose', [backend.materialise(inputs.x!)], {
      perm: ints(...attributes.perm),
    });
    return backend.symbol(
      name,
      attributes.perm.map((axis) => inputs.x!.shape[axis]!),
    );
  });
  traceKernel<{ axis: number }>('Concat', ({ inputs, attributes, backend }) => {
    const tensors = Object.values(inputs);
    const axis = tf.util.parseAxisParam(attributes.axis, [...tensors[0]!.shape])[0]!;
    const layout = layoutOf(backend, tensors[0]!);
    const name = backend.graph.node(
      'Concat',
      tensors.map((tensor) => backend.materialise(tensor, layout)),
      { axis: int(storedAxis(axis, layout)) },
    );
    const shape = [...tensors[0]!.shape];
    shape[axis] = tensors.reduce((sum, tensor) => sum + tensor.shape[axis]!, 0);
    return backend.symbol(name, shape, layout);
  });
  traceKernel<{ axis: number; numOrSizeSplits: number[] | number }>(
    'SplitV',
    ({ inputs, attributes, backend }) => {
      const x = inputs.x!;
      const axis = tf.util.parseAxisParam(attributes.axis, [...x.shape])[0]!;
      const layout = layoutOf(backend, x);
      const sizes = tf.backend_util.prepareSplitSize(x as tf.Tensor, attributes.numOrSizeSplits, axis);
      const names = backend.graph.nodeWithOutputs(
        'Split',
        [backend.materialise(x, layout), backend.graph.integers(sizes)],
        { axis: int(storedAxis(axis, layout)) },
        sizes.length,
      );
      return names.map((name, index) => {
        const shape = [...x.shape];
        shape[axis] = sizes[index]!;
        return backend.symbol(name, shape, layout);
      });
    },
  );
  traceKernel<{ begin: number[]; size: number[] }>('Slice', ({ inputs, attributes, backend }) => {
    const x = inputs.x!;
    const layout = layoutOf(backend, x);
    const [begin, size] = tf.slice_util.parseSliceParams(x as tf.Tensor, attributes.begin, attributes.size);
    const end = begin.map((start, axis) => start + size[axis]!);
    const axes = begin.map((_, axis) => storedAxis(axis, layout));
    const { graph } = backend;
    const name = graph.node('Slice', [
      backend.materialise(x, layout),
      graph.integers(begin),
      graph.integers(end),
      graph.integers(axes),
    ]);
    return backend.symbol(name, size, layout);
  });
  traceKernel<{ paddings: [number, number][]; constantValue: number }>(
    'PadV2',
    ({ inputs, attributes: { paddings, constantValue }, backend }) => {
      const x = inputs.x!;
      const layout = layoutOf(backend, x);
      const order = layout === 'plain' ? paddings.map((_, axis) => axis) : layoutOrder[layout];
      const pads = [0, 1].flatMap((side) => order.map((axis) => paddings[axis]![side as 0 | 1]));
      const operands = [backend.materialise(x, layout), backend.graph.integers(pads)];
      if (constantValue !== 0) operands.push(backend.graph.scalar(constantValue));
      const shape = x.shape.map((size, axis) => size + paddings[axis]![0] + paddings[axis]![1]);
      return backend.symbol(backend.graph.node('Pad', operands), shape, layout);
    },
  );
  traceKernel<{ reps: number[] }>('Tile', ({ inputs, attributes, backend }) => {
    const x = inputs.x!;
    const shape = x.shape.map((size, axis) => size * attributes.reps[axis]!);
    const { value } = backend.lookUp(x);
    if (x.shape.every((size, axis) => size === 1 || attributes.reps[axis] === 1)) {
      return backend.output(value, shape);
    }
    const name = backend.graph.node('Tile', [
      backend.materialise(x),
      backend.graph.integers(attributes.reps),
    ]);
    return backend.symbol(name, shape);
  });
  reduction('Sum', 'ReduceSum', (value, count) => value * count);
  reduction('Mean', 'ReduceMean', (value) => value);
  reduction('Max', 'ReduceMax', (value) => value);
  traceKernel<{ transposeA: boolean; transposeB: boolean }>(
    'BatchMatMul',
    ({ inputs, attributes: { transposeA, transposeB }, backend }) => {
      const { a, b } = inputs;
      const left = swapLast(backend, a!, transposeA);
      const right = swapLast(backend, b!, transposeB);
      const rows = a!.shape.at(transposeA ? -1 : -2)!;
      const columns = b!.shape.at(transposeB ? -2 : -1)!;
      const outer = tf.broadcast_util.assertAndGetBroadcastShape(
        a!.shape.slice(0, -2),
        b!.shape.slice(0, -2),
      );
      return backend.symbol(backend.graph.node('MatMul', [left, right]), [...outer, rows, columns]);
    },
  );
}

function recordReshape(backend: TracingBackend, x: tf.TensorInfo, target: readonly number[]): tf.TensorInfo {
  const { value, dtype } = backend.lookUp(x);
  const shape = tf.util.inferFromImplicitShape([...target], product(x.shape));
  if (value.kind !== 'symbol') {
    return backend.output(value, shape, dtype);
  }
  if (shape.length === x.shape.length && shape.every((size, axis) => size === x.shape[axis])) {
    return backend.output(value, shape, dtype);
  }
  if (product(value.stored) === 1) {
    const ones = shape.map(() => 1);
    const name = backend.graph.node('Reshape', [value.name, backend.graph.integers(ones)]);
    return backend.output({ kind: 'symbol', name, layout: 'plain', stored: ones }, shape);
  }
  const vector = x.shape.filter((size) => size > 1).length <= 1 && product(value.stored) === product(x.shape);
  const elements = vector ? value.name : backend.materialise(x);
  const name = backend.graph.node('Reshape', [elements, backend.graph.integers(shape)]);
  return backend.symbol(name, shape);
}

function reduction(kernelName: string, op: string, uniform: (value: number, count: number) => number): void {
  traceKernel<{ axis?: number | number[]; reductionIndices?: number | number[]; keepDims: boolean }>(
    kernelName,
    ({ inputs, attributes, backend }) => {
      const x = inputs.x!;
      const over = (attributes.axis ?? attributes.reductionIndices)!;
      const axes = tf.util.parseAxisParam(over, [...x.shape]);
      const kept = x.shape.map((size, axis) => (axes.includes(axis) ? 1 : size));
      const shape = attributes.keepDims ? kept : x.shape.filter((_, axis) => !axes.includes(axis));
      const { value } = backend.lookUp(x);
      if (value.kind === 'uniform') {
        const count = product(axes.map((axis) => x.shape[axis]!));
        return backend.output({ kind: 'uniform', value: uniform(value.value, count) }, shape);
      }
      const layout = layoutOf(backend, x);
      const reduced = recordReduction(backend, op, backend.materialise(x, layout), x.shape, axes, layout);
      if (attributes.keepDims) return backend.symbol(reduced, kept, layout);
      const keptTensor = backend.symbol(reduced, kept, layout);
      return recordReshape(backend, keptTensor, shape);
    },
  );
}

/** Rows and columns first, the batch after: the small second reduction lets the first run on all cores. */
function recordReduction(
  backend: TracingBackend,
  op: string,
  name: string,
  shape: readonly number[],
  axes: readonly number[],
  layout: Layout,
): string {
  const reduce = (input: string, over: readonly number[]) =>
    backend.graph.node(op, [input, backend.graph.integers(over)], { keepdims: int(1) });
  const stored = axes.map((axis) => storedAxis(axis, layout)).sort((a, b) => a - b);
  const inner = stored.filter((axis) => axis >= shape.length - 2);
  const outer = stored.filter((axis) => axis < shape.length - 2);
  if (shape.length < 4 || inner.length < 2 || outer.length === 0) return reduce(name, stored);
  return reduce(reduce(name, inner), outer);
}

function swapLast(backend: TracingBackend, tensor: tf.TensorInfo, transpose: boolean): string {
  const name = backend.materialise(tensor);
  if (!transpose) return name;
  const order = tensor.shape.map((_, axis) => axis);
  order.push(...order.splice(-2).reverse());
  return backend.graph.node('Transpose', [name], { perm: ints(...order) });
}

function layoutOf(backend: TracingBackend, tensor: tf.TensorInfo): Layout {
  const { value } = backend.lookUp(tensor);
  return value.kind === 'symbol' && tensor.shape.length === 4 ? value.layout : 'plain';
}

function storedAxis(axis: number, layout: Layout): number {
  return layout === 'plain' ? axis : layoutOrder[layout].indexOf(axis);
}
