import { mkdirSync, readFileSync } from 'node:fs';
import { loadavg } from 'node:os';
import { join } from 'node:path';
import { type CatalogueEntry, listVolumes } from '../data/index.js';
import { matchFactor } from '../evaluate/index.js';
import { type ResultRow, runExperiment, writeReport } from '../evaluate/report/index.js';
import { type MotionKind, readTraces } from '../motion/index.js';
import { datasetFolder, isWhole, makeDataset, writeWhole } from '../simulation/index.js';
import { chooseDevice } from '../train/index.js';
import { checkRoom, shownBytes } from './disk.js';
import {
  estimateLines,
  type Measured,
  machineName,
  measure,
  type SimulationTime,
  type StageEstimate,
  type StepTime,
} from './estimate.js';
import { checkInputs, type Inputs } from './inputs.js';
import { addFigures, exportRun, modelFolder } from './models.js';
import type { ReproducePlan } from './plan.js';
import type { Progress } from './progress.js';
import { digestOf, type Factors, type SetPlan, sizeOf, trainingSets } from './sets.js';
import { fileDigest, finishedStage, keyOf, recordStage } from './stage-record.js';
import { summaryLines } from './summary.js';
import { additionalHeads, renderHeads, syntheticSubjects, syntheticTraces } from './synthetic.js';
import { isTrained, type Machine, type PlannedRun, planRuns, secondsTrained, trainRun } from './trainings.js';

export interface ReproduceRequest {
  readonly plan: ReproducePlan;
  /** Folder of volumes; synthetic heads without. */
  readonly data?: string;
  /** Folder of motion traces; generated ones without. */
  readonly motion?: string;
  /** Simulated slices and everything else that can be made again. */
  readonly cache: string;
  /** Run folders with checkpoints and curves, and the records of finished stages. */
  readonly runs: string;
  /** Gets models/ and report/. */
  readonly out: string;
  /** Threads of a training step and workers, 0 for all cores. */
  readonly threads: number;
  /** What runs the training steps. */
  readonly backend: Machine['backend'];
  /** What runs compiled steps. */
  readonly device: Machine['device'];
  /** Which CUDA device, counted from 0. */
  readonly deviceId: number;
  /** Of the exported models. */
  readonly version: string;
  /** The command as the report quotes it. */
  readonly command: string;
  readonly progress: Progress;
}

export interface ReproduceOutcome {
  readonly rows: readonly ResultRow[];
  readonly models: readonly string[];
  readonly report: string;
  /** Stages that this call worked on: empty when all was there. */
  readonly worked: readonly string[];
}

const MOTIONS: readonly MotionKind[] = ['rotation', 'rotation+translation'];
/** About as many factors are tried until the severity matches. */
const TRIALS = 6;

/**
 * From volumes and traces to trained networks, exported models and the report. Every stage first looks at what is there: finished
 * work is recognised by digests and kept, interrupted work goes on.
 *
 * @throws ReproduceError, VolumeError, TraceError, SplitError, DatasetError, EvaluationError, TrainingError for what a user can
 * mend, Interrupted when a training was interrupted
 */
