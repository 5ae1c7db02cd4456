/**
 * JPEG-LS of one component, lossless and near-lossless: ISO/IEC 14495-1 (ITU-T T.87), whose variable names are kept.
 * An own decoder, because CharLS refuses streams of the older encoders that archives still hold.
 */
import { DicomError } from './error.js';

interface Parameters {
  MAXVAL: number;
  NEAR: number;
  T1: number;
  T2: number;
  T3: number;
  RESET: number;
  /** start of the entropy coded data */
  start: number;
}

/** Run lengths' exponents, code segment A.4. */
const J = [
  0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8, 9, 10, 11, 12, 13, 14, 15,
];
const REGULAR_CONTEXTS = 365;

/** Entropy coded bits; after a byte 0xFF a stuffed zero bit follows (A.1). */
class BitReader {
  readonly #bytes: Buffer;
  #position: number;
  #bits = 0;
  #available = 0;
  #stuffed = false;

  constructor(bytes: Buffer, start: number) {
    this.#bytes = bytes;
    this.#position = start;
  }

  #fill(): void {
    while (this.#available <= 16) {
      const byte = this.#bytes[this.#position];
      if (byte === undefined || (this.#stuffed && byte >= 0x80)) return; // end of data or a marker
      const size = this.#stuffed ? 7 : 8;
      this.#bits = (this.#bits << size) | byte;
      this.#available += size;
      this.#stuffed = byte === 0xff;
      this.#position += 1;
    }
  }

  /** `count` bits, at most 16. */
  read(count: number): number {
    if (count === 0) return 0;
    if (this.#available < count) {
      this.#fill();
      if (this.#available < count) {
        throw new DicomError('undecodable', 'the JPEG-LS data ends before its last pixel');
      }
    }
    this.#available -= count;
    const value = (this.#bits >>> this.#available) & ((1 << count) - 1);
    this.#bits &= (1 << this.#available) - 1;
    return value;
  }

  /** Zeros before the next one, which is consumed; more than `limit` are an error. */
  readUnary(limit: number): number {
    let zeros = 0;
    while (this.#bits === 0) {
      zeros += this.#available;
      this.#available = 0;
      this.#fill();
      if (this.#available === 0 || zeros > limit) {
        throw new DicomError('undecodable', 'the JPEG-LS data is damaged');
      }
    }
    const leading = Math.clz32(this.#bits) - (32 - this.#available);
    this.#available -= leading + 1;
    this.#bits &= (1 << this.#available) - 1;
    zeros += leading;
    if (zeros > limit) throw new DicomError('undecodable', 'the JPEG-LS data is damaged');
    return zeros;
  }
}

function unsupported(what: string): DicomError {
  return new DicomError('unsupported', `${what} in a JPEG-LS codestream`);
}

/** Markers up to the start of scan: annex C. */
function readParameters(frame: Buffer, precision: number): Parameters {
  const p = { MAXVAL: 2 ** precision - 1, NEAR: 0, T1: 0, T2: 0, T3: 0, RESET: 0, start: 0 };
  let position = 2;
  while (position + 4 <= frame.length) {
    if (frame[position + 1] === 0xff) {
      position += 1;
      continue;
    }
    const marker = frame[position + 1]!;
    const length = frame.readUInt16BE(position + 2);
    const next = position + 2 + length;
    if (next > frame.length) break;
    if (marker === 0xf8) {
      if (frame[position + 4] !== 1 || length < 13) throw unsupported('a mapping table or oversize image');
      const MAXVAL = frame.readUInt16BE(position + 5) || p.MAXVAL;
      if (MAXVAL >= 2 ** precision) {
        throw new DicomError('undecodable', `JPEG-LS MAXVAL ${MAXVAL} exceeds ${precision} bits`);
      }
      p.MAXVAL = MAXVAL;
      p.T1 = frame.readUInt16BE(position + 7);
      p.T2 = frame.readUInt16BE(position + 9);
      p.T3 = frame.readUInt16BE(position + 11);
      p.RESET = frame.readUInt16BE(position + 13);
    } else if (marker === 0xdd) {
      throw unsupported('a restart interval');
    } else if (marker === 0xda) {
      if (length < 8) break;
      p.NEAR = frame[position + 7]!;
      if (frame[position + 9] !== 0) throw unsupported('a point transform');
      p.start = next;
      return withDefaults(p);
    }
    position = next;
  }
  throw new DicomError('undecodable', 'the JPEG-LS codestream has no start of scan');
}

/** Default thresholds: C.2.4.1.1.1. */
function withDefaults(p: Parameters): Parameters {
  const { MAXVAL, NEAR } = p;
  const clamp = (value: number, low: number) => (value > MAXVAL || value < low ? low : value);
  const factor = Math.floor((Math.min(MAXVAL, 4095) + 128) / 256);
  const small = Math.floor(256 / (MAXVAL + 1));
  const [b1, b2, b3] =
    MAXVAL >= 128
      ? [factor + 2 + 3 * NEAR, factor * 4 + 3 + 5 * NEAR, factor * 17 + 4 + 7 * NEAR]
      : [
          Math.max(2, Math.floor(3 / small) + 3 * NEAR),
          Math.max(3, Math.floor(7 / small) + 5 * NEAR),
          Math.max(4, Math.floor(21 / small) + 7 * NEAR),
        ];
  const T1 = p.T1 || clamp(b1, NEAR + 1);
  const T2 = p.T2 || clamp(b2, T1);
  const T3 = p.T3 || clamp(b3, T2);
  return { ...p, T1, T2, T3, RESET: p.RESET || 64 };
}

/** Region of every possible gradient, at index gradient + MAXVAL: code segment A.4. */
function quantisation(MAXVAL: number, NEAR: number, T1: number, T2: number, T3: number): Int8Array {
  const regions = new Int8Array(2 * MAXVAL + 1);
  for (let D = 0; D <= MAXVAL; D += 1) {
    const region = D <= NEAR ? 0 : D < T1 ? 1 : D < T2 ? 2 : D < T3 ? 3 : 4;
    regions[MAXVAL + D] = region;
    regions[MAXVAL - D] = -region;
  }
  return regions;
}

/**
 * Decodes one frame, of the size and precision that its frame header announces.
 * @returns rows × columns samples
 * @throws DicomError undecodable, unsupported
 */
export function decodeJpegLs(frame: Buffer, rows: number, columns: number, precision: number): Uint16Array {
  const { MAXVAL, NEAR, T1, T2, T3, RESET, start } = readParameters(frame, precision);
  const bits = new BitReader(frame, start);
  const step = 2 * NEAR + 1;
  const RANGE = Math.floor((MAXVAL + 2 * NEAR) / step) + 1;
  const qbpp = Math.ceil(Math.log2(RANGE));
  const bpp = Math.max(2, Math.ceil(Math.log2(MAXVAL + 1)));
  const LIMIT = 2 * (bpp + Math.max(8, bpp));
  const A = new Int32Array(REGULAR_CONTEXTS + 2).fill(Math.max(2, Math.floor((RANGE + 32) / 64)));
  const N = new Int32Array(REGULAR_CONTEXTS + 2).fill(1);
  const B = new Int32Array(REGULAR_CONTEXTS);
  const C = new Int32Array(REGULAR_CONTEXTS);
  const Nn = [0, 0];
  let RUNindex = 0;

  const quantised = quantisation(MAXVAL, NEAR, T1, T2, T3);
  /** Limited length Golomb code: A.5.3. */
  const golomb = (k: number, limit: number): number => {
    const prefix = bits.readUnary(limit);
    return prefix < limit - qbpp - 1 ? (prefix << k) + bits.read(k) : bits.read(qbpp) + 1;
  };
  const exponent = (q: number, sum: number): number => {
    let k = 0;
    while (N[q]! << k < sum && k < 16) k += 1;
    return k;
  };
  const reconstruct = (Px: number, error: number): number => {
    let Rx = Px + error * step;
    if (Rx < -NEAR) Rx += RANGE * step;
    else if (Rx > MAXVAL + NEAR) Rx -= RANGE * step;
    return Math.max(0, Math.min(Rx, MAXVAL));
  };

  const samples = new Uint16Array(rows * columns);
  // Lines with one sample of margin on each side; index 0 is the sample left of the first.
  let previous = new Int32Array(columns + 2);
  let line = new Int32Array(columns + 2);
  for (let row = 0; row < rows; row += 1) {
    line[0] = previous[1]!;
    previous[columns + 1] = previous[columns]!;
    let x = 1;
    while (x <= columns) {
      const Ra = line[x - 1]!;
      const Rb = previous[x]!;
      const Rc = previous[x - 1]!;
      const Rd = previous[x + 1]!;
      const D1 = Rd - Rb;
      const D2 = Rb - Rc;
      const D3 = Rc - Ra;
      let q = 81 * quantised[D1 + MAXVAL]! + 9 * quantised[D2 + MAXVAL]! + quantised[D3 + MAXVAL]!;
      if (q !== 0) {
        const sign = q < 0 ? -1 : 1;
        q *= sign;
        const edge =
          Rc >= Math.max(Ra, Rb)
            ? Math.min(Ra, Rb)
            : Rc <= Math.min(Ra, Rb)
              ? Math.max(Ra, Rb)
              : Ra + Rb - Rc;
        const Px = Math.max(0, Math.min(edge + sign * C[q]!, MAXVAL));
        const k = exponent(q, A[q]!);
        const MErrval = golomb(k, LIMIT);
        const inverted = NEAR === 0 && k === 0 && 2 * B[q]! <= -N[q]!;
        const odd = (MErrval & 1) === 1;
        // A.5.2: even codes are the positive errors, unless the context's bias says otherwise.
        const Errval = odd === inverted ? MErrval >> 1 : -(MErrval >> 1) - 1;
        updateContext(q, Errval);
        line[x] = reconstruct(Px, sign * Errval);
        x += 1;
        continue;
      }
      // Run mode: A.7.
      while (x <= columns && bits.read(1) === 1) {
        const full = 1 << J[RUNindex]!;
        const length = Math.min(full, columns - x + 1);
        line.fill(Ra, x, x + length);
        x += length;
        if (length === full && RUNindex < 31) RUNindex += 1;
      }
      if (x > columns) break;
      const rest = bits.read(J[RUNindex]!);
      if (x + rest > columns) throw new DicomError('undecodable', 'a JPEG-LS run exceeds its line');
      line.fill(Ra, x, x + rest);
      x += rest;
      line[x] = interruption(Ra, previous[x]!);
      x += 1;
      if (RUNindex > 0) RUNindex -= 1;
    }
    samples.set(line.subarray(1, columns + 1), row * columns);
    [previous, line] = [line, previous];
  }
  return samples;

  /** A.6 */
  function updateContext(q: number, Errval: number): void {
    let b = B[q]! + Errval * step;
    A[q] = A[q]! + Math.abs(Errval);
    if (N[q] === RESET) {
      A[q] = A[q]! >> 1;
      b = b >= 0 ? b >> 1 : -((1 - b) >> 1);
      N[q] = N[q]! >> 1;
    }
    const n = N[q]! + 1;
    N[q] = n;
    if (b <= -n) {
      b += n;
      if (C[q]! > -128) C[q] = C[q]! - 1;
      if (b <= -n) b = 1 - n;
    } else if (b > 0) {
      b -= n;
      if (C[q]! < 127) C[q] = C[q]! + 1;
      if (b > 0) b = 0;
    }
    B[q] = b;
  }

  /** The sample that ends a run: A.7.2. */
  function interruption(Ra: number, Rb: number): number {
    const RItype = Math.abs(Ra - Rb) <= NEAR ? 1 : 0;
    const q = REGULAR_CONTEXTS + RItype;
    const k = exponent(q, RItype === 1 ? A[q]! + (N[q]! >> 1) : A[q]!);
    const EMErrval = golomb(k, LIMIT - J[RUNindex]! - 1);
    const map = (EMErrval + RItype) & 1;
    const magnitude = (EMErrval + RItype + map) >> 1;
    const negative = (k !== 0 || 2 * Nn[RItype]! >= N[q]!) === (map === 1);
    if (negative && magnitude > 0) Nn[RItype] = Nn[RItype]! + 1;
    A[q] = A[q]! + ((EMErrval + 1 - RItype) >> 1);
    if (N[q] === RESET) {
      A[q] = A[q]! >> 1;
      N[q] = N[q]! >> 1;
      Nn[RItype] = Nn[RItype]! >> 1;
    }
    N[q] = N[q]! + 1;
    const Errval = negative ? -magnitude : magnitude;
    return RItype === 1 ? reconstruct(Ra, Errval) : reconstruct(Rb, Ra > Rb ? -Errval : Errval);
  }
}
