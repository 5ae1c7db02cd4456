import * as tf from '@tensorflow/tfjs';
import { backendName, type Lowering, TracingBackend } from './backend.js';
import { registerConvolution } from './kernels/convolution.js';
import { registerElementwise } from './kernels/elementwise.js';
import { registerPooling } from './kernels/pooling.js';
import { registerShape } from './kernels/shape.js';
import type { OnnxGraph } from './onnx.js';
import { fromLayout, type Layout, storedShape, toLayout } from './value.js';

/** A variable of a captured step: weights, moving averages and an optimiser's slots. */
export interface CapturedVariable {
  name: string;
  /** The shape that TensorFlow.js sees. */
  shape: readonly number[];
  /** How its values lie in the graph: `toGraph` and `fromGraph` convert. */
  layout: Layout;
  /** The name of the graph's output with the new value; undefined where a step leaves the variable alone. */
  output: string | undefined;
}

/** A training step as an ONNX graph. */
export interface CapturedStep {
  graph: OnnxGraph;
  /** Names of the step's inputs other than variables, with their shapes in NHWC. */
  inputs: Readonly<Record<string, readonly number[]>>;
  /**
   * Whether the graph runs several steps, one after the other: each input, and each reported result, then has the
   * steps as its first dimension.
   */
  repeated: boolean;
  variables: readonly CapturedVariable[];
  /** The graph's output name of each result that the step returned. */
  outputs: Readonly<Record<string, string>>;
}

let backend: TracingBackend | undefined;

/** Makes the tracing backend known to TensorFlow.js (once) and returns it. */
export function tracingBackend(): TracingBackend {
  if (backend !== undefined) return backend;
  const created = new TracingBackend();
  tf.registerBackend(backendName, () => created);
  registerElementwise();
  registerConvolution();
  registerPooling();
  registerShape();
  backend = created;
  return created;
}

/**
 * Runs `build` with the tracing backend active. Models built in it hold real first values, and what is inside may
 * call `captureStep`.
 */
export function withTracing<T>(build: (tracer: TracingBackend) => T): T {
  const before = tf.getBackend() ?? 'cpu';
  const tracer = tracingBackend();
  void tf.setBackend(backendName);
  try {
    return build(tracer);
  } finally {
    tracer.stopRecording();
    void tf.setBackend(before);
  }
}

/**
 * Records one training step. Every variable becomes an input of the graph, and each one that the step assigned an
 * output too. Call it inside `withTracing`, with variables that were created there; they cannot be read
 * afterwards. Batch, rows and columns are fixed.
 *
 * @param variables every variable that the step reads or assigns, by the name it has in the graph
 * @param inputs name → shape of the step's other inputs (NHWC; [] for a scalar)
 * @param step computes the step: assigns the variables and returns the scalars or tensors to report
 * @param lowering for whose kernels the graph is recorded
 * @throws when the step computes with numbers that JavaScript made up while it was traced
 */
export function captureStep(
  tracer: TracingBackend,
  variables: Readonly<Record<string, tf.Variable>>,
  inputs: Readonly<Record<string, readonly number[]>>,
  step: (inputs: Readonly<Record<string, tf.Tensor>>) => Readonly<Record<string, tf.Tensor>>,
  lowering: Lowering = 'cpu',
): CapturedStep {
  const graph = tracer.startRecording({ lowering });
  const filterLayout = lowering === 'gpu' ? 'oihw' : 'filter';
  const bound = Object.entries(variables).map(([name, variable]) => {
    const layout: Layout = variable.rank === 4 ? filterLayout : 'plain';
    tracer.bindInput(variable.dataId, name, layout);
    return { name, variable, layout, dataId: variable.dataId };
  });
  const taken = new Set<string>();
  const outputName = (name: string): string => {
    const fresh = taken.has(name) ? graph.copy(name) : name;
    taken.add(fresh);
    return fresh;
  };
  const captured = tf.tidy(() => {
    const tensors: Record<string, tf.Tensor> = {};
    for (const [name, shape] of Object.entries(inputs)) {
      const tensor = tf.zeros([...shape]);
      tracer.bindInput(tensor.dataId, name, 'plain');
      tensors[name] = tensor;
    }
    const results = step(tensors);
    const outputs: Record<string, string> = {};
    for (const [name, tensor] of Object.entries(results))
      outputs[name] = outputName(tracer.materialise(tensor));
    const assigned = bound.map(({ name, variable, layout, dataId }) => ({
      name,
      shape: [...variable.shape],
      layout,
      output: variable.dataId === dataId ? undefined : outputName(tracer.materialise(variable, layout)),
    }));
    return { outputs, assigned, results };
  });
  const finished = graph.finish('step', [
    ...Object.entries(captured.outputs).map(([name, output]) => ({
      name: output,
      type: 'float32' as const,
      shape: captured.results[name]!.shape,
    })),
    ...captured.assigned.flatMap(({ output, shape, layout }) =>
      output === undefined
        ? []
        : [{ name: output, type: 'float32' as const, shape: storedShape(shape, layout) }],
    ),
  ]);
  tracer.stopRecording();
  const used = new Set(finished.inputs.map((input) => input.name));
  return {
    graph: finished,
    repeated: false,
    inputs: Object.fromEntries(Object.entries(inputs).filter(([name]) => used.has(name))),
    variables: captured.assigned.filter(({ name, output }) => output !== undefined || used.has(name)),
    outputs: captured.outputs,
  };
}

/**
 * Records a network's forward function for one image as a graph whose constants are the network's weights.
 *
 * @param shape NHWC of the input that is traced
 */
export function captureForward(
  tracer: TracingBackend,
  shape: readonly [number, number, number, number],
  forward: (input: tf.Tensor4D) => tf.Tensor,
): OnnxGraph {
  const graph = tracer.startRecording({ freeze: true });
  const captured = tf.tidy(() => {
    const input = tf.zeros<tf.Rank.R4>([...shape]);
    tracer.bindInput(input.dataId, 'input', 'channelsFirst');
    const output = forward(input);
    return { name: tracer.materialise(output, 'channelsFirst'), shape: output.shape };
  });
  const [batch, rows, columns, channels] = captured.shape as [number, number, number, number];
  const finished = graph.finish('forward', [
    { name: captured.name, type: 'float32', shape: [batch, channels, rows, columns] },
  ]);
  tracer.stopRecording();
  return finished;
}

/** A variable's values as the graph wants them. */
export function toGraph(values: Float32Array, variable: CapturedVariable): Float32Array {
  return toLayout(values, variable.shape, variable.layout);
}

/** A variable's values from the graph, as TensorFlow.js sees them. */
export function fromGraph(values: Float32Array, variable: CapturedVariable): Float32Array {
  return fromLayout(values, variable.shape, variable.layout);
}
