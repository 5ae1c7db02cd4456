import type * as tf from '@tensorflow/tfjs';
import type { TracingBackend } from './backend.js';
import { captureForward } from './capture.js';
import type { Initializer, OnnxGraph, OnnxNode } from './onnx.js';

/** Names of the inference graph's input and output. */
export const inferenceInput = 'input';
export const inferenceOutput = 'residual';

/**
 * Records a trained network as an inference graph: input `input` [N, 1, H, W], output `residual` [N, 1, H, W],
 * any N, and any H and W that are multiples of `multiple`; batch normalisation folded into the convolutions. The
 * network is traced at two shapes, which proves that nothing in the graph depends on the shape.
 *
 * @param forward from [N, rows, columns, 1] to the residual of the same shape
 * @throws when the graph depends on the shape of its input
 */
export function captureInference(
  tracer: TracingBackend,
  multiple: number,
  forward: (image: tf.Tensor4D) => tf.Tensor,
): OnnxGraph {
  const first = captureForward(tracer, [1, 2 * multiple, 3 * multiple, 1], forward);
  const second = captureForward(tracer, [2, 3 * multiple, multiple, 1], forward);
  if (!sameComputation(first, second)) {
    throw new Error(
      'the network computes differently for images of another shape: it cannot be exported with dynamic dimensions',
    );
  }
  const result = first.outputs[0]!.name;
  const shape = ['N', 1, 'H', 'W'] as const;
  const renamed = (name: string) => (name === result ? inferenceOutput : name);
  return foldBatchNormalisation({
    ...first,
    nodes: first.nodes.map((node) => ({
      ...node,
      inputs: node.inputs.map(renamed),
      outputs: node.outputs.map(renamed),
    })),
    inputs: [{ name: inferenceInput, type: 'float32', shape }],
    outputs: [{ name: inferenceOutput, type: 'float32', shape }],
  });
}

function sameComputation(a: OnnxGraph, b: OnnxGraph): boolean {
  if (JSON.stringify(a.nodes) !== JSON.stringify(b.nodes)) return false;
  return (
    a.initializers.length === b.initializers.length &&
    a.initializers.every((tensor, index) => {
      const other = b.initializers[index]!;
      return (
        tensor.name === other.name &&
        tensor.shape.join() === other.shape.join() &&
        tensor.values.every((value, i) => value === other.values[i])
      );
    })
  );
}

/**
 * Replaces every convolution followed by a batch normalisation, both of constant weights, by one convolution:
 * W′ = W · γ/√(σ² + ε), b′ = β + (b − μ) · γ/√(σ² + ε), computed in double precision.
 */
export function foldBatchNormalisation(graph: OnnxGraph): OnnxGraph {
  const initializers = new Map(graph.initializers.map((tensor) => [tensor.name, tensor]));
  const producers = new Map(graph.nodes.flatMap((node) => node.outputs.map((output) => [output, node])));
  const readers = new Map<string, number>();
  for (const name of [
    ...graph.nodes.flatMap((node) => node.inputs),
    ...graph.outputs.map(({ name }) => name),
  ]) {
    readers.set(name, (readers.get(name) ?? 0) + 1);
  }
  const replaced = new Map<OnnxNode, OnnxNode | undefined>();
  for (const node of graph.nodes) {
    if (node.op !== 'BatchNormalization') continue;
    const convolution = producers.get(node.inputs[0]!);
    if (convolution?.op !== 'Conv' || readers.get(node.inputs[0]!) !== 1) continue;
    const constants = [...convolution.inputs.slice(1), ...node.inputs.slice(1)].map((name) =>
      initializers.get(name),
    );
    if (constants.some((tensor) => tensor === undefined)) continue;
    const bias = convolution.inputs[2];
    const [gamma, beta, mean, variance] = node.inputs.slice(1).map((name) => initializers.get(name)!.values);
    const epsilon = node.attributes.epsilon;
    const { weights, offsets } = foldWeights(
      initializers.get(convolution.inputs[1]!)!,
      bias === undefined ? undefined : initializers.get(bias)!,
      {
        gamma: gamma as Float32Array,
        beta: beta as Float32Array,
        mean: mean as Float32Array,
        variance: variance as Float32Array,
      },
      epsilon?.kind === 'float' ? epsilon.value : 1e-5,
    );
    const output = node.outputs[0]!;
    const [weightName, offsetName] = [`${output}/weights`, `${output}/bias`];
    initializers.set(weightName, { ...weights, name: weightName });
    initializers.set(offsetName, { ...offsets, name: offsetName });
    replaced.set(convolution, undefined);
    replaced.set(node, {
      ...convolution,
      inputs: [convolution.inputs[0]!, weightName, offsetName],
      outputs: [output],
    });
  }
  const nodes = graph.nodes.flatMap((node) => {
    const now = replaced.has(node) ? replaced.get(node) : node;
    return now === undefined ? [] : [now];
  });
  const read = new Set(nodes.flatMap((node) => node.inputs));
  return {
    ...graph,
    nodes,
    initializers: [...initializers.values()].filter((tensor) => read.has(tensor.name)),
  };
}

type NormalisationConstants = Record<'gamma' | 'beta' | 'mean' | 'variance', Float32Array>;

function foldWeights(
  weights: Initializer,
  bias: Initializer | undefined,
  { gamma, beta, mean, variance }: NormalisationConstants,
  epsilon: number,
): { weights: Omit<Initializer, 'name'>; offsets: Omit<Initializer, 'name'> } {
  const outputs = weights.shape[0]!;
  const size = weights.values.length / outputs;
  const folded = new Float32Array(weights.values.length);
  const offsets = new Float32Array(outputs);
  for (let output = 0; output < outputs; output += 1) {
    const factor = gamma[output]! / Math.sqrt(variance[output]! + epsilon);
    for (let i = output * size; i < (output + 1) * size; i += 1) {
      folded[i] = Number(weights.values[i]) * factor;
    }
    const before = bias === undefined ? 0 : Number(bias.values[output]);
    offsets[output] = beta[output]! + (before - mean[output]!) * factor;
  }
  return {
    weights: { type: 'float32', shape: weights.shape, values: folded },
    offsets: { type: 'float32', shape: [outputs], values: offsets },
  };
}
