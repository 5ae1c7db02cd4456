import type { Request, RequestHandler } from 'express';
import { isLoopback } from '../config/index.js';
import { isUid } from '../dicom/index.js';
import { RequestError } from './store-request.js';

/** Whose requests may read patient data: the reader's name, by the request's credentials or its address. */
export type ReaderOf = (address: string, request: Request) => Promise<string | undefined>;

type Handler = (...of: Parameters<RequestHandler>) => Promise<void>;

/**
 * Wraps a handler of the reading services: the host must be this machine or a known peer's (403), every UID of the
 * address must be one (400), and what it refuses by RequestError is answered as a sentence in JSON.
 */
export function reading(readerOf: ReaderOf, handle: Handler): RequestHandler {
  return async (request, response, next) => {
    try {
      const address = request.socket.remoteAddress ?? '';
      if (!isLoopback(address) && (await readerOf(address, request)) === undefined) {
        throw new RequestError(
          403,
          `${address} may not read: it is the host of none of the configured peers`,
        );
      }
      for (const [name, what] of [
        ['study', 'Study'],
        ['series', 'Series'],
        ['sop', 'SOP'],
      ] as const) {
        const uid = request.params[name];
        if (uid !== undefined && !(typeof uid === 'string' && isUid(uid))) {
          throw new RequestError(400, `the ${what} Instance UID in the address is not a UID`);
        }
      }
      await handle(request, response, next);
    } catch (error) {
      if (!(error instanceof RequestError) || response.headersSent) throw error;
      response.status(error.status).json({ error: error.message });
    }
  };
}
