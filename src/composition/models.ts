import { createHash } from 'node:crypto';
import { join } from 'node:path';
import type { Instance } from '../archive/index.js';
import type { Config } from '../config/index.js';
import { type Corrector, createCorrector } from '../correction/index.js';
import type { Derivation } from '../dicom/index.js';
import { DEFAULT_SAFEGUARDS, type Safeguards } from '../inference/index.js';
import type { Model } from '../pipeline/index.js';
import type { Metrics } from '../telemetry/index.js';
import { VERSION } from '../version.js';
import type { EngineWatch } from './engine-watch.js';

/** The models that the rules name, each ready to correct. */
export interface Models {
  byName: ReadonlyMap<string, Model<Derivation> & { corrector: Corrector }>;
  close(): Promise<void>;
}

export interface ModelsOptions {
  config: Pick<
    Config,
    'models' | 'engine' | 'precision' | 'batch' | 'concurrency' | 'seriesNumber' | 'rules'
  >;
  deviceUid: string;
  metrics?: Pick<Metrics, 'inferred'>;
  engines?: Pick<EngineWatch, 'opened' | 'changed' | 'lost' | 'restored'>;
}

/** Digest of what in the configuration decides the content of every derived instance, besides the model. */
function configurationDigest(config: Pick<Config, 'seriesNumber' | 'precision'>): string {
  return createHash('sha256')
    .update(
      JSON.stringify({
        seriesNumberOffset: config.seriesNumber.offset,
        // Left out where it is the usual one, so that objects derived before keep their UIDs.
        ...(config.precision !== 'float32' && { precision: config.precision }),
      }),
    )
    .digest('hex');
}

/** Digest of a rule's safeguards, where they are not the usual ones: the same source may then give another object. */
function variantOf({ skipBelow, maxResidual, domain, onFlag }: Safeguards): string | undefined {
  const usual = DEFAULT_SAFEGUARDS;
  const isUsual =
    skipBelow === undefined &&
    maxResidual === usual.maxResidual &&
    domain === usual.domain &&
    onFlag === usual.onFlag;
  if (isUsual) return undefined;
  return createHash('sha256')
    .update(JSON.stringify({ skipBelow: skipBelow ?? null, maxResidual, domain, onFlag }))
    .digest('hex');
}

/** What the rule that sent an instance here, as it is now, wants flagged, skipped or passed through. */
export function safeguardsOf(config: Pick<Config, 'rules'>, source: Pick<Instance, 'rule'>): Safeguards {
  return config.rules.find(({ name }) => name === source.rule)?.safeguards ?? DEFAULT_SAFEGUARDS;
}

/** How the instances that a model derives are described; `at` is when the correction is said to have happened. */
export function derivationOf(
  model: { name: string; version: string; sha256: string },
  config: Pick<Config, 'seriesNumber' | 'precision'>,
  deviceUid: string,
  at: Date,
  safeguards?: Safeguards,
): Derivation {
  const variant = safeguards && variantOf(safeguards);
  return {
    model: { name: model.name, version: model.version, sha256: model.sha256 },
    configurationDigest: configurationDigest(config),
    ...(variant !== undefined && { variant }),
    softwareVersion: VERSION,
    manufacturer: 'MC-Net server',
    deviceUid,
    at,
    seriesNumberOffset: config.seriesNumber.offset,
  };
}

/** Opens a corrector in a model's folder, as the configuration asks. */
export function openCorrector(
  name: string,
  options: Pick<ModelsOptions, 'metrics' | 'engines'> & {
    config: Pick<Config, 'models' | 'engine' | 'precision' | 'batch' | 'concurrency'>;
  },
): Promise<Corrector> {
  const { config, metrics, engines } = options;
  const { workers, inferenceThreads } = config.concurrency;
  return createCorrector({
    model: join(config.models, name),
    engine: config.engine,
    engineOptions: {
      precision: config.precision,
      ...(inferenceThreads === 'auto' ? {} : { threads: inferenceThreads }),
      ...(engines && {
        onChange: engines.changed,
        onLost: (reason) => engines.lost(name, reason),
        onRestored: (now) => engines.restored(name, now),
      }),
    },
    ...(workers === 'auto' ? {} : { workers }),
    batch: {
      max: config.batch.max,
      waitMs: config.batch.waitMs,
      ...(metrics && {
        onRun: ({ ms, slices }: { ms: number; slices: number }) => metrics.inferred(ms, slices),
      }),
    },
  });
}

/**
 * Loads every model that a rule names.
 * @throws ModelError or EngineError, with a sentence that names the model's folder or the engine
 */
export async function openModels(options: ModelsOptions): Promise<Models> {
  const { config, deviceUid } = options;
  const byName = new Map<string, Model<Derivation> & { corrector: Corrector }>();
  const close = async () => {
    for (const { corrector } of byName.values()) await corrector.close();
  };
  try {
    const names = config.rules.flatMap(({ model }) => (model === undefined ? [] : [model]));
    for (const name of new Set(names)) {
      const corrector = await openCorrector(name, options);
      const { model, engine } = corrector.describe();
      options.engines?.opened(name, engine);
      byName.set(name, {
        corrector,
        safeguards: (source) => safeguardsOf(config, source),
        // The moment of receipt, so that the same source gives the same bytes however often it is corrected.
        derivation: (source, safeguards) =>
          derivationOf(model, config, deviceUid, new Date(source.receivedAt), safeguards),
      });
    }
  } catch (error) {
    await close();
    throw error;
  }
  return { byName, close };
}
