/** Storage Commitment as provider (PS3.4 J.3.2, J.3.3): takes requests, and reports what became of them. */
import { CommandField } from './command-set.js';
import { DimseError } from './errors.js';
import { IDENTIFIER_TRANSFER_SYNTAXES, readIdentifier } from './identifier.js';
import { associate, contextFor, type DimseTarget, peerName, timeoutsOf } from './requestor.js';
import type {
  AssociationHandle,
  DimseRequest,
  DimseResponse,
  DimseService,
  PeerInformation,
} from './service.js';
import { meaningOf, Status } from './status.js';
import {
  COMMITMENT_FAILURES_EXIST,
  COMMITMENT_SUCCESSFUL,
  type CommitmentReport,
  type CommitmentRequest,
  commitmentSyntax,
  decodeCommitmentRequest,
  encodeCommitmentReport,
  REQUEST_COMMITMENT,
  STORAGE_COMMITMENT_SOP_CLASS,
  STORAGE_COMMITMENT_SOP_INSTANCE,
} from './storage-commitment.js';

/** The association on which a request came, for as long as the peer keeps it open. */
export interface CommitmentLine {
  /** Resolves when the peer has been told that its request was taken. */
  answered: Promise<void>;
  ended: Promise<unknown>;
  isEnded(): boolean;
  /** Sends N-EVENT-REPORT. @throws DimseError when the association ends first or the peer refuses. */
  report(report: CommitmentReport): Promise<void>;
}

export interface CommitmentProviderOptions {
  /** Takes the request over; once it resolves the peer is told Success and a report is owed. */
  onRequest(request: CommitmentRequest, peer: PeerInformation, line: CommitmentLine): Promise<void>;
}

export function commitmentProvider(options: CommitmentProviderOptions): DimseService {
  return {
    name: 'Storage Commitment Push Model',
    commands: [CommandField.nActionRequest],
    supports: (uid) => (uid === STORAGE_COMMITMENT_SOP_CLASS ? commitmentSyntax : undefined),
    handle: (request) => action(request, options),
  };
}

async function action(
  request: DimseRequest,
  { onRequest }: CommitmentProviderOptions,
): Promise<DimseResponse> {
  const { command, context, data, association, peer } = request;
  if (command.requestedSopInstanceUid !== STORAGE_COMMITMENT_SOP_INSTANCE)
    return { status: Status.noSuchObjectInstance };
  if (command.actionTypeId !== REQUEST_COMMITMENT) return { status: Status.noSuchAction };
  if (data === undefined) return { status: Status.mistypedArgument };
  let wanted: CommitmentRequest;
  try {
    wanted = decodeCommitmentRequest(await readIdentifier(data, context.transferSyntax));
  } catch (error) {
    if (error instanceof DimseError) throw error;
    return { status: Status.invalidArgumentValue, errorComment: (error as Error).message.slice(0, 64) };
  }
  let answered = () => {};
  const line: CommitmentLine = {
    answered: new Promise((resolve) => {
      answered = resolve;
    }),
    ended: association.whenEnded,
    isEnded: () => association.isEnded,
    report: (report) =>
      sendReport(association, context.id, context.transferSyntax, report, peer.callingAeTitle),
  };
  await onRequest(wanted, peer, line);
  return { status: Status.success, actionTypeId: REQUEST_COMMITMENT, onSent: answered };
}

async function sendReport(
  association: AssociationHandle,
  contextId: number,
  transferSyntax: string,
  report: CommitmentReport,
  peer: string,
): Promise<void> {
  const { status } = await association.request(
    contextId,
    {
      commandField: CommandField.nEventReportRequest,
      affectedSopClassUid: STORAGE_COMMITMENT_SOP_CLASS,
      affectedSopInstanceUid: STORAGE_COMMITMENT_SOP_INSTANCE,
      eventTypeId: report.failed.length === 0 ? COMMITMENT_SUCCESSFUL : COMMITMENT_FAILURES_EXIST,
    },
    encodeCommitmentReport(report, transferSyntax),
  );
  const meaning = meaningOf(status);
  if (meaning.outcome !== 'refused') return;
  throw new DimseError('status', `${peer} answered the storage commitment report with ${meaning.text}`, {
    transient: meaning.transient,
    status,
  });
}

/** Reports over an association of our own, in which we are SCP. @throws DimseError. */
export async function reportCommitment(
  target: DimseTarget,
  report: CommitmentReport,
  options: { signal?: AbortSignal } = {},
): Promise<void> {
  const proposed = {
    abstractSyntax: STORAGE_COMMITMENT_SOP_CLASS,
    transferSyntaxes: [...IDENTIFIER_TRANSFER_SYNTAXES],
    roles: { scu: false, scp: true },
  };
  const association = await associate(target, [proposed], options);
  try {
    const context = contextFor(association, STORAGE_COMMITMENT_SOP_CLASS);
    if (context === undefined) {
      throw new DimseError(
        'not-accepted',
        `${peerName(target)} does not take storage commitment reports (SCU role of Storage Commitment)`,
        { transient: false },
      );
    }
    await sendReport(association, context.id, context.transferSyntax, report, peerName(target));
  } finally {
    await association.release(timeoutsOf(target).releaseMs);
  }
}