export async function reproduce(request: ReproduceRequest): Promise<ReproduceOutcome> {
  const { plan, cache, runs, out, progress, version } = request;
  const stages = join(runs, 'stages');
  const begun = performance.now();
  const worked: string[] = [];
  mkdirSync(cache, { recursive: true });
  mkdirSync(stages, { recursive: true });

  const data =
    request.data ??
    renderHeads(cache, syntheticSubjects(plan), (done, total) =>
      progress.count('synthetic subjects', done, total),
    );
  const motion = request.motion ?? syntheticTraces(cache, plan);
  const found = await checkInputs(data, motion, cache, plan, (done, total) =>
    progress.count('looking through the volumes', done, total),
  );
  const { volumes, traces } = found;
  progress.say(
    `${request.data ?? 'synthetic heads'}: ${volumes.training.length} volumes to train on, ${volumes.validation.length} to validate, ${volumes.test.length} to test; ` +
      `${request.motion ?? 'generated traces'}: ${traces.paper.length} traces, ${traces.unseen.length} more for the test alone`,
  );

  const inputs: Inputs = { ...found, heads: additional(request) };
  const severity = severityStage(request, inputs, stages);
  const unmatched = severity.known() ?? { rotation: 20, 'rotation+translation': 20 };
  const before = remaining(planRuns(plan, trainingSets(plan, inputs, unmatched), runs), stages);
  let machine: Machine = request;
  if (before.runs.length > 0) {
    if (request.backend === 'compiled') {
      const chosen = await chooseDevice(request.device, request.deviceId, progress.say);
      machine = { ...request, device: chosen.provider };
    }
    const sets = unmade(before.sets, cache);
    const measured = await measureLeft(request, inputs, before.runs, machine);
    checkRoom([
      { option: '--cache', folder: cache, bytes: bytesOf(plan, inputs, sets) },
      {
        option: '--runs',
        folder: runs,
        // a checkpoint and the next one that replaces it
        bytes: before.runs.reduce(
          (sum, run) => sum + 2 * measured.steps.get(run.plan.name)!.checkpointBytes,
          0,
        ),
      },
    ]);
    tellEstimate(request, inputs, measured, before.runs, sets, severity.known() !== undefined);
  } else progress.say('all networks are trained');

  if (severity.known() === undefined) {
    progress.say('severity: the factor that brings the corrupted slices to the paper’s SSIM');
    await severity.find();
    worked.push('severity');
  }
  const factors = severity.known()!;
  progress.say(
    `factors: ${MOTIONS.map((kind) => `${kind} ${factors[kind]}`).join(', ')} (found on the validation subjects)`,
  );

  const planned = planRuns(plan, trainingSets(plan, inputs, factors), runs);
  const left = remaining(planned, stages);
  for (const run of left.runs) secondsTrained(run);
  const folders = new Map<string, string>();
  for (const set of left.sets) {
    const digest = digestOf(set);
    if (folders.has(digest)) continue;
    progress.say(`slices: ${set.title}`);
    const dataset = await makeDataset({
      ...set,
      cache,
      ...(request.threads > 0 ? { workers: request.threads } : {}),
      onProgress: (done, total) => progress.count('volumes', done, total),
    });
    dataset.close();
    folders.set(digest, dataset.folder);
  }
  for (const run of left.runs) {
    progress.say(`training ${run.plan.name} (${run.plan.label}) in ${run.folder}`);
    await trainRun(run, plan, stages, machine, (set) => folders.get(digestOf(set))!);
    worked.push(run.plan.name);
  }
  const released = planned.filter((run) => run.plan.beginning !== true);
  for (const run of released) {
    if (await exportRun(run, out, stages, version)) {
      worked.push(`export-${run.plan.name}`);
      progress.say(`exported ${modelFolder(out, run)}`);
    }
  }

  const { rows, made } = await reportStage(request, inputs, released, stages, begun);
  if (made) worked.push('report');
  for (const run of released) {
    if (await addFigures(run, rows, out, stages, version)) worked.push(`figures-${run.plan.name}`);
  }
  const report = join(out, 'report', 'report.md');
  for (const line of summaryLines(rows)) progress.say(line);
  progress.say(`report: ${report}`);
  for (const run of released) progress.say(`model: ${modelFolder(out, run)}`);
  return { rows, models: released.map((run) => modelFolder(out, run)), report, worked };
}

/** The synthetic heads beside the volumes. */
function additional({ plan, cache, progress }: ReproduceRequest): CatalogueEntry[] {
  const heads = additionalHeads(plan);
  if (heads.count === 0) return [];
  return listVolumes(
    renderHeads(cache, heads, (done, total) => progress.count('synthetic heads', done, total)),
  );
}

/** What is still to train, and the data sets that takes. */
function remaining(planned: readonly PlannedRun[], stages: string): { runs: PlannedRun[]; sets: SetPlan[] } {
  const left = planned.filter((run) => !isTrained(run, stages));
  const sets = new Map<string, SetPlan>();
  for (const run of left) {
    for (const set of [...run.sets.training, ...run.sets.validation]) sets.set(digestOf(set), set);
  }
  return { runs: left, sets: [...sets.values()] };
}

/** The data sets that are not in the cache yet. */
function unmade(sets: readonly SetPlan[], cache: string): SetPlan[] {
  return sets.filter((set) => !isWhole(datasetFolder(cache, set.recipe, digestOf(set))));
}

