/** Bytes to values for the PDUs of PS3.8 section 9.3. Every length is checked against what is there; unknown items are skipped, as PS3.8 section 9.3.1 asks. */
import {
  type Abort,
  AbortReason,
  type AssociateAccept,
  type AssociateReject,
  type AssociateRequest,
  type ContextResult,
  ItemType,
  PduError,
  type ProposedContext,
  type UserInformation,
} from './pdu.js';

/** What a peer that sends no Maximum Length sub-item is taken to receive. */
const DEFAULT_MAX_PDU_LENGTH = 16384;

function invalid(message: string): PduError {
  return new PduError(AbortReason.invalidPduParameterValue, message);
}

/** UIDs may be padded with trailing NULs by old peers; nothing after one is meaningful. */
function uid(bytes: Buffer): string {
  const end = bytes.indexOf(0);
  return bytes.toString('latin1', 0, end < 0 ? bytes.length : end).trim();
}

function aeTitle(bytes: Buffer): string {
  return uid(bytes);
}

interface Item {
  type: number;
  content: Buffer;
}

function* items(bytes: Buffer, where: string): Generator<Item> {
  let offset = 0;
  while (offset < bytes.length) {
    if (offset + 4 > bytes.length) throw invalid(`${where}: an item header is cut off`);
    const length = bytes.readUInt16BE(offset + 2);
    const end = offset + 4 + length;
    if (end > bytes.length) throw invalid(`${where}: an item of ${length} bytes exceeds what holds it`);
    yield { type: bytes[offset]!, content: bytes.subarray(offset + 4, end) };
    offset = end;
  }
}

function counted(bytes: Buffer, offset: number, where: string): { value: Buffer; next: number } {
  if (offset + 2 > bytes.length) throw invalid(`${where}: a length is cut off`);
  const next = offset + 2 + bytes.readUInt16BE(offset);
  if (next > bytes.length) throw invalid(`${where}: a field exceeds its item`);
  return { value: bytes.subarray(offset + 2, next), next };
}

function atLeast(bytes: Buffer, length: number, where: string): Buffer {
  if (bytes.length < length) throw invalid(`${where}: ${bytes.length} bytes where ${length} are needed`);
  return bytes;
}

function decodeUserInformation(bytes: Buffer): UserInformation {
  const user: UserInformation = {
    maxPduLength: DEFAULT_MAX_PDU_LENGTH,
    implementationClassUid: '',
    roles: [],
    extended: [],
  };
  for (const { type, content } of items(bytes, 'user information')) {
    switch (type) {
      case ItemType.maximumLength:
        user.maxPduLength = atLeast(content, 4, 'maximum length').readUInt32BE(0);
        break;
      case ItemType.implementationClassUid:
        user.implementationClassUid = uid(content);
        break;
      case ItemType.implementationVersionName:
        user.implementationVersionName = content.toString('latin1').trim();
        break;
      case ItemType.asynchronousOperations:
        atLeast(content, 4, 'asynchronous operations window');
        user.asynchronousOperations = {
          invoked: content.readUInt16BE(0),
          performed: content.readUInt16BE(2),
        };
        break;
      case ItemType.roleSelection: {
        const { value, next } = counted(content, 0, 'role selection');
        atLeast(content, next + 2, 'role selection');
        user.roles.push({ sopClassUid: uid(value), scu: content[next] === 1, scp: content[next + 1] === 1 });
        break;
      }
      case ItemType.sopClassExtended: {
        const { value, next } = counted(content, 0, 'SOP class extended negotiation');
        user.extended.push({ sopClassUid: uid(value), information: content.subarray(next) });
        break;
      }
      case ItemType.userIdentityRequest: {
        atLeast(content, 2, 'user identity');
        const identityType = content[0]!;
        const primary = counted(content, 2, 'user identity').value;
        user.userIdentity = { type: identityType, responseRequested: content[1] === 1 };
        if (identityType === 1 || identityType === 2) user.userIdentity.name = primary.toString('utf8');
        break;
      }
      case ItemType.userIdentityResponse:
        user.userIdentityResponse = counted(content, 0, 'user identity').value;
        break;
      default:
        break;
    }
  }
  return user;
}

