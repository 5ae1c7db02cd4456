/** Storage service class as provider (PS3.4 annex B): C-STORE requests to a handler, as the bytes arrive. */
import { CommandField } from './command-set.js';
import type { DimseRequest, DimseResponse, DimseService, SupportedSyntax } from './service.js';
import { isUnderStorageRoot, STORAGE_SOP_CLASSES } from './sop-classes.js';
import { Status } from './status.js';
import {
  EXPLICIT_VR_LITTLE_ENDIAN,
  IMPLICIT_VR_LITTLE_ENDIAN,
  STORED_TRANSFER_SYNTAXES,
} from './transfer-syntaxes.js';

export interface StoreRequest {
  callingAeTitle: string;
  calledAeTitle: string;
  remoteAddress: string;
  associationId: string;
  sopClassUid: string;
  sopInstanceUid: string;
  transferSyntaxUid: string;
  /** The C-MOVE that caused this C-STORE, if one did. */
  moveOriginator?: { aeTitle: string; messageId: number };
  /**
   * The data set's bytes as they arrive, without preamble and meta header. Reading slowly stops the socket. It throws
   * DimseError when the association ends before the data set does. Whatever is not read is dropped.
   */
  data: AsyncIterable<Buffer>;
}

export interface StoreResponse {
  /** C-STORE status (PS3.4 section B.2.3). */
  status: number;
  /** Error Comment (0000,0902): 64 characters at most, no patient data. */
  errorComment?: string;
  /** Tags for Offending Element (0000,0901). */
  offendingElements?: number[];
}

export interface StorageProviderOptions {
  onStore(request: StoreRequest): Promise<StoreResponse>;
  /** Accept every SOP class under 1.2.840.10008.5.1.4.1.1, known here or not. Default true. */
  acceptAnyStorage?: boolean;
  /** Further SOP classes to store, such as a vendor's private ones. */
  additionalSopClasses?: readonly string[];
  /** Let requestors take the SCP role, as C-GET needs. Default false. */
  storesToRequestor?: boolean;
}

/**
 * Service-class-application-information of the acceptor (PS3.4 table B.3-2): level of support 2 (full), level of digital
 * signature support 3 (bit preserving), element coercion 0 (none).
 */
const EXTENDED_ANSWER = Buffer.from([2, 0, 3, 0, 0, 0]);

const UID_SYNTAX = /^[0-9.]{1,64}$/;

export function storageProvider(options: StorageProviderOptions): DimseService {
  const additional = new Set(options.additionalSopClasses);
  const any = options.acceptAnyStorage !== false;
  const supported: SupportedSyntax = {
    transferSyntaxes: STORED_TRANSFER_SYNTAXES,
    requestorRoles: { scu: true, scp: options.storesToRequestor === true },
    preferredToRequestor: [EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN],
    extended: () => EXTENDED_ANSWER,
  };
  const isStored = (uid: string) =>
    STORAGE_SOP_CLASSES.has(uid) || additional.has(uid) || (any && isUnderStorageRoot(uid));
  return {
    name: 'Storage',
    commands: [CommandField.cStoreRequest],
    supports: (abstractSyntax) => (isStored(abstractSyntax) ? supported : undefined),
    handle: (request) => store(request, options),
  };
}

async function store(request: DimseRequest, options: StorageProviderOptions): Promise<DimseResponse> {
  const { command, context, peer, data } = request;
  const { affectedSopClassUid, affectedSopInstanceUid, moveOriginatorAeTitle, moveOriginatorMessageId } =
    command;
  if (affectedSopClassUid !== context.abstractSyntax) {
    return {
      status: Status.sopClassNotSupported,
      errorComment: 'SOP class is not that of the presentation context',
    };
  }
  if (affectedSopInstanceUid === undefined || !UID_SYNTAX.test(affectedSopInstanceUid)) {
    return {
      status: Status.invalidSopInstance,
      errorComment: 'Affected SOP Instance UID missing or not a UID',
    };
  }
  if (data === undefined)
    return { status: Status.mistypedArgument, errorComment: 'C-STORE without a data set' };
  const storeRequest: StoreRequest = {
    callingAeTitle: peer.callingAeTitle,
    calledAeTitle: peer.calledAeTitle,
    remoteAddress: peer.remoteAddress,
    associationId: peer.associationId,
    sopClassUid: affectedSopClassUid,
    sopInstanceUid: affectedSopInstanceUid,
    transferSyntaxUid: context.transferSyntax,
    data,
  };
  if (moveOriginatorAeTitle !== undefined && moveOriginatorMessageId !== undefined) {
    storeRequest.moveOriginator = { aeTitle: moveOriginatorAeTitle, messageId: moveOriginatorMessageId };
  }
  const { status, errorComment, offendingElements } = await options.onStore(storeRequest);
  return {
    status,
    ...(errorComment !== undefined && { errorComment }),
    ...(offendingElements !== undefined && offendingElements.length > 0 && { offendingElements }),
  };
}
