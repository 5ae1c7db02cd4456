/**
 * What somebody may do. People: a viewer looks, a technologist also decides and retries, an admin also configures.
 * Programs: a reader uses QIDO-RS and WADO-RS, a sender STOW-RS, a monitor reads metrics and health, a worker takes
 * jobs. None of the programs' roles includes another.
 */
export const ROLES = ['viewer', 'technologist', 'admin', 'reader', 'sender', 'monitor', 'worker'] as const;
export type Role = (typeof ROLES)[number];

/** The roles of people, from the least to the most. */
export const PEOPLE = ['viewer', 'technologist', 'admin'] as const satisfies readonly Role[];
export type PersonRole = (typeof PEOPLE)[number];

/** Who sends a request, and how that is known. */
export interface Principal {
  name: string;
  role: Role;
  /**
   * `open`: no access is configured, and only this machine can reach the server. `peer`: a DICOMweb client that is
   * known by its address alone.
   */
  by: 'open' | 'session' | 'proxy' | 'token' | 'peer';
  /** The address of the other end, behind trusted proxies the one that they name. */
  address: string;
}

/** Credentials that a browser sends by itself, whoever made it ask. */
export function isAmbient(principal: Principal): boolean {
  return principal.by === 'session' || principal.by === 'proxy';
}

/** The name of a user or a token: what may stand in files, logs and headers. */
export function isPrincipalName(name: string): boolean {
  return /^[A-Za-z0-9][A-Za-z0-9._@-]{0,63}$/.test(name);
}
