import * as ort from '../../src/inference/onnxruntime.js';
import { type CapturedVariable, fromGraph, toGraph } from './capture.js';
import { ReadBack } from './read-back.js';
import { storedShape } from './value.js';

/** What a step reads and writes, and what to do with what it gave back when it succeeded. */
export interface StepExchange {
  feeds: Record<string, ort.Tensor>;
  /** For each new value the tensor to write, or null for one of ONNX Runtime's own. */
  fetches: Record<string, ort.Tensor | null>;
  commit(fetched: Readonly<Record<string, ort.Tensor>>): void;
}

/**
 * The values of every variable, shared by the sessions of all image shapes.
 *
 * In the host's memory each variable has two buffers: a step reads one and writes the other, then they change places,
 * so that nothing is allocated or copied. With WebGPU (`resident`) a step's new values stay on the device, are read
 * by the next step there, and come back only when they are asked for.
 */
export class StepState {
  private current = new Map<string, ort.Tensor>();
  private next = new Map<string, ort.Tensor>();
  private readonly variables = new Map<string, CapturedVariable>();
  private readonly readBack: ReadBack | undefined;
  /** Values brought back from the device since the last step. */
  private broughtBack: Promise<ReadonlyMap<string, Float32Array>> | undefined;

  constructor({ resident = false }: { resident?: boolean } = {}) {
    this.readBack = resident ? new ReadBack() : undefined;
  }

  /** Whether new values stay on the device. */
  get resident(): boolean {
    return this.readBack !== undefined;
  }

  /** Declares variables (those already known keep their values) with values in TensorFlow.js' order. */
  declare(variables: readonly CapturedVariable[], valuesOf: (name: string) => Float32Array): void {
    for (const variable of variables) {
      if (this.variables.has(variable.name)) continue;
      const shape = storedShape(variable.shape, variable.layout);
      const values = Float32Array.from(toGraph(valuesOf(variable.name), variable));
      this.variables.set(variable.name, variable);
      this.current.set(variable.name, new ort.Tensor('float32', values, shape));
      if (!this.resident) {
        this.next.set(variable.name, new ort.Tensor('float32', new Float32Array(values.length), shape));
      }
    }
  }

  /** The live values as the graph orders them, in the host's memory: valid until the next step. */
  live(name: string): Float32Array {
    const tensor = this.current.get(name)!;
    if (tensor.location !== 'cpu') throw new Error(`${name} is on the device: read() brings a copy`);
    return tensor.data as Float32Array;
  }

  /** A copy of a variable's values in TensorFlow.js' order. */
  async read(name: string): Promise<Float32Array> {
    const tensor = this.current.get(name)!;
    const values = tensor.location === 'cpu' ? this.live(name) : (await this.bringBack()).get(name)!;
    return Float32Array.from(fromGraph(values, this.variables.get(name)!));
  }

  /** Sets a variable's values, given in TensorFlow.js' order. */
  write(name: string, values: Float32Array): void {
    const variable = this.variables.get(name)!;
    const before = this.current.get(name)!;
    const stored = Float32Array.from(toGraph(values, variable));
    if (before.location === 'cpu') {
      (before.data as Float32Array).set(stored);
      return;
    }
    this.current.set(name, new ort.Tensor('float32', stored, before.dims));
    before.dispose();
  }

  names(): string[] {
    return [...this.variables.keys()];
  }

  variable(name: string): CapturedVariable {
    return this.variables.get(name)!;
  }

  /** Prepares a step. */
  begin(variables: readonly CapturedVariable[]): StepExchange {
    const assigned = variables.filter((variable) => variable.output !== undefined);
    return {
      feeds: Object.fromEntries(variables.map(({ name }) => [name, this.current.get(name)!])),
      fetches: Object.fromEntries(
        assigned.map(({ name, output }) => [output!, this.resident ? null : this.next.get(name)!]),
      ),
      commit: (fetched) => {
        if (assigned.length > 0) this.broughtBack = undefined;
        for (const { name, output } of assigned) {
          const before = this.current.get(name)!;
          if (this.resident) {
            this.current.set(name, fetched[output!]!);
            if (before.location !== 'cpu') before.dispose();
          } else {
            this.current.set(name, this.next.get(name)!);
            this.next.set(name, before);
          }
        }
      },
    };
  }

  /** Gives the device's memory back. */
  async release(): Promise<void> {
    for (const tensor of this.current.values()) if (tensor.location !== 'cpu') tensor.dispose();
    this.current.clear();
    await this.readBack?.release();
  }

  private bringBack(): Promise<ReadonlyMap<string, Float32Array>> {
    this.broughtBack ??= this.readBack!.values(
      new Map([...this.current].filter(([, tensor]) => tensor.location !== 'cpu')),
    );
    return this.broughtBack;
  }
}
