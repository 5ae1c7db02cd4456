import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import * as tf from '@tensorflow/tfjs';
import * as ort from '../../../src/inference/onnxruntime.js';
import {
  captureInference,
  encodeModel,
  inferenceInput,
  inferenceOutput,
  withTracing,
} from '../../compile/index.js';
import { sizeMultiple } from '../../network/index.js';
import { type Checkpoint, readCheckpoint, writeWhole } from '../checkpoint.js';
import { averageName } from '../engine.js';
import { messageOf, TrainingError } from '../errors.js';
import { readStartingWeights } from '../starting-weights.js';
import { type LayersModelFiles, saveLayersModel } from './layers-model.js';
import { type IntendedImages, intendedUse, type ReleaseManifest, type TrainingRecord } from './manifest.js';
import { residualModel } from './residual-model.js';

/** What `releaseModel` is asked to do. */
export interface ReleaseRequest {
  /** The checkpoint; the run's config.json beside it tells device and data. */
  checkpoint: string;
  /** The model's folder: files of the same names in it are replaced, everything else stays. */
  out: string;
  name: string;
  version: string;
  /** A JSON file with the figures of the evaluation. */
  evaluation?: string;
  /** Checkpoints or model folders of the same network, such as an earlier moment of the run: the mean of all is released. */
  meanWith?: readonly string[];
  intended?: IntendedImages;
}

/** The largest difference allowed between the two exported forms, relative to the largest output. */
const parityTolerance = 1e-4;

/**
 * Turns a checkpoint into a model folder: model.onnx (batch normalisation folded, averaged weights, dynamic N, H
 * and W), tfjs/ (the layers model) and the manifest model.json. Nothing is written before both forms were found to
 * give the same output. The manifest is written last and holds the digests of the others, so that an export that
 * was interrupted is found by its reader.
 *
 * @returns the manifest, and the largest difference of the two forms relative to the largest output
 * @throws TrainingError when the checkpoint cannot be read, holds weights that are no numbers, the two forms
 * disagree, or the folder cannot be written
 */
export async function releaseModel(
  request: ReleaseRequest,
): Promise<{ manifest: ReleaseManifest; difference: number }> {
  for (const [what, value] of [
    ['name', request.name],
    ['version', request.version],
  ] as const) {
    if (/^[A-Za-z0-9][A-Za-z0-9.+_-]{0,63}$/.test(value)) continue;
    throw new TrainingError(
      `the ${what} '${value}' of a model must be 1 to 64 letters, digits, dots, dashes and underscores`,
    );
  }
  const meanWith = request.meanWith ?? [];
  const checkpoint = meanOf(readCheckpoint(request.checkpoint), meanWith);
  checkFinite(checkpoint, request.checkpoint);
  const evaluation = request.evaluation === undefined ? undefined : readJson(request.evaluation);
  const onnx = exportOnnx(checkpoint, request.checkpoint);
  const { files, parameters, probe } = await exportLayersModel(checkpoint, request.checkpoint);
  const difference = await compareForms(onnx, probe);
  if (!(difference <= parityTolerance)) {
    throw new TrainingError(
      `the exported forms of ${request.checkpoint} disagree by ${difference.toExponential(1)} of the largest output: nothing was written; this is a mistake in the exporter`,
    );
  }
  const manifest: ReleaseManifest = {
    name: request.name,
    version: request.version,
    sha256: sha256(onnx),
    tfjs: Object.fromEntries(Object.entries(files).map(([name, bytes]) => [name, sha256(bytes)])),
    input: { channels: 1, multiple: sizeMultiple(checkpoint.config.network), layout: 'NCHW' },
    output: 'residual',
    normalisation: checkpoint.config.normalisation,
    network: { ...checkpoint.config.network, parameters },
    training: {
      ...trainingRecord(checkpoint, request.checkpoint),
      ...(meanWith.length === 0 ? {} : { meanOf: 1 + meanWith.length }),
    },
    ...(evaluation === undefined ? {} : { evaluation }),
    intended: { ...intendedUse, ...request.intended },
  };
  writeWhole(join(request.out, 'model.onnx'), [onnx]);
  for (const [name, bytes] of Object.entries(files)) writeWhole(join(request.out, 'tfjs', name), [bytes]);
  writeWhole(join(request.out, 'model.json'), [Buffer.from(`${JSON.stringify(manifest, null, 2)}\n`)]);
  return { manifest, difference };
}

