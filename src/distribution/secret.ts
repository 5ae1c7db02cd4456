import { createHash, createHmac, timingSafeEqual } from 'node:crypto';

const digest = (text: string) => createHash('sha256').update(text).digest();

/** Whether an Authorization header carries the secret as a bearer token (RFC 6750 2.1). */
export function isBearerOf(secret: string, header: string | undefined): boolean {
  const given = /^Bearer (.+)$/i.exec(header ?? '')?.[1] ?? '';
  return timingSafeEqual(digest(given), digest(secret));
}

/** Lets a worker see that a gateway's address in Redis was written by somebody who knows the secret. */
export function sealOf(secret: string, gateway: { id: string; url: string }): string {
  return createHmac('sha256', secret).update(`${gateway.id}\n${gateway.url}`).digest('hex');
}

export function isSealed(secret: string, gateway: { id: string; url: string; seal: string }): boolean {
  return timingSafeEqual(digest(sealOf(secret, gateway)), digest(gateway.seal));
}
