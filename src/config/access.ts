import { isIP } from 'node:net';
import { z } from 'zod';
import { flag, milliseconds, strict, text, whole } from './values.js';

/** An IP address or a network such as 10.1.0.0/16. */
function isNetwork(value: string): boolean {
  const [address = '', prefix, ...rest] = value.split('/');
  const family = isIP(address);
  if (family === 0 || rest.length > 0) return false;
  return prefix === undefined || (/^\d{1,3}$/.test(prefix) && Number(prefix) <= (family === 4 ? 32 : 128));
}

const headerName = text('an HTTP header name', (name) => /^[A-Za-z0-9-]+$/.test(name));
const groupNames = z.array(text('the name of a group'), { error: 'a list of group names' }).default([]);

/** Names that a directory gives → roles here; the highest that fits counts. */
const roles = strict({ viewer: groupNames, technologist: groupNames, admin: groupNames });
const otherwise = z
  .enum(['none', 'viewer', 'technologist', 'admin'], { error: 'none, viewer, technologist or admin' })
  .default('none');

/** RFC 8414: https, or http on this machine for a try. */
function isIssuer(value: string): boolean {
  try {
    const { protocol, hostname, search, hash } = new URL(value);
    const local = hostname === 'localhost' || hostname === '127.0.0.1' || hostname === '[::1]';
    return (protocol === 'https:' || (protocol === 'http:' && local)) && search === '' && hash === '';
  } catch {
    return false;
  }
}

function isHttp(value: string): boolean {
  try {
    return /^https?:$/.test(new URL(value).protocol);
  } catch {
    return false;
  }
}

const proxy = strict({
  addresses: z
    .array(text('an IP address or a network such as 10.1.0.0/16', isNetwork), {
      error: 'a list of addresses and networks',
    })
    .min(1, { error: 'at least one address' }),
  userHeader: headerName.optional(),
  groupsHeader: headerName.optional(),
  roles: roles.prefault({}),
  otherwise,
});

const oidc = strict({
  issuer: text("the issuer's https address (http on loopback only)", isIssuer),
  clientId: text('the client id that the issuer knows this server by'),
  clientSecretFile: text('the path of a file with the client secret').optional(),
  redirectUrl: text('the address of this server as browsers see it, ending in /login/callback', (value) => {
    return isHttp(value) && new URL(value).pathname === '/login/callback';
  }),
  scopes: z.array(text('a scope'), { error: 'a list of scopes' }).default(['openid', 'profile']),
  userClaim: text('the claim that names the user').default('preferred_username'),
  groupsClaim: text('the claim that lists the groups').default('groups'),
  roles: roles.prefault({}),
  otherwise,
});

/** Who may use the HTTP side. Absent: everybody on this machine may everything, and nobody else can reach it. */
export const access = strict({
  users: text('the path of a users file').optional(),
  tokens: text('the path of a tokens file').optional(),
  proxy: proxy.optional(),
  oidc: oidc.optional(),
  dicomweb: z.enum(['token', 'token-or-peer'], { error: 'token or token-or-peer' }).default('token'),
  open: z
    .array(z.enum(['health', 'metrics'], { error: 'health or metrics' }), {
      error: 'a list of health and metrics',
    })
    .default(['health']),
  session: strict({
    lifetime: milliseconds.prefault('12h'),
    idle: milliseconds.prefault('1h'),
    secureCookie: flag.default(false),
  }).prefault({}),
  rate: strict({
    logins: whole(1, 10_000, 'attempts to log in, a minute').default(10),
    requests: whole(1, 10_000_000, 'requests of one user, a minute').default(12_000),
  }).prefault({}),
}).refine(
  (value) =>
    value.users !== undefined ||
    value.tokens !== undefined ||
    value.oidc !== undefined ||
    value.proxy?.userHeader !== undefined,
  {
    error: 'at least one of users, tokens, oidc and proxy.userHeader: without them nobody could be let in',
  },
);
