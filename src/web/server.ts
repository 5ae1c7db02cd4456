import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer, type RequestListener, type Server } from 'node:http';
import { createServer as createTlsServer, Server as TlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { createSecureContext, type SecureContextOptions } from 'node:tls';

export interface WebServer {
  port: number;
  /** The page's address. */
  url: string;
  /**
   * Reads certificate and key again, for the connections to come.
   * @throws Error with a sentence when they cannot be used: those before stay
   */
  renewCertificate(): void;
  /** Takes no more connections, waits for the requests under way, and cuts off what is left after the grace time. */
  close(graceMs?: number): Promise<void>;
}

/** PEM files: our certificate with its chain, and its key. */
export interface WebTls {
  certificate: string;
  key: string;
}

function pem(file: string): Buffer {
  try {
    return readFileSync(file);
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    throw new Error(`http.tls: ${file} cannot be read (${code})`, { cause: error });
  }
}

const LIMITS = { requestTimeout: 0, headersTimeout: 20_000, keepAliveTimeout: 65_000, noDelay: true };

function secureOptions(tls: WebTls): SecureContextOptions {
  const options = { cert: pem(tls.certificate), key: pem(tls.key), minVersion: 'TLSv1.2' } as const;
  try {
    createSecureContext(options);
  } catch (error) {
    const why = (error as Error).message;
    throw new Error(`http.tls: ${tls.certificate} and ${tls.key} cannot be used: ${why}`, { cause: error });
  }
  return options;
}

function serverFor(app: RequestListener, tls: WebTls | undefined): Server | TlsServer {
  if (!tls) return createServer(LIMITS, app);
  return createTlsServer({ ...LIMITS, ...secureOptions(tls), handshakeTimeout: 20_000 }, app);
}

/** A connection without a byte in either direction for so long is closed; event streams have their heartbeat. */
const IDLE_MS = 120_000;

/**
 * Serves an application. A request may take as long as it makes progress (a series over a slow line takes more than
 * Node's five minutes); only its headers, and silence, are bounded.
 * @throws Error with a sentence when the address cannot be used.
 */
export async function startWebServer(
  app: RequestListener,
  at: { host: string; port: number; tls?: WebTls | undefined },
): Promise<WebServer> {
  const server = serverFor(app, at.tls);
  server.maxHeadersCount = 100;
  server.setTimeout(IDLE_MS);
  server.listen(at.port, at.host);
  try {
    await once(server, 'listening');
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    const why =
      code === 'EADDRINUSE'
        ? 'another program listens there'
        : code === 'EACCES'
          ? 'the port needs a privilege'
          : code === 'EADDRNOTAVAIL'
            ? 'this machine has no such address'
            : (error as Error).message;
    throw new Error(`http cannot listen on ${at.host}:${at.port}: ${why}`, { cause: error });
  }
  const { port } = server.address() as AddressInfo;
  const name = at.host.includes(':') ? `[${at.host}]` : at.host;
  return {
    port,
    url: `${at.tls ? 'https' : 'http'}://${name}:${port}/`,
    renewCertificate() {
      if (at.tls && server instanceof TlsServer) server.setSecureContext(secureOptions(at.tls));
    },
    async close(graceMs = 5000) {
      const closed = once(server, 'close');
      server.close();
      server.closeIdleConnections();
      const timer = setTimeout(() => server.closeAllConnections(), graceMs);
      await closed;
      clearTimeout(timer);
    },
  };
}
