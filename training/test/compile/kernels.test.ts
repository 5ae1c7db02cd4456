import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import * as tf from '@tensorflow/tfjs';
import {
  captureStep,
  type Lowering,
  StepSession,
  StepState,
  tracingBackend,
  withTracing,
} from '../../compile/index.js';
import { createRandom } from '../../data/index.js';

/** An operation with its operands' shapes; every operand is an input of the traced graph. */
interface Case {
  kernel: string;
  shapes: number[][];
  compute: (...operands: tf.Tensor[]) => tf.Tensor;
  /** Range of the operands' values. */
  range?: [number, number];
  note?: string;
}

const image = [2, 6, 4, 3];

const binaryShapes: [number[], number[]][] = [
  [image, image],
  [image, [3]],
  [[3], image],
  [image, [2, 1, 1, 3]],
  [image, [1, 6, 4, 1]],
  [image, []],
  [[2, 1, 1, 3], image],
  [
    [4, 1],
    [1, 5],
  ],
  [[], []],
];

function binaryCases(
  kernel: string,
  compute: (a: tf.Tensor, b: tf.Tensor) => tf.Tensor,
  range: [number, number] = [-2, 2],
): Case[] {
  return binaryShapes.map((shapes) => ({
    kernel,
    shapes,
    range,
    compute: (a, b) => compute(a!, b!),
    note: shapes.map((shape) => `[${shape}]`).join(' and '),
  }));
}

function unaryCases(
  kernel: string,
  compute: (x: tf.Tensor) => tf.Tensor,
  range: [number, number] = [-2, 2],
): Case[] {
  return [image, [7], []].map((shape) => ({
    kernel,
    shapes: [shape],
    range,
    compute: (x) => compute(x!),
    note: `[${shape}]`,
  }));
}

type Filter = tf.Tensor4D;
type Image = tf.Tensor4D;

interface Convolution {
  input: [number, number, number, number];
  filter: [number, number, number, number];
  stride: number;
  pad: 'same' | 'valid' | number;
}

const convolutions: Record<string, Convolution> = {
  '3×3': { input: [2, 6, 8, 3], filter: [3, 3, 3, 5], stride: 1, pad: 'same' },
  '3×3 of one channel': { input: [2, 6, 8, 1], filter: [3, 3, 1, 4], stride: 1, pad: 'same' },
  '3×3 of many channels': { input: [3, 4, 4, 24], filter: [3, 3, 24, 6], stride: 1, pad: 'same' },
  '3×3 of whole blocks of channels': {
    input: [2, 32, 32, 16],
    filter: [3, 3, 16, 32],
    stride: 1,
    pad: 'same',
  },
  '3×3 without padding': { input: [2, 7, 6, 2], filter: [3, 3, 2, 3], stride: 1, pad: 'valid' },
  '5×3': { input: [1, 9, 8, 2], filter: [5, 3, 2, 3], stride: 1, pad: 'same' },
  '11×1 without padding': { input: [1, 14, 6, 1], filter: [11, 1, 1, 1], stride: 1, pad: 'valid' },
  '1×1': { input: [2, 6, 4, 3], filter: [1, 1, 3, 5], stride: 1, pad: 'valid' },
  '2×2 with an uneven border': { input: [2, 6, 4, 3], filter: [2, 2, 3, 2], stride: 1, pad: 'same' },
  '6×6, stride 2': { input: [2, 8, 12, 1], filter: [6, 6, 1, 4], stride: 2, pad: 'same' },
  '4×4, stride 2, three channels': { input: [2, 8, 6, 3], filter: [4, 4, 3, 4], stride: 2, pad: 'same' },
  '2×2, stride 2': { input: [3, 8, 6, 3], filter: [2, 2, 3, 4], stride: 2, pad: 'valid' },
};

function outputShape({ input, filter, stride, pad }: Convolution): number[] {
  return tf.backend_util.computeConv2DInfo(input, filter, stride, 1, pad).outShape;
}

