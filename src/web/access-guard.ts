import type { NextFunction, Request, RequestHandler, Response } from 'express';
import { type Access, createRate, isAmbient, type Principal } from '../access/index.js';
import type { Config } from '../config/index.js';
import { discardRest } from '../dicomweb/index.js';
import type { AccessTable } from './route-access.js';
import { comesFromHere } from './security.js';

/** What the audit trail and the metrics hear of refusals. */
export interface Refusals {
  /** Credentials that are not good, or a right that somebody tried to use without having it. */
  refused(event: {
    status: 401 | 403 | 429;
    reason: string;
    address: string;
    name?: string;
    path: string;
  }): void;
}

export interface GuardOptions {
  access: Access;
  table: AccessTable;
  limits: Pick<NonNullable<Config['access']>, 'rate' | 'dicomweb'> | undefined;
  /** The name of the DICOMweb client at an address, for `dicomweb: token-or-peer`. */
  peerAt(address: string): Promise<string | undefined>;
  refusals: Refusals;
}

/** Who sends this request, once it has passed the guard. */
export function principalOf(response: Response): Principal | undefined {
  return response.locals.principal as Principal | undefined;
}

/** What an open page asks for by itself, whether somebody sits before it or not. */
const WATCHING = new Set(['/api/status', '/api/events']);

const CHANGES_NOTHING = new Set(['GET', 'HEAD', 'OPTIONS']);

/** How much of a body is read that nobody will look at. */
const STRANGERS_BYTES = 1024 * 1024;
/** Requests a minute from one address that shows no credentials, or bad ones. */
const STRANGERS_PER_MINUTE = 600;

/**
 * Stands before every route: says who sends the request, and lets it through where {@link AccessTable} allows it.
 * 401 without good credentials, 403 without the role, 429 for too many requests. Changes that a browser asks for with
 * credentials that it sends by itself must show that this origin's page asked (cross-site request forgery).
 */
export function guard(options: GuardOptions): RequestHandler {
  const { access, table, limits, refusals } = options;
  const strangers = createRate(STRANGERS_PER_MINUTE);
  const known = createRate(limits?.rate.requests ?? Number.MAX_SAFE_INTEGER);

  const refuse = (
    request: Request,
    response: Response,
    status: 401 | 403 | 429,
    reason: string,
    name?: string,
  ) => {
    const address = access.addressOf(request);
    refusals.refused({ status, reason, address, ...(name && { name }), path: request.path });
    if (status === 401) response.set('WWW-Authenticate', 'Bearer realm="mcnet"');
    const wantsPage =
      status === 401 && request.method === 'GET' && request.accepts(['json', 'html']) === 'html';
    if (wantsPage && access.sessions) {
      response.redirect(303, `/login?next=${encodeURIComponent(request.originalUrl)}`);
    } else {
      response.status(status).json({ error: reason });
    }
    // A client that is still sending sees the answer only when it is read on a little.
    void discardRest(request, STRANGERS_BYTES);
  };

  const peer = async (request: Request): Promise<Principal | undefined> => {
    if (limits?.dicomweb !== 'token-or-peer' || !request.path.startsWith('/dicom-web/')) return undefined;
    const address = access.addressOf(request);
    const name = await options.peerAt(address);
    const role = request.method === 'POST' ? 'sender' : 'reader';
    return name === undefined ? undefined : { name, role, by: 'peer', address };
  };

  return async (request: Request, response: Response, next: NextFunction) => {
    const allowed = table.allowedAt(request.method, request.path);
    const identity = access.identify(request, WATCHING.has(request.path));
    const forged = identity && 'forged' in identity ? identity.forged : undefined;
    const principal =
      identity && !('forged' in identity) ? identity : forged ? undefined : await peer(request);
    const address = access.addressOf(request);

    const wait = principal ? known.take(principal.name) : access.configured ? strangers.take(address) : 0;
    if (wait > 0) {
      response.set('Retry-After', String(Math.ceil(wait / 1000)));
      return refuse(request, response, 429, 'too many requests; wait a little', principal?.name);
    }
    if (principal) response.locals.principal = principal;
    if (allowed !== 'everyone') {
      if (!principal) return refuse(request, response, 401, forged ?? 'log in, or show a token');
      if (!allowed.includes(principal.role)) {
        return refuse(request, response, 403, `the role ${principal.role} may not do this`, principal.name);
      }
    }
    if (
      principal &&
      isAmbient(principal) &&
      !CHANGES_NOTHING.has(request.method) &&
      !comesFromHere(request)
    ) {
      const reason = 'a change must be asked for by a page of this server';
      return refuse(request, response, 403, reason, principal.name);
    }
    next();
  };
}
