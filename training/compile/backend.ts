import * as tf from '@tensorflow/tfjs';
import type { UpsampledConvolution } from './kernels/upsampled.js';
import { GraphRecorder } from './recorder.js';
import {
  type Layout,
  layoutOrder,
  product,
  type SymbolValue,
  storedShape,
  type TracedTensor,
  type TracedValue,
  toLayout,
} from './value.js';

/** The name under which the tracing backend is registered with TensorFlow.js. */
export const backendName = 'onnx-trace';

type DataId = tf.TensorInfo['dataId'];

interface Entry extends TracedTensor {
  references: number;
}

/**
 * For whose kernels the graph is recorded. `cpu`: ONNX Runtime's CPU provider, with operators of its own. `gpu`: only
 * operators for which the WebGPU and CUDA providers have kernels, in forms with few, large matrix products.
 */
export type Lowering = 'cpu' | 'gpu';

/** How a value of the graph came about, where a kernel that takes it can then compute in a cheaper way. */
export type Origin =
  /** `image` (NCHW) enlarged twofold by nearest neighbour. */
  | { kind: 'upsampled'; image: string }
  /** The gradient of a 3×3 convolution with respect to an input of even rows and columns. */
  | { kind: 'inputGradient'; dy: string; filter: string; shape: UpsampledConvolution }
  /** `image` (NCHW) times one factor for each channel, of any shape with so many elements. */
  | { kind: 'scaled'; image: string; factors: string };

/**
 * A TensorFlow.js backend that computes nothing: its kernels record the nodes of an ONNX graph. Outside
 * `startRecording` … `stopRecording` tensors are plain constants, so that a model can be built and its first
 * weights read. While it records, a value computed in JavaScript (random numbers, say) would be frozen into the
 * graph: constants that are not uniform are refused. What a step needs beside its inputs is a variable. Only for
 * the export of a trained network are the weights constants.
 */
export class TracingBackend extends tf.KernelBackend {
  private readonly entries: tf.DataStorage<Entry>;
  private recording: GraphRecorder | undefined;
  private frozen = false;
  private target: Lowering = 'cpu';
  private readonly origins = new Map<string, Origin>();

  constructor() {
    super();
    this.entries = new tf.DataStorage<Entry>(this, tf.engine());
  }

  /** The graph being recorded. */
  get graph(): GraphRecorder {
    if (this.recording === undefined) {
      throw new Error('this TensorFlow.js operation needs a graph: call it while a step is being traced');
    }
    return this.recording;
  }

  /** Whether the graph is one for inference, with constant weights. */
  get isFrozen(): boolean {
    return this.frozen;
  }

  /** For whose kernels the graph is recorded. */
  get lowering(): Lowering {
    return this.target;
  }

  /** Begins a graph; `freeze` lets known values (a trained network's weights) become its constants. */
  startRecording({
    freeze = false,
    lowering = 'cpu',
  }: {
    freeze?: boolean;
    lowering?: Lowering;
  } = {}): GraphRecorder {
    this.recording = new GraphRecorder();
    this.origins.clear();
    this.frozen = freeze;
    this.target = lowering;
    return this.recording;
  }

  stopRecording(): void {
    this.recording = undefined;
  }

  /** Makes the tensor stand for an input of the graph, in the layout given. */
  bindInput(dataId: DataId, name: string, layout: Layout): void {
    const entry = this.entries.get(dataId);
    entry.value = { kind: 'symbol', name, layout, stored: entry.shape };
    this.graph.input({ name, type: 'float32', shape: storedShape(entry.shape, layout) });
  }

  /**
   * Remembers how a value of the graph came about. Not in a graph for inference, whose constant filters ONNX
   * Runtime prepares itself; on a GPU the convolution of an upsampled image is left as it is.
   */
  setOrigin(name: string, origin: Origin): void {
    if (this.frozen || (this.target === 'gpu' && origin.kind !== 'scaled')) return;
    this.origins.set(name, origin);
  }

  originOf(name: string): Origin | undefined {
    return this.origins.get(name);
  }

  /** Replaces what a tensor stands for. */
  setValue(dataId: DataId, value: TracedValue): void {
    this.entries.get(dataId).value = value;
  }

  /** What the tensor stands for. */
  lookUp(tensor: tf.TensorInfo): TracedTensor {
    const entry = this.entries.get(tensor.dataId);
    return { value: entry.value, shape: tensor.shape, dtype: entry.dtype };
  }

  /** A new tensor that stands for a value of the graph. */
  output(value: TracedValue, shape: readonly number[], dtype: tf.DataType = 'float32'): tf.TensorInfo {
    const dataId = {};
    this.entries.set(dataId, { value, shape, dtype, references: 1 });
    return { dataId, shape: [...shape], dtype };
  }

  /** A new tensor for a graph value of exactly its own shape. */
  symbol(name: string, shape: readonly number[], layout: Layout = 'plain'): tf.TensorInfo {
    return this.output({ kind: 'symbol', name, layout, stored: shape }, shape);
  }

