import { randomUUID } from 'node:crypto';
import { parseMediaType } from './media-type.js';
import { declaredInstance } from './meta-header.js';
import { MultipartError, type Part } from './multipart.js';
import { FAILURE, type StoreResult } from './store-response.js';

/** Who sent a request: as archive.Source. */
export interface StoreSource {
  protocol: 'dicomweb';
  peer: string;
  address: string;
}

/** One instance on its way into the archive: as archive.IncomingInstance. */
export interface IncomingFile {
  write(chunk: Buffer): Promise<void>;
  commit(): Promise<{
    outcome: 'stored' | 'duplicate' | 'new-version' | 'kept-first';
    instance: { study: string; series: string; sop: string; sopClass: string };
  }>;
  abort(refused?: { code: string; message: string }): Promise<void>;
}

/** What of the intake a store request needs. */
export interface FileIntake {
  /** `association`: one id for all instances of a request. */
  beginFile(about: { source: StoreSource; study?: string; association?: string }): IncomingFile;
}

export interface StoreLimits {
  /** Bytes of one request's body. */
  requestBytes: number;
  /** Bytes of one instance. */
  instanceBytes: number;
  /** Instances in one request. */
  instances: number;
}

/** What became of one instance of a request. */
export interface StoreEvent {
  source: StoreSource;
  outcome: 'stored' | 'duplicate' | 'new-version' | 'kept-first' | 'rejected';
  bytes: number;
  sop?: string;
  reason?: string;
}

export interface StoreOptions {
  intake: FileIntake;
  limits: StoreLimits;
  /** Each instance as it ends, for metrics and log. */
  onInstance?(event: StoreEvent): void;
  /** The request is over, complete or cut off: every series that it stored something in. A hint of completeness. */
  onRequestEnd?(end: {
    source: StoreSource;
    association: string;
    series: readonly { study: string; series: string }[];
  }): void;
}

/** Commits that may wait for the disk while the next instance is already read. */
const COMMITS_AT_A_TIME = 8;
/** Enough of a file for its meta header. */
const BEGINNING_BYTES = 4096;
/** The request as a whole cannot be taken; what it stored before stays stored. */
export class RequestError extends Error {
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

function failureOf(error: unknown): { code: string; reason: number; message: string } {
  if (error instanceof Error) {
    const { code, httpFailureReason } = error as { code?: unknown; httpFailureReason?: unknown };
    if (typeof code === 'string' && typeof httpFailureReason === 'number') {
      return { code, reason: httpFailureReason, message: error.message };
    }
    return { code: 'io', reason: FAILURE.processingFailure, message: error.message };
  }
  return { code: 'io', reason: FAILURE.processingFailure, message: 'unknown error' };
}

function unsuitable(part: Part): string | undefined {
  const type = part.headers.get('content-type');
  if (type !== undefined && parseMediaType(type)?.type !== 'application/dicom')
    return `a part of type ${type}`;
  const encoding = part.headers.get('content-transfer-encoding')?.toLowerCase();
  if (encoding !== undefined && !['binary', '8bit', '7bit'].includes(encoding))
    return `a part in ${encoding}`;
  return undefined;
}

/** One store request being worked off: its parts go to the intake, and each gets a result. */
export class StoreRequest {
  /** In the order of the parts. */
  readonly results: StoreResult[] = [];
  readonly #options: StoreOptions;
  readonly #source: StoreSource;
  readonly #study: string | undefined;
  readonly #commits = new Set<Promise<void>>();
  readonly #association = randomUUID();

  constructor(options: StoreOptions, source: StoreSource, study: string | undefined) {
    this.#options = options;
    this.#source = source;
    this.#study = study;
  }

