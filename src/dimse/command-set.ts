/** DIMSE command sets: group 0000, always implicit VR little endian (PS3.7 section 6.3.1 and annex E). */

/** Command Field (0000,0100) (PS3.7 table E.1-1). A response is its request with bit 15 set. */
export const CommandField = {
  cStoreRequest: 0x0001,
  cGetRequest: 0x0010,
  cFindRequest: 0x0020,
  cMoveRequest: 0x0021,
  cEchoRequest: 0x0030,
  nEventReportRequest: 0x0100,
  nGetRequest: 0x0110,
  nSetRequest: 0x0120,
  nActionRequest: 0x0130,
  nCreateRequest: 0x0140,
  nDeleteRequest: 0x0150,
  cCancelRequest: 0x0fff,
} as const;

/** Bit that makes a command field a response. */
export const RESPONSE_BIT = 0x8000;

/** Command Data Set Type (0000,0800): this value says that no data set follows; any other that one does. */
const NO_DATA_SET = 0x0101;

/** A decoded command set. Elements that a command does not have are absent. */
export interface CommandSet {
  commandField: number;
  hasDataSet: boolean;
  affectedSopClassUid?: string;
  requestedSopClassUid?: string;
  messageId?: number;
  messageIdBeingRespondedTo?: number;
  moveDestination?: string;
  priority?: number;
  status?: number;
  offendingElements?: number[];
  errorComment?: string;
  errorId?: number;
  affectedSopInstanceUid?: string;
  requestedSopInstanceUid?: string;
  eventTypeId?: number;
  actionTypeId?: number;
  remainingSuboperations?: number;
  completedSuboperations?: number;
  failedSuboperations?: number;
  warningSuboperations?: number;
  moveOriginatorAeTitle?: string;
  moveOriginatorMessageId?: number;
}

type Field = Exclude<keyof CommandSet, 'hasDataSet'>;
type Vr = 'UI' | 'US' | 'AE' | 'LO' | 'AT';

/** Element numbers of group 0000, ascending (PS3.7 annex E). */
const FIELDS: readonly (readonly [element: number, vr: Vr, field: Field])[] = [
  [0x0002, 'UI', 'affectedSopClassUid'],
  [0x0003, 'UI', 'requestedSopClassUid'],
  [0x0100, 'US', 'commandField'],
  [0x0110, 'US', 'messageId'],
  [0x0120, 'US', 'messageIdBeingRespondedTo'],
  [0x0600, 'AE', 'moveDestination'],
  [0x0700, 'US', 'priority'],
  [0x0900, 'US', 'status'],
  [0x0901, 'AT', 'offendingElements'],
  [0x0902, 'LO', 'errorComment'],
  [0x0903, 'US', 'errorId'],
  [0x1000, 'UI', 'affectedSopInstanceUid'],
  [0x1001, 'UI', 'requestedSopInstanceUid'],
  [0x1002, 'US', 'eventTypeId'],
  [0x1008, 'US', 'actionTypeId'],
  [0x1020, 'US', 'remainingSuboperations'],
  [0x1021, 'US', 'completedSuboperations'],
  [0x1022, 'US', 'failedSuboperations'],
  [0x1023, 'US', 'warningSuboperations'],
  [0x1030, 'AE', 'moveOriginatorAeTitle'],
  [0x1031, 'US', 'moveOriginatorMessageId'],
];
const FIELD_OF = new Map(FIELDS.map(([element, vr, field]) => [element, { vr, field }]));
const GROUP_LENGTH = 0x0000;
const DATA_SET_TYPE = 0x0800;

/** A command set that cannot be read; the association cannot go on. */
export class CommandSetError extends Error {}

/** Text of an LO that a peer may show: ASCII, one value, 64 characters at most. */
export function errorCommentOf(text: string): string {
  return text
    .replace(/[^\x20-\x7e]/g, '?')
    .replaceAll('\\', '/')
    .slice(0, 64);
}

const HEADER_LENGTH = 8;

/** What an element's value is written from: text is in place of numbers for all but US and AT. */
function textFor(vr: Vr, value: string): string {
  const text = vr === 'LO' ? errorCommentOf(value) : value;
  if (text.length % 2 === 0) return text;
  return text + (vr === 'UI' ? '\0' : ' ');
}

