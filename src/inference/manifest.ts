import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { basename, join, resolve } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { z } from 'zod';

/** A model folder that cannot be used; the message names the folder, what is wrong and what to do. */
export class ModelError extends Error {
  override name = 'ModelError';
  constructor(
    readonly code: 'missing' | 'invalid' | 'digest',
    message: string,
  ) {
    super(message);
  }
}

/**
 * What a released model says about itself (`model.json`). The keys that inference depends on are checked; what
 * else a model card wants to say (training data, figures, licence) is kept as it is.
 */
export const modelManifestSchema = z.looseObject({
  /** The model's name; the folder carries it too, and derived UIDs depend on it. */
  name: z
    .string()
    .regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/, 'letters, digits, dot, dash and underscore; 64 at most'),
  version: z
    .string()
    .regex(
      /^[A-Za-z0-9][A-Za-z0-9.+_-]{0,63}$/,
      'letters, digits, dot, plus, dash and underscore; 64 at most',
    ),
  /** SHA-256 of model.onnx, lower case hexadecimal. */
  sha256: z.string().regex(/^[0-9a-f]{64}$/, '64 lower case hexadecimal digits'),
  input: z.looseObject({
    channels: z.literal(1),
    /** Rows and columns of the network's input are multiples of this (2 to the power of its poolings). */
    multiple: z.int().min(1).max(1024),
    layout: z.literal('NCHW'),
  }),
  /** The network's answer is added to its input. */
  output: z.literal('residual'),
  normalisation: z.looseObject({
    kind: z.literal('percentile'),
    percentile: z.number().gt(0).lte(100),
  }),
  intended: z.looseObject({
    modality: z.string().min(1),
    bodyPart: z.array(z.string()),
    contrast: z.string(),
    /** Rows and columns, from least to most; absent: any. */
    matrix: z.tuple([z.int().min(1), z.int().min(1)]).optional(),
    /** Planes of the slices; absent: any. */
    planes: z.array(z.enum(['sagittal', 'coronal', 'axial'])).optional(),
  }),
  /** Weights of the estimate of severity, for a model that the built-in ones do not fit. */
  severity: z.object({ residual: z.number(), ghosts: z.number(), offset: z.number() }).optional(),
});
export type ModelManifest = z.infer<typeof modelManifestSchema>;

/** A model folder whose manifest is valid and whose weights are the ones the manifest names. */
export interface LoadedModel {
  manifest: ModelManifest;
  /** Absolute path of the folder. */
  folder: string;
  /** Absolute path of model.onnx. */
  onnxPath: string;
  /** Absolute path of the TensorFlow.js layers model's model.json; the file is there only in models that ship one. */
  tfjsPath: string;
}

async function sha256OfFile(path: string): Promise<string> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(path), hash);
  return hash.digest('hex');
}

/**
 * Reads a model folder (`model.json`, `model.onnx`) and checks that the weights are the manifest's by their SHA-256.
 * @throws ModelError naming the folder, what is wrong with it and what to do
 */
export async function loadModel(folder: string): Promise<LoadedModel> {
  const at = resolve(folder);
  const manifestPath = join(at, 'model.json');
  const onnxPath = join(at, 'model.onnx');
  let text: string;
  try {
    text = await readFile(manifestPath, 'utf8');
  } catch (error) {
    throw new ModelError(
      'missing',
      `no model in ${at}: ${manifestPath} cannot be read (${(error as NodeJS.ErrnoException).code ?? error}). ` +
        'Train and release one with the training package, or name the folder of a released model in the configuration.',
    );
  }
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (error) {
    throw new ModelError(
      'invalid',
      `${manifestPath} is not JSON (${(error as Error).message}). Restore the released file.`,
    );
  }
  const parsed = modelManifestSchema.safeParse(json);
  if (!parsed.success) {
    const problems = parsed.error.issues.map(
      (issue) => `${issue.path.join('.') || 'the whole'}: ${issue.message}`,
    );
    throw new ModelError(
      'invalid',
      `${manifestPath} is not a valid model manifest: ${problems.join('; ')}. Restore the released file or release the model again.`,
    );
  }
  let digest: string;
  try {
    digest = await sha256OfFile(onnxPath);
  } catch (error) {
    throw new ModelError(
      'missing',
      `the weights of model ${parsed.data.name} are missing: ${onnxPath} cannot be read ` +
        `(${(error as NodeJS.ErrnoException).code ?? error}). Restore the whole released folder ${basename(at)}.`,
    );
  }
  if (digest !== parsed.data.sha256) {
    throw new ModelError(
      'digest',
      `the weights in ${at} are not the released ones: model.onnx has SHA-256 ${digest}, model.json says ` +
        `${parsed.data.sha256}. Restore the whole released folder; a changed network must be released under a new version.`,
    );
  }
  return { manifest: parsed.data, folder: at, onnxPath, tfjsPath: join(at, 'tfjs', 'model.json') };
}
