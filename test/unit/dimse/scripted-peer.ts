/** A DICOM peer over a bare socket that sends exactly the bytes a test wants, for behaviours that no library has. */
import { connect, createServer, type Socket } from 'node:net';
import { type CommandSet, encodeCommandSet } from '../../../src/dimse/command-set.js';
import {
  type AssociateAccept,
  type AssociateRequest,
  DICOM_APPLICATION_CONTEXT,
  type ProposedContext,
} from '../../../src/dimse/pdu.js';
import { decodeAssociateRequest } from '../../../src/dimse/pdu-decode.js';
import {
  encodeAssociateAccept,
  encodeAssociateRequest,
  encodeReleaseRequest,
  encodeReleaseResponse,
} from '../../../src/dimse/pdu-encode.js';

export const MR = '1.2.840.10008.5.1.4.1.1.4';
export const CT = '1.2.840.10008.5.1.4.1.1.2';
export const VERIFICATION = '1.2.840.10008.1.1';
export const IMPLICIT = '1.2.840.10008.1.2';
export const EXPLICIT = '1.2.840.10008.1.2.1';
export const JPEG2000 = '1.2.840.10008.1.2.4.91';

export interface Pdu {
  type: number;
  body: Buffer;
}

/** Fails instead of waiting for ever. */
export function within<T>(promise: Promise<T>, ms: number, what: string): Promise<T> {
  let timer: NodeJS.Timeout;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what}: nothing within ${ms} ms`)), ms);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

export const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

export class ScriptedPeer {
  private buffer = Buffer.alloc(0);
  private readonly pdus: Pdu[] = [];
  private isClosed = false;
  private wake: () => void = () => {};

  constructor(readonly socket: Socket) {
    socket.setNoDelay(true);
    socket.on('data', (chunk: Buffer) => {
      this.buffer = Buffer.concat([this.buffer, chunk]);
      while (this.buffer.length >= 6 && this.buffer.length >= 6 + this.buffer.readUInt32BE(2)) {
        const end = 6 + this.buffer.readUInt32BE(2);
        this.pdus.push({ type: this.buffer[0]!, body: this.buffer.subarray(6, end) });
        this.buffer = this.buffer.subarray(end);
        // As PS3.8 says: whoever gets A-ABORT closes the connection.
        if (this.pdus.at(-1)!.type === 7) socket.end();
      }
      this.wake();
    });
    socket.on('error', () => {});
    socket.on('close', () => {
      this.isClosed = true;
      this.wake();
    });
    socket.on('end', () => {
      this.isClosed = true;
      this.wake();
    });
  }

  static async connect(port: number): Promise<ScriptedPeer> {
    const socket = connect({ port, host: '127.0.0.1', noDelay: true });
    await new Promise((resolve, reject) => {
      socket.once('connect', resolve);
      socket.once('error', reject);
    });
    return new ScriptedPeer(socket);
  }

  send(...bytes: Buffer[]): void {
    this.socket.write(Buffer.concat(bytes));
  }

  /** The next PDU, or undefined when the other side closed. */
  async next(ms = 30_000): Promise<Pdu | undefined> {
    const arrived = async () => {
      while (this.pdus.length === 0 && !this.isClosed) {
        await new Promise<void>((resolve) => {
          this.wake = resolve;
        });
      }
      return this.pdus.shift();
    };
    return within(arrived(), ms, 'next PDU');
  }

  /** Next command set, answered on whatever context; data set fragments are skipped. */
  async nextCommand(ms = 3000): Promise<CommandBytes | undefined> {
    for (;;) {
      const pdu = await this.next(ms);
      if (pdu === undefined || pdu.type !== 4) return undefined;
      if ((pdu.body[5]! & 1) === 1) return { contextId: pdu.body[4]!, bytes: pdu.body.subarray(6) };
    }
  }

  async associate(overrides: Partial<RequestOverrides> = {}): Promise<Pdu | undefined> {
    this.send(associateRequest(overrides));
    return this.next();
  }

  async release(): Promise<Pdu | undefined> {
    this.send(encodeReleaseRequest());
    return this.next();
  }

  destroy(): void {
    this.socket.destroy();
  }
}

export interface CommandBytes {
  contextId: number;
  bytes: Buffer;
}

export interface RequestOverrides extends Omit<AssociateRequest, 'user'> {
  user: Partial<AssociateRequest['user']>;
}

export const MR_CONTEXT: ProposedContext = { id: 1, abstractSyntax: MR, transferSyntaxes: [EXPLICIT] };

/** An A-ASSOCIATE-RQ for MR Image Storage, as the overrides change it. */
export function associateRequest(overrides: Partial<RequestOverrides> = {}): Buffer {
  return encodeAssociateRequest({
    protocolVersion: 1,
    calledAeTitle: 'MCNET',
    callingAeTitle: 'SCRIPT',
    applicationContext: DICOM_APPLICATION_CONTEXT,
    contexts: [MR_CONTEXT],
    ...overrides,
    user: {
      maxPduLength: 16384,
      implementationClassUid: '1.2.3',
      roles: [],
      extended: [],
      ...overrides.user,
    },
  });
}

/** One P-DATA-TF PDU with one presentation data value. */
export function pdata(contextId: number, control: number, bytes: Buffer): Buffer {
  const header = Buffer.alloc(12);
  header[0] = 4;
  header.writeUInt32BE(bytes.length + 6, 2);
  header.writeUInt32BE(bytes.length + 2, 6);
  header[10] = contextId;
  header[11] = control;
  return Buffer.concat([header, bytes]);
}

export const COMMAND = 1;
export const LAST = 2;

export function storeCommand(messageId: number, overrides: Partial<CommandSet> = {}): Buffer {
  return encodeCommandSet({
    commandField: 0x0001,
    hasDataSet: true,
    messageId,
    priority: 0,
    affectedSopClassUid: MR,
    affectedSopInstanceUid: `1.2.3.4.${messageId}`,
    ...overrides,
  });
}

/** C-STORE-RQ with its data set, in fragments of at most `fragment` bytes. */
export function storeMessage(messageId: number, data: Buffer, fragment = 16000, contextId = 1): Buffer {
  const parts = [pdata(contextId, COMMAND | LAST, storeCommand(messageId))];
  for (let at = 0; at === 0 || at < data.length; at += fragment) {
    const bytes = data.subarray(at, at + fragment);
    parts.push(pdata(contextId, at + fragment >= data.length ? LAST : 0, bytes));
  }
  return Buffer.concat(parts);
}

export function echoCommand(messageId: number): Buffer {
  return encodeCommandSet({
    commandField: 0x0030,
    hasDataSet: false,
    messageId,
    affectedSopClassUid: VERIFICATION,
  });
}

export interface ScriptedAcceptor {
  port: number;
  /** Connections so far. */
  count(): number;
  close(): void;
}

/** Listens on a free loopback port and runs `script` for each connection. */
export async function scriptedAcceptor(
  script: (peer: ScriptedPeer, index: number) => Promise<void> | void,
): Promise<ScriptedAcceptor> {
  let count = 0;
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    const index = count;
    count += 1;
    Promise.resolve(script(new ScriptedPeer(socket), index)).catch(() => socket.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  if (typeof address !== 'object' || address === null) throw new Error('no address');
  return {
    port: address.port,
    count: () => count,
    close: () => {
      server.close();
      for (const socket of sockets) socket.destroy();
    },
  };
}

/** Reads the A-ASSOCIATE-RQ and accepts each context with its first transfer syntax, as `change` alters the answer. */
export async function acceptAll(
  peer: ScriptedPeer,
  change: (accept: AssociateAccept) => void = () => {},
): Promise<AssociateRequest> {
  const pdu = await peer.next();
  if (pdu?.type !== 1) throw new Error('no A-ASSOCIATE-RQ');
  const request = decodeAssociateRequest(pdu.body);
  const accept: AssociateAccept = {
    protocolVersion: 1,
    calledAeTitle: request.calledAeTitle,
    callingAeTitle: request.callingAeTitle,
    applicationContext: DICOM_APPLICATION_CONTEXT,
    results: request.contexts.map((context) => ({
      id: context.id,
      result: 0,
      transferSyntax: context.transferSyntaxes[0]!,
    })),
    user: { maxPduLength: 16384, implementationClassUid: '1.2.3', roles: [], extended: [] },
  };
  change(accept);
  peer.send(encodeAssociateAccept(accept));
  return request;
}

/** C-STORE-RSP. */
export function storeResponse(
  contextId: number,
  messageId: number,
  status: number,
  comment?: string,
): Buffer {
  return pdata(
    contextId,
    COMMAND | LAST,
    encodeCommandSet({
      commandField: 0x8001,
      hasDataSet: false,
      messageIdBeingRespondedTo: messageId,
      status,
      affectedSopClassUid: MR,
      ...(comment !== undefined && { errorComment: comment }),
    }),
  );
}

export { encodeReleaseResponse };
