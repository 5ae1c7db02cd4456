/**
 * One object in the journal: a head, what is said about it, and its bytes, each beginning on a page of its own, so that
 * writing over an older record never has to read it.
 *
 *     0  8  "MCNETJ1\n"
 *     8 16  epoch: the journal's, since it was last empty
 *    24  8  use of the segment, from 1 on
 *    32  4  number in the segment, from 0 on
 *    36  4  bytes of `about`, JSON in UTF-8, which follows the head
 *    40  4  bytes of the object, which follow on the next page
 *    44  4  CRC-32 of bytes 8 to 43, of `about` and of the object
 *    48  4  1: the object was not kept after all
 *
 * Numbers are unsigned, little endian.
 */
import { type FileHandle, open } from 'node:fs/promises';
import { crc32 } from 'node:zlib';
import type { Source } from './instance.js';

const magic = Buffer.from('MCNETJ1\n', 'latin1');
const headBytes = 64;
const page = 4096;
const zeros = Buffer.alloc(page);
const crcAt = 44;
/** Where a record says that its object was not kept. */
export const voidedAt = 48;
export const voided = Buffer.from([1, 0, 0, 0]);

/** What is needed to put the object into the archive once more. */
export interface JournalledObject {
  /** Its file, below the data folder. */
  path: string;
  source: Source;
  receivedAt: number;
}

export interface RecordPosition {
  /** 16 bytes. */
  epoch: Buffer;
  use: number;
  number: number;
}

/** A record found in a segment. */
export interface JournalRecord extends JournalledObject {
  use: number;
  number: number;
  segment: string;
  offset: number;
  bytes: number;
}

const padded = (bytes: number): number => Math.ceil(bytes / page) * page;

/** Everything before the object's bytes, still without its position and the checksum. */
export function headOf(object: JournalledObject, bytes: number): Buffer {
  const about = Buffer.from(JSON.stringify(object));
  const head = Buffer.alloc(padded(headBytes + about.length));
  magic.copy(head);
  head.writeUInt32LE(about.length, 36);
  head.writeUInt32LE(bytes, 40);
  about.copy(head, headBytes);
  return head;
}

export function setPosition(head: Buffer, { epoch, use, number }: RecordPosition): void {
  epoch.copy(head, 8);
  head.writeBigUInt64LE(BigInt(use), 24);
  head.writeUInt32LE(number, 32);
}

/** Bytes that a record takes in its segment. */
export function recordLength(head: Buffer, bytes: number): number {
  return head.length + padded(bytes);
}

function checksum(head: Buffer, bytes: Buffer): number {
  const about = head.subarray(headBytes, headBytes + head.readUInt32LE(36));
  return crc32(bytes, crc32(about, crc32(head.subarray(8, crcAt))));
}

/** The record as it is written, in pieces. */
export function sealed(head: Buffer, bytes: Buffer): Buffer[] {
  head.writeUInt32LE(checksum(head, bytes), crcAt);
  const rest = padded(bytes.length) - bytes.length;
  return rest === 0 ? [head, bytes] : [head, bytes, zeros.subarray(0, rest)];
}

interface Read {
  record: JournalRecord;
  voided: boolean;
  next: number;
}

async function readRecord(
  handle: FileHandle,
  segment: string,
  offset: number,
  epoch: Buffer,
): Promise<Read | undefined> {
  const first = Buffer.alloc(page);
  const { bytesRead } = await handle.read(first, 0, page, offset);
  if (bytesRead < page || !first.subarray(0, 8).equals(magic) || !first.subarray(8, 24).equals(epoch)) return;
  const headLength = padded(headBytes + first.readUInt32LE(36));
  const bytes = first.readUInt32LE(40);
  const { size } = await handle.stat();
  if (offset + headLength + bytes > size) return;
  const whole = Buffer.alloc(headLength + bytes);
  await handle.read(whole, 0, whole.length, offset);
  const head = whole.subarray(0, headLength);
  if (checksum(head, whole.subarray(headLength)) !== head.readUInt32LE(crcAt)) return;
  const about = head.subarray(headBytes, headBytes + head.readUInt32LE(36)).toString();
  return {
    record: {
      ...(JSON.parse(about) as JournalledObject),
      use: Number(head.readBigUInt64LE(24)),
      number: head.readUInt32LE(32),
      segment,
      offset: offset + headLength,
      bytes,
    },
    voided: head.readUInt32LE(voidedAt) === 1,
    next: offset + headLength + padded(bytes),
  };
}

/**
 * The records of a segment in their order, up to the first that is not whole: its sender was never answered, nor that of
 * any after it. Those that were voided are left out.
 * @param epoch records of another are of no use any more
 * @param settled nor are those of this use of a segment and of earlier ones
 */
export async function readSegment(segment: string, epoch: Buffer, settled: number): Promise<JournalRecord[]> {
  const handle = await open(segment, 'r');
  const found: JournalRecord[] = [];
  let use: number | undefined;
  let number = 0;
  try {
    for (let offset = 0; ; ) {
      const read = await readRecord(handle, segment, offset, epoch);
      if (read === undefined || read.record.use <= settled || read.record.number !== number) break;
      use ??= read.record.use;
      if (read.record.use !== use) break;
      if (!read.voided) found.push(read.record);
      number += 1;
      offset = read.next;
    }
  } finally {
    await handle.close();
  }
  return found;
}
