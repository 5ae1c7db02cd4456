import { randomUUID } from 'node:crypto';
import { Readable } from 'node:stream';
import { type Dispatcher, Pool } from 'undici';
import {
  readStoreResponse,
  type StowOutcome,
  statusVerdict,
  type Verdict,
  worthSplitting,
} from './store-verdict.js';

export type { StowOutcome } from './store-verdict.js';

/** A DICOMweb service that takes instances by STOW-RS. */
export interface StowTarget {
  /** The service's root, without /studies. */
  url: string;
  /** Sent with every request, for example Authorization. */
  headers?: Readonly<Record<string, string>>;
  /** Without progress for so long, the request is given up; default: one minute. */
  timeoutMs?: number;
}

/** One instance to send. */
export interface StowInstance {
  sopInstanceUid: string;
  sopClassUid: string;
  /** The whole part 10 file; called when its turn comes. */
  file(): Promise<Buffer>;
}

export interface StowOptions {
  /** Instances in one request, at most; default 10. */
  batch?: number;
  /** Bytes in one request, as long as it has more than one instance; default 32 MiB. */
  batchBytes?: number;
  /** Requests at a time; default 2. */
  connections?: number;
  signal?: AbortSignal;
  onOutcome?(outcome: StowOutcome): void;
}

/** The service did not answer as a DICOMweb service does; the message says what to look at. */
export class StowError extends Error {
  readonly code: 'unreachable' | 'refused' | 'not-dicomweb';

  constructor(code: 'unreachable' | 'refused' | 'not-dicomweb', message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'StowError';
    this.code = code;
  }
}

interface Loaded {
  index: number;
  instance: StowInstance;
  file: Buffer;
}

const RESPONSE_BYTES = 16 * 1024 * 1024;
const CRLF = '\r\n';
const PART_HEADER = `${CRLF}Content-Type: application/dicom${CRLF}${CRLF}`;

function encode(batch: readonly Loaded[]): { contentType: string; length: number; chunks: Buffer[] } {
  const boundary = `mcnet-${randomUUID()}`;
  const chunks: Buffer[] = [];
  batch.forEach(({ file }, index) => {
    chunks.push(Buffer.from(`${index === 0 ? '' : CRLF}--${boundary}${PART_HEADER}`, 'latin1'), file);
  });
  chunks.push(Buffer.from(`${CRLF}--${boundary}--${CRLF}`, 'latin1'));
  return {
    contentType: `multipart/related; type="application/dicom"; boundary=${boundary}`,
    length: chunks.reduce((sum, chunk) => sum + chunk.length, 0),
    chunks,
  };
}

/**
 * Takes the bytes as they come, never holding the stream: a connection that ends while undici waits for its reader ends
 * the process (an assertion in its parser).
 */
function readText(body: Dispatcher.ResponseData['body']): Promise<string> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let bytes = 0;
    body.on('data', (chunk: Buffer) => {
      bytes += chunk.length;
      if (bytes > RESPONSE_BYTES)
        body.destroy(new Error(`the answer is longer than ${RESPONSE_BYTES} bytes`));
      else chunks.push(chunk);
    });
    body.on('end', () => resolve(Buffer.concat(chunks).toString('utf8')));
    body.on('error', reject);
  });
}

function causeText(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const code: unknown = (error as { code?: unknown }).code;
  const message = error.message === '' && error.cause instanceof Error ? error.cause.message : error.message;
  return typeof code === 'string' && !message.includes(code) ? `${message || 'failed'} (${code})` : message;
}

function rootOf(url: string): { origin: string; path: string } {
  const { origin, pathname } = new URL(url);
  return { origin, path: pathname.replace(/\/+$/, '') };
}

/** One call of {@link stow}. */
class Stow {
  readonly outcomes: StowOutcome[] = [];
  readonly #target: StowTarget;
  readonly #instances: readonly StowInstance[];
  readonly #options: StowOptions;
  readonly #pool: Pool;
  readonly #path: string;
  #next = 0;
  #loading: Promise<unknown> = Promise.resolve();

