export type DicomErrorCode = 'not-dicom' | 'truncated' | 'malformed' | 'unsupported' | 'undecodable';

/**
 * The only error that this folder throws about data.
 * - `not-dicom`: the bytes are no part 10 file and no data set
 * - `truncated`: the bytes end before an element does
 * - `malformed`: the encoding contradicts PS3.5 / PS3.10, or a required attribute is absent
 * - `unsupported`: valid, but outside of what this node handles (syntax, bit depth, color, size limits)
 * - `undecodable`: the pixel data does not decode to the image that the attributes describe
 * Messages name tags, lengths and UIDs, never values of patient attributes.
 */
export class DicomError extends Error {
  readonly code: DicomErrorCode;

  constructor(code: DicomErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'DicomError';
    this.code = code;
  }
}
