import { appendFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { adamFactors, canGrow, growWeights, sizeMultiple } from '../network/index.js';
import { type Batch, type BatchConfig, type BatchPlan, planEpoch, readBatch } from './batches.js';
import { type Checkpoint, readCheckpoint, writeCheckpoint, writeWhole } from './checkpoint.js';
import { learningRateAt, type Progress, type TrainingConfig } from './config.js';
import type { TrainingSamples } from './dataset.js';
import { averageName, type StepRequest, type TrainingEngine, type ValidationFigures } from './engine.js';
import { messageOf, TrainingError } from './errors.js';
import { readStartingWeights } from './starting-weights.js';

export interface TrainingRun {
  config: TrainingConfig;
  engine: TrainingEngine;
  training: TrainingSamples;
  validation: TrainingSamples;
  /** Folder of the run: config.json, curves.csv, checkpoint.bin. */
  folder: string;
  /** Another run's checkpoint (the paper's second stage) or a released model's folder, whose weights this run starts from. */
  startFrom?: string;
  /** Seconds between checkpoints. */
  checkpointSeconds: number;
  /** At most so many validation slices, spread over the set. */
  validationSlices: number;
  /** Aborted: finish the step, write a checkpoint, and return. */
  signal?: AbortSignal;
  onStep?(report: StepReport): void;
  onEpoch?(report: EpochReport): void;
  onNotice?(sentence: string): void;
}

export interface StepReport {
  progress: Progress;
  /** How much of the run is done, 0 … 1. */
  share: number;
  loss: number;
  /** Norm of the gradient over all weights, where the engine tells it. */
  gradient?: number;
  slicesPerSecond: number;
}

export interface EpochReport {
  progress: Progress;
  learningRate: number;
  /** Means over the epoch. */
  train: Readonly<Record<string, number>>;
  validation: ValidationFigures;
  slicesPerSecond: number;
}

export interface TrainingOutcome {
  finished: boolean;
  progress: Progress;
  validation: ValidationFigures | undefined;
  checkpoint: string;
}

/** Moving averages are brought up to date every so many steps: on the CPU a pass costs some milliseconds. */
const stepsPerAverage = 4;

/**
 * Trains until the epochs or the minutes are used up, or the signal stops it. A run folder with a checkpoint is
 * resumed; limited by epochs, the result is the same as without the interruption.
 *
 * @throws TrainingError when the folder holds a run of another configuration or other data, when there are no
 * samples, when the folder cannot be written, or when the loss is no number any more
 */
export async function train(run: TrainingRun): Promise<TrainingOutcome> {
  const { config, engine, training, validation, folder } = run;
  if (training.count === 0) throw new TrainingError('there are no training samples: check the data set');
  if (validation.count === 0) throw new TrainingError('there are no validation samples: check the data set');
  const file = join(folder, 'checkpoint.bin');
  const batches: BatchConfig = {
    batch: config.batch,
    multiple: sizeMultiple(config.network),
    normalisation: config.normalisation,
    augment: config.augment,
    together: engine.stepsAtOnce,
  };
  let progress: Progress & { slices: number } = { epoch: 0, batch: 0, step: 0, seconds: 0, slices: 0 };
  if (existsSync(file)) {
    const checkpoint = readCheckpoint(file);
    checkSameRun(checkpoint, config, training.digest, file);
    restore(engine, checkpoint, file);
    const before = checkpoint.progress;
    progress = { ...before, slices: before.slices ?? slicesOf(training, batches, config.seed, before) };
    run.onNotice?.(`resuming ${folder} at epoch ${progress.epoch + 1}, step ${progress.step}`);
    noteDevice(run);
  } else {
    if (run.startFrom !== undefined) startFrom(engine, run.startFrom, config);
    beginFolder(run);
  }
  const save = async () => writeCheckpoint(file, await snapshot(engine, config, training.digest, progress));
  await save();
  let savedAt = performance.now();
  const shareOf = (stepsPerEpoch: number, ahead = 0): number =>
    Math.max(
      (progress.epoch + (progress.batch + ahead) / stepsPerEpoch) / config.epochs,
      config.minutes > 0 ? progress.seconds / 60 / config.minutes : 0,
    );

  const stopped = (): boolean => run.signal?.aborted ?? false;
  let figures: ValidationFigures | undefined;
  let share = 0;
  while (progress.epoch < config.epochs && share < 1 && !stopped()) {
    const plans = planEpoch(training, batches, config.seed, progress.epoch);
    const sums = new Map<string, number>();
    let steps = 0;
    let slices = 0;
    const secondsBefore = progress.seconds;
    let rate = 0;
    const read = (from: number): Batch[] =>
      alike(plans, from, engine.stepsAtOnce).map((plan) =>
        readBatch(training, plan, batches, config.seed, progress.epoch),
      );
    let next = progress.batch < plans.length ? read(progress.batch) : [];
    while (progress.batch < plans.length) {
      share = shareOf(plans.length);
      if (share >= 1 || stopped()) break;
      const startedAt = performance.now();
      const requests = next.map((batch, at): StepRequest => {
        const step = progress.step + at;
        rate = learningRateAt(config, step, shareOf(plans.length, at));
        const averageDecay = averageDecayAt(config.averageDecay, step + 1);
        return {
          batch,
          ...adamFactors(rate, step + 1, config.adam),
          ...(averageDecay === undefined ? {} : { averageDecay }),
        };
      });
      const stepping = engine.steps(requests);
      // While the engine computes, unless it blocks this thread.
      const after = progress.batch + requests.length;
      next = after < plans.length ? read(after) : [];
      const results = await stepping;
      const bad = results.findIndex(({ loss }) => !Number.isFinite(loss));
      if (bad >= 0) {
        throw new TrainingError(
          `the loss of step ${progress.step + bad + 1} is ${results[bad]!.loss}: resume ${file} with a lower learning rate`,
        );
      }
      const seconds = (performance.now() - startedAt) / 1000;
      for (const [at, result] of results.entries()) {
        const { count } = requests[at]!.batch;
        progress.step += 1;
        progress.batch += 1;
        progress.seconds += seconds / results.length;
        progress.slices += count;
        for (const [name, value] of Object.entries(result)) sums.set(name, (sums.get(name) ?? 0) + value);
        steps += 1;
        slices += count;
        run.onStep?.({
          progress: { ...progress },
          share,
          loss: result.loss!,
          ...(result.gradient === undefined ? {} : { gradient: result.gradient }),
          slicesPerSecond: slices / (progress.seconds - secondsBefore),
        });
      }
      if ((performance.now() - savedAt) / 1000 > run.checkpointSeconds) {
        await saveOrTell(save, run);
        savedAt = performance.now();
      }
    }
    if (stopped()) break;
    share = shareOf(plans.length);
    if (progress.batch >= plans.length) {
      progress.epoch += 1;
      progress.batch = 0;
    }
    figures = await validate(engine, validation, batches, run.validationSlices);
    const report: EpochReport = {
      progress: { ...progress },
      learningRate: rate,
      train: Object.fromEntries([...sums].map(([name, sum]) => [name, sum / Math.max(1, steps)])),
      validation: figures,
      slicesPerSecond: slices / Math.max(1e-9, progress.seconds - secondsBefore),
    };
    appendCurve(folder, report);
    run.onEpoch?.(report);
    if (progress.epoch >= config.epochs || share >= 1) break;
    await saveOrTell(save, run);
    savedAt = performance.now();
  }
  await save();
  const finished = !stopped();
  return { finished, progress, validation: figures, checkpoint: file };
}

/** Slices that a run has seen, from the plans of its epochs. */
function slicesOf(
  samples: TrainingSamples,
  batches: BatchConfig,
  seed: number,
  progress: Pick<Progress, 'epoch' | 'batch'>,
): number {
  let slices = 0;
  for (let epoch = 0; epoch <= progress.epoch; epoch += 1) {
    const plans = planEpoch(samples, batches, seed, epoch);
    const done = epoch < progress.epoch ? plans : plans.slice(0, progress.batch);
    for (const plan of done) slices += plan.samples.length;
  }
  return slices;
}

/** The next batches of one shape, `most` of them at most. */
function alike(plans: readonly BatchPlan[], from: number, most: number): BatchPlan[] {
  const [first, ...rest] = plans.slice(from, from + most) as [BatchPlan, ...BatchPlan[]];
  const other = rest.findIndex(
    ({ rows, columns, samples }) =>
      rows !== first.rows || columns !== first.columns || samples.length !== first.samples.length,
  );
  return [first, ...(other < 0 ? rest : rest.slice(0, other))];
}

/**
 * By how much the averages move after a step, if they do. Early in a run a long average would still hold the first,
 * random weights.
 */
function averageDecayAt(decay: number, step: number): number | undefined {
  if (decay === 0) return 0;
  if (step % stepsPerAverage !== 0) return undefined;
  return Math.min(decay, (1 + step) / (10 + step)) ** stepsPerAverage;
}

/** Mean figures of the averaged network over at most `limit` slices, spread over the set, not augmented. */
async function validate(
  engine: TrainingEngine,
  samples: TrainingSamples,
  config: BatchConfig,
  limit: number,
): Promise<ValidationFigures> {
  const stride = Math.max(1, samples.count / limit);
  const chosen = Array.from({ length: Math.min(limit, samples.count) }, (_, i) => Math.floor(i * stride));
  const subset = {
    ...samples,
    count: chosen.length,
    shapeOf: (index: number) => samples.shapeOf(chosen[index]!),
    read: (index: number) => samples.read(chosen[index]!),
  };
  const plain = { ...config, augment: false };
  const sum: ValidationFigures = { l1: 0, ssim: 0, inputL1: 0, inputSsim: 0 };
  let count = 0;
  for (const plan of planEpoch(subset, plain, 0, 0)) {
    const batch: Batch = readBatch(subset, plan, plain, 0, 0);
    const figures = await engine.validate(batch);
    for (const key of ['l1', 'ssim', 'inputL1', 'inputSsim'] as const) sum[key] += figures[key] * batch.count;
    count += batch.count;
  }
  return {
    l1: sum.l1 / count,
    ssim: sum.ssim / count,
    inputL1: sum.inputL1 / count,
    inputSsim: sum.inputSsim / count,
  };
}

async function snapshot(
  engine: TrainingEngine,
  config: TrainingConfig,
  dataDigest: string,
  progress: Progress,
): Promise<Checkpoint> {
  const variables = new Map<string, { shape: readonly number[]; values: Float32Array }>();
  for (const { name, shape } of engine.variables) {
    variables.set(name, { shape, values: await engine.read(name) });
  }
  return { config, dataDigest, progress: { ...progress }, variables };
}

function restore(engine: TrainingEngine, checkpoint: Checkpoint, file: string): void {
  for (const { name, shape } of engine.variables) {
    const stored = checkpoint.variables.get(name);
    if (stored === undefined || stored.shape.join() !== shape.join()) {
      throw new TrainingError(
        `${file} is of another network: ${name} is ${stored?.shape.join('×') ?? 'missing'} there, ${shape.join('×')} here`,
      );
    }
    engine.write(name, stored.values);
  }
}

/** Takes over another run's averaged weights, or a released model's, grown where this network is larger; optimiser and averages begin anew. */
function startFrom(engine: TrainingEngine, path: string, config: TrainingConfig): void {
  const { network, values } = readStartingWeights(path);
  if (!canGrow(network, config.network)) {
    throw new TrainingError(
      `${path} holds another network (${JSON.stringify(network)}): give this run the same, or a multiple of its width, or more stages`,
    );
  }
  const shapes = engine.variables.filter(({ role }) => role === 'weight');
  for (const [name, weights] of growWeights(network, values, config.network, shapes, config.seed)) {
    if (weights === undefined) throw new TrainingError(`${path} has no weights ${name}`);
    engine.write(name, weights);
    engine.write(averageName(name), weights);
  }
}

function checkSameRun(
  checkpoint: Checkpoint,
  config: TrainingConfig,
  dataDigest: string,
  file: string,
): void {
  const fixed = ({ epochs: _epochs, minutes: _minutes, ...rest }: TrainingConfig) => rest;
  const before = fixed(checkpoint.config);
  const now = fixed(config);
  for (const key of Object.keys(now) as (keyof typeof now)[]) {
    if (JSON.stringify(before[key]) === JSON.stringify(now[key])) continue;
    throw new TrainingError(
      `${file} is of another configuration: ${key} was ${JSON.stringify(before[key])}, now ${JSON.stringify(now[key])}; choose another run folder or give the same options`,
    );
  }
  if (checkpoint.dataDigest !== dataDigest) {
    throw new TrainingError(
      `${file} was trained on other data (${checkpoint.dataDigest.slice(0, 12)}, now ${dataDigest.slice(0, 12)}): choose another run folder`,
    );
  }
}

const curveColumns =
  'epoch,batch,step,seconds,learning_rate,loss,l1,tv,ssim,validation_l1,validation_ssim,input_l1,input_ssim,slices_per_second';

function beginFolder(run: TrainingRun): void {
  const { folder, config, engine, training, validation } = run;
  try {
    mkdirSync(folder, { recursive: true });
  } catch (error) {
    throw new TrainingError(`${folder} cannot be made: ${messageOf(error)}`);
  }
  const record = {
    config,
    device: engine.device,
    startedAt: new Date().toISOString(),
    startFrom: run.startFrom,
    data: { training: training.digest, slices: training.count, validation: validation.digest },
  };
  writeWhole(join(folder, 'config.json'), [Buffer.from(`${JSON.stringify(record, null, 2)}\n`)]);
  writeFileSync(join(folder, 'curves.csv'), `${curveColumns}\n`);
}

/** A run that goes on on another device than before tells all of them. */
function noteDevice({ folder, engine }: TrainingRun): void {
  const file = join(folder, 'config.json');
  if (!existsSync(file)) return;
  const record = JSON.parse(readFileSync(file, 'utf8')) as { device?: string };
  if (record.device?.split(laterDevice).at(-1) === engine.device) return;
  const device = [record.device, engine.device].filter((one) => one !== undefined).join(laterDevice);
  writeWhole(file, [Buffer.from(`${JSON.stringify({ ...record, device }, null, 2)}\n`)]);
}

const laterDevice = '; then ';

function appendCurve(folder: string, report: EpochReport): void {
  const { progress, train: sums, validation, learningRate, slicesPerSecond } = report;
  const row = [
    progress.epoch,
    progress.batch,
    progress.step,
    progress.seconds.toFixed(1),
    learningRate.toExponential(4),
    ...['loss', 'l1', 'tv', 'ssim'].map((name) => sums[name]?.toPrecision(6) ?? ''),
    validation.l1.toPrecision(6),
    validation.ssim.toPrecision(6),
    validation.inputL1.toPrecision(6),
    validation.inputSsim.toPrecision(6),
    slicesPerSecond.toFixed(2),
  ];
  const file = join(folder, 'curves.csv');
  if (!existsSync(file) || readFileSync(file).length === 0) writeFileSync(file, `${curveColumns}\n`);
  appendFileSync(file, `${row.join(',')}\n`);
}

/** A checkpoint that cannot be written in the middle of a run costs the checkpoint, not the run. */
async function saveOrTell(save: () => Promise<void>, run: TrainingRun): Promise<void> {
  try {
    await save();
  } catch (error) {
    run.onNotice?.(`${messageOf(error)}; training goes on without this checkpoint`);
  }
}
