/** Decoders of single compressed frames: own JPEG-LS, and dcmjs-codecs' WebAssembly, one instance a thread. */
import { createRequire } from 'node:module';
import { type CodestreamFacts, codestreamFacts } from './codestream.js';
import { DicomError } from './error.js';
import { decodeJpegLs } from './jpeg-ls.js';
import type { Compression } from './transfer-syntax.js';

type Codecs = typeof import('dcmjs-codecs');

let codecs: Codecs | undefined;
let ready: Promise<void> | undefined;
let loaded = false;

/** Loads the decoders; cheap when they are loaded. */
export async function prepareCodecs(): Promise<void> {
  if (codecs === undefined) {
    codecs = createRequire(import.meta.url)('dcmjs-codecs') as Codecs;
    codecs.log.setLevel('silent');
  }
  ready ??= codecs.NativeCodecs.initializeAsync().then(() => {
    loaded = true;
  });
  await ready;
}

/**
 * Decodes one monochrome frame.
 * @returns samples of 1 byte where the codestream's precision is at most 8 bits, else of 2 bytes, little endian
 * @throws DicomError undecodable; the caller must have awaited `prepareCodecs` once
 */
export function decodeFrame(
  frame: Buffer,
  compression: Exclude<Compression, 'rle'>,
  rows: number,
  columns: number,
): { samples: Uint8Array; facts: CodestreamFacts } {
  const facts = codestreamFacts(frame, compression);
  if (facts === undefined) throw new DicomError('undecodable', `the frame is no ${compression} codestream`);
  if (facts.width !== columns || facts.height !== rows || facts.components !== 1) {
    throw new DicomError(
      'undecodable',
      `the ${compression} codestream is ${facts.width}×${facts.height} with ${facts.components} component(s), the attributes say ${columns}×${rows} with 1`,
    );
  }
  if (facts.precision < 2 || facts.precision > 16) {
    throw new DicomError('unsupported', `${facts.precision} bit samples in a ${compression} codestream`);
  }
  // The decoders fill up what is missing without a word; a cut codestream must not pass as an image.
  if (!facts.complete) throw new DicomError('undecodable', `the ${compression} codestream has no end marker`);
  if (compression === 'jpeg-ls') {
    const decoded = decodeJpegLs(frame, rows, columns, facts.precision);
    const samples = facts.precision <= 8 ? Uint8Array.from(decoded) : new Uint8Array(decoded.buffer);
    return { samples, facts };
  }
  if (codecs === undefined || !loaded) throw new Error('prepareCodecs() was not awaited');
  const bits = facts.precision <= 8 ? 8 : 16;
  const { Context, NativeCodecs } = codecs;
  const context = new Context({
    width: columns,
    height: rows,
    bitsAllocated: bits,
    bitsStored: facts.precision,
    samplesPerPixel: 1,
    pixelRepresentation: facts.signed === true ? 1 : 0,
    planarConfiguration: 0,
    photometricInterpretation: 'MONOCHROME2',
    encodedBuffer: frame,
  });
  const decode = {
    jpeg: () => NativeCodecs.decodeJpeg(context),
    'jpeg-2000': () => NativeCodecs.decodeJpeg2000(context),
    htj2k: () => NativeCodecs.decodeHtJpeg2000(context),
  }[compression];
  let samples: Uint8Array | undefined;
  try {
    samples = decode().getDecodedBuffer();
  } catch (error) {
    // The module's stack and heap are not unwound when a decoder gives up: the next image that is opened gets a fresh
    // one. Images that are open go on with this one until then.
    ready = undefined;
    const message = error instanceof Error ? error.message : String(error);
    throw new DicomError('undecodable', `the ${compression} codestream does not decode: ${message}`, {
      cause: error,
    });
  }
  const expected = rows * columns * (bits / 8);
  if (samples === undefined || samples.length !== expected) {
    throw new DicomError(
      'undecodable',
      `the ${compression} decoder returned ${samples?.length ?? 0} bytes instead of ${expected}`,
    );
  }
  return { samples, facts };
}

/**
 * Encodes a picture of 8 bit samples as JPEG baseline in a JFIF file (ISO/IEC 10918-1, -5).
 * @param channels 1: grey; 3: red, green, blue
 * @param quality from 1 to 100
 * @throws DicomError unsupported; the caller must have awaited `prepareCodecs` once
 */
export function encodeJpeg(
  {
    rows,
    columns,
    channels,
    samples,
  }: { rows: number; columns: number; channels: 1 | 3; samples: Uint8Array },
  quality: number,
): Uint8Array {
  if (codecs === undefined || !loaded) throw new Error('prepareCodecs() was not awaited');
  const context = new codecs.Context({
    width: columns,
    height: rows,
    bitsAllocated: 8,
    bitsStored: 8,
    samplesPerPixel: channels,
    pixelRepresentation: 0,
    planarConfiguration: 0,
    photometricInterpretation: channels === 1 ? 'MONOCHROME2' : 'RGB',
    decodedBuffer: samples,
  });
  try {
    return Uint8Array.from(
      codecs.NativeCodecs.encodeJpeg(context, { lossy: true, quality }).getEncodedBuffer()!,
    );
  } catch (error) {
    ready = undefined;
    const message = error instanceof Error ? error.message : String(error);
    throw new DicomError('unsupported', `the picture cannot be encoded as JPEG: ${message}`, {
      cause: error,
    });
  }
}
