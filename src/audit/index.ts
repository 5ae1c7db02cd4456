/** The audit trail: who saw and did what, in DICOM's audit message form (PS3.15 A.5). It names patients. */
export type { AuditEvent, Outcome, Participant, StudyObject } from './messages.js';
export { type AuditTrail, type AuditTrailOptions, openAuditTrail } from './trail.js';
