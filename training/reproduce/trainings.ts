import { existsSync } from 'node:fs';
import { join } from 'node:path';
import {
  parseOptions,
  readCheckpoint,
  type TrainingConfig,
  TrainingError,
  type TrainingOptions,
} from '../train/index.js';
import { runScript } from './child.js';
import { ReproduceError } from './error.js';
import type { ReproducePlan, TrainingPlan } from './plan.js';
import { digestOf, type SetPlan, type TrainingSets } from './sets.js';
import { finishedStage, keyOf, recordStage } from './stage-record.js';

/** A training whose data is known. */
export interface PlannedRun {
  readonly plan: TrainingPlan;
  readonly sets: TrainingSets;
  /** Run folder; its name holds a digest of configuration and data, so that another configuration gets a folder of its own. */
  readonly folder: string;
  readonly checkpoint: string;
  readonly config: TrainingConfig;
  readonly from?: PlannedRun;
  /** Digests of the training sets, as a checkpoint holds them. */
  readonly dataDigest: string;
  readonly key: string;
}

/** What computes the steps: no part of what a run is. */
export interface Machine {
  /** 0 for all cores. */
  readonly threads: number;
  readonly backend: TrainingOptions['backend'];
  readonly device: TrainingOptions['device'];
  readonly deviceId: number;
}

/** The machine as options of the training's command line. */
export function machineOptions({ threads, backend, device, deviceId }: Machine): string[] {
  return [
    ...['--threads', String(threads), '--backend', backend],
    ...['--device', device, '--device-id', String(deviceId)],
  ];
}

/** Why nothing more is done: the user interrupted. What is finished is kept. */
export class Interrupted extends Error {
  override readonly name = 'Interrupted';
}

/** The command line of a training, but for its data sets, run folder and threads. */
export function trainingOptions(plan: ReproducePlan, training: TrainingPlan): string[] {
  return [
    ...training.options,
    ...['--epochs', String(plan.epochs), '--minutes', String(plan.minutes * training.share)],
    ...['--seed', String(plan.seed), '--validation-slices', String(plan.validationSlices)],
  ];
}

function configOf(options: readonly string[]): TrainingConfig {
  return parseOptions([...options, '--dataset', '-', '--validation', '-', '--run', '-']).config;
}

/** What must be the same for a run to be resumed: the epochs and minutes may change. */
function identityOf({ epochs: _epochs, minutes: _minutes, ...config }: TrainingConfig): unknown {
  return config;
}

/** The runs of a plan in their order, those that others start from first. */
export function planRuns(
  plan: ReproducePlan,
  sets: Readonly<Record<'paper' | 'product', TrainingSets>>,
  runs: string,
): PlannedRun[] {
  const planned: PlannedRun[] = [];
  for (const training of plan.trainings) {
    const from =
      training.from === undefined ? undefined : planned.find((run) => run.plan.name === training.from)!;
    const config = configOf(trainingOptions(plan, training));
    const data = sets[training.data];
    const dataDigest = data.training.map(digestOf).join('+');
    const identity = [identityOf(config), dataDigest, data.validation.map(digestOf), from?.key ?? null];
    const folder = join(runs, `${training.name}-${keyOf(identity).slice(0, 8)}`);
    planned.push({
      plan: training,
      sets: data,
      folder,
      checkpoint: join(folder, 'checkpoint.bin'),
      config,
      ...(from === undefined ? {} : { from }),
      dataDigest,
      key: keyOf(identity, config.epochs, config.minutes),
    });
  }
  return planned;
}

export function isTrained(run: PlannedRun, stages: string): boolean {
  return finishedStage(stages, run.plan.name, run.key) !== undefined;
}

/**
 * Seconds that an unfinished run has trained already; 0 for one that has not begun.
 *
 * @throws ReproduceError when its checkpoint is damaged, or of another configuration or other data
 */
export function secondsTrained(run: PlannedRun): number {
  if (!existsSync(run.checkpoint)) return 0;
  try {
    const checkpoint = readCheckpoint(run.checkpoint);
    const same =
      JSON.stringify(identityOf(checkpoint.config)) === JSON.stringify(identityOf(run.config)) &&
      checkpoint.dataDigest === run.dataDigest;
    if (!same) {
      throw new ReproduceError(
        `${run.checkpoint} is of another configuration or other data than ${run.plan.name} now has: remove its folder or choose another with --runs`,
      );
    }
    return checkpoint.progress.seconds;
  } catch (error) {
    if (!(error instanceof TrainingError)) throw error;
    throw new ReproduceError(`${error.message}; remove it to train ${run.plan.name} from the beginning`);
  }
}

/**
 * Trains in a process of its own (a step blocks its thread), or goes on where an interrupted run stopped.
 *
 * @param folderOf the folder of a data set that was made
 * @throws Interrupted when the run was interrupted, ReproduceError when it failed
 */
export async function trainRun(
  run: PlannedRun,
  plan: ReproducePlan,
  stages: string,
  machine: Machine,
  folderOf: (set: SetPlan) => string,
): Promise<void> {
  const startedAt = performance.now();
  const { code } = await runScript('../train/cli.js', [
    ...trainingOptions(plan, run.plan),
    ...['--dataset', ...run.sets.training.map(folderOf)],
    ...['--validation', ...run.sets.validation.map(folderOf)],
    ...['--run', run.folder],
    ...machineOptions(machine),
    ...(run.from === undefined ? [] : ['--from', run.from.checkpoint]),
  ]);
  if (code === 130 || code === null) throw new Interrupted();
  if (code !== 0) {
    throw new ReproduceError(
      `the training of ${run.plan.name} failed (exit status ${code}), see the message above; once the cause is removed, the same command goes on`,
    );
  }
  recordStage(stages, run.plan.name, run.key, [run.checkpoint], (performance.now() - startedAt) / 1000);
}
