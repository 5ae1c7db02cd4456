import * as tf from '@tensorflow/tfjs';
import type { TracingBackend } from '../backend.js';
import { elementTypes, float, int } from '../onnx.js';
import { type Layout, product, type TracedValue } from '../value.js';
import { traceKernel } from './register.js';

/** Element-wise kernels of one and two operands, with broadcasting from the right as in TensorFlow.js. */
export function registerElementwise(): void {
  binary('Add', 'Add', (a, b) => a + b, 0);
  binary('Sub', 'Sub', (a, b) => a - b);
  binary('Multiply', 'Mul', (a, b) => a * b, 1);
  binary('RealDiv', 'Div', (a, b) => a / b);
  binary('Maximum', 'Max', Math.max);
  binary('Minimum', 'Min', Math.min);
  binary('Pow', 'Pow', (a, b) => a ** b);

  unary('Abs', 'Abs', Math.abs);
  unary('Exp', 'Exp', Math.exp);
  unary('Log', 'Log', Math.log);
  unary('Neg', 'Neg', (x) => -x);
  unary('Relu', 'Relu', (x) => Math.max(0, x));
  unary('Sigmoid', 'Sigmoid', (x) => 1 / (1 + Math.exp(-x)));
  unary('Sqrt', 'Sqrt', Math.sqrt);
  unary('Tanh', 'Tanh', Math.tanh);

  traceKernel('Square', ({ inputs, backend }) =>
    recordBinary(backend, 'Mul', inputs.x!, inputs.x!, (a, b) => a * b),
  );
  traceKernel('SquaredDifference', ({ inputs, backend }) => {
    const difference = recordBinary(backend, 'Sub', inputs.a!, inputs.b!, (a, b) => a - b);
    return recordBinary(backend, 'Mul', difference, difference, (a, b) => a * b);
  });
  traceKernel('Rsqrt', ({ inputs, backend }) =>
    recordUnary(
      backend,
      inputs.x!,
      (name) => backend.graph.node('Reciprocal', [backend.graph.node('Sqrt', [name])]),
      (x) => 1 / Math.sqrt(x),
    ),
  );
  traceKernel<{ alpha: number }>('LeakyRelu', ({ inputs, attributes, backend }) =>
    recordUnary(
      backend,
      inputs.x!,
      (name) => backend.graph.node('LeakyRelu', [name], { alpha: float(attributes.alpha) }),
      (x) => (x > 0 ? x : x * attributes.alpha),
    ),
  );
  traceKernel<{ clipValueMin: number; clipValueMax: number }>(
    'ClipByValue',
    ({ inputs, attributes: { clipValueMin, clipValueMax }, backend }) =>
      recordUnary(
        backend,
        inputs.x!,
        (name) =>
          backend.graph.node('Clip', [
            name,
            backend.graph.scalar(clipValueMin),
            backend.graph.scalar(clipValueMax),
          ]),
        (x) => Math.min(clipValueMax, Math.max(clipValueMin, x)),
      ),
  );
  traceKernel<{ alpha: number }>('Step', ({ inputs, attributes, backend }) =>
    recordUnary(
      backend,
      inputs.x!,
      (name) => recordStep(backend, name, attributes.alpha),
      (x) => (x > 0 ? 1 : attributes.alpha),
    ),
  );
  traceKernel<{ dtype: tf.DataType }>('Cast', ({ inputs, attributes, backend }) => {
    const { value, shape } = backend.lookUp(inputs.x!);
    return backend.output(value, shape, attributes.dtype);
  });
  traceKernel('Identity', ({ inputs, backend }) => {
    const { value, shape, dtype } = backend.lookUp(inputs.x!);
    return backend.output(value, shape, dtype);
  });
  traceKernel('ZerosLike', ({ inputs, backend }) =>
    backend.output({ kind: 'uniform', value: 0 }, inputs.x!.shape),
  );
  traceKernel('OnesLike', ({ inputs, backend }) =>
    backend.output({ kind: 'uniform', value: 1 }, inputs.x!.shape),
  );
  traceKernel<{ shape: number[]; value: number }>('Fill', ({ attributes, backend }) =>
    backend.output({ kind: 'uniform', value: attributes.value }, attributes.shape),
  );
  traceKernel('AddN', ({ inputs, backend }) =>
    Object.values(inputs).reduce((sum, next) => recordBinary(backend, 'Add', sum, next, (a, b) => a + b)),
  );
}

/**
 * 1 where x > 0, else `alpha`. As a hard sigmoid with a huge slope, which ONNX Runtime runs on all cores, where
 * its Where does not; on a GPU, where such a slope may overflow, as a comparison. The mask of a ReLU is taken from the
 * ReLU's output, so that the input need not be kept.
 */
