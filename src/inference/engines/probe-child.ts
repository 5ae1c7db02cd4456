/**
 * Tries a GPU provider in a process of its own, because a driver may end the process that touches it: runs the model
 * on a small pattern there and on the processor, and prints one line of JSON.
 */
import { InferenceSession, Tensor } from '../onnxruntime.js';
import type { ProbeAnswer } from './probe.js';

const SIDE = 64;

async function answerOf(modelPath: string, provider: string, deviceId: number): Promise<Float32Array> {
  const pattern = Float32Array.from({ length: SIDE * SIDE }, (_, i) => {
    const x = (i % SIDE) / SIDE - 0.5;
    const y = Math.floor(i / SIDE) / SIDE - 0.5;
    return Math.max(0, 1 - 4 * (x * x + y * y)) * (0.75 + 0.25 * Math.cos(40 * x + 25 * y));
  });
  const session = await InferenceSession.create(modelPath, {
    executionProviders: [
      provider === 'cuda' || provider === 'tensorrt' ? { name: provider, deviceId } : provider,
    ],
    logSeverityLevel: 4,
  });
  const { residual } = await session.run({ input: new Tensor('float32', pattern, [1, 1, SIDE, SIDE]) }, [
    'residual',
  ]);
  return Float32Array.from(residual!.data as Float32Array);
}

const [modelPath = '', provider = '', deviceId = '0'] = process.argv.slice(2);
let answer: ProbeAnswer;
try {
  const theirs = await answerOf(modelPath, provider, Number(deviceId));
  const ours = await answerOf(modelPath, 'cpu', 0);
  const scale = ours.reduce((max, value) => Math.max(max, Math.abs(value)), 1e-6);
  const difference = ours.reduce((max, value, i) => {
    const one = Math.abs(value - theirs[i]!);
    return Number.isNaN(one) ? Number.POSITIVE_INFINITY : Math.max(max, one);
  }, 0);
  answer = { ok: true, difference: difference / scale };
} catch (error) {
  answer = { ok: false, message: error instanceof Error ? error.message.trim() : String(error) };
}
process.stdout.write(`${JSON.stringify(answer)}\n`, () => process.exit(0));
