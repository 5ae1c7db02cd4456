/** The DICOM Upper Layer service over one transport connection (PS3.8 section 9): PDUs, state machine, ARTIM timer. */
import type { Socket } from 'node:net';
import { type Action, actionFor, type Event, nextState, type State } from './fsm.js';
import {
  type Abort,
  AbortReason,
  type AssociateAccept,
  type AssociateReject,
  type AssociateRequest,
  PduError,
  PduType,
} from './pdu.js';
import {
  decodeAbort,
  decodeAssociateAccept,
  decodeAssociateReject,
  decodeAssociateRequest,
} from './pdu-decode.js';
import {
  encodeAbort,
  encodeAssociateAccept,
  encodeAssociateReject,
  encodeAssociateRequest,
  encodeReleaseRequest,
  encodeReleaseResponse,
} from './pdu-encode.js';
import { type PduLimits, PduReader } from './pdu-reader.js';

/** How an association came to its end. */
export type AssociationEnd =
  | { kind: 'released' }
  | { kind: 'rejected'; reject: AssociateReject }
  /** A-ABORT from the peer. */
  | { kind: 'aborted-by-peer'; abort: Abort }
  /** We sent A-ABORT on behalf of the local user. */
  | { kind: 'aborted-by-us'; text: string }
  /** We sent A-ABORT because the peer broke the protocol. */
  | { kind: 'protocol'; text: string }
  /** The transport connection ended by itself. */
  | { kind: 'closed'; text: string };

/** Indications and confirmations to the service user (PS3.8 section 7). */
export interface DulUser {
  associateIndication(request: AssociateRequest): void;
  associateConfirmation(accept: AssociateAccept): void;
  /** May throw PduError. */
  fragment(contextId: number, isCommand: boolean, bytes: Buffer, end: boolean): void;
  releaseIndication(): void;
  /** Bytes moved, in or out. */
  progress(): void;
  /** Once for each association, whatever happened. */
  ended(end: AssociationEnd): void;
}

export interface DulOptions {
  role: 'requestor' | 'acceptor';
  /** Association request / reject / release timer (PS3.8 section 9.1.5). */
  artimMs: number;
  limits: PduLimits;
}

/** Reasons to leave bytes in the socket; any one holds the reader. */
export type Hold = 'data' | 'operations';

/** Time a transport connection that we closed may take to go before it is destroyed. */
const LINGER_MS = 2000;

export class Dul {
  private current: State = 'Sta1';
  private readonly reader: PduReader;
  private artim: NodeJS.Timeout | undefined;
  private readonly holds = new Set<Hold>();
  private hasEnded = false;
  private socketError: Error | undefined;

  constructor(
    private readonly socket: Socket,
    private readonly user: DulUser,
    private readonly options: DulOptions,
  ) {
    this.reader = new PduReader(
      {
        dataTransfer: () => this.fire('Evt10'),
        fragment: (contextId, isCommand, bytes, end) => {
          if (this.current === 'Sta6' || this.current === 'Sta7')
            user.fragment(contextId, isCommand, bytes, end);
        },
        pdu: (type, body) => this.received(type, body),
        invalid: (error) => this.invalid(error.reason, error.message),
      },
      options.limits,
    );
    socket.setNoDelay(true);
    socket.setKeepAlive(true, 30_000);
    socket.on('data', (chunk: Buffer) => {
      this.user.progress();
      try {
        this.reader.feed(chunk);
      } catch (error) {
        this.abort(`an error of our own while reading: ${String(error)}`);
        this.reader.stop();
      }
    });
    socket.on('error', (error) => {
      this.socketError = error;
    });
    socket.on('close', () => this.fire('Evt17'));
  }

  get state(): State {
    return this.current;
  }

  /** Bytes received and held back by us. */
  get pendingBytes(): number {
    return this.reader.pending;
  }

  get isHeld(): boolean {
    return this.holds.size > 0;
  }

  /** Bytes given to the socket that the peer's side has not taken yet. */
  get unsentBytes(): number {
    return this.socket.writableLength;
  }

  /** Acceptor: the transport connection is open (Evt5). */
  transportIndication(): void {
    this.fire('Evt5');
  }

