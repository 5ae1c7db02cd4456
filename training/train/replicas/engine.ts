import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { type CapturedVariable, fromGraph, StepSession, StepState, toGraph } from '../../compile/index.js';
import type { Batch } from '../batches.js';
import {
  type CaptureConfig,
  captureGradients,
  captureValidation,
  firstValues,
  gradientName,
  smallestShape,
} from '../captures.js';
import { averageName, type StepRequest, type TrainingEngine, type ValidationFigures } from '../engine.js';
import { SessionCache } from '../session-cache.js';
import { createSharedMemory, giveUp } from './shared.js';
import type { ReplicaAnswer, ReplicaData, ReplicaTask } from './worker.js';

/** Image shapes whose sessions are kept. */
const keptSessions = 16;

/**
 * Training on the CPU by replicas of the network, each in a thread of its own with a part of every batch: the gradients
 * are added up, and each replica updates an equal part of the weights. A core works on its own slices from the first
 * layer to the last, where one step on all cores hands every activation from cache to cache.
 *
 * Batch normalisation takes its statistics over a replica's own slices (ghost batches: Hoffer, Hubara, Soudry, NeurIPS 2017),
 * as PyTorch's DistributedDataParallel does.
 */
export function createReplicaEngine(
  config: CaptureConfig,
  { replicas }: { replicas: number },
): TrainingEngine {
  const { initial, roles } = firstValues(config);
  const layouts = new Map(
    captureGradients(config, smallestShape).variables.map((variable) => [variable.name, variable]),
  );
  const weights = roles.filter(({ role }) => role === 'weight');
  const memory = createSharedMemory(
    weights.map(({ name }) => ({
      name,
      size: initial.get(name)!.length,
      isLearned: layouts.has(gradientName(name)),
    })),
    replicas,
  );
  const arrays = {
    value: new Float32Array(memory.values),
    m: new Float32Array(memory.first),
    v: new Float32Array(memory.second),
    average: new Float32Array(memory.averages),
  };
  /** The part of shared memory that a variable's name stands for, and how it lies there. */
  const partOf = (name: string): { values: Float32Array; layout: CapturedVariable } => {
    const [, weight, kind = 'value'] = /^(.*?)(?:\/(m|v|average))?$/.exec(name)!;
    const place = memory.places.find((candidate) => candidate.name === weight)!;
    const values = arrays[kind as keyof typeof arrays].subarray(place.offset, place.offset + place.size);
    return { values, layout: layouts.get(weight!)! };
  };
  const write = (name: string, values: Float32Array): void => {
    const part = partOf(name);
    part.values.set(toGraph(values, part.layout));
  };
  for (const { name } of weights) {
    write(name, initial.get(name)!);
    write(averageName(name), initial.get(name)!);
  }

  const workers = Array.from({ length: replicas }, (_, replica) => {
    const workerData: ReplicaData = { replica, config, memory, sessions: keptSessions };
    return new Worker(new URL('./worker.js', import.meta.url), { workerData });
  });
  const answerOf = async (worker: Worker, task: ReplicaTask): Promise<ReplicaAnswer> => {
    const answer = once(worker, 'message') as Promise<[ReplicaAnswer]>;
    worker.postMessage(task);
    try {
      return (await answer)[0];
    } catch (error) {
      giveUp(memory);
      throw error;
    }
  };

  const step = async ({
    batch,
    rate,
    epsilon,
    averageDecay,
  }: StepRequest): Promise<Record<string, number>> => {
    const parts = divide(batch, replicas);
    const shares = workers.map((_, replica) => (parts[replica]?.count ?? 0) / batch.count);
    const update = { shares, rate, epsilon, ...(averageDecay === undefined ? {} : { averageDecay }) };
    const answers = await Promise.all(
      workers.map((worker, replica) => {
        const slices = parts[replica];
        return answerOf(worker, slices === undefined ? update : { ...update, slices });
      }),
    );
    const sums: Record<string, number> = {};
    // Those that wait for one that has failed end as well: its reason counts.
    const failed = answers.findIndex((answer) => 'error' in answer && !answer.waited);
    for (const [replica, answer] of answers.entries()) {
      if (failed >= 0 && replica !== failed) continue;
      if ('error' in answer) throw new Error(`replica ${replica} of the training failed: ${answer.error}`);
      for (const [name, value] of Object.entries(answer.results))
        sums[name] = (sums[name] ?? 0) + shares[replica]! * value;
    }
    return { ...sums, gradient: answers.find((answer) => 'norm' in answer)!.norm };
  };

  const validationState = new StepState();
  const validations = new SessionCache<StepSession>(keptSessions);
  const ready = captureValidation(config, smallestShape, 'cpu').variables;
  validationState.declare(ready, (name) => initial.get(name)!);

  return {
    device: `compiled to ONNX, onnxruntime-node on the CPU with ${replicas} replicas`,
    variables: roles,
    stepsAtOnce: 1,
    async steps(requests) {
      const results: Record<string, number>[] = [];
      for (const request of requests) results.push(await step(request));
      return results;
    },
    async validate(batch) {
      const session = await validations.get(`${batch.count}x${batch.rows}x${batch.columns}`, () => {
        const captured = captureValidation(config, batch, 'cpu');
        validationState.declare(captured.variables, (name) => initial.get(name)!);
        return StepSession.create(captured, { threads: replicas });
      });
      for (const { name } of weights) {
        validationState.live(averageName(name)).set(partOf(averageName(name)).values);
      }
      const results = await session.run(validationState, { corrupted: batch.corrupted, clean: batch.clean });
      return Object.fromEntries(
        Object.entries(results).map(([name, values]) => [name, values[0]!]),
      ) as unknown as ValidationFigures;
    },
    async read(name) {
      const { values, layout } = partOf(name);
      return Float32Array.from(fromGraph(values, layout));
    },
    write,
    async close() {
      giveUp(memory);
      await Promise.all(
        workers.map(async (worker) => {
          const ended = once(worker, 'exit');
          worker.postMessage(null);
          await ended;
        }),
      );
      await validations.releaseAll();
    },
  };
}

/** Consecutive slices for as many replicas as there are slices; cores without a replica's work help the others. */
function divide(batch: Batch, replicas: number): (NonNullable<ReplicaTask['slices']> | undefined)[] {
  const { count, rows, columns, corrupted, clean } = batch;
  const parts = Math.min(count, replicas);
  const threads = Math.floor(replicas / parts);
  const size = rows * columns;
  return Array.from({ length: parts }, (_, part) => {
    const [from, to] = [part, part + 1].map((at) => Math.floor((count * at) / parts)) as [number, number];
    const of = (images: Float32Array) => images.slice(from * size, to * size);
    return { count: to - from, rows, columns, corrupted: of(corrupted), clean: of(clean), threads };
  });
}
