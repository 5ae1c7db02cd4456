import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { SlicePlane } from '../data/index.js';
import type { ResultRow } from '../evaluate/report/index.js';
import { type Recipe, writeWhole } from '../simulation/index.js';
import { type IntendedImages, releaseModel } from '../train/index.js';
import { fileDigest, finishedStage, keyOf, recordStage } from './stage-record.js';
import type { PlannedRun } from './trainings.js';

/** The folder of a run's exported model. */
export function modelFolder(out: string, run: PlannedRun): string {
  return join(out, 'models', run.plan.model);
}

function weightFiles(folder: string): string[] {
  return ['model.onnx', join('tfjs', 'model.json'), join('tfjs', 'weights.bin')].map((name) =>
    join(folder, name),
  );
}

/** Matrices and planes that data sets of these recipes hold. */
export function imagesOf(recipes: readonly Recipe[]): Required<IntendedImages> {
  const sizes: number[] = [];
  const planes = new Set<SlicePlane>();
  for (const { sampling } of recipes) {
    if (sampling.kind === 'stack') {
      sizes.push(sampling.rows, sampling.columns);
      planes.add(sampling.plane);
      continue;
    }
    for (const { rows, columns } of sampling.shapes) sizes.push(rows, columns);
    for (const [plane, weight] of Object.entries(sampling.planes))
      if (weight > 0) planes.add(plane as SlicePlane);
  }
  return { matrix: [Math.min(...sizes), Math.max(...sizes)], planes: [...planes].sort() };
}

/** Exports a trained run; returns false when its export is there already. */
export async function exportRun(
  run: PlannedRun,
  out: string,
  stages: string,
  version: string,
): Promise<boolean> {
  const folder = modelFolder(out, run);
  const stage = `export-${run.plan.name}`;
  const intended = imagesOf(run.sets.training.map(({ recipe }) => recipe));
  const key = keyOf(fileDigest(run.checkpoint), run.plan.model, version, folder, intended);
  if (existsSync(join(folder, 'model.json')) && finishedStage(stages, stage, key) !== undefined) return false;
  const startedAt = performance.now();
  await releaseModel({ checkpoint: run.checkpoint, out: folder, name: run.plan.model, version, intended });
  recordStage(stages, stage, key, weightFiles(folder), (performance.now() - startedAt) / 1000);
  return true;
}

/** Writes the figures of the report into the manifest of a model; its weights stay as they are. */
export async function addFigures(
  run: PlannedRun,
  rows: readonly ResultRow[],
  out: string,
  stages: string,
  version: string,
): Promise<boolean> {
  const folder = modelFolder(out, run);
  const figures = rows.filter((row) => row.model === run.plan.label).map(({ model: _model, ...row }) => row);
  const stage = `figures-${run.plan.name}`;
  const key = keyOf(figures, fileDigest(join(folder, 'model.onnx')));
  if (finishedStage(stages, stage, key) !== undefined) return false;
  const evaluation = join(stages, `${stage}-evaluation.json`);
  mkdirSync(stages, { recursive: true });
  writeWhole(evaluation, JSON.stringify({ report: 'report/report.md', rows: figures }));
  const { checkpoint } = run;
  const intended = imagesOf(run.sets.training.map(({ recipe }) => recipe));
  await releaseModel({ checkpoint, out: folder, name: run.plan.model, version, evaluation, intended });
  recordStage(stages, stage, key, [...weightFiles(folder), join(folder, 'model.json')], 0);
  return true;
}
