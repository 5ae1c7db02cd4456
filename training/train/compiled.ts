import {
  type CapturedStep,
  type Lowering,
  repeatStep,
  type SessionOptions,
  StepSession,
  StepState,
} from '../compile/index.js';
import type { Batch } from './batches.js';
import {
  type BatchShape,
  type CaptureConfig,
  captureTraining,
  captureValidation,
  firstValues,
  smallestShape,
} from './captures.js';
import { describeDevice } from './device.js';
import { averageName, type StepRequest, type TrainingEngine, type ValidationFigures } from './engine.js';
import { SessionCache } from './session-cache.js';

export interface CompiledOptions extends SessionOptions {
  /** Sessions kept for training and as many for validation: one for each image shape in use. */
  sessions?: number;
  /** Default: the one for the provider. */
  lowering?: Lowering;
  /**
   * Steps in one run: more than one only with the lowering for a GPU. Default: with CUDA, whose results
   * onnxruntime-node cannot leave on the device, several.
   */
  stepsAtOnce?: number;
}

/** With the paper's network 180 MB of variables cross the bus in each run, which takes about as long as two steps. */
const cudaSteps = 16;

/**
 * The engine that runs training steps traced to ONNX: one session for each image shape, all on the same weights.
 * A step blocks the thread that calls it. Lowered for a GPU, the averages are brought up to date by the graph itself.
 */
export function createCompiledEngine(config: CaptureConfig, options: CompiledOptions = {}): TrainingEngine {
  const provider = options.provider ?? 'cpu';
  const lowering = options.lowering ?? (provider === 'cpu' ? 'cpu' : 'gpu');
  const stepsAtOnce = options.stepsAtOnce ?? (provider === 'cuda' ? cudaSteps : 1);
  const { initial, roles } = firstValues(config);
  const state = new StepState({ resident: provider === 'webgpu' });
  const trainings = new SessionCache<StepSession>(options.sessions ?? keptSessions);
  const validations = new SessionCache<StepSession>(options.sessions ?? keptSessions);
  const weights = roles.filter(({ role }) => role === 'weight').map(({ name }) => name);

  const captureSteps = (shape: BatchShape): CapturedStep => {
    const step = captureTraining(config, shape, lowering);
    return stepsAtOnce > 1 ? repeatStep(step) : step;
  };
  const declare = (step: Pick<CapturedStep, 'variables'>): void =>
    state.declare(step.variables, (name) => initial.get(name)!);
  declare(captureTraining(config, smallestShape, lowering));
  declare(captureValidation(config, smallestShape, lowering));

  const sessionFor = (
    sessions: SessionCache<StepSession>,
    batch: Batch,
    capture: (shape: BatchShape) => CapturedStep,
  ): Promise<StepSession> =>
    sessions.get(`${batch.count}x${batch.rows}x${batch.columns}`, async () => {
      const step = capture(batch);
      declare(step);
      return StepSession.create(step, options);
    });

  /** Computed by the graph where it is lowered for a GPU; here a pass over the host's memory. */
  const average = (decay: number): void => {
    for (const name of weights) {
      const target = state.live(averageName(name));
      const source = state.live(name);
      for (let i = 0; i < target.length; i += 1) target[i] = source[i]! + decay * (target[i]! - source[i]!);
    }
  };

  const run = async (requests: readonly StepRequest[]): Promise<Record<string, number>[]> => {
    const session = await sessionFor(trainings, requests[0]!.batch, captureSteps);
    const results = await session.run(state, {
      corrupted: joined(requests.map(({ batch }) => batch.corrupted)),
      clean: joined(requests.map(({ batch }) => batch.clean)),
      rate: Float32Array.from(requests, ({ rate }) => rate),
      epsilon: Float32Array.from(requests, ({ epsilon }) => epsilon),
      decay: Float32Array.from(requests, ({ averageDecay }) => averageDecay ?? 1),
    });
    const decay = requests[0]!.averageDecay;
    if (lowering === 'cpu' && decay !== undefined) average(decay);
    return requests.map((_, at) =>
      Object.fromEntries(Object.entries(results).map(([name, values]) => [name, values[at]!])),
    );
  };

  return {
    device: describeDevice({ provider, deviceId: options.deviceId ?? 0 }, options.threads),
    variables: roles,
    stepsAtOnce,
    async steps(requests) {
      const results: Record<string, number>[] = [];
      for (let done = 0; done < requests.length; done += stepsAtOnce) {
        results.push(...(await run(requests.slice(done, done + stepsAtOnce))));
      }
      return results;
    },
    async validate(batch) {
      const session = await sessionFor(validations, batch, (shape) =>
        captureValidation(config, shape, lowering),
      );
      const results = await session.run(state, { corrupted: batch.corrupted, clean: batch.clean });
      return Object.fromEntries(
        Object.entries(results).map(([name, values]) => [name, values[0]!]),
      ) as unknown as ValidationFigures;
    },
    read: (name) => state.read(name),
    write: (name, values) => state.write(name, values),
    async close() {
      // Tensors on the device before the sessions that made them.
      await state.release();
      await trainings.releaseAll();
      await validations.releaseAll();
    },
  };
}

function joined(parts: readonly Float32Array[]): Float32Array {
  if (parts.length === 1) return parts[0]!;
  const whole = new Float32Array(parts.reduce((sum, part) => sum + part.length, 0));
  let offset = 0;
  for (const part of parts) {
    whole.set(part, offset);
    offset += part.length;
  }
  return whole;
}

/** More shapes than a set of mixed native matrices has after padding. */
const keptSessions = 16;
