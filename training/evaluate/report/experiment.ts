import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type CatalogueEntry, listVolumes, type Split, splitOfFolder, writeSplit } from '../../data/index.js';
import { type MotionKind, type MotionTrace, readTraceSets } from '../../motion/index.js';
import {
  type Dataset,
  makeDataset,
  mixedRecipe,
  openDataset,
  paperRecipe,
  type Recipe,
  writeWhole,
} from '../../simulation/index.js';
import {
  type EvaluationInput,
  evaluateDataset,
  type SliceRow,
  selectForEvaluation,
  sliceRow,
} from '../evaluate-dataset.js';
import { type MaskedSlice, measureHeadMasks } from '../head-masks.js';
import { type MatchedFactor, matchFactor } from '../match-factor.js';
import { EvaluationError, type ModelFolder, openCorrector, readModelFolder } from '../model.js';
import { type SeveritySummary, severityRows, summariseSeverity } from '../severity.js';
import type { SliceFigures } from '../similarity.js';

/** `x8`: traces times eight as in the paper. `matched`: times the factor that gives the paper's corrupted SSIM. */
export type Protocol = 'x8' | 'matched';
/** `paper`: the traces that training used too. `unseen`: traces of people that training never saw. */
export type TraceSet = 'paper' | 'unseen';

export interface Condition {
  readonly protocol: Protocol;
  readonly motion: MotionKind;
  readonly traces: TraceSet;
  readonly factor: number;
}

/** A condition's test slices before and after every model. */
export interface MeasuredCondition extends Condition {
  readonly dataset: string;
  readonly digest: string;
  readonly rows: readonly SliceRow[];
}

export interface LabelledModel extends ModelFolder {
  /** Its name in tables: `L1`, `L1+TV`, `L1+TV-ft` for the paper's three. */
  readonly label: string;
}

export interface ExperimentOptions {
  readonly data: string;
  readonly motion: string;
  readonly cache: string;
  /** Default the folder's own split.json, else the fixed or seeded split. */
  readonly split?: Split;
  readonly models: readonly { readonly label: string; readonly folder: string }[];
  /** Traces drawn for each test slice; default all. */
  readonly tracesPerSlice?: number;
  /** Slices of each volume; default the paper's ten. */
  readonly slices?: number;
  /** Samples of native matrices of each brain-only test volume (heads give four times as many); default 20. */
  readonly nativeSamples?: number;
  /** Traces under which every test volume moves as a whole; default 4. */
  readonly volumeTraces?: number;
  /** Traces a slice for finding the matched factor; default 16. */
  readonly matchingTraces?: number;
  readonly seed?: number;
  readonly threads?: number;
  readonly onStage?: (stage: string) => void;
  readonly onProgress?: (done: number, total: number) => void;
}

export interface Experiment {
  readonly models: readonly LabelledModel[];
  readonly split: Split;
  readonly factors: readonly MatchedFactor[];
  readonly conditions: readonly MeasuredCondition[];
  /** The motion-free test slices, given to the models as they are. */
  readonly clean: readonly SliceRow[];
  /** Slices of the product's kind: native matrices, all planes, noise; and their motion-free originals. */
  readonly native: {
    readonly digest: string;
    readonly rows: readonly SliceRow[];
    readonly clean: readonly SliceRow[];
  };
  /** The paper's slices of volumes that moved as a whole, by all six degrees of freedom. */
  readonly sixDegree: {
    readonly digest: string;
    readonly traces: TraceSet;
    readonly factor: number;
    readonly rows: readonly SliceRow[];
  };
  /** Of the first headline with translation, for each model: the head's SSIM by how wide its mask is. */
  readonly headMasks: readonly (readonly MaskedSlice[])[];
  /** The server's estimate of severity, with one of the models, against the truth. */
  readonly severity: SeveritySummary & { readonly model: string };
  readonly seed: number;
  readonly tracesPerSlice: number | null;
}

export const MOTIONS: readonly MotionKind[] = ['rotation', 'rotation+translation'];
export const PROTOCOLS: readonly Protocol[] = ['matched', 'x8'];
export const TRACE_SETS: readonly TraceSet[] = ['unseen', 'paper'];

/** Raised when the arithmetic of figures changes: cached figures of other versions are then measured anew. */
const MEASURE_VERSION = 2;

/**
 * Rows of a data set for all models; figures are kept in the cache by data set and model, so that only what is new is run.
 */