function lengthOf(value: string | number | number[]): number {
  if (typeof value === 'string') return value.length;
  return typeof value === 'number' ? 2 : 4 * value.length;
}

function writeHeader(target: Buffer, at: number, number: number, length: number): number {
  target.writeUInt16LE(0, at);
  target.writeUInt16LE(number, at + 2);
  target.writeUInt32LE(length, at + 4);
  return at + HEADER_LENGTH;
}

function writeElement(target: Buffer, at: number, number: number, value: string | number | number[]): number {
  const start = writeHeader(target, at, number, lengthOf(value));
  if (typeof value === 'string') return start + target.write(value, start, 'latin1');
  if (typeof value === 'number') return target.writeUInt16LE(value, start);
  let end = start;
  for (const tag of value) {
    target.writeUInt16LE(tag >>> 16, end);
    end = target.writeUInt16LE(tag & 0xffff, end + 2);
  }
  return end;
}

/** Bytes of a command set, with its group length. */
export function encodeCommandSet(command: CommandSet): Buffer {
  const elements: [number: number, value: string | number | number[]][] = [];
  let length = 0;
  const add = (number: number, value: string | number | number[]) => {
    elements.push([number, value]);
    length += HEADER_LENGTH + lengthOf(value);
  };
  let typed = false;
  for (const [number, vr, field] of FIELDS) {
    if (!typed && number > DATA_SET_TYPE) {
      add(DATA_SET_TYPE, command.hasDataSet ? 0x0001 : NO_DATA_SET);
      typed = true;
    }
    const value = command[field];
    if (value !== undefined) add(number, typeof value === 'string' ? textFor(vr, value) : value);
  }
  const bytes = Buffer.allocUnsafe(HEADER_LENGTH + 4 + length);
  let at = writeHeader(bytes, 0, GROUP_LENGTH, 4);
  at = bytes.writeUInt32LE(length, at);
  for (const [number, value] of elements) at = writeElement(bytes, at, number, value);
  return bytes;
}

function textOf(bytes: Buffer): string {
  const end = bytes.indexOf(0);
  return bytes.toString('latin1', 0, end < 0 ? bytes.length : end).trim();
}

function tagsOf(bytes: Buffer): number[] {
  const tags: number[] = [];
  for (let at = 0; at + 4 <= bytes.length; at += 4) {
    tags.push(((bytes.readUInt16LE(at) << 16) | bytes.readUInt16LE(at + 2)) >>> 0);
  }
  return tags;
}

function decodeValue(vr: Vr, bytes: Buffer, number: number): string | number | number[] {
  if (vr === 'AT') return tagsOf(bytes);
  if (vr !== 'US') return textOf(bytes);
  if (bytes.length < 2) throw new CommandSetError(`command element (0000,${hex(number)}) has no value`);
  return bytes.readUInt16LE(0);
}

function hex(number: number): string {
  return number.toString(16).padStart(4, '0');
}

/**
 * Reads a command set. Retired elements of group 0000 are skipped.
 * Throws CommandSetError when it is cut off, leaves group 0000, or has no Command Field.
 */
export function decodeCommandSet(bytes: Buffer): CommandSet {
  const values: Partial<Record<Field, string | number | number[]>> = {};
  let dataSetType = NO_DATA_SET;
  let offset = 0;
  while (offset < bytes.length) {
    if (offset + 8 > bytes.length) throw new CommandSetError('the command set is cut off');
    const group = bytes.readUInt16LE(offset);
    const number = bytes.readUInt16LE(offset + 2);
    const end = offset + 8 + bytes.readUInt32LE(offset + 4);
    if (group !== 0) throw new CommandSetError(`the command set has an element of group ${hex(group)}`);
    if (end > bytes.length) throw new CommandSetError(`command element (0000,${hex(number)}) is cut off`);
    const value = bytes.subarray(offset + 8, end);
    const known = FIELD_OF.get(number);
    if (number === DATA_SET_TYPE && value.length >= 2) dataSetType = value.readUInt16LE(0);
    else if (known !== undefined && value.length > 0)
      values[known.field] = decodeValue(known.vr, value, number);
    offset = end;
  }
  if (typeof values.commandField !== 'number')
    throw new CommandSetError('the command set has no Command Field');
  return { ...(values as Omit<CommandSet, 'hasDataSet'>), hasDataSet: dataSetType !== NO_DATA_SET };
}
