/** Native (not encapsulated) data sets from one transfer syntax into another. */
import { parseDataSet } from './reader.js';
import { TransferSyntax } from './transfer-syntax.js';
import { number } from './values.js';
import { DataSetWriter, itemToOutgoing } from './writer.js';

const NATIVE = new Set<string>([
  TransferSyntax.ImplicitVRLittleEndian,
  TransferSyntax.ExplicitVRLittleEndian,
  TransferSyntax.ExplicitVRBigEndian,
  TransferSyntax.DeflatedExplicitVRLittleEndian,
]);

/** Syntaxes that a data set in `from` can be written in without touching a pixel value; `from` itself is not among them. */
export function nativeAlternatives(from: string): string[] {
  if (!NATIVE.has(from)) return [];
  return [TransferSyntax.ExplicitVRLittleEndian, TransferSyntax.ImplicitVRLittleEndian].filter(
    (uid) => uid !== from,
  );
}

/**
 * The same attributes and values in another of `nativeAlternatives(from)`. Group lengths are left out.
 * @throws DicomError when the data set cannot be read; RangeError for any other pair of syntaxes
 */
export function rewriteNative(dataSet: Buffer, from: string, to: string): Buffer {
  if (!nativeAlternatives(from).includes(to)) throw new RangeError(`${from} cannot be rewritten as ${to}`);
  const parsed = parseDataSet(dataSet, from);
  const signed = number(parsed, 'PixelRepresentation') === 1;
  const vrs = to === TransferSyntax.ImplicitVRLittleEndian ? 'implicit' : 'explicit';
  const writer = new DataSetWriter(dataSet.length + 4096, vrs);
  for (const element of itemToOutgoing(parsed, signed)) writer.element(element);
  return writer.finish();
}