async function measureCached(
  dataset: Dataset,
  input: EvaluationInput,
  models: readonly ModelFolder[],
  options: ExperimentOptions,
): Promise<SliceRow[]> {
  const folder = join(options.cache, 'figures');
  mkdirSync(folder, { recursive: true });
  const fileOf = (model: ModelFolder | null): string =>
    join(
      folder,
      `${dataset.digest.slice(0, 16)}-${input}-${model === null ? 'none' : model.sha256.slice(0, 16)}-v${MEASURE_VERSION}.json`,
    );
  const chosen = selectForEvaluation(dataset.samples, input);
  const known = (model: ModelFolder | null): SliceFigures[] | undefined => {
    if (!existsSync(fileOf(model))) return undefined;
    const figures = JSON.parse(readFileSync(fileOf(model), 'utf8')) as SliceFigures[];
    return figures.length === chosen.length ? figures : undefined;
  };
  const missing = models.filter((model) => known(model) === undefined);
  if (missing.length > 0 || known(null) === undefined) {
    const { rows } = await evaluateDataset({
      models: missing.map((model) => model.folder),
      dataset: dataset.folder,
      input,
      ...(options.threads === undefined ? {} : { threads: options.threads }),
      ...(options.onProgress === undefined ? {} : { onProgress: options.onProgress }),
    });
    writeWhole(fileOf(null), JSON.stringify(rows.map((row) => row.corrupted)));
    missing.forEach((model, place) => {
      writeWhole(fileOf(model), JSON.stringify(rows.map((row) => row.corrected[place]!)));
    });
  }
  const corrupted = known(null)!;
  const corrected = models.map((model) => known(model)!);
  return chosen.map((place, i) =>
    sliceRow(
      dataset.samples[place]!,
      place,
      input,
      corrupted[i]!,
      corrected.map((figures) => figures[i]!),
    ),
  );
}

/**
 * Makes the test sets of the paper's Figure 4 (both protocols, both motions, both sets of traces), runs every model over
 * them and over motion-free slices, and keeps all figures in the cache.
 *
 * @throws EvaluationError, DatasetError, VolumeError, TraceError: each names the file and what to do
 */
