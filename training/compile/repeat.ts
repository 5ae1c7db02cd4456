import type { CapturedStep } from './capture.js';
import { int, type OnnxGraph, type OnnxNode, subgraph, type ValueInfo } from './onnx.js';

/** The input of a repeated step that says how many steps to run, an int64 scalar. */
export const stepCount = 'steps';

/**
 * The step in an ONNX Loop: one run does any number of steps, one after the other, and only its first and last
 * variables leave the device. Step i takes entry i of each input's new first dimension; each reported result gets
 * the same dimension.
 */
export function repeatStep(step: CapturedStep): CapturedStep {
  const assigned = step.variables.filter((variable) => variable.output !== undefined);
  const carried = new Set(assigned.map(({ name }) => name));
  const infoOf = new Map([...step.graph.inputs, ...step.graph.outputs].map((info) => [info.name, info]));
  const inBody = (name: string): string => (carried.has(name) || name in step.inputs ? `body/${name}` : name);

  const iteration: ValueInfo = { name: 'body/iteration', type: 'int64', shape: [] };
  const goOn: ValueInfo = { name: 'body/go_on', type: 'bool', shape: [] };
  const stillGoOn: ValueInfo = { name: 'body/still_go_on', type: 'bool', shape: [] };
  const entries = Object.keys(step.inputs).map((name) =>
    nodeOf('Gather', [name, iteration.name], [inBody(name)], { axis: int(0) }),
  );
  const newValues = assigned.map(({ output }) => infoOf.get(output!)!);
  const results = Object.values(step.outputs).map((name) => infoOf.get(name)!);
  const body: OnnxGraph = {
    name: 'one_step',
    nodes: [
      nodeOf('Identity', [goOn.name], [stillGoOn.name]),
      ...entries,
      ...step.graph.nodes.map((node) => ({ ...node, inputs: node.inputs.map(inBody) })),
    ],
    initializers: step.graph.initializers,
    inputs: [iteration, goOn, ...assigned.map(({ name }) => ({ ...infoOf.get(name)!, name: inBody(name) }))],
    outputs: [stillGoOn, ...newValues, ...results],
  };

  const after = (name: string): string => `after/${name}`;
  const stacked = (info: ValueInfo): ValueInfo => ({ ...info, shape: ['count', ...info.shape] });
  const loop: OnnxNode = nodeOf(
    'Loop',
    [stepCount, '', ...assigned.map(({ name }) => name)],
    [...newValues, ...results].map(({ name }) => after(name)),
    { body: subgraph(body) },
  );
  return {
    ...step,
    repeated: true,
    graph: {
      name: 'steps',
      nodes: [loop],
      initializers: [],
      inputs: [
        { name: stepCount, type: 'int64', shape: [] },
        ...step.graph.inputs.map((info) => (info.name in step.inputs ? stacked(info) : info)),
      ],
      outputs: [
        ...newValues.map((info) => ({ ...info, name: after(info.name) })),
        ...results.map((info) => ({ ...stacked(info), name: after(info.name) })),
      ],
    },
    variables: step.variables.map((variable) =>
      variable.output === undefined ? variable : { ...variable, output: after(variable.output) },
    ),
    outputs: Object.fromEntries(Object.entries(step.outputs).map(([name, output]) => [name, after(output)])),
  };
}

function nodeOf(
  op: string,
  inputs: readonly string[],
  outputs: readonly string[],
  attributes: OnnxNode['attributes'] = {},
): OnnxNode {
  return { op, domain: '', inputs, outputs, attributes };
}
