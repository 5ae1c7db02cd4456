import { DicomError } from './error.js';

/**
 * Decodes one RLE frame of a single sample per pixel: PS3.5 annex G.
 * @param bytesPerSample 1 or 2; segments hold the bytes of all samples, most significant first
 * @returns samples in little endian, `pixels * bytesPerSample` bytes
 * @throws DicomError undecodable
 */
export function decodeRle(frame: Buffer, pixels: number, bytesPerSample: number): Buffer {
  if (frame.length < 64) throw new DicomError('undecodable', 'the RLE header is incomplete');
  const segments = frame.readUInt32LE(0);
  if (segments !== bytesPerSample) {
    throw new DicomError(
      'undecodable',
      `expected ${bytesPerSample} RLE segments, the header says ${segments}`,
    );
  }
  const samples = Buffer.alloc(pixels * bytesPerSample);
  for (let segment = 0; segment < segments; segment += 1) {
    const start = frame.readUInt32LE(4 + 4 * segment);
    const end = segment + 1 < segments ? frame.readUInt32LE(8 + 4 * segment) : frame.length;
    if (start < 64 || end < start || end > frame.length) {
      throw new DicomError('undecodable', `RLE segment ${segment + 1} lies outside of the frame`);
    }
    decodeSegment(frame, start, end, samples, bytesPerSample - 1 - segment, bytesPerSample, segment + 1);
  }
  return samples;
}

function decodeSegment(
  source: Buffer,
  start: number,
  end: number,
  target: Buffer,
  first: number,
  step: number,
  ordinal: number,
): void {
  let from = start;
  let to = first;
  const stop = target.length;
  while (to < stop) {
    if (from >= end) throw new DicomError('undecodable', `RLE segment ${ordinal} ends before its last pixel`);
    const control = source[from]!;
    from += 1;
    if (control === 128) continue;
    if (control < 128) {
      const run = Math.min(control + 1, Math.ceil((stop - to) / step));
      if (from + run > end) throw new DicomError('undecodable', `RLE segment ${ordinal} is cut off`);
      for (let i = 0; i < run; i += 1, to += step) target[to] = source[from + i]!;
      from += control + 1;
    } else {
      if (from >= end) throw new DicomError('undecodable', `RLE segment ${ordinal} is cut off`);
      const value = source[from]!;
      from += 1;
      for (let i = 257 - control; i > 0 && to < stop; i -= 1, to += step) target[to] = value;
    }
  }
}
