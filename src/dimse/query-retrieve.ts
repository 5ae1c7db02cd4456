/** Query/Retrieve service class as provider (PS3.4 annex C): C-FIND, C-MOVE and C-GET in both roots. */
import { type DataSet, DicomError, type OutgoingElement } from '../dicom/index.js';
import { CommandField } from './command-set.js';
import { encodeIdentifier, IDENTIFIER_TRANSFER_SYNTAXES, readIdentifier } from './identifier.js';
import { contextFor, type DimseTarget } from './requestor.js';
import type {
  DimseRequest,
  DimseResponse,
  DimseService,
  PeerInformation,
  SupportedSyntax,
} from './service.js';
import { meaningOf, Status } from './status.js';
import { type OutgoingInstance, type StoreOutcome, storeInstances } from './storage-scu.js';

export type QueryRoot = 'patient' | 'study';

const FIND: Record<string, QueryRoot> = {
  '1.2.840.10008.5.1.4.1.2.1.1': 'patient',
  '1.2.840.10008.5.1.4.1.2.2.1': 'study',
};
const MOVE: Record<string, QueryRoot> = {
  '1.2.840.10008.5.1.4.1.2.1.2': 'patient',
  '1.2.840.10008.5.1.4.1.2.2.2': 'study',
};
const GET: Record<string, QueryRoot> = {
  '1.2.840.10008.5.1.4.1.2.1.3': 'patient',
  '1.2.840.10008.5.1.4.1.2.2.3': 'study',
};

/** Every SOP class of the service, by UID. */
export const QUERY_RETRIEVE_SOP_CLASSES: readonly string[] = [FIND, MOVE, GET].flatMap(Object.keys);

const FAILED_SOP_INSTANCE_UID_LIST = 0x00080058;

/** An instance that can be sent, in the syntax that it is stored in or, where `alternatives` names them, in others. */
export interface RetrievedInstance {
  sopClassUid: string;
  sopInstanceUid: string;
  transferSyntaxUid: string;
  alternatives: readonly string[];
  open(transferSyntaxUid: string): Promise<Buffer | AsyncIterable<Buffer>>;
}

/** Why a query or retrieval is not performed: a status of PS3.4 annex C and words without patient data. */
export class QueryRefused extends Error {
  override name = 'QueryRefused';
  constructor(
    readonly status: number,
    message: string,
  ) {
    super(message);
  }
}

/** Status codes of PS3.4 C.4.1.1.4, C.4.2.1.5 and C.4.3.1.4. */
export const QueryStatus = {
  identifierDoesNotMatch: 0xa900,
  moveDestinationUnknown: 0xa801,
  unableToPerformSuboperations: 0xa702,
  suboperationsWithFailures: 0xb000,
} as const;

export interface QueryRetrieveOptions {
  /** Whether this peer may ask at all. */
  permits(peer: PeerInformation): Promise<boolean>;
  /** @throws QueryRefused */
  find(
    identifier: DataSet,
    root: QueryRoot,
    signal: AbortSignal,
  ): AsyncIterable<{ elements: OutgoingElement[]; allKeysSupported: boolean }>;
  /** What a retrieval is about. @throws QueryRefused */
  select(identifier: DataSet, root: QueryRoot): Promise<RetrievedInstance[]> | RetrievedInstance[];
  /** Where the move destination with this AE title is. */
  targetOf(aeTitle: string): DimseTarget | undefined;
  /** A query begins: for the audit trail. `sopClass` is the information model that was asked. */
  onQuery?(about: { peer: PeerInformation; sopClass: string; identifier: DataSet }): void;
  /** A retrieval begins: for the audit trail. */
  onRetrieval?(about: {
    peer: PeerInformation;
    destination: string;
    instances: readonly RetrievedInstance[];
  }): void;
  /** A retrieval is over: for the audit trail. */
  onRetrieved?(about: {
    peer: PeerInformation;
    destination: string;
    instances: readonly RetrievedInstance[];
    completed: number;
    failed: number;
    warning: number;
  }): void;
}

const syntax: SupportedSyntax = {
  transferSyntaxes: IDENTIFIER_TRANSFER_SYNTAXES,
  requestorRoles: { scu: true, scp: false },
  // Relational queries are supported; nothing else of the service's extended negotiation is (PS3.4 C.5.1.1).
  extended: (asked) => Buffer.from([asked[0] === 1 ? 1 : 0]),
};