function contextId(bytes: Buffer, seen: Set<number>): number {
  const id = atLeast(bytes, 4, 'presentation context')[0]!;
  if (id % 2 === 0) throw invalid(`presentation context id ${id} is not odd`);
  if (seen.has(id)) throw invalid(`presentation context id ${id} occurs twice`);
  seen.add(id);
  return id;
}

function decodeProposedContext(bytes: Buffer, seen: Set<number>): ProposedContext {
  const context: ProposedContext = { id: contextId(bytes, seen), abstractSyntax: '', transferSyntaxes: [] };
  for (const { type, content } of items(bytes.subarray(4), `presentation context ${context.id}`)) {
    if (type === ItemType.abstractSyntax) context.abstractSyntax = uid(content);
    else if (type === ItemType.transferSyntax) context.transferSyntaxes.push(uid(content));
  }
  return context;
}

function decodeContextResult(bytes: Buffer, seen: Set<number>): ContextResult {
  const context: ContextResult = { id: contextId(bytes, seen), result: bytes[2]!, transferSyntax: '' };
  for (const { type, content } of items(bytes.subarray(4), `presentation context ${context.id}`)) {
    if (type === ItemType.transferSyntax) context.transferSyntax = uid(content);
  }
  return context;
}

const FIXED_LENGTH = 68;

function decodeFixedPart(body: Buffer, name: string) {
  atLeast(body, FIXED_LENGTH, name);
  return {
    protocolVersion: body.readUInt16BE(0),
    calledAeTitle: aeTitle(body.subarray(4, 20)),
    callingAeTitle: aeTitle(body.subarray(20, 36)),
    applicationContext: '',
    user: decodeUserInformation(Buffer.alloc(0)),
  };
}

/**
 * Variable field of an A-ASSOCIATE-RQ (PS3.8 table 9-11).
 * Context ids may come in any order. Throws PduError when a length, an id or a field is wrong.
 */
export function decodeAssociateRequest(body: Buffer): AssociateRequest {
  const request: AssociateRequest = { ...decodeFixedPart(body, 'A-ASSOCIATE-RQ'), contexts: [] };
  const seen = new Set<number>();
  for (const { type, content } of items(body.subarray(FIXED_LENGTH), 'A-ASSOCIATE-RQ')) {
    if (type === ItemType.applicationContext) request.applicationContext = uid(content);
    else if (type === ItemType.proposedContext) request.contexts.push(decodeProposedContext(content, seen));
    else if (type === ItemType.userInformation) request.user = decodeUserInformation(content);
  }
  return request;
}

/** Variable field of an A-ASSOCIATE-AC (PS3.8 table 9-17). Throws PduError. */
export function decodeAssociateAccept(body: Buffer): AssociateAccept {
  const accept: AssociateAccept = { ...decodeFixedPart(body, 'A-ASSOCIATE-AC'), results: [] };
  const seen = new Set<number>();
  for (const { type, content } of items(body.subarray(FIXED_LENGTH), 'A-ASSOCIATE-AC')) {
    if (type === ItemType.applicationContext) accept.applicationContext = uid(content);
    else if (type === ItemType.contextResult) accept.results.push(decodeContextResult(content, seen));
    else if (type === ItemType.userInformation) accept.user = decodeUserInformation(content);
  }
  return accept;
}

/** Variable field of an A-ASSOCIATE-RJ (PS3.8 table 9-21). Throws PduError. */
export function decodeAssociateReject(body: Buffer): AssociateReject {
  atLeast(body, 4, 'A-ASSOCIATE-RJ');
  return { result: body[1]!, source: body[2]!, reason: body[3]! };
}

/** Variable field of an A-ABORT (PS3.8 table 9-26). Throws PduError. */
export function decodeAbort(body: Buffer): Abort {
  atLeast(body, 4, 'A-ABORT');
  return { source: body[2]!, reason: body[3]! };
}
