export {
  type Batcher,
  type BatcherOptions,
  createBatcher,
  type Inferred,
} from './batching.js';
export { type Diagnosis, diagnose } from './doctor.js';
export { usableCores } from './engines/cores.js';
export { graphicsDevices, nvidiaDevices, whyNot } from './engines/devices.js';
export {
  type BatchShape,
  ENGINE_NAMES,
  type Engine,
  type EngineCapacity,
  type EngineChoice,
  type EngineDescription,
  EngineError,
  type EngineErrorCode,
  type EngineName,
  type EngineRefusal,
  type PrecisionChoice,
} from './engines/engine.js';
export { type EngineOptions, openEngine } from './engines/open.js';
export type { PrecisionSetting } from './engines/precision.js';
export { type ProbeAnswer, tryProvider } from './engines/probe.js';
export {
  type LoadedModel,
  loadModel,
  ModelError,
  type ModelManifest,
  modelManifestSchema,
} from './manifest.js';
export { meanQuality, type Quality, qualityOf, type Sharpness, sharpnessOf } from './quality.js';
export {
  DEFAULT_SAFEGUARDS,
  type Decision,
  type DomainSubject,
  decide,
  domainFlags,
  type Flag,
  type FlagKind,
  flagsOf,
  type Safeguards,
} from './safeguards.js';
export { backgroundGhosts, type SeverityWeights, severityOf } from './severity.js';
