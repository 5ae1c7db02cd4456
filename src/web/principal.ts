import type { Response } from 'express';

/** Who uses the page when nobody has to log in. */
export const NOBODY_IN_PARTICULAR = 'local';

/** The name of the person who has logged in; authentication leaves it in `response.locals.principal`. */
export function loggedInName(response: Response): string | undefined {
  const principal = response.locals.principal as { name?: unknown; by?: unknown } | undefined;
  if (typeof principal?.name !== 'string' || principal.name === '' || principal.by === 'open')
    return undefined;
  return principal.name;
}

/** Whose request this is, for what is kept with a name. */
export function readerName(response: Response): string {
  return loggedInName(response) ?? NOBODY_IN_PARTICULAR;
}
