import { type Request, type Response, Router } from 'express';
import { chooseType, written } from './accept.js';
import { acceptedBy, baseUrl, notAcceptable, send } from './answer.js';
import type { Holdings } from './holdings.js';
import { multipart } from './multipart-writer.js';
import { toNativeXml } from './native-model.js';
import type { Level } from './query-attributes.js';
import { parseQuery } from './query-request.js';
import { type ReaderOf, reading } from './read-access.js';
import { search } from './search.js';

export interface QueryProviderOptions {
  /** What there is for whoever asks. */
  holdingsFor(request: Request): Holdings;
  /** The reader's name, or undefined for one who may not read. This machine always may. */
  readerOf: ReaderOf;
  /** Results in one answer, at most; the client asks for more by offset. Default 10,000. */
  maxResults?: number;
}

const TYPES = [
  { type: 'application/dicom+json', multipart: false },
  { type: 'application/json', multipart: false },
  { type: 'application/dicom+xml', multipart: true },
];
/** An answer is held until it is known whether there is more, so that its header can say so. */
const ANSWER_BYTES = 32 * 1024 * 1024;

async function* buffers(chunks: Iterable<Buffer>): AsyncGenerator<Buffer, void> {
  yield* chunks;
}

function* asJson(results: readonly Buffer[]): Generator<Buffer, void> {
  for (const [index, result] of results.entries()) {
    yield Buffer.from(index === 0 ? '[' : ',\n');
    yield result;
  }
  yield Buffer.from(results.length === 0 ? '[]' : ']');
}

/** QIDO-RS (PS3.18 10.6): searches for studies, series and instances. */
export function createQueryProvider(options: QueryProviderOptions): Router {
  const { holdingsFor, readerOf, maxResults = 10_000 } = options;

  async function answer(level: Level, request: Request, response: Response): Promise<void> {
    const offer = chooseType(acceptedBy(request), TYPES);
    if (!offer) throw notAcceptable(TYPES.map(written).join(', '));
    const query = parseQuery(request, level, maxResults);
    const warnings = [...query.warnings];
    const results: Buffer[] = [];
    let bytes = 0;
    for await (const result of search(query, { holdings: holdingsFor(request), base: baseUrl(request) })) {
      if (response.destroyed) return; // the client is gone
      if (results.length >= query.limit || bytes >= ANSWER_BYTES) {
        warnings.push('There are additional results that can be requested');
        break;
      }
      const encoded = Buffer.from(offer.multipart ? toNativeXml(result) : JSON.stringify(result));
      bytes += encoded.length;
      results.push(encoded);
    }
    for (const warning of warnings) response.append('Warning', `299 mcnet "${warning}"`);
    const partHeaders = { 'Content-Type': offer.type };
    return send(
      request,
      response,
      offer.multipart
        ? multipart(
            offer.type,
            results.map((body) => ({ headers: partHeaders, body })),
          )
        : { contentType: offer.type, chunks: buffers(asJson(results)) },
    );
  }

  const router = Router();
  const at = (level: Level, ...paths: string[]) => {
    router.get(
      paths,
      reading(readerOf, (request, response) => answer(level, request, response)),
    );
  };
  at('study', '/studies');
  at('series', '/series', '/studies/:study/series');
  at('instance', '/instances', '/studies/:study/instances', '/studies/:study/series/:series/instances');
  return router;
}
