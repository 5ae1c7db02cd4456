import { randomUUID } from 'node:crypto';

/** One part of a multipart answer; its body is read when its turn comes. */
export interface OutgoingPart {
  headers: Readonly<Record<string, string>>;
  body: AsyncIterable<Buffer> | Buffer;
}

export interface MultipartBody {
  /** Value of Content-Type. */
  contentType: string;
  chunks: AsyncGenerator<Buffer, void>;
}

async function* encode(
  boundary: string,
  parts: AsyncIterable<OutgoingPart> | Iterable<OutgoingPart>,
): AsyncGenerator<Buffer, void> {
  let first = true;
  for await (const { headers, body } of parts) {
    const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
    yield Buffer.from(`${first ? '' : '\r\n'}--${boundary}\r\n${lines.join('')}\r\n`, 'latin1');
    first = false;
    if (Buffer.isBuffer(body)) yield body;
    else yield* body;
  }
  yield Buffer.from(`\r\n--${boundary}--\r\n`, 'latin1');
}

/** A multipart/related message (RFC 2387, PS3.18 8.6.1.2) of parts of one type, written as it is read. */
export function multipart(
  type: string,
  parts: AsyncIterable<OutgoingPart> | Iterable<OutgoingPart>,
): MultipartBody {
  const boundary = `mcnet-${randomUUID()}`;
  return {
    contentType: `multipart/related; type="${type}"; boundary=${boundary}`,
    chunks: encode(boundary, parts),
  };
}
