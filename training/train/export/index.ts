export type { IntendedImages, ReleaseManifest, TrainingRecord } from './manifest.js';
export { exportOnnx, type ReleaseRequest, releaseModel } from './release.js';
export { residualModel } from './residual-model.js';
