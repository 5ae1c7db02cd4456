/** An association after PS3.7: messages both ways over one upper layer connection, in either role. */
import type { Socket } from 'node:net';
import { CommandField, type CommandSet, encodeCommandSet, RESPONSE_BIT } from './command-set.js';
import type { DataStream } from './data-stream.js';
import { type AssociationEnd, Dul, type DulUser } from './dul.js';
import { DimseError } from './errors.js';
import { FragmentWriter, fragmentLength, OddLengthError } from './fragment-writer.js';
import { nextMessageId } from './message-id.js';
import { type IncomingMessage, MessageReceiver } from './message-receiver.js';
import {
  AbortReason,
  type AssociateAccept,
  type AssociateRequest,
  describeAbort,
  describeReject,
  PduError,
} from './pdu.js';
import { ProgressTimer } from './progress-timer.js';
import type {
  AcceptedContext,
  AssociationHandle,
  DimseRequest,
  DimseResponse,
  DimseService,
  PeerInformation,
  ResponseMessage,
} from './service.js';
import { Status } from './status.js';
import { DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN } from './transfer-syntaxes.js';

export interface AssociationOptions {
  role: 'requestor' | 'acceptor';
  /** Says who the peer is in errors, for instance "PACS at 10.0.0.5:104". */
  peerName: string;
  /** Services that we provide on this association. */
  services: readonly DimseService[];
  artimMs: number;
  /** Longest P-DATA-TF variable field that we offered to receive. */
  maxPduLength: number;
  /** Bytes of data sets held in memory before the socket is stopped. */
  bufferBytes: number;
  /** Silence of a peer that owes us bytes after which the association is aborted. */
  silenceMs: number;
  onIndication?(request: AssociateRequest): void;
  onConfirmation?(accept: AssociateAccept): void;
  onEnded?(end: AssociationEnd): void;
  /** A service rejected: the peer got a failure status, the operator needs the cause. */
  onServiceError?(error: unknown, request: DimseRequest): void;
}

/** Longest A-ASSOCIATE-RQ or -AC: 128 contexts with 60 transfer syntaxes each stay below it. */
const MAX_ASSOCIATE_LENGTH = 1024 * 1024;
/** Longest data set of a response that is collected in memory (query identifiers). */
const MAX_RESPONSE_DATA = 16 * 1024 * 1024;

interface PendingRequest {
  resolve(response: ResponseMessage): void;
  reject(error: Error): void;
  onPending: ((response: ResponseMessage) => void) | undefined;
  /** Responses whose data sets are being collected; those that follow wait for them. */
  collecting?: Promise<void>;
}

function isPending(status: number): boolean {
  return status === Status.pending || status === Status.pendingWithWarning;
}

export class Association implements DulUser {
  readonly dul: Dul;
  contexts: ReadonlyMap<number, AcceptedContext> = new Map();
  /** Operations that may be in progress at once: the peer's as provider, ours as requestor. */
  operations = 1;
  peer: PeerInformation = { associationId: '', callingAeTitle: '', calledAeTitle: '', remoteAddress: '' };
  /** Resolves once, when the association is over. */
  readonly whenEnded: Promise<AssociationEnd>;
  /** Requests answered or failed so far, in either role. */
  operationsDone = 0;

  private readonly receiver: MessageReceiver;
  private readonly timer: ProgressTimer;
  private readonly pending = new Map<number, PendingRequest>();
  private readonly performing = new Map<number, Cancellation>();
  private active = 0;
  private waitingMessage: IncomingMessage | undefined;
  private queuedBytes = 0;
  private dataHeld = false;
  private releasing = false;
  private end: AssociationEnd | undefined;
  private timedOut = false;
  private resolveEnded!: (end: AssociationEnd) => void;
  private idleListeners: (() => void)[] = [];
  private sending: Promise<void> = Promise.resolve();
  private sendsWaiting = 0;
  private waitingForSource = false;
  private writer: FragmentWriter | undefined;
  private lastMessageId = 0;

