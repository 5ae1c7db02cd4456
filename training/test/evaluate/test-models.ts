import { createHash } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { encodeModel, ints, type OnnxNode } from '../../compile/onnx.js';

/** Writes a model folder whose residual is a 3 × 3 filter of its input (row-major, zero beyond the border). */
export function writeFilterModel(folder: string, filter: readonly number[], name = 'filter'): string {
  const node: OnnxNode = {
    op: 'Conv',
    domain: '',
    inputs: ['input', 'filter'],
    outputs: ['residual'],
    attributes: { pads: ints(1, 1, 1, 1) },
  };
  const shape = ['n', 1, 'h', 'w'] as const;
  const model = encodeModel({
    name,
    nodes: [node],
    initializers: [
      { name: 'filter', type: 'float32', shape: [1, 1, 3, 3], values: Float32Array.from(filter) },
    ],
    inputs: [{ name: 'input', type: 'float32', shape }],
    outputs: [{ name: 'residual', type: 'float32', shape }],
  });
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, 'model.onnx'), model);
  writeFileSync(
    join(folder, 'model.json'),
    JSON.stringify({
      name,
      version: '1',
      sha256: createHash('sha256').update(model).digest('hex'),
      input: { channels: 1, multiple: 16, layout: 'NCHW' },
      output: 'residual',
      normalisation: { kind: 'percentile', percentile: 99.5 },
    }),
  );
  return folder;
}

/** Residual 0: the corrected image is the corrupted one. */
export const NOTHING = [0, 0, 0, 0, 0, 0, 0, 0, 0];
/** Takes a quarter of every pixel away. */
export const DARKER = [0, 0, 0, 0, -0.25, 0, 0, 0, 0];
/** Leaves nothing of the image. */
export const ERASED = [0, 0, 0, 0, -1, 0, 0, 0, 0];
/** Every pixel becomes the one above it and to its left. */
export const SHIFTED = [1, 0, 0, 0, -1, 0, 0, 0, 0];
