import { availableParallelism } from 'node:os';
import * as ort from 'onnxruntime-node';
import { type CapturedStep, type CapturedVariable, fromGraph, toGraph } from './capture.js';

export interface SessionOptions {
  /** Threads of one run; 0 or undefined for all cores. */
  threads?: number;
  /** Saves about a quarter of the memory for some per cent of time when false. */
  memoryPattern?: boolean;
  /** Threads wait for work by spinning: faster on an idle machine, much slower on a busy one. */
  spin?: boolean;
  /** Writes ONNX Runtime's profile with this file prefix. */
  profile?: string;
}

/**
 * The values of every variable, shared by the sessions of all image shapes. Two buffers for each variable: a step
 * reads one and writes the other, then they change places, so that nothing is allocated or copied.
 */
export class StepState {
  private current = new Map<string, ort.Tensor>();
  private next = new Map<string, ort.Tensor>();
  private readonly variables = new Map<string, CapturedVariable>();

  /** Declares variables (those already known keep their values) with values in TensorFlow.js' order. */
  declare(variables: readonly CapturedVariable[], valuesOf: (name: string) => Float32Array): void {
    for (const variable of variables) {
      if (this.variables.has(variable.name)) continue;
      const shape = graphShape(variable);
      const values = Float32Array.from(toGraph(valuesOf(variable.name), variable));
      this.variables.set(variable.name, variable);
      this.current.set(variable.name, new ort.Tensor('float32', values, shape));
      this.next.set(variable.name, new ort.Tensor('float32', new Float32Array(values.length), shape));
    }
  }

  /** The live values as the graph orders them: valid until the next step. */
  live(name: string): Float32Array {
    return this.current.get(name)!.data as Float32Array;
  }

  /** A copy of a variable's values in TensorFlow.js' order. */
  read(name: string): Float32Array {
    return Float32Array.from(fromGraph(this.live(name), this.variables.get(name)!));
  }

  /** Sets a variable's values, given in TensorFlow.js' order. */
  write(name: string, values: Float32Array): void {
    this.live(name).set(toGraph(values, this.variables.get(name)!));
  }

  names(): string[] {
    return [...this.variables.keys()];
  }

  variable(name: string): CapturedVariable {
    return this.variables.get(name)!;
  }

  /** For a step: the tensors to read and to write, and what to do when it succeeded. */
  begin(variables: readonly CapturedVariable[]): {
    feeds: Record<string, ort.Tensor>;
    fetches: Record<string, ort.Tensor>;
    commit(): void;
  } {
    const assigned = variables.filter((variable) => variable.output !== undefined);
    return {
      feeds: Object.fromEntries(variables.map(({ name }) => [name, this.current.get(name)!])),
      fetches: Object.fromEntries(assigned.map(({ name, output }) => [output!, this.next.get(name)!])),
      commit: () => {
        for (const { name } of assigned) {
          const before = this.current.get(name)!;
          this.current.set(name, this.next.get(name)!);
          this.next.set(name, before);
        }
      },
    };
  }
}

/** A captured step in ONNX Runtime. `run` blocks its thread until the step is done. */
export class StepSession {
  private constructor(
    private readonly session: ort.InferenceSession,
    private readonly step: CapturedStep,
  ) {}

  static async create(step: CapturedStep, options: SessionOptions = {}): Promise<StepSession> {
    const session = await ort.InferenceSession.create(step.model, {
      executionProviders: ['cpu'],
      graphOptimizationLevel: 'all',
      // A number of its own choosing would pin its threads to cores, which is several times slower on a busy machine.
      intraOpNumThreads: options.threads || availableParallelism(),
      enableMemPattern: options.memoryPattern ?? true,
      extra: { session: { intra_op: { allow_spinning: options.spin === false ? '0' : '1' } } },
      ...(options.profile === undefined ? {} : { enableProfiling: true, profileFilePrefix: options.profile }),
    });
    return new StepSession(session, step);
  }

  get variables(): readonly CapturedVariable[] {
    return this.step.variables;
  }

  /** Runs the step on these inputs (row-major NHWC) and returns the reported results. */
  async run(
    state: StepState,
    inputs: Readonly<Record<string, Float32Array>>,
  ): Promise<Record<string, Float32Array>> {
    const { feeds, fetches, commit } = state.begin(this.step.variables);
    for (const [name, shape] of Object.entries(this.step.inputs)) {
      feeds[name] = new ort.Tensor('float32', inputs[name]!, shape);
    }
    const wanted: ort.InferenceSession.FetchesType = Object.fromEntries([
      ...Object.values(this.step.outputs).map((output) => [output, null] as const),
      ...Object.entries(fetches),
    ]);
    const fetched = await this.session.run(feeds, wanted);
    commit();
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

function graphShape(variable: CapturedVariable): readonly number[] {
  const [height, width, inputs, outputs] = variable.shape as [number, number, number, number];
  return variable.layout === 'filter' ? [outputs, height, width, inputs] : variable.shape;
}