  constructor(
    socket: Socket,
    private readonly options: AssociationOptions,
  ) {
    this.whenEnded = new Promise((resolve) => {
      this.resolveEnded = resolve;
    });
    this.receiver = new MessageReceiver(
      (message) => this.message(message),
      (delta) => this.queued(delta),
    );
    this.dul = new Dul(socket, this, {
      role: options.role,
      artimMs: options.artimMs,
      limits: { maxDataTransfer: options.maxPduLength, maxAssociate: MAX_ASSOCIATE_LENGTH },
    });
    this.timer = new ProgressTimer(
      options.silenceMs,
      () => this.silenceIsOurs(),
      () => this.silent(),
    );
  }

  /**
   * Opens the data transfer phase with what was negotiated.
   * Throws RangeError when the peer's maximum PDU length cannot carry any data.
   */
  establish(negotiated: {
    contexts: ReadonlyMap<number, AcceptedContext>;
    operations: number;
    peerMaxPduLength: number;
    peer: PeerInformation;
  }): void {
    this.writer = new FragmentWriter(this.dul, fragmentLength(negotiated.peerMaxPduLength));
    this.contexts = negotiated.contexts;
    this.operations = negotiated.operations;
    this.peer = negotiated.peer;
  }

  /** Requests of the peer that are being performed. */
  get activeOperations(): number {
    return this.active;
  }

  /** Requests of ours without their final response. */
  get pendingRequests(): number {
    return this.pending.size;
  }

  get isEnded(): boolean {
    return this.end !== undefined;
  }

  /** True when no operation is in progress in either direction and no message is half received. */
  get isQuiet(): boolean {
    return this.active === 0 && this.pending.size === 0 && !this.receiver.inMessage;
  }

  /** Bytes of data sets that wait in memory for their consumers (with a little overhead for each part). */
  get bufferedBytes(): number {
    return this.queuedBytes + this.dul.pendingBytes;
  }

  /** Resolves when no handler of this association runs any more. */
  whenIdle(): Promise<void> {
    if (this.active === 0) return Promise.resolve();
    return new Promise((resolve) => this.idleListeners.push(resolve));
  }

  /** Sends a request and resolves with its final response. Rejects with DimseError when the association ends first. */
  async request(
    contextId: number,
    command: Omit<CommandSet, 'messageId' | 'hasDataSet'>,
    dataSet?: Buffer | AsyncIterable<Buffer>,
    onPending?: (response: ResponseMessage) => void,
  ): Promise<ResponseMessage> {
    this.assertOpen();
    const messageId = nextMessageId(this.lastMessageId, this.pending);
    this.lastMessageId = messageId;
    const response = new Promise<ResponseMessage>((resolve, reject) => {
      this.pending.set(messageId, { resolve, reject, onPending });
    });
    response.catch(() => {});
    this.timer.touch();
    try {
      await this.send(contextId, { ...command, messageId, hasDataSet: dataSet !== undefined }, dataSet);
    } catch (error) {
      this.pending.delete(messageId);
      throw error;
    }
    return response;
  }

  /** Releases in order; aborts when the peer does not answer within `timeoutMs`. */
  async release(timeoutMs: number): Promise<void> {
    this.dul.releaseRequest();
    const timer = setTimeout(() => {
      this.dul.abort('the peer did not answer A-RELEASE-RQ');
    }, timeoutMs);
    await this.whenEnded;
    clearTimeout(timer);
  }

  abort(text: string): void {
    this.dul.abort(text);
  }

  associateIndication(request: AssociateRequest): void {
    this.options.onIndication?.(request);
  }

  associateConfirmation(accept: AssociateAccept): void {
    this.options.onConfirmation?.(accept);
  }

  fragment(contextId: number, isCommand: boolean, bytes: Buffer, end: boolean): void {
    if (!this.contexts.has(contextId)) {
      throw new PduError(
        AbortReason.invalidPduParameterValue,
        `a fragment on presentation context ${contextId}, which was not accepted`,
      );
    }
    this.receiver.fragment(contextId, isCommand, bytes, end);
  }