const cases: Case[] = [
  ...binaryCases('Add', tf.add),
  ...binaryCases('Sub', tf.sub),
  ...binaryCases('Multiply', tf.mul),
  ...binaryCases('RealDiv', tf.div, [0.5, 2]),
  ...binaryCases('Maximum', tf.maximum),
  ...binaryCases('Minimum', tf.minimum),
  ...binaryCases('Pow', tf.pow, [0.1, 2]),
  ...binaryCases('SquaredDifference', tf.squaredDifference),
  ...unaryCases('Abs', tf.abs),
  ...unaryCases('Exp', tf.exp),
  ...unaryCases('Log', tf.log, [0.1, 3]),
  ...unaryCases('Neg', tf.neg),
  ...unaryCases('Relu', tf.relu),
  ...unaryCases('Sigmoid', tf.sigmoid),
  ...unaryCases('Sqrt', tf.sqrt, [0.1, 3]),
  ...unaryCases('Tanh', tf.tanh),
  ...unaryCases('Square', tf.square),
  ...unaryCases('Rsqrt', tf.rsqrt, [0.1, 3]),
  ...unaryCases('LeakyRelu', (x) => tf.leakyRelu(x, 0.3)),
  ...unaryCases('ClipByValue', (x) => tf.clipByValue(x, -0.5, 1)),
  ...unaryCases('Step', (x) => tf.step(x)),
  ...unaryCases('Step', (x) => tf.step(x, 0.25)),
  ...unaryCases('Cast', (x) => tf.add(tf.cast(tf.cast(x, 'int32'), 'float32'), 1), [1, 1]),
  ...unaryCases('Identity', (x) => tf.add(tf.clone(x), 1)),
  ...unaryCases('ZerosLike', (x) => tf.add(tf.zerosLike(x), x)),
  ...unaryCases('OnesLike', (x) => tf.mul(tf.onesLike(x), tf.add(x, 1))),
  ...unaryCases('Fill', (x) => tf.add(tf.fill(x.shape, 2.5), x)),
  {
    kernel: 'AddN',
    shapes: [image, image, image],
    compute: (a, b, c) => tf.addN([a!, b!, c!]),
  },
  { kernel: 'Reshape', shapes: [image], compute: (x) => tf.reshape(x!, [12, 12]) },
  { kernel: 'Reshape', shapes: [[5]], compute: (x) => tf.reshape(x!, [1, 1, 1, 5]), note: 'a vector' },
  { kernel: 'ExpandDims', shapes: [[4, 3]], compute: (x) => tf.expandDims(x!, 1) },
  { kernel: 'ExpandDims', shapes: [[4, 3]], compute: (x) => tf.expandDims(x!, -1), note: 'at the end' },
  { kernel: 'Transpose', shapes: [image], compute: (x) => tf.transpose(x!, [2, 0, 3, 1]) },
  ...[0, 1, 2, 3].map((axis): Case => {
    const other = image.map((size, at) => (at === axis ? size + 1 : size));
    return {
      kernel: 'Concat',
      shapes: [image, other],
      compute: (a, b) => tf.concat([a!, b!], axis),
      note: `axis ${axis}`,
    };
  }),
  {
    kernel: 'SplitV',
    shapes: [image],
    compute: (x) => tf.sub(...(tf.split(x!, [2, 2], 2) as [tf.Tensor, tf.Tensor])),
  },
  { kernel: 'Slice', shapes: [image], compute: (x) => tf.slice(x!, [1, 2, 0, 1], [1, 3, 4, 2]) },
  {
    kernel: 'PadV2',
    shapes: [image],
    compute: (x) =>
      tf.pad(
        x!,
        [
          [0, 0],
          [1, 2],
          [0, 3],
          [0, 0],
        ],
        0.5,
      ),
  },
  { kernel: 'Tile', shapes: [[2, 3]], compute: (x) => tf.tile(x!, [2, 3]) },
  {
    kernel: 'Tile',
    shapes: [[1, 1, 1, 3]],
    compute: (x) => tf.add(tf.tile(x!, [2, 4, 4, 1]), 1),
    note: 'broadcast',
  },
  ...(['Sum', 'Mean', 'Max'] as const).flatMap((kernel): Case[] => {
    const reduce = { Sum: tf.sum, Mean: tf.mean, Max: tf.max }[kernel];
    return [[0, 1, 2], [1, 2], [3], [0], [0, 1, 2, 3]].flatMap((axes): Case[] =>
      [true, false].map((keep) => ({
        kernel,
        shapes: [image],
        compute: (x) => reduce(x!, axes, keep),
        note: `axes ${axes}${keep ? ' kept' : ''}`,
      })),
    );
  }),
  ...[
    [false, false],
    [true, false],
    [false, true],
    [true, true],
  ].map(
    ([a, b]): Case => ({
      kernel: 'BatchMatMul',
      shapes: [a ? [2, 4, 3] : [2, 3, 4], b ? [2, 5, 4] : [2, 4, 5]],
      compute: (x, y) => tf.matMul(x!, y!, a, b),
      note: `transposed: ${a}, ${b}`,
    }),
  ),
  ...Object.entries(convolutions).flatMap(([note, convolution]): Case[] => {
    const { input, filter, stride, pad } = convolution;
    const dy = outputShape(convolution);
    return [
      {
        kernel: 'Conv2D',
        note,
        shapes: [input, filter],
        compute: (x, w) => tf.conv2d(x as Image, w as Filter, stride, pad),
      },
      {
        kernel: 'FusedConv2D',
        note,
        shapes: [input, filter, [filter[3]]],
        compute: (x, w, bias) =>
          tf.fused.conv2d({
            x: x as Image,
            filter: w as Filter,
            strides: stride,
            pad,
            bias: bias!,
            activation: 'relu',
          }),
      },
      {
        kernel: 'Conv2DBackpropInput',
        note,
        shapes: [input, filter, dy],
        compute: (x, w, gradient) =>
          tf.grad((value) => tf.conv2d(value as Image, w as Filter, stride, pad))(x!, gradient!),
      },
      {
        kernel: 'Conv2DBackpropFilter',
        note,
        shapes: [input, filter, dy],
        compute: (x, w, gradient) =>
          tf.grad((value) => tf.conv2d(x as Image, value as Filter, stride, pad))(w!, gradient!),
      },
    ];
  }),
  {
    kernel: 'Conv2DBackpropInput',
    note: 'as a transposed convolution',
    shapes: [
      [2, 3, 4, 5],
      [2, 2, 1, 5],
    ],
    compute: (x, w) => tf.conv2dTranspose(x as Image, w as Filter, [2, 6, 8, 1], 2, 'valid'),
  },
  ...[
    { rows: 3, columns: 5, inputs: 2, outputs: 3 },
    { rows: 32, columns: 32, inputs: 32, outputs: 16 },
  ].flatMap(({ rows, columns, inputs, outputs }): Case[] => {
    const note = `of an upsampled image of ${rows}×${columns}`;
    const x = [1, rows, columns, inputs];
    const w = [3, 3, inputs, outputs];
    const dy = [1, 2 * rows, 2 * columns, outputs];
    const convolve = (image: tf.Tensor, filter: tf.Tensor) =>
      tf.conv2d(
        tf.image.resizeNearestNeighbor(image as Image, [2 * rows, 2 * columns]),
        filter as Filter,
        1,
        'same',
      );
    return [
      { kernel: 'Conv2D', note, shapes: [x, w], compute: (image, filter) => convolve(image!, filter!) },
      {
        kernel: 'FusedConv2D',
        note,
        shapes: [x, w, [outputs]],
        compute: (image, filter, bias) =>
          tf.fused.conv2d({
            x: tf.image.resizeNearestNeighbor(image as Image, [2 * rows, 2 * columns]),
            filter: filter as Filter,
            strides: 1,
            pad: 'same',
            bias: bias!,
          }),
      },
      {
        kernel: 'Conv2DBackpropInput',
        note,
        shapes: [x, w, dy],
        compute: (image, filter, gradient) => tf.grad((value) => convolve(value, filter!))(image!, gradient!),
      },
      {
        kernel: 'Conv2DBackpropFilter',
        note,
        shapes: [x, w, dy],
        compute: (image, filter, gradient) => tf.grad((value) => convolve(image!, value))(filter!, gradient!),
      },
    ];
  }),
  { kernel: 'MaxPool', shapes: [image], compute: (x) => tf.maxPool(x as Image, 2, 2, 'valid') },
  {
    kernel: 'MaxPoolGrad',
    shapes: [image, [2, 3, 2, 3]],
    compute: (x, dy) => tf.grad((value) => tf.maxPool(value as Image, 2, 2, 'valid'))(x!, dy!),
  },
  {
    kernel: 'MaxPoolGrad',
    note: 'where several pixels of a window are largest',
    shapes: [
      [1, 8, 8, 2],
      [1, 4, 4, 2],
    ],
    compute: (x, dy) =>
      tf.grad((value) => tf.maxPool(value as Image, 2, 2, 'valid'))(tf.clipByValue(x!, -0.1, 0.1), dy!),
  },
  { kernel: 'AvgPool', shapes: [image], compute: (x) => tf.avgPool(x as Image, 2, 2, 'valid') },
  {
    kernel: 'ResizeNearestNeighbor',
    shapes: [image],
    compute: (x) => tf.image.resizeNearestNeighbor(x as Image, [12, 12]),
  },
  {
    kernel: 'ResizeNearestNeighborGrad',
    note: 'of one image',
    shapes: [
      [1, 3, 4, 2],
      [1, 6, 8, 2],
    ],
    compute: (x, dy) => tf.grad((value) => tf.image.resizeNearestNeighbor(value as Image, [6, 8]))(x!, dy!),
  },
  {
    kernel: 'FusedBatchNorm',
    shapes: [image, [3], [3], [3], [3]],
    range: [0.1, 2],
    compute: (x, mean, variance, offset, scale) =>
      tf.batchNorm(
        x as Image,
        mean as tf.Tensor1D,
        variance as tf.Tensor1D,
        offset as tf.Tensor1D,
        scale as tf.Tensor1D,
        1e-3,
      ),
  },
];

