/**
 * One engine against one thread of the processor, in a process of its own, because a driver may end it. Arguments: the
 * engine, and for tensorflow the entry of a tfjs-node that is installed elsewhere. Prints one line of JSON.
 */
import assert from 'node:assert/strict';
import { fileURLToPath } from 'node:url';
import { openTensorflowEngine } from '../../../src/inference/engines/tensorflow.js';
import {
  type BatchShape,
  type Engine,
  type EngineDescription,
  type EngineName,
  loadModel,
  openEngine,
} from '../../../src/inference/index.js';
import { toNetworkInput } from '../../../src/inference/preprocess/index.js';
import { headSlice } from '../../unit/correction/syntheticPart10.js';

export type ParityAnswer =
  /** Largest deviation, of the reference's largest value. */
  { engine: EngineDescription; worst: number } | { unavailable: string };

const MODEL = fileURLToPath(new URL('../../../../models/mcnet', import.meta.url));
const SHAPES: BatchShape[] = [
  [1, 1, 96, 128],
  [2, 1, 64, 80],
];
const [name = 'cpu', tfjs] = process.argv.slice(2);
const model = await loadModel(MODEL);
const {
  input: { multiple },
  normalisation,
} = model.manifest;

function batchOf([slices, , rows, columns]: BatchShape): Float32Array {
  const batch = new Float32Array(slices * rows * columns);
  for (let i = 0; i < slices; i += 1) {
    const stored = Float32Array.from(headSlice(rows, columns, { min: 0, max: 4095 }, i + 1));
    const input = toNetworkInput(stored, rows, columns, { multiple, normalisation });
    assert.deepEqual([input.rows, input.columns], [rows, columns], 'sizes that need no padding');
    batch.set(input.data, i * rows * columns);
  }
  return batch;
}

async function answersOf(engine: Engine): Promise<Float32Array[]> {
  const answers: Float32Array[] = [];
  for (const shape of SHAPES) answers.push((await engine.run(batchOf(shape), shape)).slice());
  await engine.close();
  return answers;
}

async function compare(engine: Engine): Promise<ParityAnswer> {
  const described = engine.describe();
  const found = await answersOf(engine);
  const expected = await answersOf(await openEngine('cpu', model, { threads: 1, lanes: 1 }));
  let worst = 0;
  for (const [i, answer] of found.entries()) {
    const scale = expected[i]!.reduce((max, value) => Math.max(max, Math.abs(value)), 0);
    assert.ok(scale > 0.01, 'the network says something');
    for (const [at, value] of answer.entries()) {
      const off = Math.abs(value - expected[i]![at]!) / scale;
      worst = Math.max(worst, Number.isNaN(off) ? Number.MAX_VALUE : off);
    }
  }
  return { engine: described, worst };
}

let answer: ParityAnswer;
try {
  const engine =
    tfjs === undefined
      ? await openEngine(name as EngineName, model, { precision: 'auto' })
      : await openTensorflowEngine(model, { packages: [tfjs] });
  answer = await compare(engine);
} catch (error) {
  if ((error as { code?: string }).code !== 'unavailable') throw error;
  answer = { unavailable: (error as Error).message };
}
process.stdout.write(`\n${JSON.stringify(answer)}\n`, () => process.exit(0));
