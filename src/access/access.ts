import type { IncomingMessage } from 'node:http';
import { join } from 'node:path';
import { type Config, plainAddress } from '../config/index.js';
import { type GroupRoles, roleOf } from './groups.js';
import { inNetworks } from './networks.js';
import { createOidc, type Oidc } from './oidc.js';
import { isPrincipalName, type PersonRole, type Principal } from './principal.js';
import { openSessions, type Sessions } from './sessions.js';
import { isToken, openTokens, type Tokens } from './tokens.js';
import { openUsers, type Users } from './users.js';

/** Credentials were shown, and are not good; the message is a sentence for the one who showed them. */
export interface Forged {
  forged: string;
}

/** Who may do what over HTTP. */
export interface Access {
  /** False: no access is configured, and everybody who reaches the server may everything. */
  readonly configured: boolean;
  readonly users?: Users;
  readonly oidc?: Oidc;
  readonly sessions?: Sessions;
  /**
   * Who sends a request: by token, else session, else what a trusted proxy says. undefined: nobody says.
   * @param watching an open page asks by itself: that keeps no session from becoming idle
   * @throws AccessFileError when a file of users or tokens cannot be read: nobody is let in then
   */
  identify(request: IncomingMessage, watching?: boolean): Principal | Forged | undefined;
  /** The address of the other end, behind trusted proxies the one that they name. */
  addressOf(request: IncomingMessage): string;
  /** Whether the browser's side of the connection is encrypted. */
  isSecure(request: IncomingMessage): boolean;
  /** Begins a session. @returns the Set-Cookie header */
  logIn(request: IncomingMessage, user: string, role?: PersonRole): string;
  /** @returns who was logged in, and the Set-Cookie header that ends it */
  logOut(request: IncomingMessage): { user?: string; cookie: string };
  close(): void;
}

/** The value of one cookie (RFC 6265 5.4). The first counts. */
export function cookieOf(request: IncomingMessage, name: string): string | undefined {
  for (const pair of (request.headers.cookie ?? '').split(';')) {
    const at = pair.indexOf('=');
    if (at > 0 && pair.slice(0, at).trim() === name) return pair.slice(at + 1).trim();
  }
  return undefined;
}

/** RFC 6750 2.1 (Bearer), and RFC 7617 (Basic) with the token as password, for clients that know no other. */
function tokenOf(authorization: string): string | undefined {
  const bearer = /^Bearer +(\S+)$/i.exec(authorization);
  if (bearer) return bearer[1];
  const basic = /^Basic +([A-Za-z0-9+/=_-]+)$/i.exec(authorization);
  if (!basic) return undefined;
  const pair = Buffer.from(basic[1]!, 'base64').toString('utf8');
  return pair.slice(pair.indexOf(':') + 1);
}

function headerOf(request: IncomingMessage, name: string): string | undefined {
  const value = request.headers[name.toLowerCase()];
  return Array.isArray(value) ? value.join(',') : value;
}

/** Everybody may everything: the server listens on loopback only. */
function openAccessForThisMachine(): Access {
  const address = (request: IncomingMessage) => plainAddress(request.socket.remoteAddress ?? '');
  return {
    configured: false,
    identify: (request) => ({ name: 'local', role: 'admin', by: 'open', address: address(request) }),
    addressOf: address,
    isSecure: (request) => 'encrypted' in request.socket,
    logIn: () => '',
    logOut: () => ({ cookie: '' }),
    close() {},
  };
}

/**
 * @param config files are read when somebody comes, so that users and tokens can be added while the server runs
 * @throws AccessFileError when a file cannot be used
 */