tf.enableProdMode();

describe('traced kernels against TensorFlow.js’ cpu backend', () => {
  const byKernel = new Map<string, Case[]>();
  for (const one of cases) byKernel.set(one.kernel, [...(byKernel.get(one.kernel) ?? []), one]);
  for (const [kernel, list] of byKernel) {
    test(kernel, async () => {
      for (const [number, one] of list.entries()) {
        for (const channelsFirst of one.shapes.some((shape) => shape.length === 4)
          ? [false, true]
          : [false]) {
          const what = `${kernel}, ${one.note ?? `case ${number}`}${channelsFirst ? ', channels first' : ''}`;
          const values = one.shapes.map((shape, at) =>
            randomValues(shape, number * 10 + at, one.range ?? [-1, 1]),
          );
          const { expected, shape } = await onCpu(one, values);
          for (const lowering of ['cpu', 'gpu'] as const) {
            assertClose(await traced(one, values, channelsFirst, lowering), expected, `${what}, ${lowering}`);
          }
          assert.equal(
            expected.length,
            shape.reduce((size, length) => size * length, 1),
          );
        }
      }
    });
  }

  test('every kernel that can be traced has a case', () => {
    tracingBackend();
    const registered = tf.getKernelsForBackend('onnx-trace').map(({ kernelName }) => kernelName);
    assert.deepEqual([...byKernel.keys()].sort(), registered.sort());
  });
});

