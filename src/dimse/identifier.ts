/** Data sets of services other than storage: small, read whole, in one of the two syntaxes that every node knows. */
import { type DataSet, DataSetWriter, type OutgoingElement, parseDataSet } from '../dicom/index.js';
import type { DataStream } from './data-stream.js';
import { EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN } from './transfer-syntaxes.js';

/** Offered and accepted for every abstract syntax that is not storage. */
export const IDENTIFIER_TRANSFER_SYNTAXES: ReadonlySet<string> = new Set([
  EXPLICIT_VR_LITTLE_ENDIAN,
  IMPLICIT_VR_LITTLE_ENDIAN,
]);

const MAX_BYTES = 16 * 1024 * 1024;

/** Bytes of a data set. The elements may come in any order. */
export function encodeIdentifier(elements: readonly OutgoingElement[], transferSyntax: string): Buffer {
  const vrs = transferSyntax === IMPLICIT_VR_LITTLE_ENDIAN ? 'implicit' : 'explicit';
  const writer = new DataSetWriter(1024, vrs);
  for (const element of [...elements].sort((a, b) => a.tag - b.tag)) writer.element(element);
  return writer.finish();
}

/**
 * Reads the data set of a request.
 * @throws DicomError when it cannot be parsed; RangeError when it is over 16 MiB; DimseError when the association ends.
 */
export async function readIdentifier(data: DataStream, transferSyntax: string): Promise<DataSet> {
  const parts: Buffer[] = [];
  let length = 0;
  for await (const part of data) {
    length += part.length;
    if (length > MAX_BYTES) throw new RangeError(`a data set of more than ${MAX_BYTES} bytes`);
    parts.push(part);
  }
  return parseDataSet(Buffer.concat(parts, length), transferSyntax);
}

/** An element whose value is text of the default repertoire. */
export function textElement(tag: number, vr: string, value: string): OutgoingElement {
  return { tag, vr, bytes: Buffer.from(value, 'latin1') };
}
