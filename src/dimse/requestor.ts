/** Opens associations: transport connection, A-ASSOCIATE-RQ, and what the peer made of it. */
import { connect as connectTcp, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { Association, endError } from './association.js';
import { DimseError } from './errors.js';
import { type ProposedSyntax, propose } from './negotiation.js';
import {
  type AssociateAccept,
  type AssociateRequest,
  ContextResultReason,
  describeContextResult,
} from './pdu.js';
import type { AcceptedContext, DimseService } from './service.js';
import { clientTlsOptions, type DimseTls } from './tls.js';

export interface DimseTimeouts {
  /** Until the transport connection (and TLS) stands. Default 10 s. */
  connectMs: number;
  /** From A-ASSOCIATE-RQ to its answer. Default 30 s. */
  associateMs: number;
  /** Silence while the peer owes us bytes; every byte moved starts it again. Default 120 s. */
  responseMs: number;
  /** From A-RELEASE-RQ to its answer. Default 10 s. */
  releaseMs: number;
}

export interface DimseTarget {
  host: string;
  port: number;
  calledAeTitle: string;
  callingAeTitle: string;
  tls?: DimseTls;
  timeouts?: Partial<DimseTimeouts>;
  /** Operations to have in progress at once, if the peer agrees (PS3.7 D.3.3.3). Default 8; 1 does not negotiate. */
  operations?: number;
  /** Maximum PDU length that we offer to receive. Default 131072. */
  maxPduLength?: number;
}

const TIMEOUTS: DimseTimeouts = {
  connectMs: 10_000,
  associateMs: 30_000,
  responseMs: 120_000,
  releaseMs: 10_000,
};
const DEFAULT_OPERATIONS = 8;
const DEFAULT_MAX_PDU_LENGTH = 131072;
const BUFFER_BYTES = 1024 * 1024;

export function timeoutsOf(target: DimseTarget): DimseTimeouts {
  return { ...TIMEOUTS, ...target.timeouts };
}

/** "PACS at 10.0.0.5:104". */
export function peerName(target: DimseTarget): string {
  return `${target.calledAeTitle} at ${target.host}:${target.port}`;
}

function connectError(target: DimseTarget, cause: NodeJS.ErrnoException): DimseError {
  const words: Record<string, string> = {
    ECONNREFUSED: 'the connection was refused (nothing listens there)',
    ENOTFOUND: 'the host name does not resolve',
    EAI_AGAIN: 'the host name does not resolve now',
    EHOSTUNREACH: 'the host is not reachable',
    ENETUNREACH: 'the network is not reachable',
    ETIMEDOUT: 'the connection timed out',
  };
  const text = words[cause.code ?? ''] ?? cause.message;
  return new DimseError('connect', `${peerName(target)}: ${text}`, { transient: true, cause });
}

function cancelled(target: DimseTarget): DimseError {
  return new DimseError('cancelled', `association with ${peerName(target)} cancelled`, { transient: true });
}

/** A transport connection; rejects with DimseError `connect`, `timeout` or `cancelled`. */
function connect(target: DimseTarget, signal: AbortSignal | undefined): Promise<Socket> {
  if (signal?.aborted) return Promise.reject(cancelled(target));
  const { host, port } = target;
  const { connectMs } = timeoutsOf(target);
  return new Promise((resolve, reject) => {
    const socket =
      target.tls === undefined
        ? connectTcp({ host, port, noDelay: true })
        : connectTls({ host, port, ...clientTlsOptions(target.tls) });
    const finish = (error?: DimseError) => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', onAbort);
      socket.off('error', onError);
      if (error === undefined) {
        resolve(socket);
        return;
      }
      socket.on('error', () => {});
      socket.destroy();
      reject(error);
    };
    const onAbort = () => finish(cancelled(target));
    const onError = (error: NodeJS.ErrnoException) => finish(connectError(target, error));
    const timer = setTimeout(
      () =>
        finish(
          new DimseError('timeout', `${peerName(target)}: no connection within ${connectMs / 1000} s`, {
            transient: true,
          }),
        ),
      connectMs,
    );
    signal?.addEventListener('abort', onAbort, { once: true });
    socket.once('error', onError);
    socket.once(target.tls === undefined ? 'connect' : 'secureConnect', () => finish());
  });
}

/** Reasons why contexts were not accepted, by context id, beside the accepted ones. */
interface Confirmed {
  contexts: Map<number, AcceptedContext>;
  refusals: Map<number, string>;
}

