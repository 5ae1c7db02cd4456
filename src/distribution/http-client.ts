/** HTTP requests over connections that are kept, with an end to silence. */
import { type IncomingMessage, Agent as PlainAgent, request as plainRequest } from 'node:http';
import { Agent as SecureAgent, request as secureRequest } from 'node:https';
import { finished } from 'node:stream/promises';

export interface HttpRequest {
  method?: 'GET' | 'POST' | 'PUT';
  headers?: Readonly<Record<string, string>>;
  body?: Buffer | string;
}

export interface HttpClientOptions {
  /** Connections to one host, at most. */
  connections: number;
  /** Without a byte in either direction for so long a request is given up, ms. */
  silenceMs: number;
  /** A connection that is not there after so long is given up, ms. */
  connectMs: number;
}

export interface HttpClient {
  /** Resolves when the header of the answer is here; its body has to be read or {@link discard}ed. */
  ask(url: string, request?: HttpRequest): Promise<IncomingMessage>;
  /** Cuts off what is under way. */
  close(): void;
}

/** Reads an answer to its end, or to the end of its connection, and forgets it. */
export async function discard(answer: IncomingMessage): Promise<void> {
  answer.resume();
  await finished(answer).catch(() => {});
}

export function createHttpClient({ connections, silenceMs, connectMs }: HttpClientOptions): HttpClient {
  const limits = { keepAlive: true, maxSockets: connections };
  const [plain, secure] = [new PlainAgent(limits), new SecureAgent(limits)];

  function once(url: URL, { method = 'GET', headers = {}, body }: HttpRequest): Promise<IncomingMessage> {
    const isSecure = url.protocol === 'https:';
    return new Promise((resolve, reject) => {
      const request = (isSecure ? secureRequest : plainRequest)(url, {
        method,
        agent: isSecure ? secure : plain,
        timeout: silenceMs,
        headers: { ...headers, ...(body !== undefined && { 'content-length': Buffer.byteLength(body) }) },
      });
      request.on('timeout', () => request.destroy(new Error(`no byte moved for ${silenceMs / 1000} s`)));
      request.on('socket', (socket) => {
        if (!socket.connecting) return;
        const timer = setTimeout(
          () => request.destroy(new Error(`no connection after ${connectMs / 1000} s`)),
          connectMs,
        );
        socket.once('connect', () => clearTimeout(timer)).once('close', () => clearTimeout(timer));
      });
      request.on('error', (error: NodeJS.ErrnoException) => {
        reject(Object.assign(error, { reused: request.reusedSocket }));
      });
      request.on('response', resolve);
      request.end(body);
    });
  }

  return {
    async ask(address, request = {}) {
      const url = new URL(address);
      try {
        return await once(url, request);
      } catch (error) {
        // The other side closed a connection that was kept, at the moment when it was used again.
        const { code, reused } = error as { code?: string; reused?: boolean };
        if (!reused || (code !== 'ECONNRESET' && code !== 'EPIPE')) throw error;
        return once(url, request);
      }
    },
    close() {
      plain.destroy();
      secure.destroy();
    },
  };
}