function recordStep(backend: TracingBackend, name: string, alpha: number): string {
  const { graph } = backend;
  const positive = (x: string): string =>
    backend.lowering === 'gpu'
      ? graph.node('Cast', [graph.node('Greater', [x, graph.scalar(0)])], { to: int(elementTypes.float32) })
      : graph.node('HardSigmoid', [x], { alpha: float(3e38), beta: float(0) });
  if (alpha === 0) return positive(graph.node('Relu', [name]));
  const mask = positive(name);
  return graph.node('Add', [graph.node('Mul', [mask, graph.scalar(1 - alpha)]), graph.scalar(alpha)]);
}

function unary(kernelName: string, op: string, compute: (x: number) => number): void {
  traceKernel(kernelName, ({ inputs, backend }) =>
    recordUnary(backend, inputs.x!, (name) => backend.graph.node(op, [name]), compute),
  );
}

function binary(
  kernelName: string,
  op: string,
  compute: (a: number, b: number) => number,
  neutral?: number,
): void {
  traceKernel(kernelName, ({ inputs, backend }) =>
    recordBinary(backend, op, inputs.a!, inputs.b!, compute, neutral),
  );
}

function recordUnary(
  backend: TracingBackend,
  x: tf.TensorInfo,
  record: (name: string) => string,
  compute: (x: number) => number,
): tf.TensorInfo {
  const { value, shape } = backend.lookUp(x);
  if (value.kind === 'uniform')
    return backend.output({ kind: 'uniform', value: compute(value.value) }, shape);
  if (value.kind === 'symbol') return backend.output({ ...value, name: record(value.name) }, shape);
  return backend.symbol(record(backend.materialise(x)), shape);
}

/** Records a broadcasting operation of two operands; what is uniform is computed at once. */
export function recordBinary(
  backend: TracingBackend,
  op: string,
  a: tf.TensorInfo,
  b: tf.TensorInfo,
  compute: (a: number, b: number) => number,
  neutral?: number,
): tf.TensorInfo {
  const shape = tf.broadcast_util.assertAndGetBroadcastShape([...a.shape], [...b.shape]);
  const left = backend.lookUp(a).value;
  const right = backend.lookUp(b).value;
  if (left.kind === 'uniform' && right.kind === 'uniform') {
    return backend.output({ kind: 'uniform', value: compute(left.value, right.value) }, shape);
  }
  if (neutral !== undefined) {
    if (right.kind === 'uniform' && right.value === neutral && left.kind === 'symbol') {
      return backend.output(left, shape);
    }
    if (left.kind === 'uniform' && left.value === neutral && right.kind === 'symbol') {
      return backend.output(right, shape);
    }
  }
  const layout = commonLayout(left, right);
  const stored = tf.broadcast_util.assertAndGetBroadcastShape(
    storedOf(left, a.shape),
    storedOf(right, b.shape),
  );
  const operands = [
    backend.broadcastable(a, stored.length, layout),
    backend.broadcastable(b, stored.length, layout),
  ] as const;
  const name = backend.graph.node(op, operands);
  if (op === 'Mul' && layout === 'channelsFirst') {
    const sizes = [storedOf(left, a.shape), storedOf(right, b.shape)] as const;
    rememberFactors(backend, name, operands, sizes, stored);
  }
  return backend.output({ kind: 'symbol', name, layout, stored }, shape);
}

function rememberFactors(
  backend: TracingBackend,
  name: string,
  [a, b]: readonly [string, string],
  [left, right]: readonly [readonly number[], readonly number[]],
  stored: readonly number[],
): void {
  const whole = (shape: readonly number[]) => product(shape) === product(stored);
  const perChannel = (shape: readonly number[]) =>
    product(shape) === stored.at(-1) && shape.at(-1) === stored.at(-1) && !whole(shape);
  if (whole(left) && perChannel(right)) backend.setOrigin(name, { kind: 'scaled', image: a, factors: b });
  else if (whole(right) && perChannel(left))
    backend.setOrigin(name, { kind: 'scaled', image: b, factors: a });
}

/** The layout of the larger operand, so that the smaller one is rearranged. */
function commonLayout(left: TracedValue, right: TracedValue): Layout {
  if (left.kind !== 'symbol') return right.kind === 'symbol' ? right.layout : 'plain';
  if (right.kind !== 'symbol') return left.layout;
  if (right.layout === 'plain' && product(right.stored) <= product(left.stored)) return left.layout;
  return product(right.stored) < product(left.stored) ? left.layout : right.layout;
}

function storedOf(value: TracedValue, shape: readonly number[]): number[] {
  if (value.kind === 'uniform') return [];
  return value.kind === 'symbol' ? [...value.stored] : [...shape];
}
