import type { NextFunction, Request, Response } from 'express';
import type { Principal } from '../access/index.js';
import { principalOf } from './access-guard.js';

/** What the audit trail hears of requests that were answered. */
export interface Disclosures {
  /** Somebody saw something of a study; its own UID is known, or that of a series, or an instance's id. */
  viewed(principal: Principal, what: { study?: string; series?: string; instance?: number }): void;
  /** Somebody searched, here or at a source; `query` is the request's own, and may name a patient. */
  queried(principal: Principal, query: string): void;
  /** Somebody decided about a series. */
  acted(principal: Principal, action: 'accept' | 'reject' | 'retry' | 'rate', series: string): void;
}

type Telling = (to: Disclosures, principal: Principal) => void;

/** Says what an answer discloses where its address does not: a blinded case has neither study nor series in it. */
export function discloses(response: Response, tell: Telling): void {
  response.locals.discloses = tell;
}

type Hear = (
  to: Disclosures,
  principal: Principal,
  request: Request,
  match: RegExpExecArray,
  response: Response,
) => void;

const UID = '([0-9.]{1,64})';

/** Which answers disclose something, and what. The first that fits counts. */
const DISCLOSING: readonly [method: string, path: RegExp, hear: Hear][] = [
  [
    'GET',
    new RegExp(
      `^/dicom-web/(?:studies|series|instances|studies/${UID}/series|studies/${UID}(?:/series/${UID})?/instances)$`,
    ),
    (to, principal, request) => to.queried(principal, request.originalUrl),
  ],
  [
    'GET',
    new RegExp(`^/dicom-web/studies/${UID}(?:/series/${UID})?(?:/.*)?$`),
    (to, principal, _request, [, study, series]) =>
      to.viewed(principal, { study: study!, ...(series !== undefined && { series }) }),
  ],
  ['GET', /^\/api\/series$/, (to, principal, request) => to.queried(principal, request.originalUrl)],
  [
    'GET',
    new RegExp(`^/api/series/${UID}(?:/.*)?$`),
    (to, principal, _request, [, series]) => to.viewed(principal, { series: series! }),
  ],
  [
    'GET',
    /^\/api\/instances\/(\d{1,9})(?:\/.*)?$/,
    (to, principal, _request, [, id]) => to.viewed(principal, { instance: Number(id) }),
  ],
  // The source is searched for it, and what it finds comes here.
  [
    'POST',
    /^\/api\/fetch$/,
    (to, principal, { body, originalUrl }) =>
      to.queried(principal, `${originalUrl} ${JSON.stringify(body ?? {})}`),
  ],
  [
    'POST',
    /^\/api\/series\/retry$/,
    (to, principal, _request, _match, { locals }) => {
      for (const series of (locals.series as string[] | undefined) ?? [])
        to.acted(principal, 'retry', series);
    },
  ],
  [
    'POST',
    new RegExp(`^/api/series/${UID}/retry$`),
    (to, principal, _request, [, series]) => to.acted(principal, 'retry', series!),
  ],
  [
    'POST',
    new RegExp(`^/api/series/${UID}/reviews$`),
    (to, principal, { body }, [, series]) => {
      const verdict = (body as { verdict?: unknown } | undefined)?.verdict;
      to.acted(principal, verdict === 'rejected' ? 'reject' : 'accept', series!);
    },
  ],
];

/** Tells the audit trail what was disclosed or decided, once it has been answered without an error. */
export function disclosing(to: Disclosures) {
  return (request: Request, response: Response, next: NextFunction): void => {
    const { method, path } = request;
    response.once('finish', () => {
      const principal = principalOf(response);
      if (!principal || response.statusCode >= 400) return;
      const tell = response.locals.discloses as Telling | undefined;
      if (tell) return tell(to, principal);
      for (const [expected, pattern, hear] of DISCLOSING) {
        const match = method === expected ? pattern.exec(path) : null;
        if (!match) continue;
        hear(to, principal, request, match, response);
        return;
      }
    });
    next();
  };
}
