import { availableParallelism, cpus } from 'node:os';
import { type CatalogueEntry, type Coverage, readVolume } from '../data/index.js';
import { compareSlice, prepareReference } from '../evaluate/index.js';
import { type MotionTrace, rigidPoses } from '../motion/index.js';
import {
  acquireVolume,
  paperRecipe,
  type Recipe,
  reconstructVolume,
  simulateVolume,
} from '../simulation/index.js';
import { runScript } from './child.js';
import { ReproduceError } from './error.js';
import type { TrainingPlan } from './plan.js';
import { type Machine, machineOptions } from './trainings.js';

/** What a network's training costs on this machine, at 128 × 128. */
export interface StepTime {
  readonly device: string;
  readonly secondsPerSlice: number;
  /** A forward pass with its figures. */
  readonly validationSecondsPerSlice: number;
  readonly checkpointBytes: number;
}

/** What simulating costs on one core. */
export interface SimulationTime {
  readonly secondsPerVolume: number;
  readonly secondsPerSlice: number;
}

/** What this machine takes for the parts of the work, each measured on a few slices or steps. */
export interface Measured {
  readonly machine: string;
  readonly cores: number;
  readonly stack: SimulationTime;
  readonly mixed: SimulationTime;
  /** A volume of 128³ under six-degree motion. */
  readonly secondsPerMovedVolume: number;
  /** One comparison of a 128 × 128 slice with its clean original, on one core. */
  readonly secondsPerComparison: number;
  readonly steps: ReadonlyMap<string, StepTime>;
}

const TIMED_SLICES = 4;

/** Number and name of the processors. */
export function machineName(): string {
  const processors = cpus();
  return `${processors.length} × ${processors[0]?.model.trim() ?? 'processor'}`;
}

async function timeSimulation(
  recipe: Recipe,
  entry: CatalogueEntry,
  coverage: Coverage,
  traces: readonly MotionTrace[],
): Promise<SimulationTime> {
  const startedAt = performance.now();
  const volume = await readVolume(entry.file);
  const samples = simulateVolume(recipe, volume, coverage, traces);
  if (samples.next().done === true) {
    throw new ReproduceError(`${entry.file}: no slice of it shows enough of a head`);
  }
  const firstAt = performance.now();
  let count = 0;
  while (count < TIMED_SLICES && samples.next().done !== true) count++;
  const seconds = (performance.now() - firstAt) / 1000;
  return {
    secondsPerVolume: (firstAt - startedAt) / 1000,
    secondsPerSlice: count > 0 ? seconds / count : (firstAt - startedAt) / 1000,
  };
}

/** Timed on a smaller cube: the work grows with its voxels. */
function timeMovedVolume(trace: MotionTrace): number {
  const side = 48;
  const data = Float32Array.from({ length: side ** 3 }, (_, i) => 1 + Math.sin(i));
  const cube = { dims: [side, side, side], spacing: [1, 1, 1], data } as const;
  const poses = rigidPoses(trace, { factor: 8, lines: side });
  const startedAt = performance.now();
  reconstructVolume(acquireVolume(cube, poses, { outerAxis: 1 }));
  return ((performance.now() - startedAt) / 1000) * (128 / side) ** 3;
}

function timeComparison(): number {
  const side = 128;
  const clean = Float32Array.from({ length: side * side }, (_, i) => 1 + Math.sin(i) * Math.cos(i / side));
  const reference = prepareReference(clean, side, side);
  compareSlice(clean, reference);
  const startedAt = performance.now();
  for (let i = 0; i < TIMED_SLICES; i++) compareSlice(clean, reference);
  return (performance.now() - startedAt) / 1000 / TIMED_SLICES;
}

/**
 * Times a few steps of a network in a process of its own.
 *
 * @throws ReproduceError when the steps cannot run
 */
export async function timeSteps(training: TrainingPlan, machine: Machine): Promise<StepTime> {
  const { code, output } = await runScript(
    './time-step.js',
    [...training.options, ...machineOptions(machine)],
    true,
  );
  if (code !== 0) {
    throw new ReproduceError(
      `a training step of ${training.name} does not run on this machine (exit status ${code}); see the message above`,
    );
  }
  return JSON.parse(output) as StepTime;
}

/** Measures a few slices and steps of everything that is left to do. */
export async function measure(
  sample: { entry: CatalogueEntry; coverage: Coverage },
  traces: readonly MotionTrace[],
  mixed: Recipe,
  trainings: readonly TrainingPlan[],
  machine: Machine,
): Promise<Measured> {
  const stack = paperRecipe({
    part: 'training',
    traces: 'paper',
    motion: 'rotation+translation',
    factor: 20,
    slices: 1,
  });
  const steps = new Map<string, StepTime>();
  const alike = new Map<string, StepTime>();
  for (const training of trainings) {
    // runs that differ in their rates only take the same time
    const options = training.options.filter((_, i, all) => {
      const rate = (name: string | undefined) => name === '--learning-rate';
      return !rate(all[i]) && !rate(all[i - 1]);
    });
    const network = options.join(' ');
    const time = alike.get(network) ?? (await timeSteps(training, machine));
    alike.set(network, time);
    steps.set(training.name, time);
  }
  return {
    machine: machineName(),
    cores: availableParallelism(),
    stack: await timeSimulation(stack, sample.entry, sample.coverage, traces),
    mixed: await timeSimulation(mixed, sample.entry, sample.coverage, traces),
    secondsPerMovedVolume: timeMovedVolume(traces[0]!),
    secondsPerComparison: timeComparison(),
    steps,
  };
}

/** Seconds as people say them: 45 s, 12 min, 3 h 20 min, 4 d 6 h. */
export function duration(seconds: number): string {
  if (seconds < 90) return `${Math.max(1, Math.round(seconds))} s`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 90) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  if (hours < 48) return `${hours} h ${minutes % 60} min`;
  return `${Math.floor(hours / 24)} d ${hours % 24} h`;
}

/** One line of the estimate. */
export interface StageEstimate {
  readonly stage: string;
  readonly work: string;
  readonly seconds: number;
}

/** The estimate as lines of text, with the sum. */
export function estimateLines(stages: readonly StageEstimate[]): string[] {
  const total = stages.reduce((sum, stage) => sum + stage.seconds, 0);
  const width = Math.max(...stages.map(({ stage }) => stage.length), 8);
  const line = (stage: string, seconds: number, work: string): string =>
    `  ${stage.padEnd(width)}  ${duration(seconds).padStart(12)}  ${work}`.trimEnd();
  return [
    ...stages.map(({ stage, seconds, work }) => line(stage, seconds, work)),
    line('together', total, `until about ${new Date(Date.now() + 1000 * total).toLocaleString()}`),
  ];
}
