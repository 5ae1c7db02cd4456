/** Splits the byte stream of a transport connection into PDUs without ever joining or copying bulk data. */
import { AbortReason, PDU_HEADER_LENGTH, PDV_HEADER_LENGTH, PduError, PduType } from './pdu.js';

/** What the reader calls. Each call may throw PduError; the reader then stops and reports it through `invalid`. */
export interface PduSink {
  /** The header of a P-DATA-TF PDU arrived. */
  dataTransfer(): void;
  /** A part of a presentation data value; `end` on the last byte of its last fragment (message control header bit 1). */
  fragment(contextId: number, isCommand: boolean, bytes: Buffer, end: boolean): void;
  /** Any other PDU, whole. */
  pdu(type: number, body: Buffer): void;
  /** The stream is not what PS3.8 says. Nothing more is read. */
  invalid(error: PduError): void;
}

export interface PduLimits {
  /** Longest P-DATA-TF variable field received, as negotiated. */
  maxDataTransfer: number;
  /** Longest A-ASSOCIATE-RQ or -AC received. */
  maxAssociate: number;
}

/** Some peers take the maximum to leave out the PDU's or the PDV's own header: tolerated, since it costs nothing. */
const HEADER_TOLERANCE = PDU_HEADER_LENGTH + PDV_HEADER_LENGTH;

/** A-RELEASE-RQ, -RP, A-ASSOCIATE-RJ and A-ABORT have four bytes. */
const SHORT_PDU_LENGTH = 4;

const EMPTY = Buffer.alloc(0);

/**
 * Incremental reader. `feed` takes what the socket gave; the sink is called as soon as a part is complete.
 * The length of a PDU is judged from its header, before any of its bytes is kept. While `held`, bytes only queue:
 * the owner must stop the socket.
 */
export class PduReader {
  private chunks: Buffer[] = [];
  private head = 0;
  private offset = 0;
  private buffered = 0;
  private running = false;
  private stopped = false;
  private hold = false;

  /** Bytes of the P-DATA-TF PDU not read yet, 0 outside of one. */
  private dataLeft = 0;
  /** Bytes of the presentation data value not read yet, 0 outside of one. */
  private valueLeft = 0;
  private contextId = 0;
  private control = 0;
  /** Header of a PDU that is read whole. */
  private whole: { type: number; length: number } | undefined;

  constructor(
    private readonly sink: PduSink,
    private readonly limits: PduLimits,
  ) {}

  /** Bytes received and not yet handed to the sink. */
  get pending(): number {
    return this.buffered;
  }

  get held(): boolean {
    return this.hold;
  }

  set held(value: boolean) {
    this.hold = value;
    if (!value) this.run();
  }

  /** Drops everything queued; what follows is ignored. */
  stop(): void {
    this.stopped = true;
    this.chunks = [];
    this.head = 0;
    this.buffered = 0;
  }

  feed(chunk: Buffer): void {
    if (this.stopped || chunk.length === 0) return;
    this.chunks.push(chunk);
    this.buffered += chunk.length;
    this.run();
  }

  private run(): void {
    if (this.running) return;
    this.running = true;
    try {
      while (!this.stopped && !this.hold && this.step());
    } catch (error) {
      if (!(error instanceof PduError)) throw error;
      this.stop();
      this.sink.invalid(error);
    } finally {
      this.running = false;
    }
  }

  /** Reads one part; false when more bytes are needed. */
  private step(): boolean {
    if (this.whole !== undefined) return this.readWhole(this.whole);
    if (this.valueLeft > 0) return this.readFragment();
    if (this.dataLeft > 0) return this.readValueHeader();
    return this.readHeader();
  }

  private readHeader(): boolean {
    if (this.buffered < PDU_HEADER_LENGTH) return false;
    const header = this.take(PDU_HEADER_LENGTH);
    const type = header[0]!;
    const length = header.readUInt32BE(2);
    this.checkLength(type, length);
    if (type !== PduType.dataTransfer) {
      this.whole = { type, length };
      return true;
    }
    this.dataLeft = length;
    this.sink.dataTransfer();
    return true;
  }

  private checkLength(type: number, length: number): void {
    let limit = SHORT_PDU_LENGTH;
    if (type === PduType.dataTransfer) limit = this.limits.maxDataTransfer + HEADER_TOLERANCE;
    else if (type === PduType.associateRequest || type === PduType.associateAccept)
      limit = this.limits.maxAssociate;
    else if (type < 1 || type > PduType.abort) {
      throw new PduError(AbortReason.unrecognizedPdu, `PDU type ${type} does not exist`);
    }
    if (length > limit) {
      throw new PduError(
        AbortReason.invalidPduParameterValue,
        `a PDU of type ${type} announces ${length} bytes, ${limit} are allowed`,
      );
    }
  }

  private readWhole(whole: { type: number; length: number }): boolean {
    if (this.buffered < whole.length) return false;
    this.whole = undefined;
    this.sink.pdu(whole.type, this.take(whole.length));
    return true;
  }

  private readValueHeader(): boolean {
    if (this.dataLeft < PDV_HEADER_LENGTH) {
      throw new PduError(AbortReason.invalidPduParameterValue, 'a presentation data value header is cut off');
    }
    if (this.buffered < PDV_HEADER_LENGTH) return false;
    const header = this.take(PDV_HEADER_LENGTH);
    const length = header.readUInt32BE(0);
    if (length < 2 || length + 4 > this.dataLeft) {
      throw new PduError(
        AbortReason.invalidPduParameterValue,
        `a presentation data value of ${length} bytes does not fit its PDU`,
      );
    }
    this.contextId = header[4]!;
    this.control = header[5]!;
    this.valueLeft = length - 2;
    this.dataLeft -= PDV_HEADER_LENGTH;
    if (this.valueLeft === 0) this.emit(EMPTY);
    return true;
  }

  private readFragment(): boolean {
    if (this.buffered === 0) return false;
    const bytes = this.takeUpTo(this.valueLeft);
    this.valueLeft -= bytes.length;
    this.dataLeft -= bytes.length;
    this.emit(bytes);
    return true;
  }

  private emit(bytes: Buffer): void {
    const last = (this.control & 2) !== 0 && this.valueLeft === 0;
    this.sink.fragment(this.contextId, (this.control & 1) !== 0, bytes, last);
  }

  /** A view into the first queued chunk, `length` bytes at most. */
  private takeUpTo(length: number): Buffer {
    const chunk = this.chunks[this.head]!;
    const end = Math.min(chunk.length, this.offset + length);
    const bytes = chunk.subarray(this.offset, end);
    this.buffered -= bytes.length;
    this.offset = end;
    if (end === chunk.length) {
      this.chunks[this.head] = EMPTY;
      this.head += 1;
      this.offset = 0;
      if (this.head === this.chunks.length) {
        this.chunks = [];
        this.head = 0;
      }
    }
    return bytes;
  }

  /** Exactly `length` bytes, copied only when they span chunks. */
  private take(length: number): Buffer {
    if (length === 0) return EMPTY;
    const first = this.takeUpTo(length);
    if (first.length === length) return first;
    const bytes = Buffer.allocUnsafe(length);
    let filled = first.copy(bytes, 0);
    while (filled < length) filled += this.takeUpTo(length - filled).copy(bytes, filled);
    return bytes;
  }
}
