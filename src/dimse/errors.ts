/** Errors of the DIMSE services, with the words that an operator reads. */

/**
 * - `connect`: no transport connection (refused, unreachable, TLS handshake failed)
 * - `rejected`: A-ASSOCIATE-RJ from the peer
 * - `not-accepted`: the association stands, but the presentation context needed was not accepted
 * - `aborted`: A-ABORT from the peer
 * - `closed`: the transport connection ended without A-ABORT or A-RELEASE
 * - `timeout`: the peer moved no byte for the time allowed
 * - `status`: the peer answered with a failure status
 * - `cancelled`: the caller's AbortSignal fired, or the local side shut down
 * - `protocol`: the peer violated PS3.7 or PS3.8
 * - `local`: the data to send could not be read here
 */
export type DimseErrorCode =
  | 'connect'
  | 'rejected'
  | 'not-accepted'
  | 'aborted'
  | 'closed'
  | 'timeout'
  | 'status'
  | 'cancelled'
  | 'protocol'
  | 'local';

export interface DimseErrorDetails {
  /** True when the same request may succeed later without anybody changing a configuration. */
  transient: boolean;
  /** DIMSE status, for code `status`. */
  status?: number;
  /** Result, source and reason of an A-ASSOCIATE-RJ, source and reason of an A-ABORT. */
  result?: number;
  source?: number;
  reason?: number;
  cause?: unknown;
}

/** What went wrong with an association or an operation. The message names the peer and never a patient. */
export class DimseError extends Error {
  readonly transient: boolean;
  readonly status?: number;
  readonly result?: number;
  readonly source?: number;
  readonly reason?: number;

  constructor(
    readonly code: DimseErrorCode,
    message: string,
    details: DimseErrorDetails,
  ) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.name = 'DimseError';
    this.transient = details.transient;
    if (details.status !== undefined) this.status = details.status;
    if (details.result !== undefined) this.result = details.result;
    if (details.source !== undefined) this.source = details.source;
    if (details.reason !== undefined) this.reason = details.reason;
  }
}
