/** Who may use the HTTP side: users, tokens, sessions, what a proxy or an OpenID Connect issuer vouches for. */
export { type Access, cookieOf, type Forged, openAccess } from './access.js';
export { OidcError } from './oidc.js';
export { Busy } from './password.js';
export { isAmbient, PEOPLE, type PersonRole, type Principal, ROLES, type Role } from './principal.js';
export { AccessFileError } from './private-file.js';
export { createRate, type Rate } from './rate.js';
export { openTokens } from './tokens.js';
export { openUsers } from './users.js';
