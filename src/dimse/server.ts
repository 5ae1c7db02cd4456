/** The listening side: accepts transport connections, admits associations, and serves them until it is closed. */
import { randomUUID } from 'node:crypto';
import { createServer, type Server, type Socket } from 'node:net';
import {
  createSecureContext,
  createServer as createTlsServer,
  type TLSSocket,
  type Server as TlsServer,
} from 'node:tls';
import { checkNames, congestion, localLimit, type Refusal, unusablePduLength } from './admission.js';
import { Association } from './association.js';
import type { AssociationEnd } from './dul.js';
import { negotiate } from './negotiation.js';
import { type AssociateRequest, describeAbort, type UserIdentity } from './pdu.js';
import { normaliseAddress, type Peer, PeerTable } from './peers.js';
import type { DimseRequest, DimseService } from './service.js';
import { type StorageProviderOptions, storageProvider } from './storage-scp.js';
import {
  type DimseTls,
  secureContextOptions,
  serverTlsOptions,
  type TlsInformation,
  tlsInformation,
  unacceptableClient,
} from './tls.js';
import { verificationProvider } from './verification.js';

export interface DimseLimits {
  /** Longest P-DATA-TF variable field that we offer to receive, in bytes. Longer ones abort the association. */
  maxPduLength: number;
  /** Associations at once, in all. */
  associations: number;
  /** Associations at once from one calling AE title and address. */
  associationsPerPeer: number;
  /** Operations in progress at once on one association, when the peer asks for more than one (PS3.7 D.3.3.3). */
  operations: number;
  /** ARTIM timer: from the transport connection to A-ASSOCIATE-RQ, and from our last word to the close. */
  artimMs: number;
  /** Silence of a peer after which its association is aborted. Any byte counts; our own slowness does not. */
  idleMs: number;
  /** Bytes of data sets of one association in memory before its socket is stopped. */
  bufferBytes: number;
}

export const DEFAULT_LIMITS: DimseLimits = {
  maxPduLength: 131072,
  associations: 64,
  associationsPerPeer: 16,
  operations: 8,
  artimMs: 30_000,
  idleMs: 600_000,
  bufferBytes: 1024 * 1024,
};

/** What is known of an association, for logs and metrics. No patient data. */
export interface AssociationInfo {
  associationId: string;
  callingAeTitle: string;
  calledAeTitle: string;
  remoteAddress: string;
  implementationClassUid?: string;
  implementationVersionName?: string;
  /** As claimed by the peer: logged, never trusted. */
  userIdentity?: UserIdentity;
  /** Of a secure connection. */
  tls?: TlsInformation;
  contexts?: { proposed: number; accepted: number };
  /** Requests answered. */
  operations: number;
  /** Why it was rejected or aborted. */
  reason?: string;
}

export type AssociationEvent = 'accepted' | 'released' | 'aborted' | 'rejected';

export interface DimseServerOptions extends StorageProviderOptions {
  aeTitle: string;
  /** Address to bind. */
  host: string;
  /** 0 takes a free port. Secure when there is `tls` and no `securePort`. */
  port: number;
  /** A port for secure connections beside the plain one. */
  securePort?: number;
  /** Who may associate; a function is asked for each association. */
  peers: readonly Peer[] | (() => readonly Peer[]);
  /** Accept any called AE title. Default false. */
  anyCalledAeTitle?: boolean;
  limits?: Partial<DimseLimits>;
  tls?: DimseTls;
  /** Further service classes. */
  services?: readonly DimseService[];
  onAssociation?(event: AssociationEvent, info: AssociationInfo): void;
  /** A service threw: the peer got status 0x0110, this is the cause. */
  onServiceError?(error: unknown, info: AssociationInfo): void;
  /** Asked for each association that is otherwise welcome. */
  acceptMore?(): true | { reject: 'transient'; reason: string };
}

