import { type Request, type Response, Router } from 'express';

const STUDY = '/studies/:study';
const SERIES = `${STUDY}/series/:series`;
const INSTANCE = `${SERIES}/instances/:sop`;
const READ_ONLY = [
  SERIES,
  INSTANCE,
  '/series',
  '/instances',
  `${STUDY}/series`,
  `${STUDY}/instances`,
  `${SERIES}/instances`,
  ...[STUDY, SERIES, INSTANCE].map((at) => `${at}/metadata`),
  `${INSTANCE}/rendered`,
  `${INSTANCE}/frames/:frames`,
  `${INSTANCE}/frames/:frames/rendered`,
  `${INSTANCE}/bulkdata/*path`,
];

function refuse(allowed: string) {
  return (_request: Request, response: Response): void => {
    response
      .status(405)
      .set('Allow', allowed)
      .json({ error: `only ${allowed} can be done here` });
  };
}

/** Answers what the services before it left: methods that a resource does not have, deletion among them (RFC 9110 15.5.6). */
export function otherMethods(): Router {
  const router = Router();
  router.all(['/studies', STUDY], refuse('GET, HEAD, POST'));
  router.all(READ_ONLY, refuse('GET, HEAD'));
  return router;
}
