import { createSocket, type Socket } from 'node:dgram';
import { readFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { connect, type TLSSocket } from 'node:tls';
import type { Config } from '../config/index.js';

type SyslogConfig = NonNullable<Config['audit']['syslog']>;

export interface Syslog {
  send(message: string, at: Date): void;
  /** Waits a little for what is still to be sent. */
  close(graceMs?: number): Promise<void>;
}

/** Facility 10 (security/authorization), severity 5 (notice): PS3.15 A.6. */
const PRIORITY = 10 * 8 + 5;
/** The largest UDP payload over IPv4. */
const DATAGRAM_BYTES = 65_507;
/** Messages that wait for a repository that does not answer; the oldest go first. The file has them all. */
const WAITING = 20_000;
const RECONNECT_MS = [500, 1000, 2000, 5000, 10_000, 30_000];

/** RFC 5424 6, with the message id and the byte order mark that PS3.15 A.6 asks for. */
export function syslogMessage(message: string, at: Date, pid: number, host = hostname()): Buffer {
  const header = `<${PRIORITY}>1 ${at.toISOString()} ${host || '-'} mcnet ${pid} DICOM+RFC3881 - `;
  return Buffer.concat([Buffer.from(header, 'ascii'), Buffer.from(`\ufeff${message}`, 'utf8')]);
}

function openUdp(config: SyslogConfig, onProblem: (problem: string | undefined) => void): Syslog {
  const socket: Socket = createSocket(config.host.includes(':') ? 'udp6' : 'udp4');
  socket.unref();
  socket.on('error', (error) => onProblem(`syslog to ${config.host}:${config.port}: ${error.message}`));
  let sending = 0;
  let idle: (() => void) | undefined;
  return {
    send(message, at) {
      const bytes = syslogMessage(message, at, process.pid);
      if (bytes.length > DATAGRAM_BYTES) {
        onProblem(`a message of ${bytes.length} bytes is too long for syslog over UDP; use tls`);
        return;
      }
      sending += 1;
      socket.send(bytes, config.port, config.host, (error) => {
        sending -= 1;
        onProblem(error ? `syslog to ${config.host}:${config.port}: ${error.message}` : undefined);
        if (sending === 0) idle?.();
      });
    },
    async close(graceMs = 2000) {
      if (sending > 0) {
        await new Promise<void>((resolve) => {
          idle = resolve;
          setTimeout(resolve, graceMs).unref();
        });
      }
      socket.close();
    },
  };
}

function openTls(config: SyslogConfig, onProblem: (problem: string | undefined) => void): Syslog {
  const pem = (file: string | undefined) => (file === undefined ? undefined : readFileSync(file));
  const [ca, cert, key] = [pem(config.ca), pem(config.certificate), pem(config.key)];
  const waiting: Buffer[] = [];
  let socket: TLSSocket | undefined;
  let ready = false;
  let failures = 0;
  let closing = false;
  let timer: NodeJS.Timeout | undefined;
  let idle: (() => void) | undefined;

  const pump = () => {
    while (ready && socket && waiting.length > 0 && !socket.writableNeedDrain) socket.write(waiting.shift()!);
    if (waiting.length === 0 && (socket?.writableLength ?? 0) === 0) idle?.();
  };
  const open = () => {
    timer = undefined;
    const opened = connect({
      host: config.host,
      port: config.port,
      ...(/^[\d.]+$|:/.test(config.host) ? {} : { servername: config.host }),
      ...(ca && { ca }),
      ...(cert && { cert }),
      ...(key && { key }),
      minVersion: 'TLSv1.2',
    });
    socket = opened;
    opened.unref();
    opened.setKeepAlive(true, 30_000);
    opened.on('secureConnect', () => {
      ready = true;
      failures = 0;
      onProblem(undefined);
      pump();
    });
    opened.on('drain', pump);
    opened.on('data', () => undefined);
    opened.on('error', (error) => onProblem(`syslog to ${config.host}:${config.port}: ${error.message}`));
    opened.on('close', () => {
      ready = false;
      if (closing) return;
      timer = setTimeout(open, RECONNECT_MS[Math.min(failures, RECONNECT_MS.length - 1)]);
      timer.unref();
      failures += 1;
    });
  };
  open();

  return {
    send(message, at) {
      const bytes = syslogMessage(message, at, process.pid);
      // RFC 5425 4.3: the length in octets, a space, the message.
      waiting.push(Buffer.concat([Buffer.from(`${bytes.length} `), bytes]));
      if (waiting.length > WAITING) {
        waiting.shift();
        onProblem(
          `syslog to ${config.host}:${config.port}: more than ${WAITING} messages wait; the oldest are dropped`,
        );
      }
      pump();
    },
    async close(graceMs = 2000) {
      closing = true;
      if (ready && (waiting.length > 0 || (socket?.writableLength ?? 0) > 0)) {
        await new Promise<void>((resolve) => {
          idle = resolve;
          setTimeout(resolve, graceMs).unref();
          socket?.once('drain', pump);
        });
      }
      clearTimeout(timer);
      socket?.end();
      if (!ready) socket?.destroy();
    },
  };
}

/**
 * Sends the trail to an audit record repository by syslog (RFC 5424), over TLS (RFC 5425) or UDP (RFC 5426).
 * @param onProblem hears why messages do not arrive, and undefined when they do again
 */
export function openSyslog(config: SyslogConfig, onProblem: (problem: string | undefined) => void): Syslog {
  return config.transport === 'tls' ? openTls(config, onProblem) : openUdp(config, onProblem);
}
