/** Storage Commitment as user (PS3.4 J.3.2, J.3.3): asks a peer to take responsibility, and takes its report. */
import { CommandField } from './command-set.js';
import { DimseError } from './errors.js';
import { IDENTIFIER_TRANSFER_SYNTAXES, readIdentifier } from './identifier.js';
import { associate, contextFor, type DimseTarget, peerName, timeoutsOf } from './requestor.js';
import type { DimseRequest, DimseResponse, DimseService, PeerInformation } from './service.js';
import { meaningOf, Status } from './status.js';
import {
  COMMITMENT_FAILURES_EXIST,
  COMMITMENT_SUCCESSFUL,
  type CommitmentReport,
  type CommitmentRequest,
  commitmentSyntax,
  decodeCommitmentReport,
  encodeCommitmentRequest,
  REQUEST_COMMITMENT,
  STORAGE_COMMITMENT_SOP_CLASS,
  STORAGE_COMMITMENT_SOP_INSTANCE,
} from './storage-commitment.js';

/** Takes a report durably; resolves with false when the transaction is unknown. */
export type CommitmentReportHandler = (report: CommitmentReport, peer: PeerInformation) => Promise<boolean>;

/** Takes reports on any association: the one of the request, or one that the peer opened for them. */
export function commitmentReports(onReport: CommitmentReportHandler): DimseService {
  return {
    name: 'Storage Commitment Push Model (SCU)',
    commands: [CommandField.nEventReportRequest],
    supports: (uid) => (uid === STORAGE_COMMITMENT_SOP_CLASS ? commitmentSyntax : undefined),
    handle: (request) => eventReport(request, onReport),
  };
}

async function eventReport(request: DimseRequest, onReport: CommitmentReportHandler): Promise<DimseResponse> {
  const { command, context, data, peer } = request;
  const { eventTypeId } = command;
  if (eventTypeId !== COMMITMENT_SUCCESSFUL && eventTypeId !== COMMITMENT_FAILURES_EXIST)
    return { status: Status.noSuchEventType };
  if (data === undefined) return { status: Status.mistypedArgument };
  let report: CommitmentReport;
  try {
    report = decodeCommitmentReport(await readIdentifier(data, context.transferSyntax));
  } catch (error) {
    if (error instanceof DimseError) throw error;
    return { status: Status.invalidArgumentValue, errorComment: (error as Error).message.slice(0, 64) };
  }
  const known = await onReport(report, peer);
  if (known) return { status: Status.success, eventTypeId };
  return { status: Status.invalidArgumentValue, errorComment: 'unknown Transaction UID' };
}

export interface CommitmentUserOptions {
  signal?: AbortSignal;
  /** How long the association is kept open for a report on it. */
  waitMs: number;
  /** Fires when the report has come on another association: waiting is over. */
  reported?: AbortSignal;
  onReport: CommitmentReportHandler;
}

/**
 * Sends N-ACTION and keeps the association open for the report, for a while. Resolves when the peer took the request
 * over; whether a report came, `onReport` knows. @throws DimseError when the peer did not take it over.
 */
export async function requestCommitment(
  target: DimseTarget,
  request: CommitmentRequest,
  options: CommitmentUserOptions,
): Promise<void> {
  const { signal, waitMs, reported } = options;
  let over = () => {};
  const report = new Promise<void>((resolve) => {
    over = resolve;
  });
  const reports = commitmentReports(async (arrived, peer) => {
    const known = await options.onReport(arrived, peer);
    if (arrived.transactionUid === request.transactionUid) over();
    return known;
  });
  const association = await associate(
    target,
    [
      {
        abstractSyntax: STORAGE_COMMITMENT_SOP_CLASS,
        transferSyntaxes: [...IDENTIFIER_TRANSFER_SYNTAXES],
      },
    ],
    { services: [reports], ...(signal && { signal }) },
  );
  try {
    const context = contextFor(association, STORAGE_COMMITMENT_SOP_CLASS);
    if (context === undefined) {
      throw new DimseError('not-accepted', `${peerName(target)} does not offer Storage Commitment`, {
        transient: false,
      });
    }
    const { status } = await association.request(
      context.id,
      {
        commandField: CommandField.nActionRequest,
        requestedSopClassUid: STORAGE_COMMITMENT_SOP_CLASS,
        requestedSopInstanceUid: STORAGE_COMMITMENT_SOP_INSTANCE,
        actionTypeId: REQUEST_COMMITMENT,
      },
      encodeCommitmentRequest(request, context.transferSyntax),
    );
    const meaning = meaningOf(status);
    if (meaning.outcome === 'refused') {
      throw new DimseError('status', `${peerName(target)} refused storage commitment: ${meaning.text}`, {
        transient: meaning.transient,
        status,
      });
    }
    if (reported?.aborted) return;
    const timer = setTimeout(over, waitMs);
    reported?.addEventListener('abort', over, { once: true });
    await Promise.race([report, association.whenEnded]);
    clearTimeout(timer);
    reported?.removeEventListener('abort', over);
    await association.whenIdle();
  } finally {
    if (!association.isEnded) await association.release(timeoutsOf(target).releaseMs);
  }
}
