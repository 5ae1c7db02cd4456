/**
 * The float16 form of a network: reads and writes the few protobuf messages of onnx.proto3 that hold tensors and names,
 * and passes everything else on as it is.
 */

/** A network that has no float16 form here; the message says what stands in the way. */
export class NoHalfFormError extends Error {
  override name = 'NoHalfFormError';
}

interface Field {
  number: number;
  /** Content of a field that has a length; empty for others. */
  content: Buffer;
  /** The field as it stands in the file. */
  whole: Buffer;
  /** Value of a varint field. */
  value: number;
}

const VARINT = 0;
const FIXED64 = 1;
const LENGTH = 2;
const FIXED32 = 5;

function fieldsOf(message: Buffer): Field[] {
  const fields: Field[] = [];
  let at = 0;
  function varint(): number {
    let value = 0;
    for (let factor = 1; ; factor *= 128) {
      const byte = message[at++];
      if (byte === undefined) throw new NoHalfFormError('it is no ONNX model');
      value += (byte & 0x7f) * factor;
      if (byte < 0x80) return value;
    }
  }
  while (at < message.length) {
    const from = at;
    const key = varint();
    let content = message.subarray(0, 0);
    let value = 0;
    const kind = key & 7;
    if (kind === VARINT) value = varint();
    else if (kind === LENGTH || kind === FIXED32 || kind === FIXED64) {
      const length = kind === LENGTH ? varint() : kind === FIXED32 ? 4 : 8;
      content = message.subarray(at, at + length);
      at += length;
    } else throw new NoHalfFormError('it is no ONNX model');
    if (at > message.length) throw new NoHalfFormError('it is no ONNX model');
    fields.push({ number: Math.floor(key / 8), content, value, whole: message.subarray(from, at) });
  }
  return fields;
}

function varint(value: number): Buffer {
  const bytes: number[] = [];
  let rest = value;
  for (; rest >= 128; rest = Math.floor(rest / 128)) bytes.push((rest % 128) | 0x80);
  return Buffer.from([...bytes, rest]);
}

const number = (field: number, value: number) => Buffer.concat([varint(field * 8), varint(value)]);
const bytes = (field: number, content: Buffer) =>
  Buffer.concat([varint(field * 8 + LENGTH), varint(content.length), content]);
const text = (field: number, value: string) => bytes(field, Buffer.from(value, 'utf8'));

/** Numbers of the fields of onnx.proto3 that are read or written. */
const MODEL = { graph: 7, functions: 25 } as const;
const GRAPH = {
  node: 1,
  initializer: 5,
  input: 11,
  output: 12,
  valueInfo: 13,
  sparseInitializer: 15,
} as const;
const NODE = { input: 1, output: 2, name: 3, op: 4, attribute: 5, domain: 7 } as const;
const ATTRIBUTE = { name: 1, int: 3, type: 20 } as const;
const TENSOR = { type: 2, floats: 4, name: 8, raw: 9, location: 14 } as const;
const FLOAT = 1;
const FLOAT16 = 10;
const INT_ATTRIBUTE = 2;

/** Operators that compute in float16 when all their floating-point inputs are float16. */
const OPERATORS = new Set([
  'Add',
  'AveragePool',
  'BatchNormalization',
  'Clip',
  'Concat',
  'Conv',
  'ConvTranspose',
  'Div',
  'GlobalAveragePool',
  'LeakyRelu',
  'MaxPool',
  'Mul',
  'Neg',
  'PRelu',
  'Relu',
  'Resize',
  'Sigmoid',
  'Sub',
  'Tanh',
]);

const named = (fields: Field[], field: number) =>
  fields.filter((one) => one.number === field).map(({ content }) => content.toString('utf8'));

/**
 * The same network with weights and activations in float16 (IEEE 754 binary16); inputs and outputs stay float32.
 * @throws NoHalfFormError for operators other than those of convolutional networks, for weights outside float16's
 * range, and for what is no ONNX model
 */
export function halfForm(onnx: Uint8Array): Buffer {
  const model = fieldsOf(Buffer.from(onnx.buffer, onnx.byteOffset, onnx.byteLength));
  if (model.some((field) => field.number === MODEL.functions))
    throw new NoHalfFormError('it has functions of its own');
  if (!model.some((field) => field.number === MODEL.graph)) throw new NoHalfFormError('it is no ONNX model');
  return Buffer.concat(
    model.map((field) =>
      field.number === MODEL.graph ? bytes(MODEL.graph, halfGraph(field.content)) : field.whole,
    ),
  );
}

