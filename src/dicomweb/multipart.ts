/** A multipart body that does not follow RFC 2046 5.1. */
export class MultipartError extends Error {
  readonly code: 'truncated' | 'malformed';

  constructor(code: 'truncated' | 'malformed', message: string) {
    super(message);
    this.name = 'MultipartError';
    this.code = code;
  }
}

/** One part: its header fields with names in lower case, and its bytes as they arrive. */
export interface Part {
  headers: ReadonlyMap<string, string>;
  body: AsyncIterable<Buffer>;
}

export interface MultipartLimits {
  /** Bytes of one part's header fields. */
  headerBytes: number;
  /** Bytes before the first delimiter. */
  preambleBytes: number;
}

const LIMITS: MultipartLimits = { headerBytes: 16_384, preambleBytes: 65_536 };
const CRLF = Buffer.from('\r\n');
const HEADER_END = Buffer.from('\r\n\r\n');
const NOTHING = Buffer.alloc(0);

/** Bytes that arrived and are not consumed yet. */
class Window {
  bytes: Buffer = NOTHING;
  readonly #chunks: AsyncIterator<Buffer>;

  constructor(source: AsyncIterable<Buffer>) {
    this.#chunks = source[Symbol.asyncIterator]();
  }

  /** Waits for more bytes; false at the end of the stream. */
  async grow(): Promise<boolean> {
    for (;;) {
      const next = await this.#chunks.next();
      if (next.done) return false;
      if (next.value.length === 0) continue;
      this.bytes = this.bytes.length === 0 ? next.value : Buffer.concat([this.bytes, next.value]);
      return true;
    }
  }

  async growOrFail(where: string): Promise<void> {
    if (!(await this.grow())) {
      throw new MultipartError('truncated', `the multipart body ends ${where}, without its final boundary`);
    }
  }

  /** Lets go of the source, whose reader may go on with what is left of it. */
  async release(): Promise<void> {
    await this.#chunks.return?.();
  }

  take(length: number): Buffer {
    const taken = this.bytes.subarray(0, length);
    this.bytes = this.bytes.subarray(length);
    return taken;
  }
}

/**
 * Yields the bytes up to a delimiter and consumes both; what may be the delimiter's beginning is held back. Bulk data
 * is not copied: only the seam between two chunks is looked at in a copy.
 */
async function* upTo(window: Window, delimiter: Buffer, where: string): AsyncGenerator<Buffer, void> {
  const most = delimiter.length - 1;
  for (;;) {
    const at = window.bytes.indexOf(delimiter);
    if (at >= 0) {
      const rest = window.take(at);
      window.take(delimiter.length);
      if (rest.length > 0) yield rest;
      return;
    }
    const certain = window.bytes.length - most;
    if (certain > 0) yield window.take(certain);
    const held = window.take(window.bytes.length);
    await window.growOrFail(where);
    const seam = Buffer.concat([held, window.bytes.subarray(0, most)]);
    if (seam.includes(delimiter) || window.bytes.length < most) {
      window.bytes = Buffer.concat([held, window.bytes]);
    } else if (held.length > 0) {
      yield held;
    }
  }
}

/** Consumes these bytes if they come next. */
async function takeIf(window: Window, bytes: Buffer, where: string): Promise<boolean> {
  while (window.bytes.length < bytes.length) await window.growOrFail(where);
  if (!window.bytes.subarray(0, bytes.length).equals(bytes)) return false;
  window.take(bytes.length);
  return true;
}

async function* nothing(): AsyncGenerator<Buffer, void> {}

/** After a delimiter: "--" ends the body, else blanks and CRLF begin a part. */
async function isFinal(window: Window, limits: MultipartLimits): Promise<boolean> {
  while (window.bytes.length < 2) await window.growOrFail('in a boundary');
  if (window.bytes[0] === 0x2d && window.bytes[1] === 0x2d) return true;
  for (;;) {
    const end = window.bytes.indexOf(CRLF);
    const padding = end < 0 ? window.bytes : window.bytes.subarray(0, end);
    const blank = padding.every((byte, index) => {
      return byte === 0x20 || byte === 0x09 || (end < 0 && byte === 0x0d && index === padding.length - 1);
    });
    if (!blank || padding.length > limits.headerBytes) {
      throw new MultipartError('malformed', 'a boundary is followed by something other than a line end');
    }
    if (end >= 0) {
      window.take(end + CRLF.length);
      return false;
    }
    await window.growOrFail('in a boundary');
  }
}

function parseHeaders(block: string): Map<string, string> {
  const headers = new Map<string, string>();
  for (const line of block.split('\r\n')) {
    const colon = line.indexOf(':');
    if (colon <= 0) throw new MultipartError('malformed', "a part's header line has no field name");
    headers.set(line.slice(0, colon).trim().toLowerCase(), line.slice(colon + 1).trim());
  }
  return headers;
}

async function readHeaders(window: Window, limits: MultipartLimits): Promise<Map<string, string>> {
  for (;;) {
    if (window.bytes.length >= CRLF.length && window.bytes.indexOf(CRLF) === 0) {
      window.take(CRLF.length);
      return new Map();
    }
    const end = window.bytes.indexOf(HEADER_END);
    if (end > limits.headerBytes || (end < 0 && window.bytes.length > limits.headerBytes)) {
      throw new MultipartError('malformed', `a part's header is longer than ${limits.headerBytes} bytes`);
    }
    if (end >= 0) {
      const block = window.take(end).toString('latin1');
      window.take(HEADER_END.length);
      return parseHeaders(block);
    }
    await window.growOrFail("in a part's header");
  }
}

/**
 * Reads a multipart body (RFC 2046 5.1.1) part by part while it arrives; nothing but a delimiter's length is held
 * back, and a slow reader slows the sender. What is left of a part's body is skipped when the next part is asked for.
 * @param boundary the boundary parameter, without the leading "--".
 * @throws MultipartError from the parts or from a part's body.
 */
export async function* readParts(
  source: AsyncIterable<Buffer>,
  boundary: string,
  limits: MultipartLimits = LIMITS,
): AsyncGenerator<Part, void> {
  const delimiter = Buffer.from(`\r\n--${boundary}`, 'latin1');
  const window = new Window(source);
  try {
    window.bytes = CRLF; // the first delimiter may stand at the very beginning, without its line end
    let preamble = 0;
    for await (const skipped of upTo(window, delimiter, 'before its first boundary')) {
      preamble += skipped.length;
      if (preamble > limits.preambleBytes) {
        throw new MultipartError(
          'malformed',
          `no boundary in the first ${limits.preambleBytes} bytes of the body`,
        );
      }
    }
    while (!(await isFinal(window, limits))) {
      const headers = await readHeaders(window, limits);
      // A part without content has its delimiter's line end in the header's.
      const empty = await takeIf(window, delimiter.subarray(CRLF.length), 'in a part');
      const body = empty ? nothing() : upTo(window, delimiter, 'in a part');
      // No return(): a reader that stops early must not end the generator, whose rest is skipped below.
      yield { headers, body: { [Symbol.asyncIterator]: () => ({ next: () => body.next() }) } };
      for await (const _ of body);
    }
    do {
      window.bytes = NOTHING;
    } while (await window.grow());
  } finally {
    await window.release();
  }
}
