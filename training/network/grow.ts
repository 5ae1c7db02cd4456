import { createRandom, type Random } from '../data/index.js';
import { channelsOf, type NetworkConfig, stagePrefix } from './mc-net.js';

/** A network's weights by the name of their variable (`down0_1_conv/kernel`), in TensorFlow.js' layout. */
export type NamedWeights = ReadonlyMap<string, Float32Array>;

/** Name and shape of one weight. */
export interface WeightShape {
  readonly name: string;
  readonly shape: readonly number[];
}

/**
 * Whether a network can be grown into another: the same but for a width that is a multiple, and more stages; residual when
 * it gets stages.
 */
export function canGrow(from: NetworkConfig, to: NetworkConfig): boolean {
  const { width, stages = 1, ...rest } = from;
  const { width: wider, stages: more = 1, ...same } = to;
  const alike = [...new Set([...Object.keys(rest), ...Object.keys(same)])].every(
    (key) => rest[key as keyof typeof rest] === same[key as keyof typeof same],
  );
  const times = wider / width;
  const evenly = Array.from({ length: from.levels }, (_, level) => level).every(
    (level) => channelsOf(to, level) === times * channelsOf(from, level),
  );
  return alike && Number.isInteger(times) && evenly && (more === stages || (more > stages && to.residual));
}

/**
 * The weights of a larger network that computes what a smaller one does (Net2Net: Chen, Goodfellow, Shlens, ICLR 2016). Every
 * channel is copied; what reads it is shared out among the copies at random, unequally, so that they learn apart. A
 * stage that the smaller network lacks gets the weights of its first stage, its last layer zero: it begins by adding nothing.
 *
 * @param weights of a network of `from`, which {@link canGrow} into `to`
 * @param shapes all weights of the larger network
 * @returns undefined for a name that `weights` lacks
 */
export function growWeights(
  from: NetworkConfig,
  weights: NamedWeights,
  to: NetworkConfig,
  shapes: readonly WeightShape[],
  seed: number,
): Map<string, Float32Array | undefined> {
  const times = to.width / from.width;
  const grown = new Map<string, Float32Array | undefined>();
  for (const { name, shape } of shapes) {
    const stage = Number(/^stage(\d+)_/.exec(name)?.[1] ?? 1);
    const isNew = stage > (from.stages ?? 1);
    const source = isNew ? name.slice(stagePrefix(stage).length) : name;
    const values = weights.get(source);
    if (values === undefined) {
      grown.set(name, undefined);
      continue;
    }
    const layer = source.slice(0, source.indexOf('/'));
    const random = createRandom(seed, name);
    if (isNew && layer === 'output') grown.set(name, new Float32Array(size(shape)));
    else if (shape.length === 1) grown.set(name, repeat(values, shape[0]!));
    else {
      const [rows, columns, inputs, outputs] = shape as KernelShape;
      const looksAtBoth = isNew && layer === 'down0_1_conv';
      const kernel = widen(values, {
        shape: [rows, columns, looksAtBoth ? 1 : inputs, outputs],
        inputTimes: layer.endsWith('down0_1_conv') ? 1 : times,
        outputTimes: layer.endsWith('output') ? 1 : times,
        outputAxis: layer.endsWith('output') && from.stem === 'half' ? 2 : 3,
        blocks: /up\d+_1_conv$/.test(layer) ? 2 : 1,
        random,
      });
      grown.set(name, looksAtBoth ? ofLastChannel(kernel, inputs, outputs) : kernel);
    }
  }
  return grown;
}

function size(shape: readonly number[]): number {
  return shape.reduce((product, length) => product * length, 1);
}

/** A kernel that reads the last of its channels as another reads its only one: what the stages before made of the image. */
function ofLastChannel(kernel: Float32Array, inputs: number, outputs: number): Float32Array {
  const wide = new Float32Array(kernel.length * inputs);
  for (let at = 0; at * outputs < kernel.length; at += 1) {
    wide.set(kernel.subarray(at * outputs, (at + 1) * outputs), ((at + 1) * inputs - 1) * outputs);
  }
  return wide;
}

function repeat(values: Float32Array, length: number): Float32Array {
  return Float32Array.from({ length }, (_, i) => values[i % values.length]!);
}

type KernelShape = readonly [rows: number, columns: number, number, number];

interface Widening {
  /** Of the wider kernel: rows, columns, and two axes of channels. */
  shape: KernelShape;
  /** How many copies of a channel there are, of those read and of those made. */
  inputTimes: number;
  outputTimes: number;
  outputAxis: 2 | 3;
  /** Tensors that lie side by side in what is read; each is copied by itself. */
  blocks: number;
  random: Random;
}

function widen(values: Float32Array, widening: Widening): Float32Array {
  const { shape, inputTimes, outputTimes, outputAxis, blocks, random } = widening;
  const [rows, columns] = shape;
  const inputs = shape[outputAxis === 3 ? 2 : 3];
  const outputs = shape[outputAxis];
  const [fewerInputs, fewerOutputs] = [inputs / inputTimes, outputs / outputTimes];
  const [block, fewerBlock] = [inputs / blocks, fewerInputs / blocks];
  const position = (input: number, output: number, all: { inputs: number; outputs: number }) =>
    outputAxis === 3 ? input * all.outputs + output : output * all.inputs + input;
  const wide = new Float32Array(size(shape));
  for (let output = 0; output < outputs; output += 1) {
    for (let input = 0; input < fewerInputs; input += 1) {
      const drawn = Array.from({ length: inputTimes }, () => random.between(0.1, 0.9));
      const sum = drawn.reduce((all, share) => all + share, 0);
      const from = position(input, output % fewerOutputs, { inputs: fewerInputs, outputs: fewerOutputs });
      for (const [copy, share] of drawn.entries()) {
        const copied = Math.floor(input / fewerBlock) * block + copy * fewerBlock + (input % fewerBlock);
        const to = position(copied, output, { inputs, outputs });
        for (let at = 0; at < rows * columns; at += 1) {
          const value = values[at * fewerInputs * fewerOutputs + from]!;
          wide[at * inputs * outputs + to] = (value * share) / sum;
        }
      }
    }
  }
  return wide;
}
