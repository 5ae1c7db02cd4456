import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { Request, Response } from 'express';
import type { Instance } from '../archive/index.js';
import { type Acceptable, parseAccept } from './accept.js';
import { RequestError } from './store-request.js';

/** What the client takes: the `accept` query parameter in place of the header (PS3.18 8.3.3.1). */
export function acceptedBy(request: Request): Acceptable[] {
  const { accept } = request.query;
  if (accept === undefined) return parseAccept(request.get('accept'));
  const values = Array.isArray(accept) ? accept.map(String) : [String(accept)];
  // A plus sign that was not escaped arrives as a space.
  return parseAccept(values.join(',').replaceAll(/\b(dicom|svg) (json|xml)\b/g, '$1+$2'));
}

/** `http://host:port/dicom-web`, as the client reaches it. */
export function baseUrl(request: Request): string {
  return `${request.protocol}://${request.get('host') ?? 'localhost'}${request.baseUrl}`;
}

/** `/studies/{study}/series/{series}/instances/{sop}` */
export function instancePath({ study, series, sop }: Pick<Instance, 'study' | 'series' | 'sop'>): string {
  return `/studies/${study}/series/${series}/instances/${sop}`;
}

/** 406, saying what there is. */
export function notAcceptable(available: string): RequestError {
  return new RequestError(406, `nothing that the Accept header takes can be given; there is: ${available}`);
}

function clientIsGone(error: unknown): boolean {
  const code: unknown = (error as { code?: unknown } | undefined)?.code;
  return code === 'ERR_STREAM_PREMATURE_CLOSE' || code === 'ECONNRESET' || code === 'EPIPE';
}

/** The same bytes, after the first of them were read: what fails at once fails here. */
export async function begun(chunks: AsyncGenerator<Buffer, void>): Promise<AsyncGenerator<Buffer, void>> {
  const first = await chunks.next();
  async function* all(): AsyncGenerator<Buffer, void> {
    try {
      if (!first.done) yield first.value;
      yield* chunks;
    } finally {
      await chunks.return();
    }
  }
  return all();
}

/**
 * Sends a body as it is read, at the client's speed; reading stops when the client hangs up. What fails before the first
 * byte is thrown with nothing sent; what fails later cuts the connection, so that nobody takes half for the whole.
 */
export async function send(
  request: Request,
  response: Response,
  body: { contentType: string; chunks: AsyncGenerator<Buffer, void>; length?: number },
  status = 200,
): Promise<void> {
  const chunks = await begun(body.chunks);
  response.status(status).vary('Accept');
  response.setHeader('Content-Type', body.contentType);
  if (body.length !== undefined) response.setHeader('Content-Length', body.length);
  if (request.method === 'HEAD') {
    await body.chunks.return();
    response.end();
    return;
  }
  try {
    await pipeline(Readable.from(chunks, { objectMode: true, highWaterMark: 2 }), response);
  } catch (error) {
    if (!clientIsGone(error)) throw error;
  }
}
