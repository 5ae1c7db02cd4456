import * as ort from '../../src/inference/onnxruntime.js';
import { encodeModel, type ValueInfo } from './onnx.js';
import { runtimeOptions } from './provider.js';

/**
 * Copies tensors from a WebGPU device to the host, by a graph that hands them through: onnxruntime-node 1.30 ends the
 * process when such a tensor's `getData` is called.
 */
export class ReadBack {
  private session: ort.InferenceSession | undefined;
  private known = '';

  /** The values of all tensors by their names. */
  async values(tensors: ReadonlyMap<string, ort.Tensor>): Promise<Map<string, Float32Array>> {
    if (tensors.size === 0) return new Map();
    const shapes = [...tensors].map(
      ([name, { dims }]): ValueInfo => ({ name, type: 'float32', shape: [...dims] }),
    );
    const key = JSON.stringify(shapes);
    if (key !== this.known) {
      await this.release();
      this.session = await ort.InferenceSession.create(handThrough(shapes), {
        ...runtimeOptions({ provider: 'webgpu' }),
        preferredOutputLocation: 'cpu',
      });
      this.known = key;
    }
    const fetched = await this.session!.run(Object.fromEntries(tensors));
    return new Map(
      [...tensors.keys()].map((name) => [
        name,
        Float32Array.from(fetched[copyOf(name)]!.data as Float32Array),
      ]),
    );
  }

  async release(): Promise<void> {
    await this.session?.release();
    this.session = undefined;
    this.known = '';
  }
}

const copyOf = (name: string): string => `copy/${name}`;

function handThrough(inputs: readonly ValueInfo[]): Uint8Array<ArrayBuffer> {
  return encodeModel({
    name: 'copy',
    nodes: inputs.map(({ name }) => ({
      op: 'Identity',
      domain: '',
      inputs: [name],
      outputs: [copyOf(name)],
      attributes: {},
    })),
    initializers: [],
    inputs,
    outputs: inputs.map((info) => ({ ...info, name: copyOf(info.name) })),
  });
}