export interface DimseServer {
  port: number;
  /** Of secure connections, where they have one of their own. */
  securePort?: number;
  /** Associations established now. */
  associations(): number;
  /** Bytes received and held in memory now, over all associations. */
  bufferedBytes(): number;
  /**
   * Shows these key and certificates on the connections to come; who is asked for a certificate stays as it is.
   * @throws Error of OpenSSL when it does not take them: those before stay
   */
  renewCertificates(tls: DimseTls): void;
  /**
   * Stops listening; associations go on until they are quiet or `graceMs` is over, the rest is aborted.
   * Resolves when no handler runs any more. Default 5000.
   */
  close(graceMs?: number): Promise<void>;
}

/** Sockets that may be open beyond the limit of associations, to be told why they are rejected. */
const SPARE_CONNECTIONS = 32;
/** Silence after which an association counts as quiet while the server closes. */
const QUIET_MS = 1000;
const CLOSE_POLL_MS = 50;
/** Time for a peer to read our A-ABORT before its connection is destroyed by close(). */
const LAST_WORD_MS = 200;

interface Connection {
  association: Association;
  socket: Socket;
  info: AssociationInfo;
  established: boolean;
  lastActivity: number;
}

/** Starts to listen. Rejects with the system's error (EADDRINUSE...) when an address cannot be bound. */
export async function startDimseServer(options: DimseServerOptions): Promise<DimseServer> {
  const limits = { ...DEFAULT_LIMITS, ...options.limits };
  const services = [verificationProvider, storageProvider(options), ...(options.services ?? [])];
  const acceptor = new Acceptor(options, limits, services);
  const { tls, host, port, securePort } = options;
  const listeners: Listener[] = [];
  const secure = tls && secureServer(acceptor, tls, limits);
  try {
    if (secure === undefined || securePort !== undefined)
      listeners.push(await listen(plainServer(acceptor), host, port, limits));
    if (secure !== undefined) listeners.push(await listen(secure, host, securePort ?? port, limits));
  } catch (error) {
    for (const listener of listeners) await listener.close();
    throw error;
  }
  const [first, second] = listeners;
  return {
    port: first!.port,
    ...(second !== undefined && { securePort: second.port }),
    associations: () => acceptor.established,
    bufferedBytes: () => acceptor.bufferedBytes,
    renewCertificates(renewed) {
      const context = secureContextOptions(renewed);
      createSecureContext(context);
      secure?.setSecureContext(context);
    },
    close: async (graceMs = 5000) => {
      const closed = listeners.map((listener) => listener.close());
      await acceptor.drain(graceMs);
      for (const listener of listeners) listener.destroySockets();
      await Promise.all(closed);
    },
  };
}

function plainServer(acceptor: Acceptor): Server {
  return createServer({ noDelay: true }, (socket) => acceptor.connection(socket));
}

function secureServer(acceptor: Acceptor, tls: DimseTls, limits: DimseLimits): TlsServer {
  const shaking = new Map<string, Socket>();
  const endsOf = (socket: Socket) => `${socket.remoteAddress} ${socket.remotePort}`;
  const refuse = (reason: string, socket: Socket) => {
    acceptor.tlsFailure(reason, normaliseAddress(socket.remoteAddress));
    socket.destroy();
  };
  const server = createTlsServer(
    { ...serverTlsOptions(tls, limits.artimMs), noDelay: true },
    (socket: TLSSocket) => {
      shaking.delete(endsOf(socket));
      const problem = unacceptableClient(socket);
      if (problem === undefined) acceptor.connection(socket, tlsInformation(socket));
      else refuse(`the client's certificate is not accepted: ${problem}`, socket);
    },
  );
  server.on('connection', (socket: Socket) => {
    // Handshakes that do not go on cannot keep others out: the oldest of them goes.
    if (shaking.size >= SPARE_CONNECTIONS) [...shaking.values()][0]!.destroy();
    const ends = endsOf(socket);
    shaking.set(ends, socket);
    socket.on('close', () => {
      if (shaking.get(ends) === socket) shaking.delete(ends);
    });
  });
  server.on('tlsClientError', (error: Error, socket: Socket) => {
    refuse(`TLS handshake failed: ${error.message}`, socket);
  });
  return server;
}

