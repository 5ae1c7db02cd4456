import { fileURLToPath } from 'node:url';
import type { LoadedModel } from '../manifest.js';
import type { Precision, PrecisionChoice } from './engine.js';
import { type GpuProvider, gist, runTrial } from './probe.js';

/** What the configuration says: `auto` measures, `float32` does not. */
export type PrecisionSetting = 'auto' | 'float32';

/**
 * What a float16 answer may differ from the float32 one, in units of the slice's robust scale: at most 2e-3 at any
 * pixel and 2e-4 in the mean. The residual times the scale is added to stored values, and the scale of 12-bit pixels is
 * about a thousand of them: two steps at the worst pixel, a fifth of one in the mean, where the noise of MRI is ten or
 * more.
 *
 * The trial holds its synthetic slices to this, not every slice to come: see the test of real ones.
 */
export const HALF_TOLERANCE = { largest: 2e-3, mean: 2e-4 } as const;

/** Float16 must take at most this share of float32's time: less gain is not worth another answer. */
const WORTH_IT = 0.9;

/** The trial's brightest slice, in units of the robust scale (an ordinary slice's brightest pixel is 1 to 3). */
export const TRIED_BRIGHTNESS = 8;

/** What a trial of both forms on one device measured. */
export type PrecisionTrial =
  | {
      ok: true;
      /** One batch, ms, run after run. */
      float32Ms: number[];
      float16Ms: number[];
      /** Differences between the answers, in units of each slice's robust scale; null where one is no number. */
      largest: number | null;
      mean: number | null;
    }
  | { ok: false; message: string };

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
}

/** Decides from what was measured. Float16 has to be right and faster; whatever is in doubt is float32. */
export function choosePrecision(trial: PrecisionTrial): PrecisionChoice {
  const stay = (reason: string): PrecisionChoice => ({ precision: 'float32', reason });
  if (!trial.ok) return stay(`float16 does not run here: ${gist(trial.message)}`);
  const { largest, mean } = trial;
  if (largest === null || mean === null || !Number.isFinite(largest) || !Number.isFinite(mean))
    return stay('float16 computes values that are no numbers');
  const differs = `float16 differs by ${largest.toPrecision(2)} at most and ${mean.toPrecision(2)} in the mean`;
  if (largest > HALF_TOLERANCE.largest || mean > HALF_TOLERANCE.mean)
    return stay(`${differs}, ${HALF_TOLERANCE.largest} and ${HALF_TOLERANCE.mean} allowed`);
  const [exactMs, halfMs] = [median(trial.float32Ms), median(trial.float16Ms)];
  const times = `float16 takes ${halfMs.toFixed(2)} ms for a batch, float32 ${exactMs.toFixed(2)} ms`;
  const precision: Precision = halfMs <= WORTH_IT * exactMs ? 'float16' : 'float32';
  return { precision, reason: `${times}; ${differs}` };
}

const SCRIPT = fileURLToPath(new URL('./precision-child.js', import.meta.url));

/**
 * Tries both forms of a network on a GPU provider, in a child process because a driver may end the process that asks
 * too much of it, and chooses one. TensorRT chooses types by itself and is left alone.
 */
export async function tryPrecision(
  provider: GpuProvider,
  model: LoadedModel,
  options: { precision?: PrecisionSetting; deviceId?: number; script?: string; timeoutMs?: number } = {},
): Promise<PrecisionChoice> {
  if (options.precision !== 'auto') return { precision: 'float32', reason: 'the configuration asks for it' };
  if (provider === 'tensorrt')
    return { precision: 'float32', reason: 'TensorRT is given the float32 network' };
  const args = [
    model.onnxPath,
    provider,
    String(options.deviceId ?? 0),
    String(model.manifest.input.multiple),
  ];
  const trial = await runTrial<PrecisionTrial>(
    provider,
    options.script ?? SCRIPT,
    args,
    options.timeoutMs ?? 120_000,
  );
  return choosePrecision(typeof trial === 'string' ? { ok: false, message: trial } : trial);
}

/**
 * Whether a batch is one that float16 may answer: nothing in it brighter than half of what was tried, so that no
 * activation comes near float16's largest value. A value that is no number is not.
 */
export function withinHalfRange(batch: Float32Array): boolean {
  const limit = TRIED_BRIGHTNESS / 2;
  for (let i = 0; i < batch.length; i += 1) if (!(Math.abs(batch[i]!) <= limit)) return false;
  return true;
}

export function allFinite(values: Float32Array): boolean {
  for (let i = 0; i < values.length; i += 1) if (!Number.isFinite(values[i]!)) return false;
  return true;
}
