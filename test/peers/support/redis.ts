/** Debian's redis-server on a loopback port of its own, without persistence: killed, it has forgotten everything. */
import { connect } from 'node:net';
import { connect as connectSecurely } from 'node:tls';
import { type Identity, loaded } from './certificates.js';
import { type Ending, eventually, freePort, startProgram, temporaryFolder } from './process.js';

export interface RedisServer {
  port: number;
  url: string;
  pid(): number;
  start(): Promise<void>;
  /** Ends it at once; what it held is gone. */
  kill(): Promise<void>;
  /** Sends one command in inline form, and returns what it answers. */
  command(text: string): Promise<string>;
}

function ask(port: number, text: string, tls?: Identity): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = tls
      ? connectSecurely({ port, host: '127.0.0.1', ...loaded(tls) })
      : connect(port, '127.0.0.1');
    let answer = '';
    socket.setEncoding('utf8');
    socket.on(tls ? 'secureConnect' : 'connect', () => socket.end(`${text}\r\n`));
    socket.on('data', (chunk: string) => {
      answer += chunk;
    });
    socket.on('end', () => resolve(answer));
    socket.on('error', reject);
    socket.setTimeout(10_000, () => socket.destroy(new Error(`Redis does not answer ${text}`)));
  });
}

/**
 * @param started false: the port is reserved, and nothing listens until `start`.
 * @param o.tls TLS only, and only for those who show a certificate of the same authority
 * @param o.options more of the server's own options
 */
export async function redisServer(
  t: Ending,
  started = true,
  o: { tls?: Identity; options?: readonly string[] } = {},
): Promise<RedisServer> {
  const port = await freePort();
  const folder = temporaryFolder(t, 'redis');
  let running: ReturnType<typeof startProgram> | undefined;
  const server: RedisServer = {
    port,
    url: `${o.tls ? 'rediss' : 'redis'}://127.0.0.1:${port}`,
    pid: () => running?.child.pid ?? 0,
    async start() {
      const options = ['--save', '', '--appendonly', 'no', '--bind', '127.0.0.1', '--dir', folder];
      const listen = o.tls
        ? [
            '--port',
            '0',
            '--tls-port',
            String(port),
            '--tls-cert-file',
            o.tls.cert,
            '--tls-key-file',
            o.tls.key,
          ]
        : ['--port', String(port)];
      const authority = o.tls ? ['--tls-ca-cert-file', o.tls.ca, '--tls-auth-clients', 'yes'] : [];
      running = startProgram(t, 'redis-server', [...listen, ...authority, ...options, ...(o.options ?? [])]);
      await eventually('redis-server answers', () =>
        ask(port, 'PING', o.tls).then(
          (answer) => (/^(\+PONG|-NOAUTH)/.test(answer) ? true : undefined),
          () => undefined,
        ),
      );
    },
    async kill() {
      running?.child.kill('SIGKILL');
      await running?.exited;
    },
    command: (text) => ask(port, text, o.tls),
  };
  if (started) await server.start();
  return server;
}
