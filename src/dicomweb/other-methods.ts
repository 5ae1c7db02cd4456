import type { RequestHandler } from 'express';

const STUDY = '/studies/[^/]+';
const SERIES = `${STUDY}/series/[^/]+`;
const INSTANCE = `${SERIES}/instances/[^/]+`;
const FRAMES = `${INSTANCE}/frames/[^/]+`;

const RESOURCES: readonly { pattern: RegExp; allowed: string }[] = [
  { paths: ['/studies', STUDY], allowed: 'GET, HEAD, POST' },
  {
    paths: [
      ...['/series', '/instances', `${STUDY}/series`, `${STUDY}/instances`, `${SERIES}/instances`],
      ...[SERIES, INSTANCE, FRAMES, `${FRAMES}/rendered`, `${INSTANCE}/rendered`, `${INSTANCE}/bulkdata/.+`],
      ...[STUDY, SERIES, INSTANCE].map((at) => `${at}/metadata`),
    ],
    allowed: 'GET, HEAD',
  },
].map(({ paths, allowed }) => ({ pattern: new RegExp(`^(?:${paths.join('|')})$`), allowed }));

function allowedAt(path: string): string | undefined {
  return RESOURCES.find(({ pattern }) => pattern.test(path))?.allowed;
}

/** OPTIONS, before the services: each of them alone would name its own methods only (RFC 9110 9.3.7). */
export const optionsOf: RequestHandler = (request, response, next) => {
  const allowed = allowedAt(request.path);
  if (request.method !== 'OPTIONS' || allowed === undefined) return next();
  response.status(204).set('Allow', `${allowed}, OPTIONS`).end();
};

/** Answers what the services before it left: methods that a resource does not have, deletion among them (RFC 9110 15.5.6). */
export const otherMethods: RequestHandler = (request, response, next) => {
  const allowed = allowedAt(request.path);
  if (allowed === undefined) return next();
  response
    .status(405)
    .set('Allow', allowed)
    .json({ error: `only ${allowed} can be done here` });
};
