import { graphicsDevices, whyNot } from './engines/devices.js';
import {
  ENGINE_NAMES,
  type Engine,
  type EngineChoice,
  type EngineDescription,
  type EngineName,
} from './engines/engine.js';
import { type EngineOptions, openEngine } from './engines/open.js';
import { probe } from './engines/probe.js';
import { missingTensorflow } from './engines/tensorflow.js';
import { type LoadedModel, loadModel } from './manifest.js';

/** What `mcnet doctor` says about model and engines. Every `problem` is a sentence that says what to do. */
export interface Diagnosis {
  model:
    | { folder: string; name: string; version: string; sha256: string }
    | { folder: string; problem: string };
  /** Graphics devices of this machine, in words. */
  devices: string[];
  /** Every engine, whether it works here, and if not, why. */
  engines: { engine: EngineName; usable: boolean; problem?: string }[];
  /** A timed run of the engine that the configuration asks for. */
  inference?:
    | {
        engine: EngineDescription;
        rows: number;
        columns: number;
        runs: number;
        medianMs: number;
        slowestMs: number;
      }
    | { problem: string };
  /** True when the configured engine runs the configured model. */
  healthy: boolean;
}

const RUNS = 7;

/** Time of one slice of side × side through the engine: runs after one that warms up. */
export async function timeInference(
  engine: Engine,
  side: number,
  runs: number,
): Promise<{ medianMs: number; slowestMs: number }> {
  const times: number[] = [];
  for (let i = 0; i <= runs; i += 1) {
    const slice = Float32Array.from({ length: side * side }, (_, at) => (at % 97) / 97);
    const startedAt = performance.now();
    await engine.run(slice, [1, 1, side, side], true);
    if (i > 0) times.push(performance.now() - startedAt);
  }
  times.sort((a, b) => a - b);
  return { medianMs: times[Math.floor(times.length / 2)]!, slowestMs: times.at(-1)! };
}

async function problemOf(engine: EngineName, model: LoadedModel | undefined): Promise<string | undefined> {
  switch (engine) {
    case 'cpu':
      return undefined;
    case 'tensorflow':
      return missingTensorflow(model);
    default: {
      const missing = whyNot(engine);
      if (missing !== undefined || model === undefined) return missing;
      return probe(engine, model, { timeoutMs: 60_000 });
    }
  }
}

/**
 * Looks at every engine, at the model, and times the engine of the configuration. Never throws: what is wrong is in
 * the answer.
 */
export async function diagnose(o: {
  modelFolder: string;
  engine: EngineChoice;
  options?: EngineOptions;
}): Promise<Diagnosis> {
  let model: LoadedModel | undefined;
  let modelPart: Diagnosis['model'];
  try {
    model = await loadModel(o.modelFolder);
    const { name, version, sha256 } = model.manifest;
    modelPart = { folder: model.folder, name, version, sha256 };
  } catch (error) {
    modelPart = { folder: o.modelFolder, problem: error instanceof Error ? error.message : String(error) };
  }
  const engines = await Promise.all(
    ENGINE_NAMES.map(async (engine) => {
      const problem = await problemOf(engine, model);
      return problem === undefined ? { engine, usable: true } : { engine, usable: false, problem };
    }),
  );
  const diagnosis: Diagnosis = { model: modelPart, devices: graphicsDevices(), engines, healthy: false };
  if (model === undefined) return diagnosis;
  try {
    const engine = await openEngine(o.engine, model, o.options);
    try {
      const side = 256;
      const times = await timeInference(engine, side, RUNS);
      diagnosis.inference = { engine: engine.describe(), rows: side, columns: side, runs: RUNS, ...times };
      diagnosis.healthy = true;
    } finally {
      await engine.close();
    }
  } catch (error) {
    diagnosis.inference = { problem: error instanceof Error ? error.message : String(error) };
  }
  return diagnosis;
}
