/** Where derived instances go. */

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

export interface Destination {
  readonly name: string;
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
      open(): Promise<Buffer | AsyncIterable<Buffer>>;
    }[],
    options?: SendOptions,
  ): Promise<Outcome[]>;
  echo(target: T): Promise<unknown>;
}

/** A peer that is sent to by C-STORE. */
export function dimseDestination<T extends { host: string; port: number; calledAeTitle: string }>(
  name: string,
  target: T,
  dimse: StorageUser<T>,
): Destination {
  return {
    name,
    send: (instances, options) =>
      dimse.storeInstances(
        target,
        instances.map(({ sopClassUid, sopInstanceUid, transferSyntaxUid, dataSet }) => ({
          sopClassUid,
          sopInstanceUid,
          transferSyntaxUid,
          open: dataSet,
        })),
        options,
      ),
    async echo() {
      const start = performance.now();
      await dimse.echo(target);
      const ms = Math.round(performance.now() - start);
      return `${target.calledAeTitle} at ${target.host}:${target.port} answered C-ECHO in ${ms} ms`;
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
