/** Transfer syntaxes of PS3.5 section 10 and annex A, as far as this node tells them apart. */
export const TransferSyntax = {
  ImplicitVRLittleEndian: '1.2.840.10008.1.2',
  ExplicitVRLittleEndian: '1.2.840.10008.1.2.1',
  DeflatedExplicitVRLittleEndian: '1.2.840.10008.1.2.1.99',
  ExplicitVRBigEndian: '1.2.840.10008.1.2.2',
  JpegBaseline: '1.2.840.10008.1.2.4.50',
  JpegExtended: '1.2.840.10008.1.2.4.51',
  JpegLossless: '1.2.840.10008.1.2.4.57',
  JpegLosslessSV1: '1.2.840.10008.1.2.4.70',
  JpegLsLossless: '1.2.840.10008.1.2.4.80',
  JpegLsNearLossless: '1.2.840.10008.1.2.4.81',
  Jpeg2000Lossless: '1.2.840.10008.1.2.4.90',
  Jpeg2000: '1.2.840.10008.1.2.4.91',
  HtJpeg2000Lossless: '1.2.840.10008.1.2.4.201',
  HtJpeg2000LosslessRpcl: '1.2.840.10008.1.2.4.202',
  HtJpeg2000: '1.2.840.10008.1.2.4.203',
  RleLossless: '1.2.840.10008.1.2.5',
} as const;

export type Compression = 'jpeg' | 'jpeg-ls' | 'jpeg-2000' | 'htj2k' | 'rle';

const compressions: Record<string, Compression> = {
  [TransferSyntax.JpegBaseline]: 'jpeg',
  [TransferSyntax.JpegExtended]: 'jpeg',
  [TransferSyntax.JpegLossless]: 'jpeg',
  [TransferSyntax.JpegLosslessSV1]: 'jpeg',
  [TransferSyntax.JpegLsLossless]: 'jpeg-ls',
  [TransferSyntax.JpegLsNearLossless]: 'jpeg-ls',
  [TransferSyntax.Jpeg2000Lossless]: 'jpeg-2000',
  [TransferSyntax.Jpeg2000]: 'jpeg-2000',
  [TransferSyntax.HtJpeg2000Lossless]: 'htj2k',
  [TransferSyntax.HtJpeg2000LosslessRpcl]: 'htj2k',
  [TransferSyntax.HtJpeg2000]: 'htj2k',
  [TransferSyntax.RleLossless]: 'rle',
};

/** How the pixel data of this syntax is compressed; undefined for native syntaxes and for those that cannot be decoded here. */
export function compressionOf(transferSyntaxUid: string): Compression | undefined {
  return compressions[transferSyntaxUid];
}

const native: ReadonlySet<string> = new Set([
  TransferSyntax.ImplicitVRLittleEndian,
  TransferSyntax.ExplicitVRLittleEndian,
  TransferSyntax.DeflatedExplicitVRLittleEndian,
  TransferSyntax.ExplicitVRBigEndian,
]);

export function isNative(transferSyntaxUid: string): boolean {
  return native.has(transferSyntaxUid);
}

/** Every transfer syntax whose pixel data `decodeFrames` decodes. */
export const decodableTransferSyntaxes: readonly string[] = Object.values(TransferSyntax);

/** Data set encoding of a syntax. Everything but the three below is explicit little endian (PS3.5 A.4). */
export function encodingOf(transferSyntaxUid: string): {
  explicit: boolean;
  bigEndian: boolean;
  deflated: boolean;
} {
  return {
    explicit: transferSyntaxUid !== TransferSyntax.ImplicitVRLittleEndian,
    bigEndian: transferSyntaxUid === TransferSyntax.ExplicitVRBigEndian,
    deflated: transferSyntaxUid === TransferSyntax.DeflatedExplicitVRLittleEndian,
  };
}
