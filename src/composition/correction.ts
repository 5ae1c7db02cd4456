import type { Config } from '../config/index.js';
import type { Derivation } from '../dicom/index.js';
import type { Model, Pipeline } from '../pipeline/index.js';
import type { Logger, Metrics } from '../telemetry/index.js';
import type { Readiness, StatusView } from '../web/index.js';
import { watchEngines } from './engine-watch.js';
import { openModels } from './models.js';

/** Where instances are corrected: in this process, or by workers. */
export interface Correction {
  models: ReadonlyMap<string, Model<Derivation>>;
  /** Whether other processes correct. */
  elsewhere: boolean;
  /** Instances in correction at a time. */
  concurrency: number;
  /** The model of the first rule that has one. */
  model?: { name: string; version: string; sha256: string };
  engine(): StatusView['engine'];
  checks(): Readiness['checks'][number][];
  /** Before the pipeline starts. */
  attach(pipeline: Pipeline): Promise<void>;
  /** Before the pipeline closes. */
  stop(): Promise<void>;
  /** After it. */
  close(): Promise<void>;
}

export interface CorrectionParts {
  config: Config;
  deviceUid: string;
  metrics: Metrics;
  logger: Logger;
}

export const noEngine: StatusView['engine'] = { engine: 'none', device: '', provider: '', version: '' };

/** What people are told of an engine: not where it lies on this machine. */
export function engineView({
  engine,
  device,
  provider,
  version,
}: StatusView['engine']): StatusView['engine'] {
  return { engine, device, provider, version };
}

/** The same of a model. */
export function modelView(model: Correction['model']): StatusView['model'] {
  const { name, version, sha256 } = model ?? { name: 'none', version: '', sha256: '' };
  return { name, version, sha256 };
}

/**
 * Correction in this process.
 * @throws ModelError or EngineError with a sentence
 */
export async function correctionHere({
  config,
  deviceUid,
  metrics,
  logger,
}: CorrectionParts): Promise<Correction> {
  const engines = watchEngines(metrics, logger);
  const models = await openModels({ config, deviceUid, metrics, engines });
  const corrector = [...models.byName.values()][0]?.corrector;
  const described = corrector?.describe();
  if (described) {
    metrics.engine(described.engine);
    metrics.model(described.model);
  }
  const none = async () => {};
  return {
    models: models.byName,
    elsewhere: false,
    concurrency: corrector?.concurrency ?? 1,
    ...(described && { model: described.model }),
    engine: () => corrector?.describe().engine ?? noEngine,
    checks: () => [engines.check(corrector?.describe().engine)],
    attach: none,
    stop: none,
    close: () => models.close(),
  };
}
