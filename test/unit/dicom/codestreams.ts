/** Codestreams for the tests, written by dcmjs-codecs' encoders. */
import { createRequire } from 'node:module';

const { Context, NativeCodecs } = createRequire(import.meta.url)(
  'dcmjs-codecs',
) as typeof import('dcmjs-codecs');

// A textured image with negative values, larger than a code block.
export const size = 80;
export const textured = Int16Array.from({ length: size * size }, (_, i) => {
  const [x, y] = [i % size, Math.floor(i / size)];
  return Math.round(900 * Math.sin(x / 7) * Math.cos(y / 5) + ((x * 31 + y * 17) % 13));
});
export const image = { rows: size, columns: size, bitsStored: 12, signed: true };

export type Encoder = 'encodeJpeg' | 'encodeJpegLs' | 'encodeJpeg2000' | 'encodeHtJpeg2000';

/** One codestream of a `size` × `size` image of 12 bit values. */
export async function encode(
  encoder: Encoder,
  values: Int16Array | Uint16Array,
  signed: boolean,
  parameters = {},
): Promise<Buffer> {
  if (!NativeCodecs.isInitialized()) await NativeCodecs.initializeAsync();
  const context = new Context({
    width: size,
    height: size,
    bitsAllocated: 16,
    bitsStored: 12,
    samplesPerPixel: 1,
    pixelRepresentation: signed ? 1 : 0,
    planarConfiguration: 0,
    photometricInterpretation: 'MONOCHROME2',
    decodedBuffer: new Uint8Array(values.buffer, values.byteOffset, values.byteLength),
  });
  const encoded = NativeCodecs[encoder](context, { lossy: false, ...parameters }).getEncodedBuffer()!;
  return Buffer.from(encoded.length % 2 === 0 ? encoded : [...encoded, 0]);
}