describe('gradients against finite differences, for more than one image', () => {
  // tfjs-backend-cpu 4.22 computes ResizeNearestNeighborGrad wrongly there.
  const checks: Record<string, { shape: number[]; compute: (x: tf.Tensor) => tf.Tensor }> = {
    'nearest-neighbour upsampling': {
      shape: [3, 3, 4, 2],
      compute: (x) => tf.image.resizeNearestNeighbor(x as Image, [6, 12]),
    },
    'max-pool': { shape: [3, 4, 6, 2], compute: (x) => tf.maxPool(x as Image, 2, 2, 'valid') },
    'a ReLU': { shape: [3, 4, 6, 2], compute: tf.relu },
    'an absolute value': { shape: [20], compute: tf.abs },
    'a power': { shape: [20], compute: (x) => tf.pow(tf.square(x), 1.25) },
    'nearest-neighbour upsampling before a convolution': {
      shape: [2, 3, 4, 1],
      compute: (x) => {
        const upsampled = tf.image.resizeNearestNeighbor(x as Image, [6, 8]);
        return tf.conv2d(upsampled, tf.ones([3, 3, 1, 1]) as Filter, 1, 'same');
      },
    },
    'the filter of a convolution after nearest-neighbour upsampling': {
      shape: [3, 3, 2, 2],
      compute: (x) => {
        const small = tf.relu(tf.add(tf.zeros([2, 3, 4, 2]), tf.slice(tf.reshape(x, [36]), [0], [1])));
        const upsampled = tf.image.resizeNearestNeighbor(small as Image, [6, 8]);
        return tf.conv2d(upsampled, x as Filter, 1, 'same');
      },
    },
  };
  for (const [name, { shape, compute }] of Object.entries(checks)) {
    test(name, async () => {
      await tf.setBackend('cpu');
      // A step must cross no kink: values lie far apart from each other and from zero.
      const count = shape.reduce((product, length) => product * length, 1);
      const x = Float32Array.from({ length: count }, (_, i) => (2 * ((i * 37) % count) + 1) / count - 1);
      const size = tf.tidy(() => compute(tf.tensor(x, shape)).size);
      const dy = randomValues([size], 4, [-1, 1]);
      const objective = (values: Float32Array): number =>
        tf.tidy(() => {
          const y = compute(tf.tensor(values, shape)).dataSync<'float32'>();
          return y.reduce((sum, value, i) => sum + value * dy[i]!, 0);
        });
      const step = 2 ** -8;
      const expected = x.map((value, i) => {
        const at = (change: number) => {
          const moved = Float32Array.from(x);
          moved[i] = value + change;
          return objective(moved);
        };
        return (at(step) - at(-step)) / (2 * step);
      });
      const gradientOf: Case = {
        kernel: name,
        shapes: [shape, [size]],
        compute: (input, weights) =>
          tf.grad((value) => {
            const y = compute(value);
            return tf.sum(tf.mul(y, tf.reshape(weights!, y.shape)));
          })(input!),
      };
      for (const lowering of ['cpu', 'gpu'] as const) {
        const gradient = await traced(gradientOf, [x, dy], false, lowering);
        assertClose(gradient, expected, `${name}, ${lowering}`, 2e-3);
      }
    });
  }
});

