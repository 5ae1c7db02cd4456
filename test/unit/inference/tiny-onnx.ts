/** Writes tiny ONNX models by hand (onnx.proto3), so that tests know exactly what a network answers. */
import { createHash } from 'node:crypto';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { type LoadedModel, loadModel } from '../../../src/inference/index.js';

function varint(value: number): Buffer {
  const bytes: number[] = [];
  let rest = BigInt.asUintN(64, BigInt(value));
  do {
    const low = Number(rest & 0x7fn);
    rest >>= 7n;
    bytes.push(rest > 0n ? low | 0x80 : low);
  } while (rest > 0n);
  return Buffer.from(bytes);
}

const int = (field: number, value: number): Buffer => Buffer.concat([varint(field << 3), varint(value)]);
const message = (field: number, ...parts: Buffer[]): Buffer => {
  const body = Buffer.concat(parts);
  return Buffer.concat([varint((field << 3) | 2), varint(body.length), body]);
};
const text = (field: number, value: string): Buffer => message(field, Buffer.from(value, 'utf8'));

interface Node {
  op: string;
  inputs: string[];
  output: string;
  /** Attributes whose values are lists of integers. */
  ints?: Record<string, number[]>;
}

const FLOAT = 1;
const INTS = 7;

function node({ op, inputs, output, ints = {} }: Node): Buffer {
  return message(
    1,
    ...inputs.map((name) => text(1, name)),
    text(2, output),
    text(4, op),
    ...Object.entries(ints).map(([name, values]) =>
      message(5, text(1, name), ...values.map((value) => int(8, value)), int(20, INTS)),
    ),
  );
}

function scalar(name: string, value: number): Buffer {
  const raw = Buffer.alloc(4);
  raw.writeFloatLE(value);
  return message(5, int(2, FLOAT), text(8, name), message(9, raw));
}

function tensorOf(field: number, name: string): Buffer {
  const dims = [text(2, 'N'), int(1, 1), text(2, 'H'), text(2, 'W')].map((dim) => message(1, dim));
  return message(field, text(1, name), message(2, message(1, int(1, FLOAT), message(2, ...dims))));
}

export function onnxModel(o: {
  nodes: Node[];
  scalars?: Record<string, number>;
  input?: string;
  output?: string;
}): Buffer {
  return Buffer.concat([
    int(1, 8),
    message(
      7,
      ...o.nodes.map(node),
      text(2, 'tiny'),
      ...Object.entries(o.scalars ?? {}).map(([name, value]) => scalar(name, value)),
      tensorOf(11, o.input ?? 'input'),
      tensorOf(12, o.output ?? 'residual'),
    ),
    message(8, text(1, ''), int(2, 13)),
  ]);
}

/** Answers 0 everywhere. */
export const zeroNetwork = (): Buffer =>
  onnxModel({ nodes: [{ op: 'Sub', inputs: ['input', 'input'], output: 'residual' }] });

/** Answers mean of the 3 × 3 neighbourhood (those inside the image) minus the pixel. */
export const blurNetwork = (): Buffer =>
  onnxModel({
    nodes: [
      {
        op: 'AveragePool',
        inputs: ['input'],
        output: 'mean',
        ints: { kernel_shape: [3, 3], pads: [1, 1, 1, 1] },
      },
      { op: 'Sub', inputs: ['mean', 'input'], output: 'residual' },
    ],
  });

/** Answers the input times a factor. */
export const scalingNetwork = (factor: number): Buffer =>
  onnxModel({
    nodes: [{ op: 'Mul', inputs: ['input', 'factor'], output: 'residual' }],
    scalars: { factor },
  });

/** Writes a model folder around a network, as releases have it; it is removed when the test ends. */
export async function modelFolder(
  t: { after(work: () => unknown): unknown },
  onnx: Buffer,
  changes: Record<string, unknown> = {},
): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'mcnet-model-'));
  t.after(() => rm(folder, { recursive: true, force: true }));
  await writeModel(folder, onnx, changes);
  return folder;
}

export async function writeModel(
  folder: string,
  onnx: Buffer,
  changes: Record<string, unknown> = {},
): Promise<void> {
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, 'model.onnx'), onnx);
  const manifest = {
    name: 'tiny',
    version: '1.0.0',
    sha256: createHash('sha256').update(onnx).digest('hex'),
    input: { channels: 1, multiple: 16, layout: 'NCHW' },
    output: 'residual',
    normalisation: { kind: 'percentile', percentile: 99.5 },
    intended: { modality: 'MR', bodyPart: ['BRAIN', 'HEAD'], contrast: 'T1' },
    ...changes,
  };
  await writeFile(join(folder, 'model.json'), JSON.stringify(manifest, null, 2));
}

export async function tinyModel(
  t: TestContext,
  onnx: Buffer,
  changes: Record<string, unknown> = {},
): Promise<LoadedModel> {
  return loadModel(await modelFolder(t, onnx, changes));
}
