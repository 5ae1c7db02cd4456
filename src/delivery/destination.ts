/** Where derived instances go. */
import { nativeAlternatives, parsePart10, transcode } from '../dicom/index.js';

export interface Deliverable {
  sopClassUid: string;
  sopInstanceUid: string;
  transferSyntaxUid: string;
  /** Size of the file. */
  bytes: number;
  /** The data set's bytes, as one buffer or, when they are many, as a stream. */
  dataSet(): Promise<Buffer | AsyncIterable<Buffer>>;
  /** The whole part 10 file. */
  file(): Promise<Buffer>;
}

export interface Outcome {
  sopInstanceUid: string;
  /** `accepted` and `warning`: the destination has it. `lost`: nobody knows; it is sent again. */
  outcome: 'accepted' | 'warning' | 'refused' | 'lost';
  /** C-STORE status, Failure Reason or HTTP status. */
  status?: number;
  message: string;
  /** Whether trying again later may help. */
  transient: boolean;
}

export interface SendOptions {
  signal?: AbortSignal;
  /** Called for each instance as soon as its outcome is known. */
  onOutcome?(outcome: Outcome): void;
}

export interface SopReference {
  sopClassUid: string;
  sopInstanceUid: string;
}

/** What a destination says it has taken responsibility for, and what not. */
export interface CommitmentReport {
  transactionUid: string;
  committed: readonly SopReference[];
  failed: readonly (SopReference & { reason: number })[];
}

/** Takes a report durably; resolves with false when its transaction is not known. */
export type TakeReport = (report: CommitmentReport) => Promise<boolean>;

export interface CommitmentOptions {
  signal?: AbortSignal;
  /** Fires when the report has come on another way. */
  reported: AbortSignal;
  onReport: TakeReport;
}

/** Storage commitment: a destination that is asked whether it keeps what it accepted. */
export interface Commitment {
  /** How long a report may take before it is asked for again. */
  timeoutMs: number;
  /**
   * Resolves when the destination has taken the request; the report comes through `onReport`, now or later.
   * @throws Error, with `transient` false when asking again will hardly help.
   */
  request(
    transactionUid: string,
    references: readonly SopReference[],
    options: CommitmentOptions,
  ): Promise<void>;
  /** What a Failure Reason (0008,1197) means. */
  reason(code: number): { text: string; transient: boolean };
}

export interface Destination {
  readonly name: string;
  /** Where delivered means committed. */
  readonly commitment?: Commitment;
  /** An outcome for every instance, whatever happens. */
  send(instances: readonly Deliverable[], options?: SendOptions): Promise<Outcome[]>;
  /** A sentence that says that it answers. @throws Error with a sentence that says why not. */
  echo(): Promise<string>;
}

/** The user side of DIMSE, as the dimse folder has it; `T` is its target. */
export interface StorageUser<T> {
  storeInstances(
    target: T,
    instances: {
      sopClassUid: string;
      sopInstanceUid: string;
      transferSyntaxUid: string;
      /** Syntaxes in which it can be opened as well, for a peer that does not take the first. */
      alternatives: string[];
      open(transferSyntaxUid: string): Promise<Buffer | AsyncIterable<Buffer>>;
    }[],
    options?: SendOptions,
  ): Promise<Outcome[]>;
  echo(target: T): Promise<unknown>;
}

/** The user side of storage commitment, as the dimse folder has it. */
export interface CommitmentUser<T> {
  requestCommitment(
    target: T,
    request: { transactionUid: string; references: SopReference[] },
    options: {
      signal?: AbortSignal;
      waitMs: number;
      reported?: AbortSignal;
      onReport: TakeReport;
    },
  ): Promise<void>;
  failureReason(code: number): { text: string; transient: boolean };
}

/**
 * Storage commitment at a DIMSE peer.
 * @param waitMs how long the association is kept open for a report on it
 */
export function dimseCommitment<T>(
  target: T,
  dimse: CommitmentUser<T>,
  { waitMs, timeoutMs }: { waitMs: number; timeoutMs: number },
): Commitment {
  return {
    timeoutMs,
    reason: dimse.failureReason,
    request: (transactionUid, references, options) =>
      dimse.requestCommitment(
        target,
        { transactionUid, references: [...references] },
        { ...options, waitMs },
      ),
  };
}

/** Larger objects go in their own syntax only: another one is written in memory. */
const rewrittenBytes = 64 * 1024 * 1024;

/** Implicit VR little endian is what every node takes (PS3.5 10.1), and some take nothing else. */
function outgoing({ sopClassUid, sopInstanceUid, transferSyntaxUid, bytes, dataSet, file }: Deliverable) {
  return {
    sopClassUid,
    sopInstanceUid,
    transferSyntaxUid,
    alternatives: bytes <= rewrittenBytes ? nativeAlternatives(transferSyntaxUid) : [],
    open: async (accepted: string) =>
      accepted === transferSyntaxUid ? dataSet() : transcode(parsePart10(await file()), accepted),
  };
}

/** A peer that is sent to by C-STORE. */
export function dimseDestination<
  T extends { host: string; port: number; calledAeTitle: string; tls?: object },
>(name: string, target: T, dimse: StorageUser<T>, commitment?: Commitment): Destination {
  return {
    name,
    ...(commitment && { commitment }),
    send: (instances, options) => dimse.storeInstances(target, instances.map(outgoing), options),
    async echo() {
      const start = performance.now();
      await dimse.echo(target);
      const ms = Math.round(performance.now() - start);
      const secure = target.tls === undefined ? '' : ' over TLS';
      return `${target.calledAeTitle} at ${target.host}:${target.port} answered C-ECHO${secure} in ${ms} ms`;
    },
  };
}

/** The user side of STOW-RS, as the dicomweb folder has it; `T` is its target, `O` its own options. */
export interface StowUser<T, O extends object> {
  stow(
    target: T,
    instances: { sopClassUid: string; sopInstanceUid: string; file(): Promise<Buffer> }[],
    options?: SendOptions & O,
  ): Promise<Outcome[]>;
  echo(target: T): Promise<string>;
}

/** A service that is sent to by STOW-RS. */
export function dicomwebDestination<T, O extends object>(
  name: string,
  target: T,
  dicomweb: StowUser<T, O>,
  options: O,
): Destination {
  return {
    name,
    send: (instances, sendOptions) =>
      dicomweb.stow(
        target,
        instances.map(({ sopClassUid, sopInstanceUid, file }) => ({ sopClassUid, sopInstanceUid, file })),
        { ...options, ...sendOptions },
      ),
    echo: () => dicomweb.echo(target),
  };
}