  /** Requestor: A-ASSOCIATE request over the open connection (Evt1, Evt2). */
  associateRequest(request: AssociateRequest): void {
    const bytes = encodeAssociateRequest(request);
    this.fire('Evt1');
    this.fire('Evt2', { bytes });
  }

  associateAccept(accept: AssociateAccept): void {
    this.fire('Evt7', { bytes: encodeAssociateAccept(accept) });
  }

  associateReject(reject: AssociateReject): void {
    this.fire('Evt8', { bytes: encodeAssociateReject(reject), reject });
  }

  /** True while P-DATA may be sent. */
  get canSend(): boolean {
    return actionFor('Evt9', this.current) !== undefined && !this.socket.destroyed;
  }

  /** P-DATA request (Evt9): PDUs already encoded, written as one batch. Returns false when the socket asks to wait. */
  sendData(pdus: readonly Buffer[]): boolean {
    const action = this.step('Evt9');
    if (action === undefined) return true;
    return this.write(pdus);
  }

  /** Resolves when the socket wants more bytes, or is gone. */
  drained(): Promise<void> {
    if (!this.socket.writableNeedDrain || this.socket.destroyed) return Promise.resolve();
    return new Promise((resolve) => {
      const done = () => {
        this.socket.off('drain', done);
        this.socket.off('close', done);
        resolve();
      };
      this.socket.on('drain', done);
      this.socket.on('close', done);
    });
  }

  releaseRequest(): void {
    this.fire('Evt11');
  }

  releaseResponse(): void {
    this.fire('Evt14');
  }

  /** A-ABORT request of the local user (Evt15). */
  abort(text: string): void {
    this.fire('Evt15', { text });
  }

  /** The peer broke the protocol above the PDU layer: A-ABORT by the provider with this reason (Evt19). */
  invalid(reason: number, text: string): void {
    this.fire('Evt19', { reason, text });
  }

  /** Drops the transport connection without a word. */
  destroy(): void {
    this.socket.destroy();
  }

  /** Leaves what arrives in the socket until `resume` with the same reason. */
  hold(reason: Hold): void {
    this.holds.add(reason);
    this.reader.held = true;
    this.socket.pause();
  }

  resume(reason: Hold): void {
    if (!this.holds.delete(reason) || this.holds.size > 0) return;
    this.reader.held = false;
    if (!this.reader.held) this.socket.resume();
  }

  private received(type: number, body: Buffer): void {
    switch (type) {
      case PduType.associateRequest:
        this.fire('Evt6', { request: this.current === 'Sta2' ? decodeAssociateRequest(body) : undefined });
        break;
      case PduType.associateAccept:
        this.fire('Evt3', { accept: this.current === 'Sta5' ? decodeAssociateAccept(body) : undefined });
        break;
      case PduType.associateReject:
        this.fire('Evt4', { reject: decodeAssociateReject(body) });
        break;
      case PduType.releaseRequest:
        this.fire('Evt12');
        break;
      case PduType.releaseResponse:
        this.fire('Evt13');
        break;
      case PduType.abort:
        this.fire('Evt16', { abort: decodeAbort(body) });
        break;
      default:
        throw new PduError(AbortReason.unrecognizedPdu, `PDU type ${type} does not exist`);
    }
  }

  /** Takes the transition and returns its action; undefined where the standard's table is empty. */
  private step(event: Event): Action | undefined {
    const action = actionFor(event, this.current);
    if (action !== undefined) this.current = nextState(action, this.options.role);
    return action;
  }

  private fire(event: Event, input: EventInput = {}): void {
    const action = this.step(event);
    if (action !== undefined) this.perform(action, event, input);
  }

