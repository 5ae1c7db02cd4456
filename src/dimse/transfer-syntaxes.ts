/** Transfer syntaxes of PS3.5 that the node stores (bit for bit as sent), by name. */

export const IMPLICIT_VR_LITTLE_ENDIAN = '1.2.840.10008.1.2';
export const EXPLICIT_VR_LITTLE_ENDIAN = '1.2.840.10008.1.2.1';
export const DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN = '1.2.840.10008.1.2.1.99';

/** Keyed by UID, valued by the name of PS3.6 table A-1. */
export const STORED_TRANSFER_SYNTAXES: ReadonlyMap<string, string> = new Map([
  [IMPLICIT_VR_LITTLE_ENDIAN, 'Implicit VR Little Endian'],
  [EXPLICIT_VR_LITTLE_ENDIAN, 'Explicit VR Little Endian'],
  [DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN, 'Deflated Explicit VR Little Endian'],
  ['1.2.840.10008.1.2.2', 'Explicit VR Big Endian'],
  ['1.2.840.10008.1.2.5', 'RLE Lossless'],
  ['1.2.840.10008.1.2.4.50', 'JPEG Baseline (Process 1)'],
  ['1.2.840.10008.1.2.4.51', 'JPEG Extended (Process 2 & 4)'],
  ['1.2.840.10008.1.2.4.57', 'JPEG Lossless, Non-Hierarchical (Process 14)'],
  ['1.2.840.10008.1.2.4.70', 'JPEG Lossless, Non-Hierarchical, First-Order Prediction'],
  ['1.2.840.10008.1.2.4.80', 'JPEG-LS Lossless'],
  ['1.2.840.10008.1.2.4.81', 'JPEG-LS Lossy (Near-Lossless)'],
  ['1.2.840.10008.1.2.4.90', 'JPEG 2000 Lossless Only'],
  ['1.2.840.10008.1.2.4.91', 'JPEG 2000'],
  ['1.2.840.10008.1.2.4.201', 'High-Throughput JPEG 2000 Lossless Only'],
  ['1.2.840.10008.1.2.4.202', 'High-Throughput JPEG 2000 with RPCL Options Lossless Only'],
  ['1.2.840.10008.1.2.4.203', 'High-Throughput JPEG 2000'],
]);

/** "JPEG 2000 (1.2.840.10008.1.2.4.91)", or the UID alone. */
export function transferSyntaxName(uid: string): string {
  const name = STORED_TRANSFER_SYNTAXES.get(uid);
  return name === undefined ? uid : `${name} (${uid})`;
}
