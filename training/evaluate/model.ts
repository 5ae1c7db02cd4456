import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { z } from 'zod';
import * as ort from '../../src/inference/onnxruntime.js';
import { type Normalisation, toNetworkInput } from '../../src/inference/preprocess/index.js';

/** Why a model folder cannot be evaluated: the message names the folder and says what to do. */
export class EvaluationError extends Error {
  override readonly name = 'EvaluationError';
}

const trainingSchema = z.looseObject({
  config: z
    .looseObject({
      loss: z.record(z.string(), z.union([z.number(), z.string()])).optional(),
      seed: z.number().optional(),
    })
    .optional(),
  steps: z.number().optional(),
  slicesSeenAt128: z.number().optional(),
  seconds: z.number().optional(),
  device: z.string().optional(),
});
export type TrainingRecord = z.infer<typeof trainingSchema>;

const manifestSchema = z.looseObject({
  name: z.string().min(1),
  version: z.string().default(''),
  sha256: z.string().default(''),
  input: z.looseObject({ channels: z.literal(1).default(1), multiple: z.int().min(1).max(1024) }),
  output: z.literal('residual'),
  normalisation: z.looseObject({
    kind: z.literal('percentile'),
    percentile: z.number().gt(0).lte(100),
  }),
  network: z.looseObject({ width: z.number().optional(), parameters: z.number().optional() }).optional(),
  training: trainingSchema.optional(),
});

/** What of a model folder the evaluation needs. */
export interface ModelFolder {
  readonly folder: string;
  readonly onnxPath: string;
  readonly name: string;
  readonly version: string;
  /** Of model.onnx. */
  readonly sha256: string;
  /** Rows and columns of the network's input are padded to a multiple of this. */
  readonly multiple: number;
  readonly normalisation: Normalisation;
  readonly width: number | null;
  readonly parameters: number | null;
  /** How it was trained, as the export wrote it. */
  readonly training: TrainingRecord;
}

/**
 * Reads the manifest (model.json) of a model folder and checks that model.onnx is the one it describes.
 *
 * @throws EvaluationError when one of them is missing, the manifest is none, or the digests differ
 */
export function readModelFolder(folder: string): ModelFolder {
  const at = resolve(folder);
  const file = join(at, 'model.json');
  let content: unknown;
  try {
    content = JSON.parse(readFileSync(file, 'utf8'));
  } catch (error) {
    throw new EvaluationError(
      `${file}: no model manifest: ${error instanceof Error ? error.message : String(error)}; give a folder with model.onnx and model.json`,
    );
  }
  const parsed = manifestSchema.safeParse(content);
  if (!parsed.success) {
    const issue = parsed.error.issues[0];
    throw new EvaluationError(
      `${file}: not a manifest of this program: ${issue?.path.join('.') ?? ''}: ${issue?.message ?? ''}`,
    );
  }
  const { name, version, sha256: stated, input, normalisation, network, training } = parsed.data;
  const onnxPath = join(at, 'model.onnx');
  let sha256: string;
  try {
    sha256 = createHash('sha256').update(readFileSync(onnxPath)).digest('hex');
  } catch (error) {
    throw new EvaluationError(
      `${onnxPath}: cannot be read: ${error instanceof Error ? error.message : String(error)}`,
    );
  }
  if (stated !== '' && stated !== sha256) {
    throw new EvaluationError(
      `${onnxPath}: its SHA-256 is ${sha256}, model.json says ${stated}; export the model again`,
    );
  }
  return {
    folder: at,
    onnxPath,
    name,
    version,
    sha256,
    multiple: input.multiple,
    normalisation: { kind: normalisation.kind, percentile: normalisation.percentile },
    width: network?.width ?? null,
    parameters: network?.parameters ?? null,
    training: training ?? {},
  };
}

/** A network ready to correct slices. */
export interface SliceCorrector {
  /**
   * Corrects slices of one size: scaled and padded as the server does it, the residual scaled back and added, values
   * below 0 set to 0. In the slices' own units and without the server's rounding to stored integers.
   */
  correct(slices: readonly Float32Array[], rows: number, columns: number): Promise<Float32Array[]>;
  close(): Promise<void>;
}

/**
 * Opens a model on ONNX Runtime.
 *
 * @param threads of ONNX Runtime's own pool
 * @throws EvaluationError when the runtime refuses the model
 */
export async function openCorrector(model: ModelFolder, threads = 1): Promise<SliceCorrector> {
  let session: ort.InferenceSession;
  try {
    session = await ort.InferenceSession.create(model.onnxPath, {
      executionProviders: ['cpu'],
      intraOpNumThreads: threads,
      interOpNumThreads: 1,
    });
  } catch (error) {
    throw new EvaluationError(
      `${model.onnxPath}: ONNX Runtime cannot load it: ${error instanceof Error ? error.message : String(error)}`,
    );
  }
  return {
    async correct(slices, rows, columns) {
      const inputs = slices.map((slice) =>
        toNetworkInput(slice, rows, columns, {
          multiple: model.multiple,
          normalisation: model.normalisation,
        }),
      );
      const first = inputs[0];
      if (first === undefined) return [];
      const size = first.rows * first.columns;
      const batch = new Float32Array(inputs.length * size);
      inputs.forEach((input, i) => {
        batch.set(input.data, i * size);
      });
      const shape = [inputs.length, 1, first.rows, first.columns];
      const { residual } = await session.run({ input: new ort.Tensor('float32', batch, shape) });
      if (residual === undefined || residual.dims.join() !== shape.join()) {
        throw new EvaluationError(
          `${model.onnxPath}: its output "residual" has the shape [${residual?.dims.join(', ') ?? ''}] for an input of [${shape.join(', ')}]`,
        );
      }
      const change = residual.data as Float32Array;
      return inputs.map((input, i) => {
        const corrected = Float32Array.from(slices[i]!);
        for (let row = 0; row < rows; row++) {
          const from = i * size + (input.top + row) * input.columns + input.left;
          for (let column = 0; column < columns; column++) {
            const at = row * columns + column;
            corrected[at] = Math.max(0, corrected[at]! + change[from + column]! * input.scale);
          }
        }
        return corrected;
      });
    },
    async close() {
      await session.release();
    },
  };
}
