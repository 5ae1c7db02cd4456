/** DICOM associations and DIMSE services (PS3.7, PS3.8), provider and user. */
export { Association } from './association.js';
export { CommandField, type CommandSet } from './command-set.js';
export { DimseError, type DimseErrorCode } from './errors.js';
export { IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME } from './implementation.js';
export type { UserIdentity } from './pdu.js';
export { normaliseAddress, type Peer, PeerTable } from './peers.js';
export {
  QUERY_RETRIEVE_SOP_CLASSES,
  QueryRefused,
  type QueryRetrieveOptions,
  type QueryRoot,
  QueryStatus,
  queryRetrieveProviders,
  type RetrievedInstance,
} from './query-retrieve.js';
export {
  type FindOptions,
  find,
  get,
  move,
  type QueryKey,
  type RetrievalKeys,
  type RetrievalOptions,
  type Retrieved,
} from './query-retrieve-scu.js';
export { associate, contextFor, type DimseTarget, type DimseTimeouts, peerName } from './requestor.js';
export {
  type AssociationEvent,
  type AssociationInfo,
  DEFAULT_LIMITS,
  type DimseLimits,
  type DimseServer,
  type DimseServerOptions,
  startDimseServer,
} from './server.js';
export type {
  AcceptedContext,
  AssociationHandle,
  DimseRequest,
  DimseResponse,
  DimseService,
  PeerInformation,
  ResponseMessage,
  SupportedSyntax,
} from './service.js';
export { STORAGE_SOP_CLASSES, sopClassName, VERIFICATION_SOP_CLASS } from './sop-classes.js';
export { meaningOf, Status, type StatusMeaning } from './status.js';
export {
  type CommitmentReport,
  type CommitmentRequest,
  failureReason,
  type SopReference,
  STORAGE_COMMITMENT_SOP_CLASS,
} from './storage-commitment.js';
export { type CommitmentLine, commitmentProvider, reportCommitment } from './storage-commitment-scp.js';
export {
  type CommitmentReportHandler,
  type CommitmentUserOptions,
  commitmentReports,
  requestCommitment,
} from './storage-commitment-scu.js';
export {
  type StorageProviderOptions,
  type StoreRequest,
  type StoreResponse,
  storageProvider,
} from './storage-scp.js';
export {
  type OutgoingInstance,
  type StoreOptions,
  type StoreOutcome,
  storeInstances,
} from './storage-scu.js';
export {
  clientTlsOptions,
  type DimseTls,
  SECURE_PORT,
  serverTlsOptions,
  type TlsInformation,
} from './tls.js';
export { STORED_TRANSFER_SYNTAXES, transferSyntaxName } from './transfer-syntaxes.js';
export { echo, verificationProvider } from './verification.js';
