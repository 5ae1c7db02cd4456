/** Cuts command sets and data sets into P-DATA-TF PDUs for the peer's maximum length (PS3.8 section 9.3.1 and annex D.1). */
import type { Dul } from './dul.js';
import { PDV_HEADER_LENGTH } from './pdu.js';
import { DATA_TRANSFER_HEADER_LENGTH, writeDataTransferHeader } from './pdu-encode.js';

/** Bytes handed to the socket at once: one system call, and one step of progress for a slow peer. */
const BATCH_BYTES = 256 * 1024;
/** Fragments up to this length are copied behind their header into shared blocks; longer ones are sent in place. */
const COPIED_FRAGMENT = 2048;
const BLOCK_BYTES = 64 * 1024;
/** Longest PDU that we send, whatever the peer would take. */
const MAX_SENT_PDU = 128 * 1024;

/**
 * The smallest maximum PDU length that can carry data: a fragment of two bytes (fragments are even, PS3.8 annex E.2)
 * behind its PDV header.
 */
export const SMALLEST_PDU_LENGTH = PDV_HEADER_LENGTH + 2;

/** Length of the fragments for a peer's maximum PDU length (0: no limit). Throws RangeError when nothing would fit. */
export function fragmentLength(peerMaxPduLength: number): number {
  if (peerMaxPduLength !== 0 && peerMaxPduLength < SMALLEST_PDU_LENGTH) {
    throw new RangeError(`a maximum PDU length of ${peerMaxPduLength} cannot carry any data`);
  }
  const pdu = peerMaxPduLength === 0 ? MAX_SENT_PDU : Math.min(peerMaxPduLength, MAX_SENT_PDU);
  return (pdu - PDV_HEADER_LENGTH) & ~1;
}

/**
 * What happens to a data set of odd length. Fragments are even (PS3.8 annex E.2): a deflated stream gets one trailing
 * NULL (PS3.5 section A.5), for anything else an odd length means that it is broken.
 */
export type Padding = 'null' | 'none';

const NULL_BYTE = Buffer.alloc(1);

/** A data set that is not deflated and has an odd length. */
export class OddLengthError extends Error {
  constructor(length: number) {
    super(
      `the data set has an odd length (${length} bytes), so it is not a DICOM data set (PS3.5 section 7.1.1)`,
    );
    this.name = 'OddLengthError';
  }
}

/** Writes one message at a time; every await is for the peer to take what was written. */
export class FragmentWriter {
  private batch: Buffer[] = [];
  private batchBytes = 0;
  private block = Buffer.alloc(0);
  private blockStart = 0;
  private blockUsed = 0;

  constructor(
    private readonly dul: Dul,
    private readonly maxFragment: number,
  ) {}

  /** A command set. */
  async writeCommand(contextId: number, command: Buffer): Promise<void> {
    await this.writeBytes(contextId, true, command);
  }

  /** A data set whose bytes are all here. Throws OddLengthError before anything is written. */
  async writeDataSet(contextId: number, dataSet: Buffer, padding: Padding): Promise<void> {
    const odd = dataSet.length % 2 === 1;
    if (odd && padding === 'none') throw new OddLengthError(dataSet.length);
    await this.writeBytes(contextId, false, odd ? Buffer.concat([dataSet, NULL_BYTE]) : dataSet);
  }

  private async writeBytes(contextId: number, isCommand: boolean, bytes: Buffer): Promise<void> {
    let offset = 0;
    do {
      const end = Math.min(bytes.length, offset + this.maxFragment);
      const isLast = end === bytes.length;
      this.add(contextId, isCommand, isLast, [bytes.subarray(offset, end)], end - offset);
      offset = end;
      if (this.batchBytes >= BATCH_BYTES) await this.flush();
    } while (offset < bytes.length);
  }

  /**
   * A data set that is read while it is sent. `waiting` tells when the wait is for its source, not for the peer.
   * Throws what the source throws, and OddLengthError at its end.
   */
  async writeStream(
    contextId: number,
    source: AsyncIterable<Buffer>,
    padding: Padding,
    waiting: (forSource: boolean) => void,
  ): Promise<void> {
    const queue: Buffer[] = [];
    let queued = 0;
    let length = 0;
    waiting(true);
    for await (const part of source) {
      waiting(false);
      queue.push(part);
      queued += part.length;
      length += part.length;
      while (queued > this.maxFragment) {
        this.add(contextId, false, false, cut(queue, this.maxFragment), this.maxFragment);
        queued -= this.maxFragment;
        if (this.batchBytes >= BATCH_BYTES) await this.flush();
      }
      if (!this.dul.canSend) return;
      waiting(true);
    }
    waiting(false);
    if (queued % 2 === 1) {
      if (padding === 'none') throw new OddLengthError(length);
      queue.push(NULL_BYTE);
      queued += 1;
    }
    this.add(contextId, false, true, queue, queued);
  }

  /** Hands everything to the socket and waits until the socket wants more. */
  async flush(): Promise<void> {
    this.closeBlock();
    if (this.batch.length === 0) return;
    const batch = this.batch;
    this.batch = [];
    this.batchBytes = 0;
    if (!this.dul.sendData(batch)) await this.dul.drained();
  }

  private add(contextId: number, isCommand: boolean, isLast: boolean, parts: Buffer[], length: number): void {
    const total = DATA_TRANSFER_HEADER_LENGTH + length;
    const copied = length <= COPIED_FRAGMENT;
    const space = copied ? total : DATA_TRANSFER_HEADER_LENGTH;
    if (this.block.length - this.blockUsed < space) this.newBlock();
    writeDataTransferHeader(this.block, this.blockUsed, { contextId, isCommand, isLast, length });
    if (copied) {
      let at = this.blockUsed + DATA_TRANSFER_HEADER_LENGTH;
      for (const part of parts) at += part.copy(this.block, at);
      this.blockUsed += total;
    } else {
      this.blockUsed += DATA_TRANSFER_HEADER_LENGTH;
      this.closeBlock();
      for (const part of parts) this.batch.push(part);
    }
    this.batchBytes += total;
  }

  private newBlock(): void {
    this.closeBlock();
    this.block = Buffer.allocUnsafe(BLOCK_BYTES);
    this.blockStart = 0;
    this.blockUsed = 0;
  }

  private closeBlock(): void {
    if (this.blockUsed === this.blockStart) return;
    this.batch.push(this.block.subarray(this.blockStart, this.blockUsed));
    this.blockStart = this.blockUsed;
  }
}

/** Takes exactly `length` bytes from the front of the queue. */
function cut(queue: Buffer[], length: number): Buffer[] {
  const parts: Buffer[] = [];
  let needed = length;
  while (needed > 0) {
    const first = queue[0]!;
    if (first.length <= needed) {
      parts.push(first);
      queue.shift();
      needed -= first.length;
    } else {
      parts.push(first.subarray(0, needed));
      queue[0] = first.subarray(needed);
      needed = 0;
    }
  }
  return parts;
}
