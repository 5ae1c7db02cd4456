import type { Response } from 'express';

/** Who uses the page when nobody has to log in. */
export const NOBODY_IN_PARTICULAR = 'local';

/** The name of the person whose request this is; authentication leaves it in `response.locals.principal`. */
export function readerName(response: Response): string {
  const principal = response.locals.principal as { name?: unknown } | undefined;
  return typeof principal?.name === 'string' && principal.name !== '' ? principal.name : NOBODY_IN_PARTICULAR;
}
