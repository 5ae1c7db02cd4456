import type { Attributes, ElementType, Initializer, OnnxGraph, OnnxNode, ValueInfo } from './onnx.js';

/**
 * Collects the nodes of one graph while it is traced. Equal nodes (same operator, inputs and attributes) are
 * recorded once; `finish` keeps only what the outputs need.
 */
export class GraphRecorder {
  private readonly nodes: OnnxNode[] = [];
  private readonly initializers = new Map<string, Initializer>();
  private readonly inputs = new Map<string, ValueInfo>();
  private readonly known = new Map<string, readonly string[]>();
  private counter = 0;

  /** Declares an input of the graph. */
  input(info: ValueInfo): void {
    this.inputs.set(info.name, info);
  }

  /** Records one node with one output and returns the output's name. */
  node(op: string, inputs: readonly string[], attributes: Attributes = {}, domain = ''): string {
    return this.nodeWithOutputs(op, inputs, attributes, 1, domain)[0]!;
  }

  /** Records one node with several outputs and returns their names. */
  nodeWithOutputs(
    op: string,
    inputs: readonly string[],
    attributes: Attributes,
    outputs: number,
    domain = '',
  ): readonly string[] {
    const key = JSON.stringify([domain, op, inputs, attributes, outputs]);
    const before = this.known.get(key);
    if (before !== undefined) return before;
    const names = Array.from({ length: outputs }, () => `${op}:${this.counter++}`);
    this.nodes.push({ op, domain, inputs, outputs: names, attributes });
    this.known.set(key, names);
    return names;
  }

  /** A second name for a value: two outputs of a graph must not share one. */
  copy(name: string): string {
    const output = `Identity:${this.counter++}`;
    this.nodes.push({ op: 'Identity', domain: '', inputs: [name], outputs: [output], attributes: {} });
    return output;
  }

  /** Adds a constant of float32 values and returns its name. */
  floats(values: Float32Array, shape: readonly number[]): string {
    return this.constant('float32', values, shape);
  }

  /** Adds a constant list of int64 (axes, pads, shapes) and returns its name; equal lists share one constant. */
  integers(values: readonly number[]): string {
    const key = `int64[${values.join(',')}]`;
    const before = this.known.get(key);
    if (before !== undefined) return before[0]!;
    const name = this.constant('int64', BigInt64Array.from(values, BigInt), [values.length]);
    this.known.set(key, [name]);
    return name;
  }

  /** Adds a scalar float32 constant and returns its name; equal scalars share one constant. */
  scalar(value: number): string {
    const key = `float32(${Object.is(value, -0) ? '-0' : value})`;
    const before = this.known.get(key);
    if (before !== undefined) return before[0]!;
    const name = this.floats(Float32Array.of(value), []);
    this.known.set(key, [name]);
    return name;
  }

  /** The graph of everything that `outputs` depend on, in recorded (topological) order. */
  finish(name: string, outputs: readonly ValueInfo[]): OnnxGraph {
    const needed = new Set(outputs.map((output) => output.name));
    const nodes: OnnxNode[] = [];
    for (const node of this.nodes.toReversed()) {
      if (!node.outputs.some((output) => needed.has(output))) continue;
      nodes.push({ ...node, outputs: trimOutputs(node.outputs, needed) });
      for (const input of node.inputs) needed.add(input);
    }
    return {
      name,
      nodes: nodes.reverse(),
      initializers: [...this.initializers.values()].filter((tensor) => needed.has(tensor.name)),
      inputs: [...this.inputs.values()].filter((input) => needed.has(input.name)),
      outputs,
    };
  }

  private constant(type: ElementType, values: Initializer['values'], shape: readonly number[]): string {
    const name = `constant:${this.counter++}`;
    this.initializers.set(name, { name, type, shape, values });
    return name;
  }
}

/** Trailing outputs that nobody reads are left out: an operator may then choose a faster kernel. */
function trimOutputs(outputs: readonly string[], needed: ReadonlySet<string>): readonly string[] {
  const last = outputs.findLastIndex((output) => needed.has(output));
  return outputs.slice(0, last + 1);
}
