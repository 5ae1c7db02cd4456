/** Debian's redis-server on a loopback port of its own, without persistence: killed, it has forgotten everything. */
import { connect } from 'node:net';
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

function ask(port: number, text: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1');
    let answer = '';
    socket.setEncoding('utf8');
    socket.on('connect', () => socket.end(`${text}\r\n`));
    socket.on('data', (chunk: string) => {
      answer += chunk;
    });
    socket.on('end', () => resolve(answer));
    socket.on('error', reject);
  });
}

/** @param started false: the port is reserved, and nothing listens until `start`. */
export async function redisServer(t: Ending, started = true): Promise<RedisServer> {
  const port = await freePort();
  const folder = temporaryFolder(t, 'redis');
  let running: ReturnType<typeof startProgram> | undefined;
  const server: RedisServer = {
    port,
    url: `redis://127.0.0.1:${port}`,
    pid: () => running?.child.pid ?? 0,
    async start() {
      const options = ['--save', '', '--appendonly', 'no', '--bind', '127.0.0.1', '--dir', folder];
      running = startProgram(t, 'redis-server', ['--port', String(port), ...options]);
      await eventually('redis-server answers', () =>
        ask(port, 'PING').then(
          (answer) => (answer.startsWith('+PONG') ? true : undefined),
          () => undefined,
        ),
      );
    },
    async kill() {
      running?.child.kill('SIGKILL');
      await running?.exited;
    },
    command: (text) => ask(port, text),
  };
  if (started) await server.start();
  return server;
}
