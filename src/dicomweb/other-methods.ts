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

/** Answers what the services before it left: methods that a resource does not have, deletion among them (RFC 9110 15.5.6). */
export const otherMethods: RequestHandler = (request, response, next) => {
  const resource = RESOURCES.find(({ pattern }) => pattern.test(request.path));
  if (resource === undefined) return next();
  const { allowed } = resource;
  response
    .status(405)
    .set('Allow', allowed)
    .json({ error: `only ${allowed} can be done here` });
};
