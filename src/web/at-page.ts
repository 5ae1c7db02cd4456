import type { Request, RequestHandler } from 'express';
import { isAmbient } from '../access/index.js';
import type { PatientDisplay } from './about.js';
import { principalOf } from './access-guard.js';
import { hostOf } from './security.js';

/**
 * Whether a person asks, in a browser, rather than a program: by session or through the proxy that has logged them in;
 * where nobody logs in, by what browsers alone say of their requests: W3C Fetch Metadata or, over plain HTTP under a
 * name, where they leave that out, the page that the request comes from.
 */
export function isAtPage(request: Request): boolean {
  const principal = request.res && principalOf(request.res);
  if (!principal) return false;
  if (isAmbient(principal)) return true;
  if (principal.by !== 'open') return false;
  const site = request.get('sec-fetch-site');
  if (site !== undefined) return site === 'same-origin' || site === 'none';
  return hostOf(request.get('referer') ?? '') === request.get('host');
}

/** Of DICOMweb, what has pixels and nothing else (PS3.18 10.4.1.1): frames and renderings. */
const PIXELS_ONLY =
  /^\/studies\/[^/]+\/series\/[^/]+\/instances\/[^/]+\/(?:frames\/[^/]+(?:\/rendered)?|rendered)$/;

/**
 * Keeps from a person at the page what `page.patient` keeps from the page: of DICOMweb there are pixels only, unless
 * patients are shown in full. Programs have their own credentials, and get what they are allowed to.
 */
export function maskedDicomWeb(display: PatientDisplay): RequestHandler {
  return (request, response, next) => {
    const reads = request.method === 'GET' || request.method === 'HEAD';
    if (display === 'full' || !reads || PIXELS_ONLY.test(request.path) || !isAtPage(request)) return next();
    response.status(403).json({
      error: `page.patient is ${display}: headers and whole objects are for programs with a token of the role reader`,
    });
  };
}
