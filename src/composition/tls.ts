/** Keys and certificates: from the names in the configuration to what opens secure connections. */
import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createSecureContext } from 'node:tls';
import { type Config, ConfigError, type ListenerTls, type OutgoingTls } from '../config/index.js';
import { type DimseTls, serverTlsOptions } from '../dimse/index.js';

type Secured = Pick<Config, 'dimse' | 'http' | 'peers' | 'destinations' | 'sources' | 'redis'>;

/** A certificate that is good for less than this is worth a warning. */
const EXPIRY_WARNING_MS = 30 * 24 * 3600 * 1000;

/** What the listener shows and asks for. @throws Error of the system when a file cannot be read */
export function listenerTls(tls: ListenerTls): DimseTls {
  return {
    key: readFileSync(tls.key),
    cert: readFileSync(tls.cert),
    clientCertificates: tls.clientCertificates,
    ...(tls.ca !== undefined && { ca: readFileSync(tls.ca) }),
  };
}

/** What a connection to a peer shows and asks for. @throws Error of the system when a file cannot be read */
export function outgoingTls(tls: OutgoingTls, own: ListenerTls | undefined): DimseTls {
  const { key = own?.key, cert = own?.cert, ca = own?.ca, serverName } = tls;
  return {
    ...(key !== undefined && { key: readFileSync(key) }),
    ...(cert !== undefined && { cert: readFileSync(cert) }),
    ...(ca !== undefined && { ca: readFileSync(ca) }),
    ...(serverName !== undefined && { serverName }),
  };
}

interface Named {
  /** Where in the configuration. */
  key: string;
  /** What the certificate is called there. */
  certificateKey: string;
  tls: { key?: string | undefined; cert?: string | undefined; ca?: string | undefined };
}

function everyTls(config: Secured): Named[] {
  const named: Named[] = [];
  const add = (key: string, tls: Named['tls'] | undefined, certificateKey = 'cert') => {
    if (tls !== undefined) named.push({ key, certificateKey, tls });
  };
  add('dimse.tls', config.dimse.tls);
  const web = config.http.tls;
  add('http.tls', web && { key: web.key, cert: web.certificate }, 'certificate');
  for (const [index, { tls }] of config.peers.entries()) add(`peers[${index}].tls`, tls);
  for (const [name, { dimse }] of Object.entries(config.destinations))
    add(`destinations.${name}.dimse.tls`, dimse?.tls);
  for (const [name, { dimse }] of Object.entries(config.sources))
    add(`sources.${name}.dimse.tls`, dimse?.tls);
  add('redis.tls', config.redis.tls);
  return named;
}

/** The files of every key and certificate that the configuration names. */
export function certificateFiles(config: Secured): string[] {
  const files = everyTls(config).flatMap(({ tls: { key, cert, ca } }) => [key, cert, ca]);
  return [...new Set(files.filter((file) => file !== undefined))];
}

function read(name: string): Buffer {
  try {
    return readFileSync(name);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw new Error(code === 'ENOENT' ? 'there is no such file' : `it cannot be read (${code})`);
  }
}

function privateKey(pem: Buffer): KeyObject {
  if (/ENCRYPTED/.test(pem.toString('latin1')))
    throw new Error('it is encrypted; expected a private key without a pass phrase');
  try {
    return createPrivateKey(pem);
  } catch {
    throw new Error('it is not a private key in PEM form');
  }
}

function certificates(pem: Buffer): X509Certificate[] {
  const blocks = pem.toString('latin1').match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g);
  try {
    return (blocks ?? ['']).map((block) => new X509Certificate(block));
  } catch {
    throw new Error('it is not a certificate in PEM form');
  }
}

/**
 * Reads every key and certificate that the configuration names.
 * @returns a warning for each certificate that soon expires
 * @throws ConfigError with a sentence for each file that cannot be used, naming key and file
 */
export function checkTls(config: Secured, now = Date.now()): string[] {
  const problems: string[] = [];
  const warnings: string[] = [];
  const look = <T>(key: string, name: string, at: (file: Buffer) => T): T | undefined => {
    try {
      return at(read(name));
    } catch (error) {
      problems.push(`${key}: ${name}: ${(error as Error).message}`);
      return undefined;
    }
  };
  for (const { key: path, certificateKey, tls } of everyTls(config)) {
    const before = problems.length;
    const key = tls.key === undefined ? undefined : look(`${path}.key`, tls.key, privateKey);
    if (tls.cert !== undefined) {
      look(`${path}.${certificateKey}`, tls.cert, (file) => {
        const [certificate] = certificates(file);
        const until = Date.parse(certificate!.validTo);
        if (key !== undefined && !certificate!.checkPrivateKey(key))
          throw new Error(`its certificate is not that of the key ${tls.key}`);
        if (Date.parse(certificate!.validFrom) > now)
          throw new Error(`its certificate is not valid before ${certificate!.validFrom}`);
        if (until < now) throw new Error(`its certificate expired on ${certificate!.validTo}`);
        if (until - now < EXPIRY_WARNING_MS)
          warnings.push(
            `${path}.${certificateKey}: the certificate in ${tls.cert} expires on ${certificate!.validTo}`,
          );
      });
    }
    if (tls.ca !== undefined) look(`${path}.ca`, tls.ca, certificates);
    if (problems.length > before) continue;
    try {
      const { key: _key, cert: _cert, ca: _ca, ...profile } = serverTlsOptions({}, 1000);
      createSecureContext({ ...profile, ...outgoingTls(tls, undefined) });
    } catch (error) {
      problems.push(`${path}: OpenSSL does not take its key or certificate: ${(error as Error).message}`);
    }
  }
  if (problems.length > 0) throw new ConfigError('the configuration', problems);
  return warnings;
}
