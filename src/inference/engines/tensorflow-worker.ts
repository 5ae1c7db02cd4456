/** The thread of the TensorFlow.js engine: loads the layers model and predicts. */
import { readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { parentPort, workerData } from 'node:worker_threads';
import type { LaneReply, LaneRequest, TensorflowLaneOptions } from './lane.js';

/** The part of TensorFlow.js that is used; the package is an optional peer, so its types cannot be imported. */
interface TfTensor {
  data(): Promise<Float32Array>;
  shape: number[];
  dispose(): void;
}
interface TfLayersModel {
  predict(input: TfTensor): TfTensor | TfTensor[];
}
interface Tf {
  version: Record<string, string>;
  ready(): Promise<void>;
  getBackend(): string;
  tensor4d(data: Float32Array, shape: number[]): TfTensor;
  loadLayersModel(handler: { load(): Promise<unknown> }): Promise<TfLayersModel>;
}

interface LayersModelFile {
  modelTopology: unknown;
  format?: string;
  weightsManifest: { paths: string[]; weights: unknown[] }[];
}

const options = workerData as TensorflowLaneOptions;
const port = parentPort!;

function reply(message: LaneReply, transfer: ArrayBuffer[] = []): void {
  port.postMessage(message, transfer);
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message.trim() : String(error);
}

/** The first of the packages that can be loaded. */
async function loadTensorflow(): Promise<{ tf: Tf; name: string }> {
  const refused: string[] = [];
  for (const name of options.packages) {
    try {
      const module = (await import(name)) as Tf & { default?: Tf };
      return { tf: module.default ?? module, name };
    } catch (error) {
      refused.push(`${name}: ${messageOf(error).split('\n')[0]}`);
    }
  }
  throw new Error(
    `none of ${options.packages.join(', ')} can be loaded. It is optional and needs Node 22 or older: ` +
      `deploy/build-tensorflow.sh installs it, or choose another engine. (${refused.join('; ')})`,
  );
}

/** Reads model.json and its weight files into TensorFlow.js' model artefacts. */
async function readArtefacts(path: string): Promise<unknown> {
  let file: LayersModelFile;
  try {
    file = JSON.parse(await readFile(path, 'utf8')) as LayersModelFile;
  } catch (error) {
    throw new Error(`the model has no TensorFlow.js form: ${path} cannot be read (${messageOf(error)})`);
  }
  const parts = await Promise.all(
    file.weightsManifest.flatMap((group) => group.paths.map((name) => readFile(join(dirname(path), name)))),
  );
  const weights = Buffer.concat(parts);
  return {
    modelTopology: file.modelTopology,
    format: file.format,
    weightSpecs: file.weightsManifest.flatMap((group) => group.weights),
    weightData: weights.buffer.slice(weights.byteOffset, weights.byteOffset + weights.byteLength),
  };
}

try {
  const { tf, name } = await loadTensorflow();
  await tf.ready();
  const artefacts = await readArtefacts(options.modelPath);
  const model = await tf.loadLayersModel({ load: () => Promise.resolve(artefacts) });
  let last = Promise.resolve();
  port.on('message', (request: LaneRequest) => {
    if (request === 'close') {
      void last.finally(() => process.exit(0));
      return;
    }
    last = last.then(async () => {
      try {
        const [n, , rows, columns] = request.shape;
        // With one channel, [n, 1, rows, columns] and [n, rows, columns, 1] are the same values in the same order.
        const input = tf.tensor4d(request.data, [n, rows, columns, 1]);
        const output = model.predict(input);
        input.dispose();
        if (Array.isArray(output))
          throw new Error(`the layers model has ${output.length} outputs, expected one`);
        const answer = Float32Array.from(await output.data());
        output.dispose();
        if (answer.length !== n * rows * columns) {
          throw new Error(
            `the layers model answered shape [${output.shape}] to [${n}, ${rows}, ${columns}, 1]`,
          );
        }
        reply({ kind: 'result', id: request.id, data: answer }, [answer.buffer]);
      } catch (error) {
        reply({ kind: 'error', id: request.id, message: messageOf(error) });
      }
    });
  });
  const version = tf.version.tfjs ?? tf.version['tfjs-core'] ?? '';
  reply({ kind: 'ready', info: { version, provider: name, device: tf.getBackend() } });
} catch (error) {
  reply({ kind: 'unusable', message: messageOf(error) });
}