export async function runExperiment(options: ExperimentOptions): Promise<Experiment> {
  const models = options.models.map(({ label, folder }) => ({ ...readModelFolder(folder), label }));
  const labels = new Set(models.map((model) => model.label));
  if (labels.size < models.length)
    throw new EvaluationError('two models have the same label; give --model LABEL=DIR');
  mkdirSync(options.cache, { recursive: true });
  const entries = listVolumes(options.data);
  const split =
    options.split ??
    splitOfFolder(
      options.data,
      entries.map((entry) => entry.name),
    );
  writeSplit(join(options.cache, 'split.json'), split);
  const part = (name: keyof Split): CatalogueEntry[] =>
    entries.filter((entry) => split[name].includes(entry.name));
  const sets = readTraceSets(options.motion);
  const tracesOf = (set: TraceSet): MotionTrace[] | undefined => sets.get(set);
  const paper = tracesOf('paper');
  if (paper === undefined) {
    throw new EvaluationError(
      `${options.motion}: its runs.tsv puts no trace into the set "paper", on which the severity is matched`,
    );
  }
  const seed = options.seed ?? 1;
  const workers = options.threads === undefined ? {} : { workers: options.threads };

  const factors: MatchedFactor[] = [];
  for (const motion of MOTIONS) {
    options.onStage?.(`severity of ${motion} on validation subjects`);
    factors.push(
      await matchFactor({
        motion,
        volumes: part('validation'),
        traces: paper,
        cache: options.cache,
        tracesPerSlice: options.matchingTraces ?? 16,
        ...(options.slices === undefined ? {} : { slices: options.slices }),
        seed,
        ...workers,
      }),
    );
  }

  const simulate = (recipe: Recipe, traces: readonly MotionTrace[]): Promise<Dataset> =>
    makeDataset({ recipe, volumes: part('test'), traces, cache: options.cache, ...workers });
  const conditions: MeasuredCondition[] = [];
  let clean: SliceRow[] | undefined;
  for (const protocol of PROTOCOLS) {
    for (const set of TRACE_SETS) {
      const traces = tracesOf(set);
      if (traces === undefined) continue;
      for (const motion of MOTIONS) {
        const factor = protocol === 'x8' ? 8 : factors.find((found) => found.motion === motion)!.factor;
        options.onStage?.(`${protocol}, ${motion}, ${set} traces`);
        const recipe = paperRecipe({
          part: 'test',
          traces: set,
          motion,
          factor,
          seed,
          ...(options.tracesPerSlice === undefined ? {} : { tracesPerSlice: options.tracesPerSlice }),
          ...(options.slices === undefined ? {} : { slices: options.slices }),
        });
        const dataset = await simulate(recipe, traces);
        const rows = await measureCached(dataset, 'corrupted', models, options);
        conditions.push({
          protocol,
          motion,
          traces: set,
          factor,
          dataset: dataset.folder,
          digest: dataset.digest,
          rows,
        });
        if (clean === undefined) {
          options.onStage?.('motion-free slices');
          clean = await measureCached(dataset, 'clean', models, options);
        }
        dataset.close();
      }
    }
  }

  options.onStage?.('native matrices');
  const bestSet = tracesOf('unseen') === undefined ? 'paper' : 'unseen';
  const mixed = await simulate(
    mixedRecipe({
      part: 'test',
      traces: bestSet,
      samplesPerVolume: options.nativeSamples ?? 20,
      seed,
    }),
    tracesOf(bestSet)!,
  );
  const native = {
    digest: mixed.digest,
    rows: await measureCached(mixed, 'corrupted', models, options),
    clean: await measureCached(mixed, 'clean', models, options),
  };
  mixed.close();

  options.onStage?.('six-degree motion of whole volumes');
  const motion = 'rotation+translation';
  const { factor } = factors.find((found) => found.motion === motion)!;
  const moving = await simulate(
    paperRecipe({
      part: 'test',
      traces: bestSet,
      motion,
      factor,
      seed,
      rigid: true,
      tracesPerSlice: options.volumeTraces ?? 4,
      ...(options.slices === undefined ? {} : { slices: options.slices }),
    }),
    tracesOf(bestSet)!,
  );
  const sixDegree = {
    digest: moving.digest,
    traces: bestSet,
    factor,
    rows: await measureCached(moving, 'corrupted', models, options),
  } as const;
  moving.close();

  options.onStage?.('width of the head’s mask');
  const headMasks = await headMasksOf(
    conditions.find((condition) => condition.motion === motion)!,
    models,
    options,
  );

  options.onStage?.('estimate of severity');
  return {
    models,
    split,
    factors,
    conditions,
    clean: clean!,
    native,
    sixDegree,
    headMasks,
    severity: await validateSeverity(conditions[0]!, models.at(-1)!),
    seed,
    tracesPerSlice: options.tracesPerSlice ?? null,
  };
}

/** Slices on which masks of several widths are compared. */
const MASK_SLICES = 360;

/** Kept in the cache by data set and model. */
async function headMasksOf(
  condition: MeasuredCondition,
  models: readonly LabelledModel[],
  options: ExperimentOptions,
): Promise<MaskedSlice[][]> {
  const dataset = openCondition(condition);
  const measured: MaskedSlice[][] = [];
  try {
    for (const model of models) {
      const name = `${dataset.digest.slice(0, 16)}-masks-${model.sha256.slice(0, 16)}-v${MEASURE_VERSION}.json`;
      const file = join(options.cache, 'figures', name);
      if (!existsSync(file)) {
        const corrector = await openCorrector(model, options.threads ?? 2);
        try {
          const slices = await measureHeadMasks(dataset, corrector, MASK_SLICES, options.onProgress);
          writeWhole(file, JSON.stringify(slices));
        } finally {
          await corrector.close();
        }
      }
      measured.push(JSON.parse(readFileSync(file, 'utf8')) as MaskedSlice[]);
    }
  } finally {
    dataset.close();
  }
  return measured;
}

/** Motion-free slices whose severity is estimated after motion of five strengths. */
const SEVERITY_SLICES = 120;

async function validateSeverity(
  condition: MeasuredCondition,
  model: LabelledModel,
): Promise<Experiment['severity']> {
  const dataset = openCondition(condition);
  const corrector = await openCorrector(model);
  try {
    const rows = await severityRows(dataset, corrector, SEVERITY_SLICES);
    return { model: model.label, ...summariseSeverity(rows) };
  } finally {
    await corrector.close();
    dataset.close();
  }
}

/** The data set of a condition, to look at its slices again. */
export function openCondition(condition: MeasuredCondition): Dataset {
  return openDataset(condition.dataset);
}
