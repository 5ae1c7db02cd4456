/** Objects on disk and their index: the only owner of files and of the database. */
export { type Archive, type NewInstance, openArchive } from './archive.js';
export {
  type Attributes,
  attributesOf,
  INSTANCE_ATTRIBUTES,
  type IndexedAttributes,
  REQUEST_ATTRIBUTES,
  SERIES_ATTRIBUTES,
  STUDY_ATTRIBUTES,
  type ValuesOf,
} from './attributes.js';
export { indexMissing } from './backfill.js';
export { type Clock, monotonicClock } from './clock.js';
export { type Database, DatabaseError, openDatabase, type Value } from './database.js';
export { beginDigest, digestOf, digestOfFile, digestOfPieces } from './digest.js';
export { type InstanceFiles, isCode, isDiskFull, type PartFile, smallBytes } from './files.js';
export type { Instance, InstanceFlag, InstanceRow, InstanceState, Source } from './instance.js';
export { instanceOf, selectInstance } from './instance.js';
export type { Recovery } from './reconcile.js';
export { createSharedMemory, type SharedBytes } from './shared-bytes.js';