  releaseIndication(): void {
    if (this.receiver.inMessage) {
      throw new PduError(AbortReason.unexpectedPdu, 'A-RELEASE-RQ inside a message');
    }
    this.releasing = true;
    this.releaseWhenQuiet();
  }

  progress(): void {
    this.timer.touch();
  }

  ended(end: AssociationEnd): void {
    this.end = end;
    this.timer.stop();
    const error = this.endError();
    this.receiver.fail(error);
    this.waitingMessage?.data?.fail(error);
    this.waitingMessage = undefined;
    for (const request of this.pending.values()) request.reject(error);
    this.pending.clear();
    for (const cancellation of this.performing.values()) cancellation.cancel(error);
    this.resolveEnded(end);
    this.options.onEnded?.(end);
  }

  private endError(): DimseError {
    return endError(this.end!, this.options.peerName, this.timedOut);
  }

  private assertOpen(): void {
    if (this.end !== undefined) throw this.endError();
    if (!this.dul.canSend) {
      throw new DimseError('closed', `${this.options.peerName} is closing the association`, {
        transient: true,
      });
    }
  }

  /** Messages are never interleaved: each waits for the one before it. */
  private send(
    contextId: number,
    command: CommandSet,
    dataSet: Buffer | AsyncIterable<Buffer> | undefined,
  ): Promise<void> {
    this.sendsWaiting += 1;
    const sent = this.sending.then(() => this.transmit(contextId, command, dataSet));
    this.sending = sent.then(
      () => this.sendDone(),
      () => this.sendDone(),
    );
    return sent;
  }

  private sendDone(): void {
    this.sendsWaiting -= 1;
  }

  private async transmit(
    contextId: number,
    command: CommandSet,
    dataSet: Buffer | AsyncIterable<Buffer> | undefined,
  ): Promise<void> {
    this.assertOpen();
    const writer = this.writer!;
    await writer.writeCommand(contextId, encodeCommandSet(command));
    if (dataSet !== undefined) await this.transmitDataSet(writer, contextId, dataSet);
    await writer.flush();
    if (this.end !== undefined) throw this.endError();
  }

  private async transmitDataSet(
    writer: FragmentWriter,
    contextId: number,
    dataSet: Buffer | AsyncIterable<Buffer>,
  ): Promise<void> {
    const deflated = this.contexts.get(contextId)?.transferSyntax === DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN;
    const padding = deflated ? 'null' : 'none';
    try {
      if (Buffer.isBuffer(dataSet)) await writer.writeDataSet(contextId, dataSet, padding);
      else {
        await writer.writeStream(contextId, dataSet, padding, (forSource) => {
          this.waitingForSource = forSource;
          this.timer.touch();
        });
      }
    } catch (cause) {
      // A message once begun can only be completed or aborted: never send a truncated data set as a whole one.
      const message = `the data set cannot be sent: ${messageOf(cause)}`;
      this.dul.abort(message);
      throw new DimseError('local', message, { transient: !(cause instanceof OddLengthError), cause });
    } finally {
      this.waitingForSource = false;
    }
  }

  private message(message: IncomingMessage): void {
    const { command } = message;
    if ((command.commandField & RESPONSE_BIT) !== 0) this.response(message);
    else if (command.commandField === CommandField.cCancelRequest) this.cancel(message);
    else if (this.active >= this.operations) {
      this.waitingMessage = message;
      this.dul.hold('operations');
    } else this.begin(message);
  }

  private cancel(message: IncomingMessage): void {
    message.data?.discard();
    const { messageIdBeingRespondedTo } = message.command;
    if (messageIdBeingRespondedTo !== undefined) this.performing.get(messageIdBeingRespondedTo)?.cancel();
  }