export function openAccess(config: Pick<Config, 'access' | 'data' | 'http'>): Access {
  const { access } = config;
  if (!access) return openAccessForThisMachine();
  const users = access.users === undefined ? undefined : openUsers(access.users);
  const tokens: Tokens | undefined = access.tokens === undefined ? undefined : openTokens(access.tokens);
  users?.list();
  tokens?.list();
  const oidc = access.oidc && createOidc(access.oidc);
  const sessions =
    users || oidc
      ? openSessions(join(config.data, 'sessions.json'), {
          lifetime: access.session.lifetime,
          idle: access.session.idle,
        })
      : undefined;
  const isProxy = inNetworks(access.proxy?.addresses ?? []);

  const peerOf = (request: IncomingMessage) => plainAddress(request.socket.remoteAddress ?? '');
  const addressOf = (request: IncomingMessage): string => {
    let address = peerOf(request);
    // From the nearest: what a client wrote itself stands to the left of what a trusted proxy added.
    for (const hop of (headerOf(request, 'x-forwarded-for') ?? '').split(',').reverse()) {
      if (hop.trim() === '' || !isProxy(address)) break;
      address = plainAddress(hop.trim()).slice(0, 64);
    }
    return address;
  };
  const isSecure = (request: IncomingMessage) =>
    'encrypted' in request.socket ||
    (isProxy(peerOf(request)) && headerOf(request, 'x-forwarded-proto')?.toLowerCase() === 'https');
  const isSecureCookie = (request: IncomingMessage) => access.session.secureCookie || isSecure(request);
  // RFC 6265bis 4.1.3.2: with this prefix no other host and no plain connection can set it.
  const cookieName = (request: IncomingMessage) => (isSecureCookie(request) ? '__Host-mcnet' : 'mcnet');
  const cookie = (request: IncomingMessage, value: string, seconds: number) =>
    `${cookieName(request)}=${value}; Path=/; Max-Age=${seconds}; HttpOnly; SameSite=Lax${isSecureCookie(request) ? '; Secure' : ''}`;

  const bySession = (request: IncomingMessage, watching: boolean): Principal | Forged | undefined => {
    const value = cookieOf(request, cookieName(request));
    if (value === undefined || !sessions) return undefined;
    const session = sessions.find(value, watching);
    if (!session) return undefined;
    const address = addressOf(request);
    if (session.role) return { name: session.user, role: session.role, by: 'session', address };
    const user = users?.find(session.user);
    // A new password ends what was begun with the old one.
    if (!user || Date.parse(user.passwordChangedAt) > session.createdAt) return undefined;
    return { name: user.name, role: user.role, by: 'session', address };
  };
  const byProxy = (request: IncomingMessage): Principal | Forged | undefined => {
    const { proxy } = access;
    const name = proxy?.userHeader && headerOf(request, proxy.userHeader);
    if (!proxy || !name) return undefined;
    if (!isProxy(peerOf(request))) return { forged: `${proxy.userHeader} is believed from the proxy only` };
    if (!isPrincipalName(name)) return { forged: 'the proxy names a user that cannot be one' };
    const groups = proxy.groupsHeader ? (headerOf(request, proxy.groupsHeader) ?? '') : '';
    const mapping: GroupRoles = proxy;
    const role = roleOf(
      groups.split(/[,;|]/).map((group) => group.trim()),
      mapping,
    );
    if (!role) return { forged: `${name} has no role here` };
    return { name, role, by: 'proxy', address: addressOf(request) };
  };

  return {
    configured: true,
    ...(users && { users }),
    ...(oidc && { oidc }),
    ...(sessions && { sessions }),
    identify(request, watching = false) {
      const { authorization } = request.headers;
      if (authorization !== undefined) {
        const shown = tokenOf(authorization);
        const token = shown !== undefined && isToken(shown) ? tokens?.verify(shown) : undefined;
        if (!token) return { forged: 'the token is not known here, or no longer' };
        return { name: token.name, role: token.role, by: 'token', address: addressOf(request) };
      }
      return bySession(request, watching) ?? byProxy(request);
    },
    addressOf,
    isSecure,
    logIn: (request, user, role) =>
      cookie(request, sessions!.begin(user, role), Math.round(access.session.lifetime / 1000)),
    logOut(request) {
      const value = cookieOf(request, cookieName(request));
      const ended = value === undefined ? undefined : sessions?.end(value);
      return { ...(ended && { user: ended.user }), cookie: cookie(request, '', 0) };
    },
    close: () => sessions?.close(),
  };
}