  async run(parts: AsyncIterable<Part>): Promise<void> {
    try {
      let count = 0;
      for await (const part of parts) {
        count += 1;
        if (count > this.#options.limits.instances) {
          throw new RequestError(413, `more than ${this.#options.limits.instances} instances in one request`);
        }
        await this.#receive(part, count - 1);
        while (this.#commits.size >= COMMITS_AT_A_TIME) await Promise.race(this.#commits);
      }
    } finally {
      await Promise.all(this.#commits);
    }
  }

  #fail(
    index: number,
    bytes: number,
    beginning: Buffer,
    failure: { code: string; reason: number; message: string },
  ) {
    const declared = declaredInstance(beginning);
    this.results[index] = {
      stored: false,
      ...(declared ? { declared } : {}),
      reason: failure.reason,
      code: failure.code,
    };
    this.#options.onInstance?.({
      source: this.#source,
      outcome: 'rejected',
      bytes,
      ...(declared ? { sop: declared.sopInstanceUid } : {}),
      reason: failure.message,
    });
  }

  async #receive(part: Part, index: number): Promise<void> {
    const refusal = unsuitable(part);
    if (refusal) {
      this.#fail(index, 0, Buffer.alloc(0), {
        code: 'malformed',
        reason: FAILURE.cannotUnderstand,
        message: refusal,
      });
      return;
    }
    let bytes = 0;
    let beginning: Buffer = Buffer.alloc(0);
    let incoming: IncomingFile | undefined;
    let failure: { code: string; reason: number; message: string } | undefined;
    const giveUp = async (error: unknown) => {
      failure = failureOf(error);
      await incoming?.abort(failure).catch(() => undefined);
    };
    try {
      incoming = this.#options.intake.beginFile({
        source: this.#source,
        association: this.#association,
        ...(this.#study === undefined ? {} : { study: this.#study }),
      });
    } catch (error) {
      await giveUp(error);
    }
    try {
      for await (const chunk of part.body) {
        bytes += chunk.length;
        if (bytes === chunk.length) beginning = chunk.subarray(0, BEGINNING_BYTES);
        else if (beginning.length < BEGINNING_BYTES) {
          beginning = Buffer.concat([beginning, chunk.subarray(0, BEGINNING_BYTES - beginning.length)]);
        }
        if (failure) continue; // the rest of a part that failed is read over, the next part may be good
        if (bytes > this.#options.limits.instanceBytes) {
          await giveUp(
            Object.assign(
              new Error(
                `an instance is longer than ${this.#options.limits.instanceBytes} bytes (limits.instanceBytes)`,
              ),
              {
                code: 'too-large',
                httpFailureReason: FAILURE.outOfResources,
              },
            ),
          );
        } else {
          await incoming?.write(chunk).catch(giveUp);
        }
      }
    } catch (error) {
      // The part is not whole: nothing of it may stay. The request's end says what happened.
      if (!failure) await incoming?.abort().catch(() => undefined);
      const reason =
        error instanceof MultipartError ? error.message : 'the request ended within the instance';
      this.#fail(index, bytes, beginning, {
        code: 'truncated',
        reason: FAILURE.cannotUnderstand,
        message: reason,
      });
      throw error;
    }
    if (failure || !incoming) {
      this.#fail(index, bytes, beginning, failure ?? failureOf(undefined));
      return;
    }
    const commit = this.#commit(incoming, index, bytes, beginning).finally(() =>
      this.#commits.delete(commit),
    );
    this.#commits.add(commit);
  }

  async #commit(incoming: IncomingFile, index: number, bytes: number, beginning: Buffer): Promise<void> {
    try {
      const { outcome, instance } = await incoming.commit();
      const { study, series, sop, sopClass } = instance;
      this.results[index] = { stored: true, study, series, sop, sopClass };
      this.#options.onInstance?.({ source: this.#source, outcome, bytes, sop });
    } catch (error) {
      this.#fail(index, bytes, beginning, failureOf(error));
    }
  }

  /** Tells what was touched, once, however the request ended. */
  end(): void {
    const touched = new Map<string, { study: string; series: string }>();
    for (const result of this.results) {
      if (result?.stored)
        touched.set(`${result.study}/${result.series}`, { study: result.study, series: result.series });
    }
    this.#options.onRequestEnd?.({
      source: this.#source,
      association: this.#association,
      series: [...touched.values()],
    });
  }
}