function severityStage(
  request: ReproduceRequest,
  inputs: Inputs,
  stages: string,
): { known(): Factors | undefined; find(): Promise<void> } {
  const { plan, cache } = request;
  const { slices, matchingTraces } = plan.report;
  const volumes = inputs.volumes.validation;
  const probe = trainingSets(plan, inputs, { rotation: 0, 'rotation+translation': 0 }).paper.validation;
  const key = keyOf(probe.map(digestOf), slices, matchingTraces, plan.seed);
  const file = join(stages, 'factors.json');
  return {
    known() {
      if (finishedStage(stages, 'severity', key) === undefined) return undefined;
      return JSON.parse(readFileSync(file, 'utf8')) as Factors;
    },
    async find() {
      const startedAt = performance.now();
      const factors: Record<MotionKind, number> = { rotation: 0, 'rotation+translation': 0 };
      for (const motion of MOTIONS) {
        const found = await matchFactor({
          motion,
          volumes,
          traces: inputs.traces.paper,
          cache,
          tracesPerSlice: matchingTraces,
          slices,
          seed: plan.seed,
          ...(request.threads > 0 ? { workers: request.threads } : {}),
          onTrial: ({ factor, ssim }) =>
            request.progress.say(`  ${motion}, factor ${factor}: SSIM ${ssim.toFixed(4)}`),
        });
        factors[motion] = found.factor;
      }
      writeWhole(file, `${JSON.stringify(factors)}\n`);
      recordStage(stages, 'severity', key, [file], (performance.now() - startedAt) / 1000);
    },
  };
}

async function measureLeft(
  request: ReproduceRequest,
  inputs: Inputs,
  runs: readonly PlannedRun[],
  machine: Machine,
): Promise<Measured> {
  request.progress.say('timing a few slices and steps on this machine');
  const entry = inputs.volumes.training[0]!;
  const mixed = trainingSets(request.plan, inputs, { rotation: 20, 'rotation+translation': 20 }).product
    .training[0]!.recipe;
  const measured = await measure(
    { entry, coverage: inputs.coverage.get(entry.name)! },
    inputs.traces.paper,
    mixed,
    runs.map((run) => run.plan),
    machine,
  );
  return measured;
}

/** What the report is measured on: slices of the paper's kind, of native matrices, and volumes that move as a whole. */
function testSizes(
  plan: ReproducePlan,
  inputs: Inputs,
): { stack: number; mixed: number; volumes: number; ofVolumes: number } {
  const sets = inputs.traces.unseen.length > 0 ? 2 : 1;
  const { slices, tracesPerSlice, nativeSamples, volumeTraces } = plan.report;
  const heads = inputs.volumes.test.filter((entry) => inputs.coverage.get(entry.name) === 'head').length;
  const brains = inputs.volumes.test.length - heads;
  return {
    stack: 2 * MOTIONS.length * sets * inputs.volumes.test.length * slices * tracesPerSlice,
    mixed: nativeSamples * (brains + 4 * heads),
    volumes: inputs.volumes.test.length * volumeTraces,
    ofVolumes: inputs.volumes.test.length * volumeTraces * slices,
  };
}

function bytesOf(plan: ReproducePlan, inputs: Inputs, sets: readonly SetPlan[]): number {
  const test = testSizes(plan, inputs);
  const tests = 2 * (128 * 128 * 1.1 * (test.stack + test.ofVolumes) + 2 * 160 * 160 * test.mixed);
  return sets.reduce((sum, set) => sum + sizeOf(set, inputs.coverage).bytes, tests);
}

function tellEstimate(
  request: ReproduceRequest,
  inputs: Inputs,
  measured: Measured,
  runs: readonly PlannedRun[],
  sets: readonly SetPlan[],
  severityKnown: boolean,
): void {
  const { plan, progress } = request;
  const cores = request.threads > 0 ? request.threads : measured.cores;
  const simulation = (time: SimulationTime, slices: number, volumes: number): number =>
    (time.secondsPerVolume * volumes + time.secondsPerSlice * slices) / cores;
  // comparisons run on half the cores
  const comparison = (slices: number): number => (measured.secondsPerComparison * slices) / (cores / 2);
  const lines: StageEstimate[] = [];
  if (!severityKnown) {
    const { slices, matchingTraces } = plan.report;
    const count = inputs.volumes.validation.length * slices * matchingTraces;
    lines.push({
      stage: 'severity',
      work: `about ${MOTIONS.length * TRIALS} × ${count} slices simulated and compared`,
      seconds:
        MOTIONS.length *
        TRIALS *
        (simulation(measured.stack, count, inputs.volumes.validation.length) + comparison(count)),
    });
  }
  let slices = 0;
  let seconds = 0;
  for (const set of sets) {
    const size = sizeOf(set, inputs.coverage);
    const time = set.recipe.sampling.kind === 'stack' ? measured.stack : measured.mixed;
    slices += size.slices;
    seconds += simulation(time, size.slices, set.volumes.length);
  }
  if (slices > 0) {
    const bytes = bytesOf(plan, inputs, sets);
    lines.push({ stage: 'slices', work: `${slices} slices, ${shownBytes(bytes)} with the test's`, seconds });
  }
  for (const run of runs) {
    lines.push(trainingEstimate(run, plan, inputs, measured.steps.get(run.plan.name)!));
  }
  const test = testSizes(plan, inputs);
  const all = test.stack + test.mixed + test.ofVolumes;
  const released = plan.trainings.filter(({ beginning }) => beginning !== true);
  const inference = released.reduce((sum, training) => {
    const time = measured.steps.get(training.name);
    return sum + 2 * all * (time?.validationSecondsPerSlice ?? 0);
  }, 0);
  lines.push({
    stage: 'report',
    work: `${all} test slices, ${released.length} models`,
    seconds:
      simulation(measured.stack, test.stack, 8 * inputs.volumes.test.length) +
      simulation(measured.mixed, test.mixed, inputs.volumes.test.length) +
      (measured.secondsPerMovedVolume * test.volumes) / cores +
      comparison(all * (1 + released.length)) +
      inference,
  });
  const devices = new Set([...measured.steps.values()].map((step) => step.device));
  progress.say(`machine: ${measured.machine}`);
  for (const device of devices) progress.say(`device: ${device}`);
  const busy = loadavg()[0]!;
  progress.say(
    busy > 1
      ? `estimate, from a few slices and steps timed just now, while other programs keep the machine busy (load ${busy.toFixed(1)}):`
      : 'estimate, from a few slices and steps timed just now:',
  );
  for (const line of estimateLines(lines)) progress.say(line);
}