interface Listener {
  port: number;
  /** Resolves when the last connection is over. */
  close(): Promise<void>;
  destroySockets(): void;
}

async function listen(server: Server, host: string, port: number, limits: DimseLimits): Promise<Listener> {
  server.maxConnections = limits.associations + 2 * SPARE_CONNECTIONS;
  const sockets = new Set<Socket>();
  server.on('connection', (socket: Socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, () => {
      server.off('error', reject);
      resolve();
    });
  });
  const address = server.address();
  return {
    port: typeof address === 'object' && address !== null ? address.port : port,
    close: () => new Promise<void>((resolve) => server.close(() => resolve())),
    destroySockets() {
      for (const socket of sockets) socket.destroy();
    },
  };
}

class Acceptor {
  private readonly connections = new Set<Connection>();
  private readonly peers: PeerTable;
  private readonly handlers = new Set<Promise<void>>();
  private closing = false;

  constructor(
    private readonly options: DimseServerOptions,
    private readonly limits: DimseLimits,
    private readonly services: readonly DimseService[],
  ) {
    this.peers = new PeerTable(options.peers);
  }

  get established(): number {
    let count = 0;
    for (const connection of this.connections) if (connection.established) count += 1;
    return count;
  }

  get bufferedBytes(): number {
    let bytes = 0;
    for (const { association } of this.connections) bytes += association.bufferedBytes;
    return bytes;
  }

  connection(socket: Socket, tls?: TlsInformation): void {
    if (this.closing) {
      socket.destroy();
      return;
    }
    this.makeRoom();
    const remoteAddress = normaliseAddress(socket.remoteAddress);
    const info: AssociationInfo = {
      associationId: randomUUID(),
      callingAeTitle: '',
      calledAeTitle: '',
      remoteAddress,
      operations: 0,
      ...(tls !== undefined && { tls }),
    };
    const association = new Association(socket, {
      role: 'acceptor',
      peerName: `the peer at ${remoteAddress}`,
      services: this.services,
      artimMs: this.limits.artimMs,
      maxPduLength: this.limits.maxPduLength,
      bufferBytes: this.limits.bufferBytes,
      silenceMs: this.limits.idleMs,
      onIndication: (request) => {
        void this.indication(connection, request);
      },
      onEnded: (end) => this.ended(connection, end),
      onServiceError: (error: unknown, _request: DimseRequest) => this.options.onServiceError?.(error, info),
    });
    const connection: Connection = {
      association,
      socket,
      info,
      established: false,
      lastActivity: performance.now(),
    };
    socket.on('data', () => {
      connection.lastActivity = performance.now();
    });
    this.connections.add(connection);
    socket.on('close', () => this.connections.delete(connection));
    association.dul.transportIndication();
  }

  /** Connections that say nothing cannot keep others out: the oldest of them goes. */
  private makeRoom(): void {
    const waiting = [...this.connections].filter((connection) => !connection.established);
    if (waiting.length >= SPARE_CONNECTIONS) waiting[0]!.socket.destroy();
  }

  tlsFailure(reason: string, remoteAddress: string): void {
    this.options.onAssociation?.('rejected', {
      associationId: randomUUID(),
      callingAeTitle: '',
      calledAeTitle: '',
      remoteAddress,
      operations: 0,
      reason,
    });
  }

