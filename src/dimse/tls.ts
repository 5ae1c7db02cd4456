/**
 * Secure transport connections: the BCP 195 RFC 8996, 9325 TLS profile of PS3.15 B.12: TLS 1.2 and 1.3 only, with
 * authenticated encryption and ephemeral keys. What it has in common with the non-downgrading profile (B.10) and the
 * extended one (B.11) is enough for peers of those.
 */
import type { ConnectionOptions, SecureContextOptions, TLSSocket, TlsOptions } from 'node:tls';

/** PEM texts. With `ca`, the other side must show a certificate that it signed. */
export interface DimseTls {
  key?: string | Buffer;
  cert?: string | Buffer;
  /** Certificates that the other side's certificate must lead to. Default: those that Node trusts. */
  ca?: string | Buffer | (string | Buffer)[];
  /**
   * Server only. `required` (default): who has none from `ca` is not let in; `optional`: a certificate must be from
   * `ca`, but need not be shown; `none`: not asked for.
   */
  clientCertificates?: 'required' | 'optional' | 'none';
  /** Client only: name that the server's certificate must carry, when it is not the host's. */
  serverName?: string;
}

/** What is known of a secure connection, for logs. */
export interface TlsInformation {
  /** `TLSv1.2` or `TLSv1.3`. */
  protocol: string;
  cipher: string;
  /** Subject and SHA-256 fingerprint of the client's certificate, where it showed one. */
  client?: { subject: string; fingerprint: string };
}

/** Port registered for secure associations (dicom-tls). */
export const SECURE_PORT = 2762;

/** RFC 9325 section 4.2, in order of preference; AES-256 first, as B.11 wants it. */
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

/** What a listener shows, whoever connects. */
export function secureContextOptions(tls: DimseTls): SecureContextOptions {
  return { ...PROFILE, ...credentials(tls), honorCipherOrder: true };
}

/** @throws Error of OpenSSL when it does not take a key or a certificate, once the options are used. */
export function serverTlsOptions(tls: DimseTls, handshakeTimeoutMs: number): TlsOptions {
  const { clientCertificates = 'required' } = tls;
  return {
    ...secureContextOptions(tls),
    requestCert: clientCertificates !== 'none',
    // Whether a certificate that need not be shown is good is looked at afterwards.
    rejectUnauthorized: clientCertificates === 'required',
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

/** Why the certificate that a client showed is not accepted; undefined when it is, or none was shown. */
export function unacceptableClient(socket: TLSSocket): string | undefined {
  const shown = Object.keys(socket.getPeerCertificate()).length > 0;
  return shown && !socket.authorized ? String(socket.authorizationError) : undefined;
}

export function tlsInformation(socket: TLSSocket): TlsInformation {
  const { subject, fingerprint256 } = socket.getPeerCertificate();
  return {
    protocol: socket.getProtocol() ?? '',
    cipher: socket.getCipher().standardName,
    ...(fingerprint256 !== undefined && {
      client: {
        subject: Object.entries(subject)
          .map(([name, value]) => `${name}=${String(value)}`)
          .join(', '),
        fingerprint: fingerprint256,
      },
    }),
  };
}
