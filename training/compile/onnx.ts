/**
 * A writer of ONNX models: the few protobuf messages of onnx.proto3 that a graph of tensors needs
 * (ModelProto, GraphProto, NodeProto, AttributeProto, TensorProto, ValueInfoProto).
 */

/** The element types used here, with their TensorProto.DataType numbers. */
export const elementTypes = { float32: 1, int32: 6, int64: 7, bool: 9 } as const;
export type ElementType = keyof typeof elementTypes;

export type Attribute =
  | { kind: 'int'; value: number }
  | { kind: 'float'; value: number }
  | { kind: 'string'; value: string }
  | { kind: 'ints'; value: readonly number[] }
  | { kind: 'floats'; value: readonly number[] }
  | { kind: 'graph'; value: OnnxGraph };

export type Attributes = Readonly<Record<string, Attribute>>;

export interface OnnxNode {
  op: string;
  /** The operator's domain; empty for ONNX's own. */
  domain: string;
  inputs: readonly string[];
  outputs: readonly string[];
  attributes: Attributes;
}

export interface Initializer {
  name: string;
  type: ElementType;
  shape: readonly number[];
  values: Float32Array | Int32Array | BigInt64Array;
}

/** An input or output of the graph; a string names a dimension that may vary from run to run. */
export interface ValueInfo {
  name: string;
  type: ElementType;
  shape: readonly (number | string)[];
}

export interface OnnxGraph {
  name: string;
  nodes: readonly OnnxNode[];
  initializers: readonly Initializer[];
  inputs: readonly ValueInfo[];
  outputs: readonly ValueInfo[];
}

export const int = (value: number): Attribute => ({ kind: 'int', value });
export const float = (value: number): Attribute => ({ kind: 'float', value });
export const text = (value: string): Attribute => ({ kind: 'string', value });
export const ints = (...value: number[]): Attribute => ({ kind: 'ints', value });
export const subgraph = (value: OnnxGraph): Attribute => ({ kind: 'graph', value });

const opset = 18;
const irVersion = 8;

/** Serialises a graph as an ONNX model of opset 18 (with `com.microsoft` operators at version 1). */
export function encodeModel(graph: OnnxGraph): Uint8Array<ArrayBuffer> {
  const domains = new Set(domainsOf(graph).filter((domain) => domain !== ''));
  return concatenate([
    varintField(1, irVersion),
    stringField(2, 'mcnet'),
    messageField(7, encodeGraph(graph)),
    messageField(8, [varintField(2, opset)]),
    ...[...domains].map((domain) => messageField(8, [stringField(1, domain), varintField(2, 1)])),
  ]);
}

function domainsOf(graph: OnnxGraph): string[] {
  return graph.nodes.flatMap(({ domain, attributes }) => [
    domain,
    ...Object.values(attributes).flatMap((one) => (one.kind === 'graph' ? domainsOf(one.value) : [])),
  ]);
}

function encodeGraph(graph: OnnxGraph): Uint8Array[] {
  return [
    ...graph.nodes.map((node, index) => messageField(1, encodeNode(node, index))),
    stringField(2, graph.name),
    ...graph.initializers.map((tensor) => messageField(5, encodeTensor(tensor))),
    ...graph.inputs.map((value) => messageField(11, encodeValueInfo(value))),
    ...graph.outputs.map((value) => messageField(12, encodeValueInfo(value))),
  ];
}

function encodeNode(node: OnnxNode, index: number): Uint8Array[] {
  return [
    ...node.inputs.map((name) => stringField(1, name)),
    ...node.outputs.map((name) => stringField(2, name)),
    stringField(3, `${node.op}_${index}`),
    stringField(4, node.op),
    ...Object.entries(node.attributes).map(([name, attribute]) =>
      messageField(5, encodeAttribute(name, attribute)),
    ),
    ...(node.domain === '' ? [] : [stringField(7, node.domain)]),
  ];
}

function encodeAttribute(name: string, attribute: Attribute): Uint8Array[] {
  const named = stringField(1, name);
  switch (attribute.kind) {
    case 'float':
      return [named, floatField(2, attribute.value), varintField(20, 1)];
    case 'int':
      return [named, varintField(3, attribute.value), varintField(20, 2)];
    case 'string':
      return [named, stringField(4, attribute.value), varintField(20, 3)];
    case 'floats':
      return [named, ...attribute.value.map((value) => floatField(7, value)), varintField(20, 6)];
    case 'ints':
      return [named, ...attribute.value.map((value) => varintField(8, value)), varintField(20, 7)];
    case 'graph':
      return [named, messageField(6, encodeGraph(attribute.value)), varintField(20, 5)];
  }
}

function encodeTensor(tensor: Initializer): Uint8Array[] {
  const { values } = tensor;
  return [
    ...tensor.shape.map((size) => varintField(1, size)),
    varintField(2, elementTypes[tensor.type]),
    stringField(8, tensor.name),
    bytesField(9, new Uint8Array(values.buffer, values.byteOffset, values.byteLength)),
  ];
}

function encodeValueInfo(value: ValueInfo): Uint8Array[] {
  const dimensions = value.shape.map((size) =>
    messageField(1, [typeof size === 'number' ? varintField(1, size) : stringField(2, size)]),
  );
  const tensorType = [varintField(1, elementTypes[value.type]), messageField(2, dimensions)];
  return [stringField(1, value.name), messageField(2, [messageField(1, tensorType)])];
}

function varint(value: number): Uint8Array {
  let rest = BigInt.asUintN(64, BigInt(value));
  const bytes: number[] = [];
  do {
    const low = Number(rest & 0x7fn);
    rest >>= 7n;
    bytes.push(rest > 0n ? low | 0x80 : low);
  } while (rest > 0n);
  return Uint8Array.from(bytes);
}

function varintField(field: number, value: number): Uint8Array {
  return concatenate([varint(field << 3), varint(value)]);
}

function floatField(field: number, value: number): Uint8Array {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setFloat32(0, value, true);
  return concatenate([varint((field << 3) | 5), bytes]);
}

function bytesField(field: number, bytes: Uint8Array): Uint8Array {
  return concatenate([varint((field << 3) | 2), varint(bytes.length), bytes]);
}

function stringField(field: number, value: string): Uint8Array {
  return bytesField(field, new TextEncoder().encode(value));
}

function messageField(field: number, parts: readonly Uint8Array[]): Uint8Array {
  return bytesField(field, concatenate(parts));
}

function concatenate(parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let offset = 0;
  for (const part of parts) {
    whole.set(part, offset);
    offset += part.length;
  }
  return whole;
}
