/** Secure transport connections: the BCP 195 TLS profile (PS3.15 annex B.9 and B.12). */
import type { ConnectionOptions, TlsOptions } from 'node:tls';

/** PEM texts. With `ca`, the other side must show a certificate that it signed. */
export interface DimseTls {
  key?: string | Buffer;
  cert?: string | Buffer;
  /** Certificates that the other side's certificate must lead to. */
  ca?: string | Buffer | (string | Buffer)[];
  /** Server only: accept peers without a client certificate. Default false: a certificate is required. */
  allowAnonymousClients?: boolean;
  /** Client only: name that the server's certificate must carry, when it is not the host's. */
  serverName?: string;
}

const CIPHERS = [
  'TLS_AES_256_GCM_SHA384',
  'TLS_CHACHA20_POLY1305_SHA256',
  'TLS_AES_128_GCM_SHA256',
  'ECDHE-ECDSA-AES256-GCM-SHA384',
  'ECDHE-RSA-AES256-GCM-SHA384',
  'ECDHE-ECDSA-AES128-GCM-SHA256',
  'ECDHE-RSA-AES128-GCM-SHA256',
].join(':');

const PROFILE = { minVersion: 'TLSv1.2', ciphers: CIPHERS } as const;

function credentials(tls: DimseTls): Pick<TlsOptions, 'key' | 'cert' | 'ca'> {
  return {
    ...(tls.key !== undefined && { key: tls.key }),
    ...(tls.cert !== undefined && { cert: tls.cert }),
    ...(tls.ca !== undefined && { ca: tls.ca }),
  };
}

export function serverTlsOptions(tls: DimseTls, handshakeTimeoutMs: number): TlsOptions {
  const required = tls.allowAnonymousClients !== true;
  return {
    ...PROFILE,
    ...credentials(tls),
    honorCipherOrder: true,
    requestCert: required,
    rejectUnauthorized: required,
    handshakeTimeout: handshakeTimeoutMs,
  };
}

export function clientTlsOptions(tls: DimseTls): ConnectionOptions {
  return {
    ...PROFILE,
    ...credentials(tls),
    rejectUnauthorized: true,
    ...(tls.serverName !== undefined && { servername: tls.serverName }),
  };
}
