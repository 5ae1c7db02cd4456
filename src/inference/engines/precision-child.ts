/**
 * Measures the float32 and the float16 form of a network on one provider, in a process of its own, and prints one line
 * of JSON: node precision-child.js MODEL PROVIDER DEVICE_ID MULTIPLE.
 */
import { readFile } from 'node:fs/promises';
import { InferenceSession, Tensor } from '../onnxruntime.js';
import { halfForm } from './half.js';
import { type PrecisionTrial, TRIED_BRIGHTNESS } from './precision.js';

const SLICES = 8;
const SIDE = 256;
const RUNS = 9;
/** A slow device is not kept busy for longer than this, after three runs. */
const ENOUGH_MS = 10_000;

const [modelPath = '', provider = '', deviceId = '0', multiple = '1'] = process.argv.slice(2);

/** Heads of stripes, each turned a little; the last one is brighter than any slice that float16 will be given. */
function syntheticBatch(side: number): { pixels: Float32Array; brightness: number[] } {
  const brightness = Array.from({ length: SLICES }, (_, i) => (i === SLICES - 1 ? TRIED_BRIGHTNESS : 1));
  const pixels = new Float32Array(SLICES * side * side);
  for (let i = 0; i < pixels.length; i += 1) {
    const slice = Math.floor(i / (side * side));
    const x = (i % side) / side - 0.5;
    const y = Math.floor((i % (side * side)) / side) / side - 0.5;
    const stripes = 0.75 + 0.25 * Math.cos((40 + 20 * slice) * x + (25 + 30 * slice) * y);
    pixels[i] = brightness[slice]! * Math.max(0, 1 - 4 * (x * x + y * y)) * stripes;
  }
  return { pixels, brightness };
}

function differences(exact: Float32Array, half: Float32Array, brightness: readonly number[]) {
  const size = exact.length / brightness.length;
  let largest = 0;
  let sum = 0;
  for (let i = 0; i < exact.length; i += 1) {
    const off = Math.abs(exact[i]! - half[i]!) / brightness[Math.floor(i / size)]!;
    // Math.max passes on what is no number.
    largest = Math.max(largest, off);
    sum += off;
  }
  return { largest, mean: sum / exact.length };
}

async function measure(): Promise<PrecisionTrial> {
  const side = Math.ceil(SIDE / Number(multiple)) * Number(multiple);
  const { pixels, brightness } = syntheticBatch(side);
  const network = await readFile(modelPath);
  const open = (onnx: Uint8Array) =>
    InferenceSession.create(onnx, {
      executionProviders: [provider === 'cuda' ? { name: provider, deviceId: Number(deviceId) } : provider],
      logSeverityLevel: 4,
    });
  const answer = async (session: InferenceSession): Promise<Float32Array> => {
    const input = new Tensor('float32', pixels, [SLICES, 1, side, side]);
    const { residual } = await session.run({ input }, ['residual'], { logSeverityLevel: 4 });
    return residual!.data as Float32Array;
  };
  // First, because a device without float16 ends here.
  const half = await open(halfForm(network));
  const halfAnswer = Float32Array.from(await answer(half));
  const exact = await open(network);
  const difference = differences(Float32Array.from(await answer(exact)), halfAnswer, brightness);
  const float32Ms: number[] = [];
  const float16Ms: number[] = [];
  const startedAt = performance.now();
  for (let run = 0; run < RUNS && (run < 3 || performance.now() - startedAt < ENOUGH_MS); run += 1) {
    // By turns, so that a clock that rises or falls serves both.
    for (const [session, times] of [
      [exact, float32Ms],
      [half, float16Ms],
    ] as const) {
      const from = performance.now();
      await answer(session);
      times.push(performance.now() - from);
    }
  }
  return { ok: true, float32Ms, float16Ms, ...difference };
}

let trial: PrecisionTrial;
try {
  trial = await measure();
} catch (error) {
  trial = { ok: false, message: error instanceof Error ? error.message.trim() : String(error) };
}
process.stdout.write(`${JSON.stringify(trial)}\n`, () => process.exit(0));