/** The checkpoint with the mean of its averaged weights and those of others. @throws TrainingError for another network */
function meanOf(checkpoint: Checkpoint, others: readonly string[]): Checkpoint {
  if (others.length === 0) return checkpoint;
  const all = others.map((path) => {
    const { network, values } = readStartingWeights(path);
    if (!isDeepStrictEqual(network, checkpoint.config.network)) {
      throw new TrainingError(`${path} holds another network: there is no mean of both`);
    }
    return values;
  });
  const variables = new Map(checkpoint.variables);
  for (const name of all[0]!.keys()) {
    const own = checkpoint.variables.get(averageName(name))!;
    const values = own.values.map(
      (value, i) => all.reduce((sum, other) => sum + other.get(name)![i]!, value) / (1 + all.length),
    );
    variables.set(averageName(name), { ...own, values });
  }
  return { ...checkpoint, variables };
}

/** The inference graph of a checkpoint as an ONNX model. */
export function exportOnnx(checkpoint: Checkpoint, file: string): Uint8Array<ArrayBuffer> {
  return withTracing((tracer) => {
    const model = residualModel(checkpoint, file);
    const graph = captureInference(
      tracer,
      sizeMultiple(checkpoint.config.network),
      (image) => model.apply(image, { training: false }) as tf.Tensor,
    );
    model.dispose();
    return encodeModel(graph);
  });
}

interface Probe {
  shape: readonly [number, number, number, number];
  image: Float32Array;
  residual: Float32Array;
}

async function exportLayersModel(
  checkpoint: Checkpoint,
  file: string,
): Promise<{ files: LayersModelFiles; parameters: number; probe: Probe }> {
  await tf.setBackend('cpu');
  const model = residualModel(checkpoint, file);
  const files = await saveLayersModel(model);
  const side = 2 * sizeMultiple(checkpoint.config.network);
  const image = Float32Array.from(
    { length: side * side },
    (_, i) => 0.5 + 0.5 * Math.sin(i * 0.37 + i ** 1.5),
  );
  const residual = tf.tidy(() => {
    const output = model.apply(tf.tensor4d(image, [1, side, side, 1]), { training: false }) as tf.Tensor;
    return Float32Array.from(output.dataSync());
  });
  const parameters = model.countParams();
  model.dispose();
  return { files, parameters, probe: { shape: [1, 1, side, side], image, residual } };
}

/** The largest difference between the ONNX model's output and the layers model's, relative to the largest output. */
async function compareForms(onnx: Uint8Array, probe: Probe): Promise<number> {
  const session = await ort.InferenceSession.create(onnx, { intraOpNumThreads: 1 });
  const outputs = await session.run({
    [inferenceInput]: new ort.Tensor('float32', probe.image, probe.shape),
  });
  const residual = outputs[inferenceOutput]!.data as Float32Array;
  await session.release();
  let difference = 0;
  let largest = 1e-3;
  residual.forEach((value, i) => {
    difference = Math.max(difference, Math.abs(value - probe.residual[i]!));
    largest = Math.max(largest, Math.abs(value));
  });
  return difference / largest;
}

function trainingRecord(checkpoint: Checkpoint, file: string): TrainingRecord {
  const { progress } = checkpoint;
  const { network: _network, normalisation: _normalisation, ...config } = checkpoint.config;
  const run = readRunRecord(join(dirname(file), 'config.json'));
  return {
    config,
    data: {
      training: checkpoint.dataDigest.split('+'),
      ...(run.validation === undefined ? {} : { validation: run.validation.split('+') }),
      ...(run.slices === undefined ? {} : { slices: run.slices }),
    },
    epochs: progress.epoch,
    steps: progress.step,
    ...(progress.slices === undefined ? {} : { slicesSeen: progress.slices }),
    slicesSeenAt128: progress.step * checkpoint.config.batch,
    seconds: Math.round(progress.seconds),
    ...(run.device === undefined ? {} : { device: run.device }),
  };
}

/** What the run's config.json tells; nothing when the checkpoint lies elsewhere. */
function readRunRecord(file: string): { device?: string; validation?: string; slices?: number } {
  let record: { device?: unknown; data?: { validation?: unknown; slices?: unknown } };
  try {
    record = JSON.parse(readFileSync(file, 'utf8')) as typeof record;
  } catch {
    return {};
  }
  const { device, data } = record;
  return {
    ...(typeof device === 'string' ? { device } : {}),
    ...(typeof data?.validation === 'string' ? { validation: data.validation } : {}),
    ...(typeof data?.slices === 'number' ? { slices: data.slices } : {}),
  };
}

function checkFinite(checkpoint: Checkpoint, file: string): void {
  for (const [name, { values }] of checkpoint.variables) {
    if (!name.endsWith(averageName(''))) continue;
    if (values.every(Number.isFinite)) continue;
    throw new TrainingError(
      `${file}: the averaged weight ${name} holds values that are no numbers; release an earlier checkpoint`,
    );
  }
}

function readJson(file: string): unknown {
  try {
    return JSON.parse(readFileSync(file, 'utf8'));
  } catch (error) {
    throw new TrainingError(`${file} cannot be read as JSON: ${messageOf(error)}`);
  }
}

function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}