  private begin(message: IncomingMessage): void {
    const { messageId } = message.command;
    if (messageId === undefined) {
      throw new PduError(AbortReason.invalidPduParameterValue, 'a request without a Message ID');
    }
    this.active += 1;
    this.perform(message, messageId)
      .catch((error: unknown) => {
        // The response could not be sent; unless the association is over, that is a fault of our own.
        if (this.end === undefined) this.abort(`a response could not be sent: ${messageOf(error)}`);
      })
      .finally(() => this.performed());
  }

  private performed(): void {
    this.active -= 1;
    this.operationsDone += 1;
    const next = this.waitingMessage;
    if (next !== undefined) {
      this.waitingMessage = undefined;
      try {
        this.begin(next);
      } catch (error) {
        if (!(error instanceof PduError)) throw error;
        this.dul.invalid(error.reason, error.message);
        return;
      }
      this.dul.resume('operations');
    }
    if (this.active > 0) return;
    this.releaseWhenQuiet();
    for (const listener of this.idleListeners) listener();
    this.idleListeners = [];
  }

  private async perform(message: IncomingMessage, messageId: number): Promise<void> {
    const context = this.contexts.get(message.contextId)!;
    const response = await this.invoke(message, messageId, context);
    if (message.data !== undefined) {
      message.data.discard();
      await message.data.whenComplete();
    }
    if (this.end !== undefined) return;
    await this.send(context.id, responseCommand(message.command, messageId, response), response.dataSet);
    response.onSent?.();
  }

  private async invoke(
    message: IncomingMessage,
    messageId: number,
    context: AcceptedContext,
  ): Promise<DimseResponse> {
    const { command } = message;
    const service = this.options.services.find(
      (candidate) =>
        candidate.commands.includes(command.commandField) &&
        candidate.supports(context.abstractSyntax) !== undefined,
    );
    if (service === undefined) return { status: Status.unrecognizedOperation };
    if (this.performing.has(messageId)) return { status: Status.duplicateInvocation };
    const cancellation = new Cancellation();
    this.performing.set(messageId, cancellation);
    const request = new ProvidedRequest(this, this.peer, context, message, cancellation, (fields, dataSet) =>
      this.send(
        context.id,
        responseCommand(command, messageId, {
          status: Status.pending,
          ...fields,
          ...(dataSet && { dataSet }),
        }),
        dataSet,
      ),
    );
    try {
      return await service.handle(request);
    } catch (error) {
      if (this.end === undefined) this.options.onServiceError?.(error, request);
      return { status: Status.processingFailure, errorComment: 'Processing failure' };
    } finally {
      this.performing.delete(messageId);
    }
  }

  private response(message: IncomingMessage): void {
    const { command, data } = message;
    const id = command.messageIdBeingRespondedTo;
    const request = id === undefined ? undefined : this.pending.get(id);
    if (id === undefined || request === undefined || command.status === undefined) {
      throw new PduError(
        AbortReason.invalidPduParameterValue,
        `a response to message ${id}, which is not outstanding`,
      );
    }
    const final = !isPending(command.status);
    const answer: ResponseMessage = { command, status: command.status };
    const deliver = () => {
      if (!final) {
        request.onPending?.(answer);
        return;
      }
      this.pending.delete(id);
      this.operationsDone += 1;
      request.resolve(answer);
    };
    if (data === undefined && request.collecting === undefined) {
      deliver();
      return;
    }
    const collected = data === undefined ? undefined : collect(data);
    collected?.catch(() => {});
    request.collecting = (request.collecting ?? Promise.resolve())
      .then(async () => {
        if (collected !== undefined) answer.dataSet = await collected;
        deliver();
      })
      .catch((error: Error) => {
        this.pending.delete(id);
        request.reject(error);
      });
  }

  private queued(delta: number): void {
    this.queuedBytes += delta;
    if (!this.dataHeld && this.queuedBytes > this.options.bufferBytes) {
      this.dataHeld = true;
      this.dul.hold('data');
    } else if (this.dataHeld && this.queuedBytes <= this.options.bufferBytes / 2) {
      this.dataHeld = false;
      this.dul.resume('data');
    }
  }

  private releaseWhenQuiet(): void {
    if (this.releasing && this.active === 0 && this.end === undefined) this.dul.releaseResponse();
  }

