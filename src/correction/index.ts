export { contentsOf } from './contents.js';
export {
  type Corrected,
  type CorrectionRequest,
  type Corrector,
  type CorrectorDescription,
  type CorrectorOptions,
  createCorrector,
} from './corrector.js';
export { CorrectionError, type CorrectionErrorCode } from './error.js';
export {
  type CorrectFilesOptions,
  correctFiles,
  type FileResult,
  type FilesSummary,
} from './files.js';
export { createSpares, type Spares } from './spares.js';