  private async indication(connection: Connection, request: AssociateRequest): Promise<void> {
    const { association, info } = connection;
    info.callingAeTitle = request.callingAeTitle;
    info.calledAeTitle = request.calledAeTitle;
    info.implementationClassUid = request.user.implementationClassUid;
    if (request.user.implementationVersionName !== undefined) {
      info.implementationVersionName = request.user.implementationVersionName;
    }
    if (request.user.userIdentity !== undefined) info.userIdentity = request.user.userIdentity;
    const refusal =
      (await checkNames(request, info.remoteAddress, {
        aeTitle: this.options.aeTitle,
        anyCalledAeTitle: this.options.anyCalledAeTitle === true,
        peers: this.peers,
      })) ?? this.checkLoad(info);
    if (association.isEnded) return;
    const refused = refusal ?? this.establish(connection, request);
    if (refused === undefined) return;
    info.reason = refused.reason;
    association.dul.associateReject(refused.reject);
  }

  private checkLoad(info: AssociationInfo): Refusal | undefined {
    if (this.closing) return congestion('the server is stopping');
    if (this.established >= this.limits.associations) {
      return localLimit(`${this.limits.associations} associations are open, which is the limit`);
    }
    let ofPeer = 0;
    for (const other of this.connections) {
      const same =
        other.info.callingAeTitle === info.callingAeTitle && other.info.remoteAddress === info.remoteAddress;
      if (other.established && same) ofPeer += 1;
    }
    if (ofPeer >= this.limits.associationsPerPeer) {
      return localLimit(
        `${info.callingAeTitle} has ${ofPeer} associations open, which is the limit for a peer`,
      );
    }
    const more = this.options.acceptMore?.() ?? true;
    return more === true ? undefined : congestion(more.reason);
  }

  private establish(connection: Connection, request: AssociateRequest): Refusal | undefined {
    const { association, info } = connection;
    const { accept, contexts, operations } = negotiate(request, this.services, this.limits);
    try {
      association.establish({
        contexts,
        operations,
        peerMaxPduLength: request.user.maxPduLength,
        peer: info,
      });
    } catch (error) {
      return unusablePduLength(`the peer offers ${(error as Error).message}`);
    }
    connection.established = true;
    info.contexts = { proposed: request.contexts.length, accepted: contexts.size };
    this.options.onAssociation?.('accepted', info);
    association.dul.associateAccept(accept);
    return undefined;
  }

  private ended(connection: Connection, end: AssociationEnd): void {
    const { association, info } = connection;
    const wasEstablished = connection.established;
    connection.established = false;
    info.operations = association.operationsDone;
    if (association.activeOperations > 0) {
      const done = association.whenIdle();
      this.handlers.add(done);
      void done.finally(() => this.handlers.delete(done));
    }
    if (end.kind === 'rejected') {
      this.options.onAssociation?.('rejected', info);
      return;
    }
    if (end.kind === 'released') {
      this.options.onAssociation?.('released', info);
      return;
    }
    info.reason = end.kind === 'aborted-by-peer' ? `the peer sent ${describeAbort(end.abort)}` : end.text;
    // A transport connection that never asked for anything (a port probe) is not worth an event.
    if (wasEstablished || end.kind === 'protocol') this.options.onAssociation?.('aborted', info);
  }

  /** Lets associations finish, then aborts the rest and waits for every handler. */
  async drain(graceMs: number): Promise<void> {
    this.closing = true;
    const deadline = performance.now() + graceMs;
    for (;;) {
      const now = performance.now();
      for (const connection of this.connections) {
        const quiet =
          connection.association.isQuiet && now - connection.lastActivity >= Math.min(QUIET_MS, graceMs);
        if (!connection.established) connection.socket.destroy();
        else if (quiet) connection.association.abort('the server is stopping');
      }
      if (this.established === 0 || now >= deadline) break;
      await new Promise((resolve) => setTimeout(resolve, CLOSE_POLL_MS));
    }
    for (const { association, established } of this.connections) {
      if (established) association.abort('the server is stopping');
    }
    const lastWordUntil = performance.now() + LAST_WORD_MS;
    while (this.connections.size > 0 && performance.now() < lastWordUntil) {
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    await Promise.all(this.handlers);
  }
}
