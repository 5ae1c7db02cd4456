/** The way in: archived, classified and queued in one durable step. */
export { indexedAttributesOf, type ObjectReader } from './dicom.js';
export { IntakeError, type IntakeErrorCode } from './error.js';
export {
  type Committed,
  correctKind,
  createIntake,
  type DuplicatePolicy,
  type IncomingInstance,
  type Intake,
  type IntakeOptions,
  routingOf,
  sendAgain,
} from './intake.js';
export type { Quota } from './quota.js';
export type { RoomLevel } from './room.js';
