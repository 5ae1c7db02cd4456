import * as ort from '../../src/inference/onnxruntime.js';
import type { CapturedStep, CapturedVariable } from './capture.js';
import { encodeModel } from './onnx.js';
import { runtimeOptions, type SessionOptions } from './provider.js';
import { stepCount } from './repeat.js';
import type { StepState } from './state.js';
import { product } from './value.js';

/** A captured step in ONNX Runtime. `run` blocks its thread until the step is done. */
export class StepSession {
  private constructor(
    private readonly session: ort.InferenceSession,
    private readonly step: CapturedStep,
  ) {}

  /**
   * @throws when the provider is not there, or, with `strict`, has no kernel for one of the graph's nodes
   */
  static async create(step: CapturedStep, options: SessionOptions = {}): Promise<StepSession> {
    const session = await ort.InferenceSession.create(encodeModel(step.graph), {
      ...runtimeOptions(options),
      ...(options.provider === 'webgpu' ? { preferredOutputLocation: locations(step) } : {}),
    });
    return new StepSession(session, step);
  }

  get variables(): readonly CapturedVariable[] {
    return this.step.variables;
  }

  /**
   * Runs the step on these inputs (row-major NHWC) and returns the reported results. For a repeated step each input
   * holds the values of every step one after the other, and so does each result.
   */
  async run(
    state: StepState,
    inputs: Readonly<Record<string, Float32Array>>,
  ): Promise<Record<string, Float32Array>> {
    const { feeds, fetches, commit } = state.begin(this.step.variables);
    for (const [name, shape] of Object.entries(this.step.inputs)) {
      const values = inputs[name]!;
      const count = values.length / product(shape);
      feeds[name] = new ort.Tensor('float32', values, this.step.repeated ? [count, ...shape] : shape);
      if (this.step.repeated) feeds[stepCount] = new ort.Tensor('int64', BigInt64Array.of(BigInt(count)), []);
    }
    const wanted: ort.InferenceSession.FetchesType = Object.fromEntries([
      ...Object.values(this.step.outputs).map((output) => [output, null] as const),
      ...Object.entries(fetches),
    ]);
    const fetched = await this.session.run(feeds, wanted);
    commit(fetched);
    return Object.fromEntries(
      Object.entries(this.step.outputs).map(([name, output]) => [
        name,
        fetched[output]!.data as Float32Array,
      ]),
    );
  }

  /** Ends profiling, if it was asked for, and frees the session. */
  async release(): Promise<void> {
    this.session.endProfiling();
    await this.session.release();
  }
}

/** New values stay on the device, results come to the host. */
function locations(step: CapturedStep): Record<string, 'cpu' | 'gpu-buffer'> {
  const kept = step.variables.flatMap(({ output }) => (output === undefined ? [] : [output]));
  return Object.fromEntries([
    ...Object.values(step.outputs).map((output) => [output, 'cpu'] as const),
    ...kept.map((output) => [output, 'gpu-buffer'] as const),
  ]);
}