function trainingEstimate(
  run: PlannedRun,
  plan: ReproducePlan,
  inputs: Inputs,
  time: StepTime,
): StageEstimate {
  let slices = 0;
  let slicesAt128 = 0;
  for (const set of run.sets.training) {
    const size = sizeOf(set, inputs.coverage);
    slices += size.slices;
    slicesAt128 += size.slicesAt128;
  }
  const validation = plan.validationSlices * time.validationSecondsPerSlice;
  const epoch = slicesAt128 * time.secondsPerSlice;
  const whole = run.config.epochs * epoch;
  const limit = run.config.minutes > 0 ? 60 * run.config.minutes : Number.POSITIVE_INFINITY;
  const training = Math.min(whole, limit);
  const epochs = (run.config.epochs * training) / whole;
  const done = secondsTrained(run);
  return {
    stage: run.plan.name,
    work:
      `${epochs.toFixed(epochs < 10 ? 1 : 0)} epochs of ${slices} slices, ${(1 / time.secondsPerSlice).toFixed(1)} slices of 128 × 128 a second` +
      (done > 0 ? `, ${((100 * done) / training).toFixed(0)} % of it done before` : ''),
    seconds: Math.max(0, training - done) + Math.ceil(epochs) * validation,
  };
}

/** Makes the report, or reads the results of one that is there for the same models and data. */
async function reportStage(
  request: ReproduceRequest,
  inputs: Inputs,
  planned: readonly PlannedRun[],
  stages: string,
  begun: number,
): Promise<{ rows: ResultRow[]; made: boolean }> {
  const { plan, cache, out, progress } = request;
  const folder = join(out, 'report');
  const models = planned.map((run) => ({ label: run.plan.label, folder: modelFolder(out, run) }));
  const key = keyOf(
    models.map(({ label, folder: at }) => [label, fileDigest(join(at, 'model.onnx'))]),
    inputs.split,
    trainingSets(plan, inputs, { rotation: 0, 'rotation+translation': 0 }).paper.validation.map(digestOf),
    plan.report,
    plan.seed,
    folder,
  );
  const results = join(folder, 'results.json');
  if (finishedStage(stages, 'report', key) !== undefined) {
    return { rows: JSON.parse(readFileSync(results, 'utf8')) as ResultRow[], made: false };
  }
  const startedAt = performance.now();
  const experiment = await runExperiment({
    data: inputs.data,
    motion: inputs.motion,
    cache,
    split: inputs.split,
    models,
    ...plan.report,
    seed: plan.seed,
    ...(request.threads > 0 ? { threads: request.threads } : {}),
    onStage: (stage) => progress.say(`report: ${stage}`),
    onProgress: (done, total) => progress.count('slices', done, total),
  });
  const files = await writeReport(folder, experiment, readTraces(inputs.motion), {
    command: request.command,
    date: new Date().toISOString().slice(0, 10),
    machine: machineName(),
    seconds: (performance.now() - begun) / 1000,
  });
  recordStage(
    stages,
    'report',
    key,
    files.map((file) => join(folder, file)),
    (performance.now() - startedAt) / 1000,
  );
  return { rows: JSON.parse(readFileSync(results, 'utf8')) as ResultRow[], made: true };
}
