/** What the header of a compressed frame says, read before a decoder sees it: a decoder allocates what the header announces. */
import type { Compression } from './transfer-syntax.js';

export interface CodestreamFacts {
  width: number;
  height: number;
  components: number;
  /** bits of one sample */
  precision: number;
  /** JPEG 2000 knows the sign; JPEG and JPEG-LS do not */
  signed?: boolean;
  lossy: boolean;
  /** ends with the end marker that its standard demands */
  complete: boolean;
}

/** Facts of a JPEG, JPEG-LS, JPEG 2000 or HTJ2K frame; undefined when the bytes are none. */
export function codestreamFacts(frame: Buffer, compression: Compression): CodestreamFacts | undefined {
  switch (compression) {
    case 'jpeg':
    case 'jpeg-ls':
      return jpegFacts(frame);
    case 'jpeg-2000':
    case 'htj2k':
      return jpeg2000Facts(frame);
    case 'rle':
      return undefined;
  }
}

/** ISO/IEC 10918-1 annex B and ISO/IEC 14495-1 annex C. */
function jpegFacts(frame: Buffer): CodestreamFacts | undefined {
  if (frame.length < 4 || frame.readUInt16BE(0) !== 0xffd8) return undefined;
  let position = 2;
  let facts: CodestreamFacts | undefined;
  while (position + 4 <= frame.length) {
    if (frame[position] !== 0xff) return undefined;
    const marker = frame[position + 1]!;
    if (marker === 0xff) {
      position += 1;
      continue;
    }
    const length = frame.readUInt16BE(position + 2);
    const isFrameHeader =
      (marker >= 0xc0 && marker <= 0xcf && marker !== 0xc4 && marker !== 0xc8 && marker !== 0xcc) ||
      marker === 0xf7;
    if (isFrameHeader && position + 10 <= frame.length) {
      facts = {
        precision: frame[position + 4]!,
        height: frame.readUInt16BE(position + 5),
        width: frame.readUInt16BE(position + 7),
        components: frame[position + 9]!,
        lossy: marker !== 0xf7 && marker !== 0xc3 && marker !== 0xc7 && marker !== 0xcb && marker !== 0xcf,
        complete: endsWithMarker(frame, 0xd9),
      };
    }
    if (marker === 0xda) {
      const near = facts === undefined ? 0 : frame[position + 5 + 2 * frame[position + 4]!];
      // Start of scan of JPEG-LS carries NEAR; in JPEG this byte is the predictor or the first coefficient.
      if (facts !== undefined && isJpegLs(frame) && near !== undefined && near > 0) facts.lossy = true;
      return facts;
    }
    position += 2 + length;
  }
  return undefined;
}

function isJpegLs(frame: Buffer): boolean {
  const at = frame.indexOf(Buffer.from([0xff, 0xf7]));
  return at >= 0 && at < 4096;
}

/** ISO/IEC 15444-1 annex A; a JP2 box around the codestream is tolerated. */
function jpeg2000Facts(frame: Buffer): CodestreamFacts | undefined {
  const start = frame.indexOf(Buffer.from([0xff, 0x4f, 0xff, 0x51]));
  if (start < 0 || start > 4096 || frame.length < start + 45) return undefined;
  const component = frame[start + 42]!;
  const facts: CodestreamFacts = {
    width: frame.readUInt32BE(start + 8) - frame.readUInt32BE(start + 16),
    height: frame.readUInt32BE(start + 12) - frame.readUInt32BE(start + 20),
    components: frame.readUInt16BE(start + 40),
    precision: (component & 0x7f) + 1,
    signed: (component & 0x80) !== 0,
    lossy: false,
    complete: endsWithMarker(frame, 0xd9),
  };
  for (let position = start + 2; position + 14 <= frame.length && frame[position] === 0xff; ) {
    const marker = frame[position + 1]!;
    if (marker === 0x52) {
      facts.lossy = frame[position + 13] === 0; // 9-7 irreversible wavelet
      return facts;
    }
    if (marker === 0x90) return facts;
    position += 2 + frame.readUInt16BE(position + 2);
  }
  return facts;
}

/** The end marker at the end: fragments are padded to even length, with zero by the standard and with 0xFF by some writers. */
function endsWithMarker(frame: Buffer, marker: number): boolean {
  let end = frame.length;
  while (end > 2 && (frame[end - 1] === 0 || frame[end - 1] === 0xff)) end -= 1;
  return end >= 2 && frame[end - 2] === 0xff && frame[end - 1] === marker;
}
