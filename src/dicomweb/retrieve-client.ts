/** QIDO-RS and WADO-RS as user (PS3.18 10.6, 10.4): what another archive has, and its objects as they are stored there. */
import { type IncomingMessage, request as plainRequest } from 'node:http';
import { request as secureRequest } from 'node:https';
import { keywordOf } from '../dicom/index.js';
import { MultipartError, readParts } from './multipart.js';

/** A DICOMweb service that is asked. */
export interface DicomWebSource {
  /** The service's root, without /studies. */
  url: string;
  /** Sent with every request, for example Authorization. */
  headers?: Readonly<Record<string, string>>;
  /** Without progress for so long, a request is given up; default: one minute. */
  timeoutMs?: number;
}

/** The service did not answer (`connect`), or not with what it was asked; `transient` where trying again may help. */
export class DicomWebError extends Error {
  override name = 'DicomWebError';
  constructor(
    message: string,
    readonly transient: boolean,
    readonly code: 'connect' | 'answer' = 'answer',
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
}

const PAGE = 200;
const RESPONSE_BYTES = 64 * 1024 * 1024;

interface JsonElement {
  vr?: string;
  Value?: unknown[];
}

/** One object of the DICOM JSON model (PS3.18 annex F), by keyword. */
export type Attributes = ReadonlyMap<string, readonly string[]>;

function attributesOf(object: Record<string, JsonElement>): Attributes {
  const attributes = new Map<string, readonly string[]>();
  for (const [tag, { Value: values }] of Object.entries(object)) {
    const keyword = keywordOf(Number.parseInt(tag, 16));
    if (keyword === undefined || !Array.isArray(values)) continue;
    attributes.set(
      keyword,
      values.flatMap((value) => {
        const name = (value as { Alphabetic?: unknown } | null)?.Alphabetic;
        if (typeof name === 'string') return [name];
        return typeof value === 'string' || typeof value === 'number' ? [String(value)] : [];
      }),
    );
  }
  return attributes;
}

/** GET; resolves when the header of the answer is here. */
function ask(
  source: DicomWebSource,
  path: string,
  accept: string,
  signal: AbortSignal | undefined,
): Promise<IncomingMessage> {
  const url = new URL(source.url);
  const timeout = source.timeoutMs ?? 60_000;
  const send = url.protocol === 'https:' ? secureRequest : plainRequest;
  return new Promise((resolve, reject) => {
    const request = send({
      host: url.hostname.replace(/^\[|\]$/g, ''),
      port: url.port === '' ? undefined : Number(url.port),
      path: `${url.pathname.replace(/\/+$/, '')}${path}`,
      headers: { ...source.headers, host: url.host, accept },
      agent: false,
      timeout,
      ...(signal && { signal }),
    });
    request.on('timeout', () => request.destroy(new Error(`no byte moved for ${timeout / 1000} s`)));
    request.on('error', reject);
    request.on('response', resolve);
    request.end();
  });
}

/** What the network does becomes an error that says which service it was. */
async function withService<T>(source: DicomWebSource, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof DicomWebError) throw error;
    const { code } = error as { code?: string };
    const message = error instanceof Error && error.message !== '' ? error.message : String(code);
    throw new DicomWebError(`no answer from ${source.url}: ${message}`, true, 'connect', { cause: error });
  }
}

function checkStatus(source: DicomWebSource, what: string, status: number): void {
  if (status >= 200 && status < 300) return;
  const transient = status >= 500 || status === 408 || status === 429;
  const hint = status === 401 || status === 403 ? ': check the credentials in its headers' : '';
  throw new DicomWebError(`${source.url} answered ${status} to ${what}${hint}`, transient);
}

/**
 * Asks for what matches, all of it, page by page.
 * @param path `/studies`, or `/studies/{uid}/series`
 * @param unique keyword of the UID that tells the matches apart: a service that knows no offset repeats them
 * @throws DicomWebError
 */
export async function search(
  source: DicomWebSource,
  path: string,
  keys: ReadonlyMap<string, string>,
  unique: string,
  options: { signal?: AbortSignal; limit?: number } = {},
): Promise<Attributes[]> {
  const { signal, limit = 10_000 } = options;
  const found = new Map<string, Attributes>();
  await withService(source, async () => {
    for (;;) {
      const query = new URLSearchParams();
      for (const [keyword, value] of keys) {
        if (value === '') query.append('includefield', keyword);
        else query.append(keyword, value);
      }
      query.set('limit', String(PAGE));
      query.set('offset', String(found.size));
      const response = await ask(source, `${path}?${query}`, 'application/dicom+json', signal);
      const { statusCode = 0 } = response;
      const body = await readBody(response, RESPONSE_BYTES);
      checkStatus(source, 'a query', statusCode);
      if (statusCode === 204) return;
      const page = objectsOf(body);
      if (page === undefined)
        throw new DicomWebError(`${source.url} answered a query with something else than DICOM JSON`, false);
      const before = found.size;
      for (const attributes of page) found.set(attributes.get(unique)?.[0] ?? '', attributes);
      if (found.size > limit)
        throw new DicomWebError(`${source.url} found more than ${limit} matches: narrow the query`, false);
      if (page.length < PAGE || found.size === before) return;
    }
  });
  return [...found.values()];
}

function objectsOf(body: Buffer): Attributes[] | undefined {
  try {
    const parsed: unknown = JSON.parse(body.toString('utf8'));
    if (!Array.isArray(parsed)) return undefined;
    return parsed.map((object) => attributesOf(object as Record<string, JsonElement>));
  } catch {
    return undefined;
  }
}

async function readBody(body: AsyncIterable<Buffer>, limit: number): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of body) {
    bytes += chunk.length;
    if (bytes > limit) throw new Error(`the answer is longer than ${limit} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

/**
 * Retrieves a series, each object in the transfer syntax in which it is stored there, while it arrives.
 * @param take reads one part 10 file to its end
 * @returns how many objects came
 * @throws DicomWebError, and whatever `take` throws
 */
export async function retrieveSeries(
  source: DicomWebSource,
  study: string,
  series: string,
  take: (file: AsyncIterable<Buffer>) => Promise<void>,
  options: { signal?: AbortSignal } = {},
): Promise<number> {
  let failure: { error: unknown } | undefined;
  let response: IncomingMessage | undefined;
  try {
    return await withService(source, async () => {
      const accept = 'multipart/related; type="application/dicom"; transfer-syntax=*';
      response = await ask(source, `/studies/${study}/series/${series}`, accept, options.signal);
      checkStatus(source, 'a retrieval', response.statusCode ?? 0);
      const type = response.headers['content-type'] ?? '';
      const boundary = /;\s*boundary=(?:"([^"]+)"|([^\s;]+))/i.exec(type);
      if (!/^multipart\/related/i.test(type) || boundary === null)
        throw new DicomWebError(`${source.url} answered a retrieval with "${type.slice(0, 80)}"`, false);
      let parts = 0;
      for await (const part of readParts(response, boundary[1] ?? boundary[2]!)) {
        try {
          await take(part.body);
        } catch (error) {
          // Of the network's too, whose own words are better.
          if (!(error instanceof MultipartError)) failure = { error };
          throw error;
        }
        parts += 1;
      }
      return parts;
    });
  } catch (error) {
    if (failure !== undefined && response?.errored == null) throw failure.error;
    const { cause } = error as Error;
    if (!(cause instanceof MultipartError)) throw error;
    throw new DicomWebError(`${source.url} broke off a retrieval: ${cause.message}`, true, 'connect', {
      cause,
    });
  } finally {
    response?.destroy();
  }
}
