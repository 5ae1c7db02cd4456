import { isIP } from 'node:net';
import type { NextFunction, Request, Response } from 'express';
import { isLoopback } from '../config/index.js';

/** Only files of this server, no inline script or style, no frame: see the CSP of the page's own files. */
const CONTENT_SECURITY_POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self'",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'self'",
  "frame-ancestors 'none'",
].join('; ');

/** Headers that every answer carries. */
export function securityHeaders(_request: Request, response: Response, next: NextFunction): void {
  response.set({
    'Content-Security-Policy': CONTENT_SECURITY_POLICY,
    'X-Content-Type-Options': 'nosniff',
    'X-Frame-Options': 'DENY',
    // With no-referrer a browser would send forms with `Origin: null`, and no login could be told from a stranger's.
    'Referrer-Policy': 'same-origin',
    'Cross-Origin-Resource-Policy': 'same-origin',
    'Cross-Origin-Opener-Policy': 'same-origin',
    'Permissions-Policy': 'camera=(), microphone=(), geolocation=()',
    'Cache-Control': 'no-store',
  });
  next();
}

/** RFC 6797: a browser that has reached this host by TLS does not do without any more. */
export function strictTransport(isSecure: (request: Request) => boolean) {
  return (request: Request, response: Response, next: NextFunction): void => {
    if (isSecure(request)) response.set('Strict-Transport-Security', 'max-age=31536000');
    next();
  };
}

/**
 * Cuts off a request whose body is not there in time: one that drips in byte by byte would hold its connection for
 * ever. DICOMweb's large bodies are not meant; they are bounded by silence alone.
 */
export function promptBody(ms: number) {
  return (request: Request, response: Response, next: NextFunction): void => {
    if (!request.complete && !request.path.startsWith('/dicom-web/')) {
      const timer = setTimeout(() => {
        if (!request.complete) request.socket.destroy();
      }, ms);
      request.once('end', () => clearTimeout(timer));
      response.once('close', () => clearTimeout(timer));
    }
    next();
  };
}

/** The host's name in a Host header, in lower case, without port and brackets; undefined when malformed. */
export function hostName(header: string | undefined): string | undefined {
  const match = /^(?:\[([0-9a-f:.]+)\]|([a-z0-9._-]+))(?::\d{1,5})?$/i.exec(header ?? '');
  return (match?.[1] ?? match?.[2])?.toLowerCase();
}

/**
 * Refuses requests under a name that is not this server's (421). A page of a stranger can make its own name resolve to
 * this address (DNS rebinding) and then read as if it were ours; an IP address cannot be rebound.
 */
export function knownHosts(allowed: readonly string[]) {
  const names = new Set(allowed.map((name) => name.toLowerCase()));
  return (request: Request, response: Response, next: NextFunction): void => {
    // RFC 9112 3.2: of two Host fields neither counts.
    const [host, ...others] = request.headersDistinct.host ?? [];
    const name = others.length > 0 ? undefined : hostName(host);
    if (name !== undefined && (isIP(name) !== 0 || isLoopback(name) || names.has(name))) {
      next();
      return;
    }
    response
      .status(421)
      .json({ error: 'this server is not known by that name; add it to http.allowedHosts' });
  };
}

/** Host and port of an address; undefined when it is none. */
export function hostOf(origin: string): string | undefined {
  try {
    return new URL(origin).host;
  } catch {
    return undefined;
  }
}

/**
 * Lets pages of the listed origins use what follows (WHATWG Fetch 3.2, CORS), and answers their preflight requests.
 * Pages of other origins get no such header, so their browser keeps the answer from them.
 */
export function crossOrigin(origins: readonly string[]) {
  const known = new Set(origins);
  return (request: Request, response: Response, next: NextFunction): void => {
    if (known.size > 0) response.vary('Origin');
    const origin = request.get('origin');
    if (origin === undefined || !known.has(origin)) {
      next();
      return;
    }
    response.locals.crossOrigin = true;
    response.set({
      'Access-Control-Allow-Origin': origin,
      'Access-Control-Expose-Headers': 'Content-Location, Warning',
      'Cross-Origin-Resource-Policy': 'cross-origin',
    });
    if (request.method !== 'OPTIONS' || request.get('access-control-request-method') === undefined) {
      next();
      return;
    }
    response
      .status(204)
      .set({
        'Access-Control-Allow-Methods': 'GET, HEAD, POST',
        'Access-Control-Allow-Headers': 'Accept, Authorization, Content-Type, X-Requested-With',
        'Access-Control-Max-Age': '600',
      })
      .end();
  };
}

/** Whether a browser says that a page of this origin asked: it sends one of the two headers with every form and fetch. */
export function comesFromHere(request: Request): boolean {
  const origin = request.get('origin');
  if (origin !== undefined && origin !== 'null') return hostOf(origin) === request.get('host');
  return request.get('sec-fetch-site') === 'same-origin';
}

const SAFE_METHODS = new Set(['GET', 'HEAD', 'OPTIONS']);

/**
 * Refuses what another site's page sends in a user's browser (403): requests that change something must come from
 * this origin, or from a program that is no browser. Only hosts are compared: a proxy may add TLS.
 */
export function sameOrigin(request: Request, response: Response, next: NextFunction): void {
  const site = request.get('sec-fetch-site');
  const foreign =
    response.locals.crossOrigin !== true &&
    ((site !== undefined && site !== 'same-origin' && site !== 'none') ||
      (request.get('origin') !== undefined && !comesFromHere(request)));
  if (foreign && !SAFE_METHODS.has(request.method)) {
    response.status(403).json({ error: 'requests from pages of other sites are refused' });
  } else {
    next();
  }
}
