/** Storage Commitment Push Model (PS3.4 annex J): what its messages carry. */
import { type DataSet, isUid, itemsOf, number, type OutgoingElement, string } from '../dicom/index.js';
import { encodeIdentifier, IDENTIFIER_TRANSFER_SYNTAXES, textElement } from './identifier.js';
import type { SupportedSyntax } from './service.js';

export const STORAGE_COMMITMENT_SOP_CLASS = '1.2.840.10008.1.20.1';
/** The one well-known instance that every request is made of (PS3.4 J.3.5). */
export const STORAGE_COMMITMENT_SOP_INSTANCE = '1.2.840.10008.1.20.1.1';

/** Action Type ID: request storage commitment (PS3.4 table J.3.2-1). */
export const REQUEST_COMMITMENT = 1;
/** Event Type IDs: all instances committed, or some failed (PS3.4 table J.3.3-1). */
export const COMMITMENT_SUCCESSFUL = 1;
export const COMMITMENT_FAILURES_EXIST = 2;

export interface SopReference {
  sopClassUid: string;
  sopInstanceUid: string;
}

export interface CommitmentRequest {
  transactionUid: string;
  references: SopReference[];
}

export interface CommitmentReport {
  transactionUid: string;
  committed: SopReference[];
  /** `reason`: Failure Reason (0008,1197), PS3.3 C.14.1.1. */
  failed: (SopReference & { reason: number })[];
}

/** Both roles: peers ask us to commit (SCU), and report on associations of their own what they committed (SCP). */
export const commitmentSyntax: SupportedSyntax = {
  transferSyntaxes: IDENTIFIER_TRANSFER_SYNTAXES,
  requestorRoles: { scu: true, scp: true },
};

const TRANSACTION_UID = 0x00081195;
const FAILURE_REASON = 0x00081197;
const FAILED_SOP_SEQUENCE = 0x00081198;
const REFERENCED_SOP_SEQUENCE = 0x00081199;
const REFERENCED_SOP_CLASS_UID = 0x00081150;
const REFERENCED_SOP_INSTANCE_UID = 0x00081155;

/** The data set is not what the service asks for. */
export class CommitmentError extends Error {
  override name = 'CommitmentError';
}

function referenceElements({ sopClassUid, sopInstanceUid }: SopReference): OutgoingElement[] {
  return [
    textElement(REFERENCED_SOP_CLASS_UID, 'UI', sopClassUid),
    textElement(REFERENCED_SOP_INSTANCE_UID, 'UI', sopInstanceUid),
  ];
}

function transactionOf(dataSet: DataSet): string {
  const uid = string(dataSet, TRANSACTION_UID);
  if (uid === undefined || !isUid(uid)) throw new CommitmentError('no Transaction UID (0008,1195)');
  return uid;
}

function referenceOf(item: DataSet): SopReference {
  const sopClassUid = string(item, REFERENCED_SOP_CLASS_UID);
  const sopInstanceUid = string(item, REFERENCED_SOP_INSTANCE_UID);
  if (sopClassUid === undefined || sopInstanceUid === undefined)
    throw new CommitmentError('a reference without SOP class or SOP instance UID');
  return { sopClassUid, sopInstanceUid };
}

/** Action Information of N-ACTION (PS3.4 table J.3.2-1). */
export function encodeCommitmentRequest(request: CommitmentRequest, transferSyntax: string): Buffer {
  return encodeIdentifier(
    [
      textElement(TRANSACTION_UID, 'UI', request.transactionUid),
      { tag: REFERENCED_SOP_SEQUENCE, vr: 'SQ', items: request.references.map(referenceElements) },
    ],
    transferSyntax,
  );
}

/** @throws CommitmentError when the Transaction UID or every reference is missing; DicomError when an item is malformed. */
export function decodeCommitmentRequest(dataSet: DataSet): CommitmentRequest {
  const references = itemsOf(dataSet, REFERENCED_SOP_SEQUENCE).map(referenceOf);
  if (references.length === 0) throw new CommitmentError('no Referenced SOP Sequence (0008,1199)');
  return { transactionUid: transactionOf(dataSet), references };
}

/** Event Information of N-EVENT-REPORT (PS3.4 table J.3.3-1). */
export function encodeCommitmentReport(report: CommitmentReport, transferSyntax: string): Buffer {
  const elements: OutgoingElement[] = [textElement(TRANSACTION_UID, 'UI', report.transactionUid)];
  if (report.committed.length > 0) {
    elements.push({
      tag: REFERENCED_SOP_SEQUENCE,
      vr: 'SQ',
      items: report.committed.map(referenceElements),
    });
  }
  if (report.failed.length > 0) {
    elements.push({
      tag: FAILED_SOP_SEQUENCE,
      vr: 'SQ',
      items: report.failed.map((failure) => {
        const reason = Buffer.alloc(2);
        reason.writeUInt16LE(failure.reason);
        return [...referenceElements(failure), { tag: FAILURE_REASON, vr: 'US', bytes: reason }];
      }),
    });
  }
  return encodeIdentifier(elements, transferSyntax);
}

/** @throws CommitmentError when the Transaction UID is missing; DicomError when an item is malformed. */
export function decodeCommitmentReport(dataSet: DataSet): CommitmentReport {
  return {
    transactionUid: transactionOf(dataSet),
    committed: itemsOf(dataSet, REFERENCED_SOP_SEQUENCE).map(referenceOf),
    failed: itemsOf(dataSet, FAILED_SOP_SEQUENCE).map((item) => ({
      ...referenceOf(item),
      reason: number(item, FAILURE_REASON) ?? 0x0110,
    })),
  };
}

const REASONS: Record<number, { text: string; transient: boolean }> = {
  272: { text: 'processing failure', transient: true },
  274: { text: 'it does not have the instance', transient: false },
  275: { text: 'no such attribute', transient: false },
  281: { text: 'it has the instance under another SOP class', transient: false },
  290: { text: 'the SOP class is not supported', transient: false },
  305: { text: 'duplicate transaction UID', transient: true },
  531: { text: 'resource limitation', transient: true },
};

/** What a Failure Reason means (PS3.3 C.14.1.1). */
export function failureReason(reason: number): { text: string; transient: boolean } {
  const hex = `0x${reason.toString(16).toUpperCase().padStart(4, '0')}`;
  const known = REASONS[reason] ?? { text: 'failure', transient: false };
  return { ...known, text: `${known.text} (${hex})` };
}
