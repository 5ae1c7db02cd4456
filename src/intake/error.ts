import { DatabaseError, isDiskFull } from '../archive/index.js';

export type IntakeErrorCode =
  | 'not-dicom'
  | 'truncated'
  | 'malformed'
  | 'mismatch'
  | 'disk-full'
  | 'quota-exceeded'
  | 'duplicate-conflict'
  | 'io';

/**
 * Status of a C-STORE response (PS3.4 table B.2-1) and Failure Reason (0008,1197) of a STOW-RS response
 * (PS3.18 table I.2-2), which share their values.
 */
const statusOf: Record<IntakeErrorCode, number> = {
  'not-dicom': 0xc000,
  truncated: 0xc000,
  malformed: 0xc000,
  mismatch: 0xa900,
  'disk-full': 0xa700,
  'quota-exceeded': 0xa700,
  'duplicate-conflict': 0x0111,
  io: 0x0110,
};

/** Why an object was not taken. Nothing of it is kept; the sender still has it. */
export class IntakeError extends Error {
  override name = 'IntakeError';
  /** C-STORE status. */
  readonly status: number;
  /** (0008,1197). */
  readonly httpFailureReason: number;

  constructor(
    readonly code: IntakeErrorCode,
    message: string,
    options?: ErrorOptions,
  ) {
    super(message, options);
    this.status = statusOf[code];
    this.httpFailureReason = statusOf[code];
  }
}

/** Any error on the way in, as the sender is told it. */
export function intakeErrorOf(error: unknown): IntakeError {
  if (error instanceof IntakeError) return error;
  const message = error instanceof Error ? error.message : String(error);
  if (isDiskFull(error)) {
    return new IntakeError('disk-full', 'the disk is full', { cause: error });
  }
  if (error instanceof Error && error.name === 'DicomError' && 'code' in error) {
    const code = error.code === 'not-dicom' || error.code === 'truncated' ? error.code : 'malformed';
    return new IntakeError(code, message, { cause: error });
  }
  const what =
    error instanceof DatabaseError ? 'the index cannot be written' : 'the object cannot be written';
  return new IntakeError('io', `${what}: ${message}`, { cause: error });
}