  /**
   * The name of the graph's tensor for a traced tensor, in the layout asked for and in its full shape.
   */
  materialise(tensor: tf.TensorInfo, layout: Layout = 'plain'): string {
    const traced = this.lookUp(tensor);
    const { value, shape } = traced;
    if (value.kind === 'uniform') {
      const values = new Float32Array(product(shape)).fill(value.value);
      return this.graph.floats(values, storedShape(shape, layout));
    }
    if (value.kind === 'constant') {
      this.checkConstant();
      return this.graph.floats(
        toLayout(Float32Array.from(value.values), shape, layout),
        storedShape(shape, layout),
      );
    }
    const name = this.rearrange(value, shape.length, layout);
    if (product(value.stored) === product(shape)) return name;
    return this.graph.node('Expand', [name, this.graph.integers(storedShape(shape, layout))]);
  }

  /**
   * The name of a graph tensor that broadcasts to the tensor's shape inside an element-wise operation whose
   * result has `rank` dimensions in `layout`.
   */
  broadcastable(tensor: tf.TensorInfo, rank: number, layout: Layout): string {
    const { value, shape } = this.lookUp(tensor);
    if (value.kind === 'uniform') return this.graph.scalar(value.value);
    if (value.kind === 'constant') {
      const padded = padShape(shape, rank);
      this.checkConstant();
      return this.graph.floats(
        toLayout(Float32Array.from(value.values), padded, layout),
        storedShape(padded, layout),
      );
    }
    return this.rearrange(value, rank, layout);
  }

  private rearrange(value: SymbolValue, rank: number, layout: Layout): string {
    if (value.layout === layout && (value.stored.length === rank || layout === 'plain')) return value.name;
    const padded = padShape(value.stored, rank);
    if (padded.filter((size) => size > 1).length <= 1) {
      return this.graph.node('Reshape', [value.name, this.graph.integers(storedShape(padded, layout))]);
    }
    if (value.stored.length === rank) return this.reorder(value.name, value.layout, layout);
    const reshaped = this.graph.node('Reshape', [value.name, this.graph.integers(padded)]);
    return this.reorder(reshaped, 'plain', layout);
  }

  private reorder(name: string, from: Layout, to: Layout): string {
    if (from === to) return name;
    const source = axesOf(from);
    const order = axesOf(to).map((axis) => source.indexOf(axis));
    return this.graph.node('Transpose', [name], { perm: { kind: 'ints', value: order } });
  }

  private checkConstant(): void {
    if (this.frozen) return;
    throw new Error(
      'a tensor computed in JavaScript would be frozen into the graph: make it an input or a variable of the step',
    );
  }

  override write(values: tf.BackendValues, shape: number[], dtype: tf.DataType): DataId {
    const dataId = {};
    this.move(dataId, values, shape, dtype, 1);
    return dataId;
  }

  override move(
    dataId: DataId,
    values: tf.BackendValues,
    shape: number[],
    dtype: tf.DataType,
    refCount: number,
  ): void {
    this.entries.set(dataId, { value: constantOf(values), shape, dtype, references: refCount });
  }

  override readSync(dataId: DataId): tf.BackendValues {
    const { value, shape, dtype } = this.entries.get(dataId);
    if (value.kind === 'constant') return value.values;
    if (value.kind === 'uniform') {
      const size = product(shape);
      return dtype === 'int32' || dtype === 'bool'
        ? new Int32Array(size).fill(value.value)
        : new Float32Array(size).fill(value.value);
    }
    throw new Error(
      'a traced tensor has no values: do not call dataSync() or arraySync() inside a traced step',
    );
  }

  override read(dataId: DataId): Promise<tf.BackendValues> {
    return Promise.resolve(this.readSync(dataId));
  }

  override disposeData(dataId: DataId, force = false): boolean {
    if (!this.entries.has(dataId)) return true;
    const entry = this.entries.get(dataId);
    entry.references -= 1;
    if (!force && entry.references > 0) return false;
    this.entries.delete(dataId);
    return true;
  }

  override incRef(dataId: DataId): void {
    if (this.entries.has(dataId)) this.entries.get(dataId).references += 1;
  }

  override refCount(dataId: DataId): number {
    return this.entries.has(dataId) ? this.entries.get(dataId).references : 0;
  }

  override numDataIds(): number {
    return this.entries.numDataIds();
  }

  override memory(): { unreliable: boolean } {
    return { unreliable: true };
  }

  override timerAvailable(): boolean {
    return false;
  }

  override floatPrecision(): 16 | 32 {
    return 32;
  }

  override epsilon(): number {
    return 1e-7;
  }

  override dispose(): void {}
}

function axesOf(layout: Layout): readonly number[] {
  return layout === 'plain' ? [0, 1, 2, 3] : layoutOrder[layout];
}

function padShape(shape: readonly number[], rank: number): number[] {
  return [...new Array<number>(Math.max(0, rank - shape.length)).fill(1), ...shape];
}

function constantOf(values: tf.BackendValues): TracedValue {
  if (values === null || values === undefined) return { kind: 'uniform', value: 0 };
  const numbers =
    values instanceof Float32Array || values instanceof Int32Array
      ? values
      : Float32Array.from(values as ArrayLike<number>);
  const first = numbers[0] ?? 0;
  for (const value of numbers) if (value !== first) return { kind: 'constant', values: numbers };
  return { kind: 'uniform', value: first };
}
