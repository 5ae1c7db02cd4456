import { type Request, type Response, Router, urlencoded } from 'express';
import { type Access, Busy, cookieOf, createRate, OidcError } from '../access/index.js';
import { principalOf } from './access-guard.js';
import { loginPage } from './login-page.js';
import { comesFromHere } from './security.js';

/** What the audit trail hears. */
export interface LoginEvents {
  loggedIn(event: { name: string; address: string }): void;
  loggedOut(event: { name: string; address: string }): void;
  loginFailed(event: { name: string; address: string; reason: string }): void;
}

export interface LoginOptions {
  access: Access;
  loginsPerMinute: number;
  events: LoginEvents;
}

const STATE_COOKIE = 'mcnet-login';

/** A path of this server to go on to; nothing that a browser could take for another host. */
export function safeNext(next: unknown): string {
  return typeof next === 'string' && /^\/(?![/\\])[\x21-\x7e]{0,500}$/.test(next) && !next.includes('\\')
    ? next
    : '/';
}

/** What a person typed as a name, fit for a log. */
function shownName(name: unknown): string {
  return typeof name === 'string' ? name.replaceAll(/[^A-Za-z0-9._@-]/g, '?').slice(0, 64) : '';
}

/** `/login`, by password or at an OpenID Connect issuer, `/logout`, and `/api/session`. */
export function createLogin(options: LoginOptions): Router {
  const { access, events } = options;
  const router = Router();
  const byAddress = createRate(options.loginsPerMinute);
  const byName = createRate(options.loginsPerMinute);

  const page = (response: Response, status: number, next: unknown, problem?: string) => {
    response
      .status(status)
      .type('html')
      .send(
        loginPage({
          next: safeNext(next),
          password: access.users !== undefined,
          issuer: access.oidc !== undefined,
          ...(problem && { problem }),
        }),
      );
  };
  const refuse = (
    response: Response,
    status: number,
    next: unknown,
    name: unknown,
    address: string,
    reason: string,
  ) => {
    events.loginFailed({ name: shownName(name), address, reason });
    page(response, status, next, reason);
  };

  router.get('/login', (request, response) => {
    if (!access.sessions) response.redirect(303, '/');
    else page(response, 200, request.query.next);
  });

  router.post(
    '/login',
    urlencoded({ extended: false, limit: '4kb', parameterLimit: 8 }),
    async (request, response) => {
      const { name, password, next } = (request.body ?? {}) as Record<string, unknown>;
      const address = access.addressOf(request);
      if (!access.users) return page(response, 404, next, 'Passwords are not used here.');
      if (!comesFromHere(request)) {
        return refuse(response, 403, next, name, address, 'The form was not sent by this page.');
      }
      const known = typeof name === 'string' ? name.toLowerCase() : '';
      const wait = byAddress.take(address) || byName.take(known);
      if (wait > 0) {
        response.set('Retry-After', String(Math.ceil(wait / 1000)));
        return refuse(response, 429, next, name, address, 'Too many attempts. Wait a minute.');
      }
      if (typeof name !== 'string' || typeof password !== 'string') {
        return refuse(response, 400, next, name, address, 'A name and a password are expected.');
      }
      try {
        const user = await access.users.verify(name, password);
        if (!user) return refuse(response, 401, next, name, address, 'Name and password do not fit.');
        // A session that another person left open ends here, and its id is never used again.
        access.logOut(request);
        response.append('Set-Cookie', access.logIn(request, user.name));
        events.loggedIn({ name: user.name, address });
        response.redirect(303, safeNext(next));
      } catch (error) {
        if (!(error instanceof Busy)) throw error;
        refuse(response, 503, next, name, address, 'Too many people are logging in. Try again.');
      }
    },
  );

  const stateCookie = (request: Request, value: string, seconds: number) =>
    `${STATE_COOKIE}=${value}; Path=/login; Max-Age=${seconds}; HttpOnly; SameSite=Lax${access.isSecure(request) ? '; Secure' : ''}`;

  router.get('/login/start', async (request, response) => {
    if (!access.oidc) return page(response, 404, undefined, 'There is no other login here.');
    const address = access.addressOf(request);
    if (byAddress.take(address) > 0) {
      return refuse(response, 429, undefined, '', address, 'Too many attempts. Wait a minute.');
    }
    try {
      const { url, state } = await access.oidc.begin(safeNext(request.query.next));
      response.append('Set-Cookie', stateCookie(request, state, 600));
      response.redirect(303, url);
    } catch (error) {
      if (!(error instanceof OidcError)) throw error;
      refuse(response, 502, undefined, '', address, `${error.message}.`);
    }
  });

  router.get('/login/callback', async (request, response) => {
    if (!access.oidc) return page(response, 404, undefined, 'There is no other login here.');
    const address = access.addressOf(request);
    response.append('Set-Cookie', stateCookie(request, '', 0));
    try {
      const state = cookieOf(request, STATE_COOKIE) ?? '';
      const { user, role, next } = await access.oidc.finish(state, request.originalUrl);
      access.logOut(request);
      response.append('Set-Cookie', access.logIn(request, user, role));
      events.loggedIn({ name: user, address });
      response.redirect(303, next);
    } catch (error) {
      if (!(error instanceof OidcError)) throw error;
      refuse(response, 401, undefined, '', address, `${error.message}.`);
    }
  });

  router.post('/logout', (request, response) => {
    if (!comesFromHere(request)) {
      response.status(403).json({ error: 'a change must be asked for by a page of this server' });
      return;
    }
    const { user, cookie } = access.logOut(request);
    if (cookie !== '') response.append('Set-Cookie', cookie);
    if (user) events.loggedOut({ name: user, address: access.addressOf(request) });
    response.redirect(303, access.sessions ? '/login' : '/');
  });

  router.get('/api/session', (_request, response) => {
    const principal = principalOf(response);
    response.json({
      configured: access.configured,
      ...(principal && { name: principal.name, role: principal.role, by: principal.by }),
    });
  });

  return router;
}