  constructor(target: StowTarget, instances: readonly StowInstance[], options: StowOptions) {
    this.#target = target;
    this.#instances = instances;
    this.#options = options;
    const { origin, path } = rootOf(target.url);
    this.#path = path;
    const timeout = target.timeoutMs ?? 60_000;
    this.#pool = new Pool(origin, {
      connections: options.connections ?? 2,
      headersTimeout: timeout,
      bodyTimeout: timeout,
      connectTimeout: Math.min(timeout, 10_000),
      pipelining: 1,
    });
  }

  async run(): Promise<void> {
    const worker = async () => {
      for (let batch = await this.#turn(); batch.length > 0; batch = await this.#turn())
        await this.#send(batch);
    };
    try {
      await Promise.all(Array.from({ length: this.#options.connections ?? 2 }, worker));
    } finally {
      await this.#pool.destroy();
    }
  }

  #settle(index: number, verdict: Verdict): void {
    const outcome = { sopInstanceUid: this.#instances[index]!.sopInstanceUid, ...verdict };
    this.outcomes[index] = outcome;
    this.#options.onOutcome?.(outcome);
  }

  /** Loads the next batch when nobody else is loading, so that batches are full and in order. */
  #turn(): Promise<Loaded[]> {
    const batch = this.#loading.then(() => this.#load());
    this.#loading = batch;
    return batch;
  }

  /** The next instances that fit into one request; empty at the end. */
  async #load(): Promise<Loaded[]> {
    const { batch = 10, batchBytes = 32 * 1024 * 1024, signal } = this.#options;
    const loaded: Loaded[] = [];
    let bytes = 0;
    while (this.#next < this.#instances.length && loaded.length < batch && bytes < batchBytes) {
      const index = this.#next++;
      const instance = this.#instances[index]!;
      if (signal?.aborted) {
        this.#settle(index, {
          outcome: 'lost',
          message: 'not sent: the delivery was stopped',
          transient: true,
        });
        continue;
      }
      try {
        const file = await instance.file();
        bytes += file.length;
        loaded.push({ index, instance, file });
      } catch (error) {
        this.#settle(index, { outcome: 'lost', message: `not sent: ${causeText(error)}`, transient: true });
      }
    }
    return loaded;
  }

  async #send(batch: readonly Loaded[]): Promise<void> {
    let status: number;
    let location: string | undefined;
    let text: string;
    try {
      ({ status, location, text } = await this.#post(batch));
    } catch (error) {
      const message = this.#options.signal?.aborted
        ? 'the delivery was stopped before the destination answered'
        : `no answer from ${this.#target.url}: ${causeText(error)}`;
      for (const { index } of batch) this.#settle(index, { outcome: 'lost', message, transient: true });
      return;
    }
    const response = readStoreResponse(text);
    const unsettled = batch.filter(({ index, instance }) => {
      const verdict = response?.get(instance.sopInstanceUid);
      if (verdict) this.#settle(index, verdict);
      return !verdict;
    });
    if (unsettled.length === 0) return;
    if (batch.length > 1 && worthSplitting(status) && !this.#options.signal?.aborted) {
      for (const one of unsettled) await this.#send([one]);
      return;
    }
    for (const { index } of unsettled) this.#settle(index, statusVerdict(status, location));
  }

  async #post(
    batch: readonly Loaded[],
  ): Promise<{ status: number; location: string | undefined; text: string }> {
    const { contentType, length, chunks } = encode(batch);
    const response = await this.#pool.request({
      method: 'POST',
      path: `${this.#path}/studies`,
      headers: {
        ...this.#target.headers,
        'content-type': contentType,
        'content-length': String(length),
        accept: 'application/dicom+json, application/json;q=0.9, application/dicom+xml;q=0.5',
      },
      body: Readable.from(chunks),
      ...(this.#options.signal ? { signal: this.#options.signal } : {}),
    });
    const location = response.headers.location;
    const text = await readText(response.body);
    return {
      status: response.statusCode,
      location: typeof location === 'string' ? location : undefined,
      text,
    };
  }
}

/**
 * Sends instances by STOW-RS (PS3.18 10.5), several in a request, and accounts for each one: it is `accepted` only
 * when an answer names it as stored. `refused` says why; `lost` means that no answer tells.
 * @returns an outcome for every instance, in the order given; it does not throw for what the network or the
 * destination does.
 */
export async function stow(
  target: StowTarget,
  instances: readonly StowInstance[],
  options: StowOptions = {},
): Promise<StowOutcome[]> {
  const run = new Stow(target, instances, options);
  await run.run();
  return run.outcomes;
}

/**
 * Asks a DICOMweb service whether it answers: QIDO-RS for one study, or OPTIONS where it has no QIDO-RS.
 * @returns a sentence with the time that it took.
 * @throws StowError saying what to look at.
 */
export async function echo(target: StowTarget): Promise<string> {
  const { origin, path } = rootOf(target.url);
  const timeout = Math.min(target.timeoutMs ?? 10_000, 10_000);
  const pool = new Pool(origin, { headersTimeout: timeout, bodyTimeout: timeout, connectTimeout: timeout });
  const ask = async (method: 'GET' | 'OPTIONS', query: string) => {
    const response = await pool.request({
      method,
      path: `${path}/studies${query}`,
      headers: { ...target.headers, accept: 'application/dicom+json' },
    });
    await response.body.dump({ limit: 1024 * 1024 });
    return response.statusCode;
  };
  const start = performance.now();
  try {
    let status = await ask('GET', '?limit=1');
    if (status === 404 || status === 405 || status === 501) status = await ask('OPTIONS', '');
    if (status === 401 || status === 403) {
      throw new StowError(
        'refused',
        `${target.url} answered ${status}: check the credentials in its headers`,
      );
    }
    if (status >= 300) {
      throw new StowError(
        'not-dicomweb',
        `${target.url} answered ${status} to a query for studies: check that this is the root of a DICOMweb service`,
      );
    }
    return `${target.url} answered ${status} in ${Math.round(performance.now() - start)} ms`;
  } catch (error) {
    if (error instanceof StowError) throw error;
    throw new StowError('unreachable', `${target.url} cannot be reached: ${causeText(error)}`, {
      cause: error,
    });
  } finally {
    await pool.destroy();
  }
}