  private perform(action: Action, event: Event, input: EventInput): void {
    switch (action) {
      case 'AE-1':
      case 'DT-1':
      case 'DT-2':
      case 'AR-6':
      case 'AR-7':
      case 'AA-6':
        break;
      case 'AE-2':
      case 'AE-7':
        this.write([input.bytes!]);
        break;
      case 'AE-3':
        this.user.associateConfirmation(input.accept!);
        break;
      case 'AE-4':
        this.closeTransport();
        this.end({ kind: 'rejected', reject: input.reject! });
        break;
      case 'AE-5':
        this.startArtim();
        break;
      case 'AE-6':
        this.stopArtim();
        this.user.associateIndication(input.request!);
        break;
      case 'AE-8':
        this.write([input.bytes!]);
        this.awaitClose();
        this.end({ kind: 'rejected', reject: input.reject! });
        break;
      case 'AR-1':
        this.write([encodeReleaseRequest()]);
        break;
      case 'AR-2':
      case 'AR-8':
        this.user.releaseIndication();
        break;
      case 'AR-3':
        this.closeTransport();
        this.end({ kind: 'released' });
        break;
      case 'AR-4':
        this.write([encodeReleaseResponse()]);
        this.awaitClose();
        this.end({ kind: 'released' });
        break;
      case 'AR-5':
      case 'AA-5':
        this.stopArtim();
        this.end({ kind: 'closed', text: this.closeText() });
        break;
      case 'AR-9':
        this.write([encodeReleaseResponse()]);
        break;
      case 'AR-10':
        // The confirmation of a release collision: only now may the acceptor answer (Evt14 in Sta12).
        this.user.releaseIndication();
        break;
      case 'AA-1':
        this.write([encodeAbort({ source: 0, reason: 0 })]);
        this.awaitClose();
        this.end(this.abortEnd(event, input));
        break;
      case 'AA-2':
        this.stopArtim();
        this.closeTransport();
        this.end({
          kind: 'closed',
          text: event === 'Evt18' ? 'the peer was silent until the ARTIM timer expired' : this.closeText(),
        });
        break;
      case 'AA-3':
        this.closeTransport();
        this.end({ kind: 'aborted-by-peer', abort: input.abort! });
        break;
      case 'AA-4':
        this.end({ kind: 'closed', text: this.closeText() });
        break;
      case 'AA-7':
        break;
      case 'AA-8':
        this.write([encodeAbort({ source: 2, reason: input.reason ?? AbortReason.unexpectedPdu })]);
        this.awaitClose();
        this.end(this.abortEnd(event, input));
        break;
    }
  }

  private abortEnd(event: Event, input: EventInput): AssociationEnd {
    if (event === 'Evt15') return { kind: 'aborted-by-us', text: input.text ?? 'aborted locally' };
    return { kind: 'protocol', text: input.text ?? `a PDU that is not expected (${event})` };
  }

  private closeText(): string {
    return this.socketError === undefined
      ? 'the peer closed the connection'
      : `the connection was lost (${this.socketError.message})`;
  }

  private end(end: AssociationEnd): void {
    if (this.hasEnded) return;
    this.hasEnded = true;
    this.user.ended(end);
  }

  private write(buffers: readonly Buffer[]): boolean {
    if (this.socket.destroyed || !this.socket.writable) return true;
    const last = buffers.length - 1;
    this.socket.cork();
    for (let i = 0; i < last; i += 1) this.socket.write(buffers[i]!);
    const more = this.socket.write(buffers[last]!, this.onWritten);
    this.socket.uncork();
    return more;
  }

  private readonly onWritten = (): void => this.user.progress();

  /** Sta13: everything that still comes is dropped until the peer closes, or ARTIM expires. The requestor closes what it opened. */
  private awaitClose(): void {
    this.reader.stop();
    this.holds.clear();
    this.socket.resume();
    if (this.options.role === 'acceptor') this.startArtim();
    else this.closeTransport();
  }

  private closeTransport(): void {
    this.reader.stop();
    this.holds.clear();
    this.socket.resume();
    this.socket.end();
    setTimeout(() => this.socket.destroy(), LINGER_MS).unref();
  }

  private startArtim(): void {
    this.stopArtim();
    this.artim = setTimeout(() => this.fire('Evt18'), this.options.artimMs);
    this.artim.unref();
  }

  private stopArtim(): void {
    clearTimeout(this.artim);
    this.artim = undefined;
  }
}

interface EventInput {
  bytes?: Buffer;
  request?: AssociateRequest | undefined;
  accept?: AssociateAccept | undefined;
  reject?: AssociateReject;
  abort?: Abort;
  reason?: number;
  text?: string;
}
