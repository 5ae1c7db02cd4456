import { once } from 'node:events';
import { type Request, type Response, Router } from 'express';
import { parseMediaType } from './media-type.js';
import { isUid } from './meta-header.js';
import { MultipartError, type Part, readParts } from './multipart.js';
import { toNativeXml } from './native-model.js';
import { RequestError, type StoreOptions, StoreRequest } from './store-request.js';
import { type StoreResult, storeResponse, storeStatus } from './store-response.js';

export interface StoreProviderOptions extends StoreOptions {
  /** The sender's name, by the request's credentials or its address; undefined for one who may not send. */
  senderOf(address: string, request: Request): Promise<string | undefined>;
  /** Whether more may come now: as intake.acceptMore. */
  acceptMore?(): true | { reason: string; full?: boolean };
}

/** How much of a refused body is read on, so that the client gets to see the answer. */
const DISCARD_BYTES = 64 * 1024 * 1024;
const DISCARD_MS = 10_000;
const DISCARD_IDLE_MS = 1000;

async function* counted(request: Request, limit: number): AsyncGenerator<Buffer, void> {
  let total = 0;
  // Without destroyOnReturn an answer could not be sent after leaving the loop early.
  for await (const chunk of request.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
    total += chunk.length;
    if (total > limit) throw new RequestError(413, `the request is longer than ${limit} bytes`);
    yield chunk;
  }
}

async function* onePart(body: AsyncIterable<Buffer>): AsyncGenerator<Part, void> {
  yield { headers: new Map([['content-type', 'application/dicom']]), body };
}

/** The instances in the request's body, by its media type. */
function partsOf(request: Request, limit: number): AsyncGenerator<Part, void> {
  const media = parseMediaType(request.get('content-type'));
  const encoding = request.get('content-encoding');
  if (encoding !== undefined && encoding !== 'identity') {
    throw new RequestError(415, `Content-Encoding ${encoding} is not supported`);
  }
  if (media?.type === 'application/dicom') return onePart(counted(request, limit));
  if (media?.type !== 'multipart/related') {
    throw new RequestError(
      415,
      'expected Content-Type multipart/related; type="application/dicom"; boundary=...',
    );
  }
  const type = media.parameters.get('type') ?? 'application/dicom';
  if (parseMediaType(type)?.type !== 'application/dicom') {
    throw new RequestError(415, 'only parts of type application/dicom are supported');
  }
  const boundary = media.parameters.get('boundary') ?? '';
  if (!/^[\x20-\x7e]{1,200}$/.test(boundary) || boundary.endsWith(' ')) {
    throw new RequestError(400, 'the multipart body has no usable boundary parameter');
  }
  return readParts(counted(request, limit), boundary);
}

/**
 * Reads on for a while without keeping anything: a client that is still sending does not see an answer otherwise.
 * One that stops sending, or does not come to an end, is cut off.
 */
export async function discardRest(request: Request, limit = DISCARD_BYTES): Promise<void> {
  if (request.readableEnded || request.destroyed) return;
  const cut = () => request.destroy();
  const whole = setTimeout(cut, DISCARD_MS);
  const idle = setTimeout(cut, DISCARD_IDLE_MS);
  let discarded = 0;
  request.on('data', (chunk: Buffer) => {
    discarded += chunk.length;
    idle.refresh();
    if (discarded > limit) cut();
  });
  request.resume();
  await Promise.race([once(request, 'end'), once(request, 'close')]).catch(() => undefined);
  clearTimeout(whole);
  clearTimeout(idle);
}

function answer(request: Request, response: Response, status: number, results: readonly StoreResult[]): void {
  const base = `${request.protocol}://${request.get('host') ?? 'localhost'}${request.baseUrl}`;
  const body = storeResponse(results, base);
  const wanted = request.accepts(['application/dicom+json', 'application/json', 'application/dicom+xml']);
  const xml = wanted === 'application/dicom+xml';
  response.status(status).vary('Accept');
  // Without a charset parameter, which these types do not have and some clients do not expect (PS3.18 8.7.3).
  response.setHeader('Content-Type', xml ? 'application/dicom+xml' : 'application/dicom+json');
  response.end(xml ? toNativeXml(body) : JSON.stringify(body));
}

/**
 * STOW-RS (PS3.18 10.5): `POST /studies` and `POST /studies/{study}`, as multipart/related of application/dicom parts
 * or one application/dicom body. Instances flow to the intake as they arrive, at the speed of its disk; each is
 * answered as stored only after its commit. A client that hangs up leaves whole instances or nothing.
 */
export function createStoreProvider(options: StoreProviderOptions): Router {
  const store = async (request: Request, response: Response): Promise<void> => {
    const address = request.socket.remoteAddress ?? '';
    const refuse = async (status: number, message: string) => {
      response.status(status).json({ error: message });
      await discardRest(request);
    };
    const peer = await options.senderOf(address, request);
    if (peer === undefined) {
      return refuse(403, `${address} may not send: it is the host of none of the configured peers`);
    }
    const room = options.acceptMore?.() ?? true;
    if (room !== true) {
      response.set('Retry-After', '60');
      return refuse(room.full ? 507 : 503, room.reason);
    }
    const study = request.params.study as string | undefined;
    if (study !== undefined && !isUid(study))
      return refuse(400, 'the Study Instance UID in the address is not a UID');
    if (Number(request.get('content-length') ?? 0) > options.limits.requestBytes) {
      return refuse(413, `the request is longer than ${options.limits.requestBytes} bytes`);
    }
    const work = new StoreRequest(options, { protocol: 'dicomweb', peer, address }, study);
    let error: unknown;
    try {
      await work.run(partsOf(request, options.limits.requestBytes));
    } catch (caught) {
      error = caught;
    }
    work.end();
    if (request.destroyed && !request.readableEnded && error !== undefined) return; // the client is gone
    const stored = work.results.some((result) => result.stored);
    if (error instanceof RequestError) {
      if (stored) answer(request, response, error.status, work.results);
      else response.status(error.status).json({ error: error.message });
      await discardRest(request);
    } else if (error instanceof MultipartError) {
      if (stored) answer(request, response, 202, work.results);
      else response.status(400).json({ error: error.message });
      await discardRest(request);
    } else if (error !== undefined) {
      throw error;
    } else if (work.results.length === 0) {
      response.status(400).json({ error: 'the request contains no instance' });
    } else {
      answer(request, response, storeStatus(work.results), work.results);
    }
  };
  const router = Router();
  router.post('/studies', store);
  router.post('/studies/:study', store);
  return router;
}