export function queryRetrieveProviders(options: QueryRetrieveOptions): DimseService[] {
  const service = (
    name: string,
    classes: Record<string, QueryRoot>,
    command: number,
    perform: (request: DimseRequest, identifier: DataSet, root: QueryRoot) => Promise<DimseResponse>,
  ): DimseService => ({
    name,
    commands: [command],
    supports: (uid) => (classes[uid] === undefined ? undefined : syntax),
    async handle(request) {
      const { context, data, peer } = request;
      if (!(await options.permits(peer)))
        return {
          status: Status.notAuthorized,
          errorComment: `${peer.callingAeTitle} may not query or retrieve`,
        };
      if (data === undefined) return { status: Status.mistypedArgument };
      try {
        const identifier = await readIdentifier(data, context.transferSyntax);
        return await perform(request, identifier, classes[context.abstractSyntax]!);
      } catch (error) {
        if (error instanceof QueryRefused) return { status: error.status, errorComment: error.message };
        if (!(error instanceof DicomError)) throw error;
        return {
          status: QueryStatus.identifierDoesNotMatch,
          errorComment: 'the identifier cannot be read',
        };
      }
    },
  });
  return [
    service('Query/Retrieve FIND', FIND, CommandField.cFindRequest, (request, identifier, root) =>
      find(request, identifier, root, options),
    ),
    service('Query/Retrieve MOVE', MOVE, CommandField.cMoveRequest, (request, identifier, root) =>
      move(request, identifier, root, options),
    ),
    service('Query/Retrieve GET', GET, CommandField.cGetRequest, (request, identifier, root) =>
      get(request, identifier, root, options),
    ),
  ];
}

async function find(
  request: DimseRequest,
  identifier: DataSet,
  root: QueryRoot,
  options: QueryRetrieveOptions,
): Promise<DimseResponse> {
  const { signal, context, peer } = request;
  options.onQuery?.({ peer, sopClass: context.abstractSyntax, identifier });
  for await (const { elements, allKeysSupported } of options.find(identifier, root, signal)) {
    if (signal.aborted) break;
    await request.sendPending(
      { status: allKeysSupported ? Status.pending : Status.pendingWithWarning },
      encodeIdentifier(elements, context.transferSyntax),
    );
  }
  return { status: signal.aborted ? Status.cancel : Status.success };
}

/** Counts sub-operations and tells the requestor, one response at a time. */
class Suboperations {
  completed = 0;
  warning = 0;
  readonly failed: string[] = [];
  private telling: Promise<void> | undefined;

  constructor(
    private readonly request: DimseRequest,
    private readonly total: number,
  ) {}

  get remaining(): number {
    return this.total - this.completed - this.warning - this.failed.length;
  }

  counts() {
    return {
      completedSuboperations: Math.min(this.completed, 0xffff),
      failedSuboperations: Math.min(this.failed.length, 0xffff),
      warningSuboperations: Math.min(this.warning, 0xffff),
    };
  }

  ended(sopInstanceUid: string, outcome: 'accepted' | 'warning' | 'failed'): void {
    if (outcome === 'accepted') this.completed += 1;
    else if (outcome === 'warning') this.warning += 1;
    else this.failed.push(sopInstanceUid);
    this.tell();
  }

  /** What happens while a response is on its way is in the next one. */
  private tell(): void {
    if (this.telling !== undefined || this.remaining === 0) return;
    this.telling = this.request
      .sendPending({ ...this.counts(), remainingSuboperations: Math.min(this.remaining, 0xffff) })
      .catch(() => {})
      .finally(() => {
        this.telling = undefined;
      });
  }

  async result(): Promise<DimseResponse> {
    await this.telling;
    const cancelled = this.request.signal.aborted && this.remaining > 0;
    const anything = this.completed + this.warning > 0;
    const status = cancelled
      ? Status.cancel
      : this.failed.length > 0 && !anything
        ? QueryStatus.unableToPerformSuboperations
        : this.failed.length + this.warning > 0
          ? QueryStatus.suboperationsWithFailures
          : Status.success;
    return {
      status,
      ...this.counts(),
      ...(cancelled && { remainingSuboperations: Math.min(this.remaining, 0xffff) }),
      ...(this.failed.length > 0 && { dataSet: this.failedList() }),
    };
  }

