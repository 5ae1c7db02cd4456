/** What a DIMSE service provider is to an association: the SOP classes it speaks and a function for each request. */
import type { CommandSet } from './command-set.js';
import type { DataStream } from './data-stream.js';

/** How one abstract syntax is accepted. */
export interface SupportedSyntax {
  transferSyntaxes: { has(uid: string): boolean };
  /** Roles that the association requestor may take (PS3.7 D.3.3.4). Storage: scu. */
  requestorRoles: { scu: boolean; scp: boolean };
  /** Chosen first, whatever the requestor's order, where it is to receive from us (role SCP): what everything can be sent in. */
  preferredToRequestor?: readonly string[];
  /** Answer to SOP class extended negotiation (PS3.7 D.3.3.5); absent: none is given, the defaults hold. */
  extended?: (information: Buffer) => Buffer | undefined;
}

/** An accepted presentation context. */
export interface AcceptedContext {
  id: number;
  abstractSyntax: string;
  transferSyntax: string;
  /** True when the association requestor is SCP here, so that the acceptor may send requests (C-GET). */
  requestorIsScp?: boolean;
}

/** A response to a request of ours. */
export interface ResponseMessage {
  command: CommandSet;
  status: number;
  dataSet?: Buffer;
}

/** The association that a request came on, for services that answer with requests of their own. */
export interface AssociationHandle {
  readonly contexts: ReadonlyMap<number, AcceptedContext>;
  readonly isEnded: boolean;
  readonly whenEnded: Promise<unknown>;
  /** Sends a request and resolves with its final response. Rejects with DimseError when the association ends first. */
  request(
    contextId: number,
    command: Omit<CommandSet, 'messageId' | 'hasDataSet'>,
    dataSet?: Buffer | AsyncIterable<Buffer>,
    onPending?: (response: ResponseMessage) => void,
  ): Promise<ResponseMessage>;
}

/** Who is at the other end of the association. */
export interface PeerInformation {
  associationId: string;
  callingAeTitle: string;
  calledAeTitle: string;
  remoteAddress: string;
}

/** One request as it arrives. `data` is there when the command announces a data set. */
export interface DimseRequest {
  peer: PeerInformation;
  context: AcceptedContext;
  association: AssociationHandle;
  command: CommandSet;
  data?: DataStream;
  /** Fires when the requestor sends C-CANCEL for this request, or the association ends. */
  signal: AbortSignal;
  /** Sends a response with status Pending (C-FIND, C-GET, C-MOVE), with its identifier. */
  sendPending(fields: Partial<CommandSet>, dataSet?: Buffer): Promise<void>;
}

/** The final response: its status and whatever else the service puts into the command set. */
export interface DimseResponse extends Partial<CommandSet> {
  status: number;
  dataSet?: Buffer;
  /** Called once the response has been sent. */
  onSent?: () => void;
}

/** A service class in the provider role. */
export interface DimseService {
  /** For logs and the conformance statement. */
  name: string;
  /** Command fields of the requests that it answers. */
  commands: readonly number[];
  /** How it accepts an abstract syntax; undefined when it does not. */
  supports(abstractSyntax: string): SupportedSyntax | undefined;
  handle(request: DimseRequest): Promise<DimseResponse>;
}
