/** Protocol data units of the DICOM Upper Layer (PS3.8 section 9.3), as values. Encoding and decoding are beside this file. */

/** PDU-type, first byte of each PDU (PS3.8 section 9.3.1). */
export const PduType = {
  associateRequest: 0x01,
  associateAccept: 0x02,
  associateReject: 0x03,
  dataTransfer: 0x04,
  releaseRequest: 0x05,
  releaseResponse: 0x06,
  abort: 0x07,
} as const;

/** Item types of the variable field of A-ASSOCIATE-RQ and A-ASSOCIATE-AC (PS3.8 section 9.3.2, PS3.7 annex D). */
export const ItemType = {
  applicationContext: 0x10,
  proposedContext: 0x20,
  contextResult: 0x21,
  abstractSyntax: 0x30,
  transferSyntax: 0x40,
  userInformation: 0x50,
  maximumLength: 0x51,
  implementationClassUid: 0x52,
  asynchronousOperations: 0x53,
  roleSelection: 0x54,
  implementationVersionName: 0x55,
  sopClassExtended: 0x56,
  sopClassCommonExtended: 0x57,
  userIdentityRequest: 0x58,
  userIdentityResponse: 0x59,
} as const;

/** The DICOM application context name (PS3.7 annex A). */
export const DICOM_APPLICATION_CONTEXT = '1.2.840.10008.3.1.1.1';

/** Length of the header of every PDU: type, reserved, four bytes of length. */
export const PDU_HEADER_LENGTH = 6;
/** Length of the header of a presentation data value: four bytes of length, context id, message control header. */
export const PDV_HEADER_LENGTH = 6;

/** A presentation context as proposed: id odd, 1 to 255. */
export interface ProposedContext {
  id: number;
  abstractSyntax: string;
  /** In the requestor's order of preference. */
  transferSyntaxes: string[];
}

/** Result/Reason of a presentation context in A-ASSOCIATE-AC (PS3.8 table 9-18). */
export const ContextResultReason = {
  acceptance: 0,
  userRejection: 1,
  noReason: 2,
  abstractSyntaxNotSupported: 3,
  transferSyntaxesNotSupported: 4,
} as const;

export interface ContextResult {
  id: number;
  /** 0 accepted, 1 to 4 rejected (ContextResultReason). */
  result: number;
  /** Significant when accepted only. */
  transferSyntax: string;
}

/** SCP/SCU role selection (PS3.7 D.3.3.4): roles of the association requestor. */
export interface RoleSelection {
  sopClassUid: string;
  scu: boolean;
  scp: boolean;
}

/** Asynchronous operations window (PS3.7 D.3.3.3); 0 means unlimited. */
export interface AsynchronousOperations {
  invoked: number;
  performed: number;
}

/** SOP class extended negotiation (PS3.7 D.3.3.5). */
export interface SopClassExtended {
  sopClassUid: string;
  information: Buffer;
}

/** User identity (PS3.7 D.3.3.7). The secondary field (a passcode) is dropped while decoding. */
export interface UserIdentity {
  /** 1 user name, 2 user name and passcode, 3 Kerberos, 4 SAML, 5 JSON web token. */
  type: number;
  responseRequested: boolean;
  /** The user name, for types 1 and 2 only: the others are credentials. */
  name?: string;
}

export interface UserInformation {
  /** Longest P-DATA-TF variable field that the sender of this item receives; 0 means no limit. */
  maxPduLength: number;
  implementationClassUid: string;
  implementationVersionName?: string;
  asynchronousOperations?: AsynchronousOperations;
  roles: RoleSelection[];
  extended: SopClassExtended[];
  userIdentity?: UserIdentity;
  /** Server-response of A-ASSOCIATE-AC, present when the requestor asked for one. */
  userIdentityResponse?: Buffer;
}

export interface AssociateRequest {
  protocolVersion: number;
  calledAeTitle: string;
  callingAeTitle: string;
  applicationContext: string;
  contexts: ProposedContext[];
  user: UserInformation;
}

export interface AssociateAccept {
  protocolVersion: number;
  calledAeTitle: string;
  callingAeTitle: string;
  applicationContext: string;
  results: ContextResult[];
  user: UserInformation;
}

/** A-ASSOCIATE-RJ (PS3.8 table 9-21). */
export interface AssociateReject {
  /** 1 rejected-permanent, 2 rejected-transient. */
  result: number;
  /** 1 service-user, 2 service-provider (ACSE), 3 service-provider (presentation). */
  source: number;
  reason: number;
}

/** A-ABORT (PS3.8 table 9-26). */
export interface Abort {
  /** 0 service-user, 2 service-provider. */
  source: number;
  reason: number;
}

/** Reason of an A-ABORT by the service-provider. */
export const AbortReason = {
  notSpecified: 0,
  unrecognizedPdu: 1,
  unexpectedPdu: 2,
  unrecognizedPduParameter: 4,
  unexpectedPduParameter: 5,
  invalidPduParameterValue: 6,
} as const;

/** A PDU that breaks PS3.8; `reason` is what the A-ABORT says. */
export class PduError extends Error {
  constructor(
    readonly reason: number,
    message: string,
  ) {
    super(message);
    this.name = 'PduError';
  }
}

const REJECT_REASONS: Record<number, Record<number, string>> = {
  1: {
    1: 'no reason given',
    2: 'application context name not supported',
    3: 'calling AE title not recognized',
    7: 'called AE title not recognized',
  },
  2: { 1: 'no reason given', 2: 'protocol version not supported' },
  3: { 1: 'temporary congestion', 2: 'local limit exceeded' },
};

/** A rejection in words, for instance "rejected permanently: called AE title not recognized". */
export function describeReject(reject: AssociateReject): string {
  const kind = reject.result === 2 ? 'for now' : 'permanently';
  const reason =
    REJECT_REASONS[reject.source]?.[reject.reason] ?? `reason ${reject.reason} of source ${reject.source}`;
  return `rejected ${kind}: ${reason}`;
}

const ABORT_REASONS: Record<number, string> = {
  0: 'reason not specified',
  1: 'unrecognized PDU',
  2: 'unexpected PDU',
  4: 'unrecognized PDU parameter',
  5: 'unexpected PDU parameter',
  6: 'invalid PDU parameter value',
};

/** An abort in words, for instance "A-ABORT by its service provider: unexpected PDU". */
export function describeAbort(abort: Abort): string {
  if (abort.source === 0) return 'A-ABORT by its application';
  return `A-ABORT by its service provider: ${ABORT_REASONS[abort.reason] ?? `reason ${abort.reason}`}`;
}

const CONTEXT_RESULTS: Record<number, string> = {
  1: 'rejected by the application',
  2: 'no reason given',
  3: 'SOP class (abstract syntax) not supported',
  4: 'transfer syntax not supported',
};

/** Why a presentation context was not accepted, in words. */
export function describeContextResult(result: number): string {
  return CONTEXT_RESULTS[result] ?? `result ${result}`;
}
