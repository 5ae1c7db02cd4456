/** Values to bytes for the PDUs of PS3.8 section 9.3. */
import {
  type Abort,
  type AssociateAccept,
  type AssociateReject,
  type AssociateRequest,
  ItemType,
  PDU_HEADER_LENGTH,
  PDV_HEADER_LENGTH,
  PduType,
  type UserInformation,
} from './pdu.js';

function item(type: number, ...content: Buffer[]): Buffer {
  const length = content.reduce((sum, part) => sum + part.length, 0);
  if (length > 0xffff) throw new RangeError(`item ${type.toString(16)} of ${length} bytes exceeds 65535`);
  const header = Buffer.alloc(4);
  header[0] = type;
  header.writeUInt16BE(length, 2);
  return Buffer.concat([header, ...content]);
}

function pdu(type: number, ...content: Buffer[]): Buffer {
  const length = content.reduce((sum, part) => sum + part.length, 0);
  const header = Buffer.alloc(PDU_HEADER_LENGTH);
  header[0] = type;
  header.writeUInt32BE(length, 2);
  return Buffer.concat([header, ...content]);
}

const ascii = (text: string): Buffer => Buffer.from(text, 'latin1');

function uint16(value: number): Buffer {
  const bytes = Buffer.alloc(2);
  bytes.writeUInt16BE(value);
  return bytes;
}

function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

function counted(content: Buffer): Buffer {
  return Buffer.concat([uint16(content.length), content]);
}

function aeTitle(title: string): Buffer {
  const bytes = Buffer.alloc(16, 0x20);
  bytes.write(title.slice(0, 16), 'latin1');
  return bytes;
}

function userInformation(user: UserInformation): Buffer {
  const items = [
    item(ItemType.maximumLength, uint32(user.maxPduLength)),
    item(ItemType.implementationClassUid, ascii(user.implementationClassUid)),
  ];
  if (user.asynchronousOperations !== undefined) {
    const { invoked, performed } = user.asynchronousOperations;
    items.push(item(ItemType.asynchronousOperations, uint16(invoked), uint16(performed)));
  }
  for (const role of user.roles) {
    const roles = Buffer.from([role.scu ? 1 : 0, role.scp ? 1 : 0]);
    items.push(item(ItemType.roleSelection, counted(ascii(role.sopClassUid)), roles));
  }
  if (user.implementationVersionName !== undefined) {
    items.push(item(ItemType.implementationVersionName, ascii(user.implementationVersionName.slice(0, 16))));
  }
  for (const extended of user.extended) {
    items.push(item(ItemType.sopClassExtended, counted(ascii(extended.sopClassUid)), extended.information));
  }
  if (user.userIdentity !== undefined) {
    const { type, responseRequested, name } = user.userIdentity;
    items.push(
      item(
        ItemType.userIdentityRequest,
        Buffer.from([type, responseRequested ? 1 : 0]),
        counted(Buffer.from(name ?? '', 'utf8')),
        uint16(0),
      ),
    );
  }
  if (user.userIdentityResponse !== undefined) {
    items.push(item(ItemType.userIdentityResponse, counted(user.userIdentityResponse)));
  }
  return item(ItemType.userInformation, ...items);
}

function associateHeader(pduContent: AssociateRequest | AssociateAccept): Buffer {
  return Buffer.concat([
    uint16(pduContent.protocolVersion),
    Buffer.alloc(2),
    aeTitle(pduContent.calledAeTitle),
    aeTitle(pduContent.callingAeTitle),
    Buffer.alloc(32),
  ]);
}

/** A-ASSOCIATE-RQ (PS3.8 table 9-11). */
export function encodeAssociateRequest(request: AssociateRequest): Buffer {
  const contexts = request.contexts.map((context) =>
    item(
      ItemType.proposedContext,
      Buffer.from([context.id, 0, 0, 0]),
      item(ItemType.abstractSyntax, ascii(context.abstractSyntax)),
      ...context.transferSyntaxes.map((uid) => item(ItemType.transferSyntax, ascii(uid))),
    ),
  );
  return pdu(
    PduType.associateRequest,
    associateHeader(request),
    item(ItemType.applicationContext, ascii(request.applicationContext)),
    ...contexts,
    userInformation(request.user),
  );
}

/** A-ASSOCIATE-AC (PS3.8 table 9-17). */
export function encodeAssociateAccept(accept: AssociateAccept): Buffer {
  const results = accept.results.map((context) =>
    item(
      ItemType.contextResult,
      Buffer.from([context.id, 0, context.result, 0]),
      item(ItemType.transferSyntax, ascii(context.transferSyntax)),
    ),
  );
  return pdu(
    PduType.associateAccept,
    associateHeader(accept),
    item(ItemType.applicationContext, ascii(accept.applicationContext)),
    ...results,
    userInformation(accept.user),
  );
}

/** A-ASSOCIATE-RJ (PS3.8 table 9-21). */
export function encodeAssociateReject(reject: AssociateReject): Buffer {
  return pdu(PduType.associateReject, Buffer.from([0, reject.result, reject.source, reject.reason]));
}

/** A-RELEASE-RQ (PS3.8 table 9-24). */
export function encodeReleaseRequest(): Buffer {
  return pdu(PduType.releaseRequest, Buffer.alloc(4));
}

/** A-RELEASE-RP (PS3.8 table 9-25). */
export function encodeReleaseResponse(): Buffer {
  return pdu(PduType.releaseResponse, Buffer.alloc(4));
}

/** A-ABORT (PS3.8 table 9-26). */
export function encodeAbort(abort: Abort): Buffer {
  return pdu(PduType.abort, Buffer.from([0, 0, abort.source, abort.reason]));
}

/** Length of what encodePdvHeader writes. */
export const DATA_TRANSFER_HEADER_LENGTH = PDU_HEADER_LENGTH + PDV_HEADER_LENGTH;

/**
 * Header of a P-DATA-TF PDU with one presentation data value (PS3.8 section 9.3.5 and annex E.2), written at `offset`.
 * The fragment's `length` bytes follow it.
 */
export function writeDataTransferHeader(
  target: Buffer,
  offset: number,
  fragment: { contextId: number; isCommand: boolean; isLast: boolean; length: number },
): void {
  target[offset] = PduType.dataTransfer;
  target[offset + 1] = 0;
  target.writeUInt32BE(fragment.length + PDV_HEADER_LENGTH, offset + 2);
  target.writeUInt32BE(fragment.length + 2, offset + 6);
  target[offset + 10] = fragment.contextId;
  target[offset + 11] = (fragment.isCommand ? 1 : 0) | (fragment.isLast ? 2 : 0);
}