function halfGraph(content: Buffer): Buffer {
  const graph = fieldsOf(content);
  if (graph.some((field) => field.number === GRAPH.sparseInitializer))
    throw new NoHalfFormError('it has sparse weights');
  const nodes = graph.filter((field) => field.number === GRAPH.node).map((field) => fieldsOf(field.content));
  const initializers = graph.filter((field) => field.number === GRAPH.initializer);
  const constants = new Set(initializers.flatMap((field) => named(fieldsOf(field.content), TENSOR.name)));
  const names = (field: number) =>
    graph.filter((one) => one.number === field).map((one) => named(fieldsOf(one.content), 1)[0]!);
  const inputs = names(GRAPH.input).filter((name) => !constants.has(name));
  const outputs = names(GRAPH.output);
  const half = new Map([...inputs, ...outputs].map((name) => [name, `${name}/float16`]));
  const kept = keptInFloat32(nodes);
  const converted = nodes.map((node) => bytes(GRAPH.node, halfNode(node, half)));
  const rest = graph.flatMap((field) => {
    if (field.number === GRAPH.node || field.number === GRAPH.valueInfo) return [];
    return field.number === GRAPH.initializer
      ? [bytes(GRAPH.initializer, halfTensor(field.content, kept))]
      : [field.whole];
  });
  return Buffer.concat([
    ...inputs.map((name) => cast(name, half.get(name)!, FLOAT16)),
    ...converted,
    ...outputs.map((name) => cast(half.get(name)!, name, FLOAT)),
    ...rest,
  ]);
}

/** The region and the scales of Resize are no pixels: ONNX wants the scales in float32. */
function keptInFloat32(nodes: Field[][]): ReadonlySet<string> {
  const kept = new Set<string>();
  const halved = new Set<string>();
  for (const node of nodes) {
    const resizes = named(node, NODE.op)[0] === 'Resize';
    for (const [at, name] of named(node, NODE.input).entries())
      if (name !== '') (resizes && at > 0 ? kept : halved).add(name);
  }
  for (const name of kept)
    if (halved.has(name)) throw new NoHalfFormError(`${name} is used as pixels and as a scale`);
  return kept;
}

function halfNode(node: Field[], half: ReadonlyMap<string, string>): Buffer {
  const op = named(node, NODE.op)[0] ?? '';
  const domain = named(node, NODE.domain)[0] ?? '';
  if (domain !== '' || !OPERATORS.has(op))
    throw new NoHalfFormError(`its operator ${domain}${op} is not known`);
  return Buffer.concat(
    node.map((field) =>
      field.number === NODE.input || field.number === NODE.output
        ? text(field.number, half.get(field.content.toString('utf8')) ?? field.content.toString('utf8'))
        : field.whole,
    ),
  );
}

function cast(from: string, to: string, type: number): Buffer {
  const attribute = [text(ATTRIBUTE.name, 'to'), number(ATTRIBUTE.int, type)];
  return bytes(
    GRAPH.node,
    Buffer.concat([
      text(NODE.input, from),
      text(NODE.output, to),
      text(NODE.name, `Cast:${to}`),
      text(NODE.op, 'Cast'),
      bytes(NODE.attribute, Buffer.concat([...attribute, number(ATTRIBUTE.type, INT_ATTRIBUTE)])),
    ]),
  );
}

function halfTensor(content: Buffer, kept: ReadonlySet<string>): Buffer {
  const tensor = fieldsOf(content);
  const name = named(tensor, TENSOR.name)[0] ?? '';
  const type = tensor.find((field) => field.number === TENSOR.type)?.value;
  if (tensor.some((field) => field.number === TENSOR.location && field.value !== 0))
    throw new NoHalfFormError(`its weights ${name} lie in another file`);
  if (type !== FLOAT || kept.has(name)) return content;
  const values = Buffer.concat(
    tensor
      .filter((field) => field.number === TENSOR.raw || field.number === TENSOR.floats)
      .map((field) => field.content),
  );
  const halves = Buffer.alloc(values.length / 2);
  for (let at = 0; at < values.length; at += 4) {
    const half = toHalf(values.readFloatLE(at));
    if (half === undefined) throw new NoHalfFormError(`its weights ${name} do not fit float16`);
    halves.writeUInt16LE(half, at / 2);
  }
  const others = tensor.filter(
    (field) => field.number !== TENSOR.raw && field.number !== TENSOR.floats && field.number !== TENSOR.type,
  );
  return Buffer.concat([
    ...others.map((field) => field.whole),
    number(TENSOR.type, FLOAT16),
    bytes(TENSOR.raw, halves),
  ]);
}

const float = new Float32Array(1);
const bits = new Uint32Array(float.buffer);

/** The bits of the nearest float16, ties to even; undefined where there is none (too large, or no number). */
export function toHalf(value: number): number | undefined {
  float[0] = value;
  const sign = (bits[0]! >>> 16) & 0x8000;
  const magnitude = bits[0]! & 0x7fffffff;
  // 65520, from which on rounding gives infinity.
  if (magnitude >= 0x477ff000) return undefined;
  if (magnitude >= 0x38800000) {
    const rounded = magnitude + 0xfff + ((magnitude >>> 13) & 1);
    return sign | ((rounded - 0x38000000) >>> 13);
  }
  // Below 2^-14 float16 counts in steps of 2^-24.
  const steps = Math.abs(float[0]!) * 2 ** 24;
  const below = Math.floor(steps);
  const rest = steps - below;
  return sign | (rest > 0.5 || (rest === 0.5 && below % 2 === 1) ? below + 1 : below);
}
