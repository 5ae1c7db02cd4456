import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { Config } from '../config/index.js';
import { roleOf } from './groups.js';
import { isPrincipalName, type PersonRole } from './principal.js';

type OidcConfig = NonNullable<NonNullable<Config['access']>['oidc']>;

/** The issuer did not vouch for the person; the message is a sentence without secrets. */
export class OidcError extends Error {
  override name = 'OidcError';
}

export interface Oidc {
  /** Where the browser has to go, and what its cookie keeps until it comes back. */
  begin(next: string): Promise<{ url: string; state: string }>;
  /**
   * @param state what {@link begin} gave the browser to keep
   * @param callback path and query that the browser came back with
   * @returns whom the issuer vouches for, and where to go on. @throws OidcError
   */
  finish(state: string, callback: string): Promise<{ user: string; role: PersonRole; next: string }>;
}

interface Pending {
  state: string;
  nonce: string;
  verifier: string;
  next: string;
  until: number;
}

/** How long a person may take at the issuer's page. */
const PENDING_MS = 10 * 60_000;
const PENDING_MAX = 10_000;

function sentence(error: unknown): string {
  const code: unknown = (error as { code?: unknown }).code;
  const why: unknown = (error as { error?: unknown }).error;
  return [why, code].filter((each) => typeof each === 'string').join(', ') || 'the exchange failed';
}

/**
 * OpenID Connect Core 1.0, authorization code flow with PKCE (RFC 7636), state and nonce. The issuer is asked for its
 * configuration at the first login, so that a start does not depend on it.
 */
export function createOidc(config: OidcConfig): Oidc {
  const pending = new Map<string, Pending>();
  let discovered: Promise<import('openid-client').Configuration> | undefined;

  const discover = async () => {
    const client = await import('openid-client');
    const secret = config.clientSecretFile && readFileSync(config.clientSecretFile, 'utf8').trim();
    const local = config.issuer.startsWith('http:');
    return client.discovery(
      new URL(config.issuer),
      config.clientId,
      {},
      secret ? client.ClientSecretBasic(secret) : client.None(),
      { timeout: 10, ...(local && { execute: [client.allowInsecureRequests] }) },
    );
  };
  const issuer = async () => {
    discovered ??= discover();
    try {
      return await discovered;
    } catch (error) {
      discovered = undefined;
      throw new OidcError(`the issuer ${config.issuer} cannot be asked (${sentence(error)})`, {
        cause: error,
      });
    }
  };
  const forgetOld = () => {
    for (const [key, { until }] of pending)
      if (until < Date.now() || pending.size > PENDING_MAX) pending.delete(key);
  };

  return {
    async begin(next) {
      const client = await import('openid-client');
      const at = await issuer();
      forgetOld();
      const state = randomBytes(32).toString('base64url');
      const entry: Pending = {
        state,
        nonce: client.randomNonce(),
        verifier: client.randomPKCECodeVerifier(),
        next,
        until: Date.now() + PENDING_MS,
      };
      pending.set(state, entry);
      const url = client.buildAuthorizationUrl(at, {
        redirect_uri: config.redirectUrl,
        scope: config.scopes.join(' '),
        state,
        nonce: entry.nonce,
        code_challenge: await client.calculatePKCECodeChallenge(entry.verifier),
        code_challenge_method: 'S256',
      });
      return { url: url.href, state };
    },
    async finish(state, callback) {
      const entry = pending.get(state);
      pending.delete(state);
      if (!entry || entry.until < Date.now()) throw new OidcError('the login took too long; try again');
      const client = await import('openid-client');
      let claims: Record<string, unknown>;
      try {
        const tokens = await client.authorizationCodeGrant(
          await issuer(),
          new URL(callback, config.redirectUrl),
          {
            expectedState: entry.state,
            expectedNonce: entry.nonce,
            pkceCodeVerifier: entry.verifier,
            idTokenExpected: true,
          },
        );
        claims = { ...tokens.claims() };
      } catch (error) {
        if (error instanceof OidcError) throw error;
        throw new OidcError(`the issuer did not confirm the login (${sentence(error)})`, { cause: error });
      }
      const user = claims[config.userClaim];
      if (typeof user !== 'string' || !isPrincipalName(user)) {
        throw new OidcError(`the issuer's claim ${config.userClaim} is no name for a user`);
      }
      const groups = claims[config.groupsClaim];
      const role = roleOf(
        (Array.isArray(groups) ? groups : [groups]).filter((group) => typeof group === 'string'),
        config,
      );
      if (!role) throw new OidcError(`${user} has no role here`);
      return { user, role, next: entry.next };
    },
  };
}
