import type { DicomErrorCode } from '../dicom/index.js';

export type CorrectionErrorCode =
  /** The file cannot be read. */
  | 'io'
  /** The file is no whole DICOM object, or its pixel data does not decode. */
  | 'undecodable'
  /** It is nothing that may be corrected; the message says why. */
  | 'not-correctable'
  /** The engine failed; another attempt may succeed. */
  | 'engine'
  /** No engine works at the moment; it is opened again until one does. */
  | 'unavailable'
  /** The corrector was closed. */
  | 'closed';

/** Why one instance was not corrected. The others go on. */
export class CorrectionError extends Error {
  override name = 'CorrectionError';
  constructor(
    readonly code: CorrectionErrorCode,
    /** Whether the same file would fail again for the same reason. */
    readonly permanent: boolean,
    message: string,
    /** For `undecodable`: what the reader found, where it was the reader. */
    readonly dicom?: DicomErrorCode,
  ) {
    super(message);
  }

  /** Nothing is wrong with the instance: it can be corrected once what is away is back. */
  get waits(): boolean {
    return this.code === 'unavailable';
  }
}