  /** Whether the next step is ours: then a silent peer is a patient one. */
  private silenceIsOurs(): boolean {
    if (this.dul.unsentBytes > 0) return false;
    if (this.dul.isHeld) return true;
    if (this.options.role === 'acceptor')
      return this.active > 0 && this.pending.size === 0 && !this.receiver.inMessage;
    return this.waitingForSource || (this.pending.size === 0 && this.sendsWaiting === 0);
  }

  private silent(): void {
    this.timedOut = true;
    const seconds = Math.round(this.options.silenceMs / 100) / 10;
    this.dul.abort(`no byte moved for ${seconds} s`);
  }
}

/** Whether a request is to be given up; the signal is made for the few that look at it. */
class Cancellation {
  private controller: AbortController | undefined;
  private cancelled: { reason: unknown } | undefined;

  get signal(): AbortSignal {
    this.controller ??= new AbortController();
    if (this.cancelled !== undefined) this.controller.abort(this.cancelled.reason);
    return this.controller.signal;
  }

  cancel(reason?: unknown): void {
    this.cancelled ??= { reason };
    this.controller?.abort(reason);
  }
}

class ProvidedRequest implements DimseRequest {
  readonly command: CommandSet;
  declare readonly data?: DataStream;

  constructor(
    readonly association: AssociationHandle,
    readonly peer: PeerInformation,
    readonly context: AcceptedContext,
    { command, data }: IncomingMessage,
    private readonly cancellation: Cancellation,
    readonly sendPending: DimseRequest['sendPending'],
  ) {
    this.command = command;
    if (data !== undefined) this.data = data;
  }

  get signal(): AbortSignal {
    return this.cancellation.signal;
  }
}

function responseCommand(request: CommandSet, messageId: number, response: DimseResponse): CommandSet {
  const { dataSet, onSent: _onSent, ...fields } = response;
  const command: CommandSet = {
    commandField: request.commandField | RESPONSE_BIT,
    messageIdBeingRespondedTo: messageId,
    hasDataSet: dataSet !== undefined,
    ...fields,
  };
  const sopClass = request.affectedSopClassUid ?? request.requestedSopClassUid;
  const sopInstance = request.affectedSopInstanceUid ?? request.requestedSopInstanceUid;
  if (sopClass !== undefined) command.affectedSopClassUid ??= sopClass;
  if (sopInstance !== undefined) command.affectedSopInstanceUid ??= sopInstance;
  return command;
}

async function collect(data: DataStream): Promise<Buffer> {
  const parts: Buffer[] = [];
  let length = 0;
  for await (const part of data) {
    length += part.length;
    if (length > MAX_RESPONSE_DATA)
      throw new DimseError('protocol', 'a response data set is too long', { transient: false });
    parts.push(part);
  }
  return Buffer.concat(parts, length);
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** What the end of an association means for whatever was not finished. */
export function endError(end: AssociationEnd, peerName: string, timedOut = false): DimseError {
  switch (end.kind) {
    case 'released':
      return new DimseError('closed', `${peerName} released the association`, { transient: true });
    case 'rejected':
      return new DimseError('rejected', `${peerName}: association ${describeReject(end.reject)}`, {
        transient: end.reject.result === 2,
        ...end.reject,
      });
    case 'aborted-by-peer':
      return new DimseError('aborted', `${peerName} aborted the association: ${describeAbort(end.abort)}`, {
        transient: true,
        ...end.abort,
      });
    case 'aborted-by-us':
      return timedOut
        ? new DimseError('timeout', `${peerName}: ${end.text}`, { transient: true })
        : new DimseError('cancelled', `association with ${peerName} aborted: ${end.text}`, {
            transient: true,
          });
    case 'protocol':
      return new DimseError('protocol', `${peerName} violated the protocol: ${end.text}`, {
        transient: true,
      });
    case 'closed':
      return new DimseError('closed', `${peerName}: ${end.text}`, { transient: true });
  }
}