  private failedList(): Buffer {
    const bytes = Buffer.from(this.failed.slice(0, 1000).join('\\'), 'latin1');
    return encodeIdentifier(
      [{ tag: FAILED_SOP_INSTANCE_UID_LIST, vr: 'UI', bytes }],
      this.request.context.transferSyntax,
    );
  }
}

async function move(
  request: DimseRequest,
  identifier: DataSet,
  root: QueryRoot,
  options: QueryRetrieveOptions,
): Promise<DimseResponse> {
  const { command, peer, signal } = request;
  const destination = command.moveDestination;
  const target = destination === undefined ? undefined : options.targetOf(destination);
  if (destination === undefined || target === undefined)
    throw new QueryRefused(QueryStatus.moveDestinationUnknown, `move destination ${destination} is unknown`);
  const instances = await options.select(identifier, root);
  options.onRetrieval?.({ peer, destination, instances });
  const operations = new Suboperations(request, instances.length);
  await storeInstances(
    target,
    instances.map((instance) => toOutgoing(instance, signal)),
    {
      moveOriginator: { aeTitle: peer.callingAeTitle, messageId: command.messageId! },
      onOutcome: (outcome) => {
        if (!isCancelled(outcome, signal)) operations.ended(outcome.sopInstanceUid, verdictOf(outcome));
      },
    },
  );
  return finished(request, operations, { destination, instances }, options);
}

/** After C-CANCEL nothing more is read; what is on its way is finished. */
function toOutgoing(
  { sopClassUid, sopInstanceUid, transferSyntaxUid, alternatives, open }: RetrievedInstance,
  signal: AbortSignal,
): OutgoingInstance {
  return {
    sopClassUid,
    sopInstanceUid,
    transferSyntaxUid,
    alternatives,
    open: (accepted) =>
      signal.aborted ? Promise.reject(new Error('the retrieval was cancelled')) : open(accepted),
  };
}

function isCancelled(outcome: StoreOutcome, signal: AbortSignal): boolean {
  return signal.aborted && !outcome.attempted;
}

function verdictOf({ outcome }: StoreOutcome): 'accepted' | 'warning' | 'failed' {
  return outcome === 'accepted' || outcome === 'warning' ? outcome : 'failed';
}

async function get(
  request: DimseRequest,
  identifier: DataSet,
  root: QueryRoot,
  options: QueryRetrieveOptions,
): Promise<DimseResponse> {
  const { signal, peer, association } = request;
  const instances = await options.select(identifier, root);
  options.onRetrieval?.({ peer, destination: peer.callingAeTitle, instances });
  const operations = new Suboperations(request, instances.length);
  for (const instance of instances) {
    if (signal.aborted || association.isEnded) break;
    operations.ended(instance.sopInstanceUid, await storeBack(request, instance));
  }
  return finished(request, operations, { destination: peer.callingAeTitle, instances }, options);
}

/** C-STORE on the association of the request, in a context for which the requestor took the SCP role. */
async function storeBack(
  { association }: DimseRequest,
  instance: RetrievedInstance,
): Promise<'accepted' | 'warning' | 'failed'> {
  const { sopClassUid, sopInstanceUid, transferSyntaxUid, alternatives } = instance;
  const context = [transferSyntaxUid, ...alternatives]
    .map((uid) => contextFor(association, sopClassUid, uid))
    .find((each) => each?.requestorIsScp === true);
  if (context === undefined) return 'failed';
  let dataSet: Buffer | AsyncIterable<Buffer>;
  try {
    dataSet = await instance.open(context.transferSyntax);
  } catch {
    return 'failed';
  }
  try {
    const { status } = await association.request(
      context.id,
      {
        commandField: CommandField.cStoreRequest,
        affectedSopClassUid: sopClassUid,
        affectedSopInstanceUid: sopInstanceUid,
        priority: 0,
      },
      dataSet,
    );
    const { outcome } = meaningOf(status);
    return outcome === 'refused' ? 'failed' : outcome;
  } catch {
    return 'failed';
  }
}

async function finished(
  { peer }: DimseRequest,
  operations: Suboperations,
  what: { destination: string; instances: readonly RetrievedInstance[] },
  options: QueryRetrieveOptions,
): Promise<DimseResponse> {
  const response = await operations.result();
  const { completed, warning, failed } = operations;
  options.onRetrieved?.({ peer, ...what, completed, warning, failed: failed.length });
  return response;
}