function confirmed(request: AssociateRequest, accept: AssociateAccept): Confirmed {
  const contexts = new Map<number, AcceptedContext>();
  const refusals = new Map<number, string>();
  for (const { id, abstractSyntax, transferSyntaxes } of request.contexts) {
    const answer = accept.results.find((result) => result.id === id);
    if (answer === undefined) refusals.set(id, 'the peer gave no answer');
    else if (answer.result !== ContextResultReason.acceptance)
      refusals.set(id, describeContextResult(answer.result));
    else if (!transferSyntaxes.includes(answer.transferSyntax)) {
      refusals.set(id, 'the peer chose a transfer syntax that was not proposed');
    } else contexts.set(id, { id, abstractSyntax, transferSyntax: answer.transferSyntax });
  }
  return { contexts, refusals };
}

const refusalsOf = new WeakMap<Association, { request: AssociateRequest; refusals: Map<number, string> }>();

/**
 * Opens an association. Resolves when the peer accepted it, with whatever contexts it accepted; rejects with
 * DimseError `connect`, `rejected`, `aborted`, `closed`, `timeout`, `cancelled` or `protocol`.
 */
export async function associate(
  target: DimseTarget,
  contexts: readonly ProposedSyntax[],
  options: { signal?: AbortSignal; services?: readonly DimseService[] } = {},
): Promise<Association> {
  const timeouts = timeoutsOf(target);
  const maxPduLength = target.maxPduLength ?? DEFAULT_MAX_PDU_LENGTH;
  const operations = target.operations ?? DEFAULT_OPERATIONS;
  const request = propose(contexts, target, { maxPduLength, operations });
  const socket = await connect(target, options.signal);
  return new Promise<Association>((resolve, reject) => {
    const onAbort = () => association.abort('cancelled by the caller');
    const timer = setTimeout(() => {
      late = true;
      association.abort('no answer to A-ASSOCIATE-RQ');
    }, timeouts.associateMs);
    let late = false;
    const association = new Association(socket, {
      role: 'requestor',
      peerName: peerName(target),
      services: options.services ?? [],
      artimMs: timeouts.releaseMs,
      maxPduLength,
      bufferBytes: BUFFER_BYTES,
      silenceMs: timeouts.responseMs,
      onConfirmation: (accept) => {
        clearTimeout(timer);
        const { contexts: accepted, refusals } = confirmed(request, accept);
        const window = accept.user.asynchronousOperations?.invoked;
        try {
          association.establish({
            contexts: accepted,
            operations: grantedOperations(operations, window),
            peerMaxPduLength: accept.user.maxPduLength,
            peer: {
              associationId: '',
              callingAeTitle: target.callingAeTitle,
              calledAeTitle: target.calledAeTitle,
              remoteAddress: target.host,
            },
          });
        } catch (cause) {
          const message = `${peerName(target)} offers ${(cause as Error).message}`;
          reject(new DimseError('protocol', message, { transient: false, cause }));
          association.abort('the maximum PDU length of the peer is unusable');
          return;
        }
        refusalsOf.set(association, { request, refusals });
        resolve(association);
      },
      onEnded: (end) => {
        clearTimeout(timer);
        options.signal?.removeEventListener('abort', onAbort);
        const timeout = `${peerName(target)}: no answer to A-ASSOCIATE-RQ within ${timeouts.associateMs / 1000} s`;
        reject(
          late ? new DimseError('timeout', timeout, { transient: true }) : endError(end, peerName(target)),
        );
      },
    });
    options.signal?.addEventListener('abort', onAbort, { once: true });
    association.dul.associateRequest(request);
    if (options.signal?.aborted) onAbort();
  });
}

/** 0 in either place means no limit; without the item in the answer the window is 1 (PS3.7 D.3.3.3). */
function grantedOperations(asked: number, granted: number | undefined): number {
  if (granted === undefined) return 1;
  return granted === 0 ? asked : Math.min(asked, granted);
}

/** The accepted context of an abstract syntax, with this transfer syntax when one is given. */
export function contextFor(
  association: Pick<Association, 'contexts'>,
  abstractSyntax: string,
  transferSyntax?: string,
): AcceptedContext | undefined {
  for (const context of association.contexts.values()) {
    if (context.abstractSyntax !== abstractSyntax) continue;
    if (transferSyntax === undefined || context.transferSyntax === transferSyntax) return context;
  }
  return undefined;
}

/** Why the peer did not accept the context proposed for this pair. */
export function refusalOf(association: Association, abstractSyntax: string, transferSyntax: string): string {
  const known = refusalsOf.get(association);
  const context = known?.request.contexts.find(
    (proposed) =>
      proposed.abstractSyntax === abstractSyntax && proposed.transferSyntaxes.includes(transferSyntax),
  );
  return (context && known?.refusals.get(context.id)) ?? 'it was not proposed';
}