describe('what cannot be traced is refused', () => {
  const trace = (compute: (x: tf.Tensor) => tf.Tensor) => () =>
    withTracing((tracer) => captureStep(tracer, {}, { x: [2, 4, 4, 3] }, ({ x }) => ({ y: compute(x!) })));

  test('numbers made up in JavaScript', () => {
    assert.throws(
      trace((x) => tf.add(x, tf.randomUniform([2, 4, 4, 3]))),
      /computed in JavaScript would be frozen into the graph/,
    );
  });
  test('reading values', () => {
    assert.throws(
      trace((x) => tf.add(x, x.dataSync()[0]!)),
      /a traced tensor has no values: do not call dataSync/,
    );
  });
  test('a kernel without a traced form', () => {
    assert.throws(
      trace((x) => tf.atan(x)),
      /Atan.*onnx-trace/,
    );
  });
  test('resizing by other than whole factors', () => {
    assert.throws(
      trace((x) => tf.image.resizeNearestNeighbor(x as Image, [6, 6])),
      /from 4×4 to 6×6 cannot be traced/,
    );
  });
  test('a fused activation other than ReLU', () => {
    assert.throws(
      trace((x) =>
        tf.fused.conv2d({
          x: x as Image,
          filter: tf.ones([1, 1, 3, 2]) as Filter,
          strides: 1,
          pad: 'same',
          activation: 'elu',
        }),
      ),
      /activation elu cannot be traced/,
    );
  });
});

/** Runs the traced operation; with `channelsFirst` its images come out of a pooling, which leaves them so. */
async function traced(
  one: Case,
  values: readonly Float32Array[],
  channelsFirst: boolean,
  lowering: Lowering,
): Promise<Float32Array> {
  const names = one.shapes.map((_, at) => `operand${at}`);
  const step = withTracing((tracer) =>
    captureStep(
      tracer,
      {},
      Object.fromEntries(names.map((name, at) => [name, one.shapes[at]!])),
      (inputs) => {
        const operands = names.map((name) => {
          const operand = inputs[name]!;
          return channelsFirst && operand.rank === 4 ? tf.maxPool(operand as Image, 1, 1, 'valid') : operand;
        });
        return { result: one.compute(...operands) };
      },
      lowering,
    ),
  );
  const session = await StepSession.create(step, { threads: 1 });
  const { result } = await session.run(
    new StepState(),
    Object.fromEntries(names.map((name, at) => [name, values[at]!])),
  );
  const copy = Float32Array.from(result!);
  await session.release();
  return copy;
}

async function onCpu(
  one: Case,
  values: readonly Float32Array[],
): Promise<{ expected: Float32Array; shape: number[] }> {
  await tf.setBackend('cpu');
  return tf.tidy(() => {
    const result = one.compute(...one.shapes.map((shape, at) => tf.tensor(values[at]!, shape)));
    return { expected: Float32Array.from(result.dataSync()), shape: result.shape };
  });
}

function randomValues(
  shape: readonly number[],
  seed: number,
  [low, high]: readonly [number, number],
): Float32Array {
  const random = createRandom(seed, 'kernel');
  const size = shape.reduce((product, length) => product * length, 1);
  return Float32Array.from({ length: size }, () => random.between(low, high));
}

function assertClose(actual: Float32Array, expected: Float32Array, what: string, tolerance = 1e-5): void {
  assert.equal(actual.length, expected.length, `${what}: size`);
  const largest = expected.reduce((most, value) => Math.max(most, Math.abs(value)), 1);
  for (const [i, value] of actual.entries()) {
    const difference = Math.abs(value - expected[i]!);
    const allowed = tolerance * largest;
    assert.ok(difference <= allowed, `${what}: ${value} instead of ${expected[i]} at ${i}`);
  }
}
