/** A network between two programs that a test can cut, stall or slow down. */
import { connect, createServer, type Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import type { Ending } from '../../peers/support/process.js';
import { atEnd } from '../../peers/support/process.js';

export interface Line {
  /** Both ends are reset after so many bytes towards the server. */
  cutAfter?: number;
  /** Nothing passes any more after so many bytes towards the server, and nobody is told. */
  stallAfter?: number;
  /** Pause after each `chunk` bytes towards the server, milliseconds. */
  pauseMs?: number;
  chunk?: number;
}

export interface Relay {
  port: number;
  /** Connections so far. */
  connections: number;
  /** What becomes of the n-th connection, from 0. Default: nothing. */
  plan: (connection: number) => Line;
}

/** Listens on a loopback port and forwards to another. */
export async function startRelay(t: Ending, port: number): Promise<Relay> {
  const open = new Set<Socket>();
  const relay: Relay = { port: 0, connections: 0, plan: () => ({}) };
  const server = createServer({ allowHalfOpen: true, noDelay: true }, (client) => {
    const line = relay.plan(relay.connections);
    relay.connections += 1;
    const upstream = connect({ port, host: '127.0.0.1', allowHalfOpen: true, noDelay: true });
    for (const socket of [client, upstream]) {
      open.add(socket);
      socket.on('error', () => {
        client.destroy();
        upstream.destroy();
      });
      socket.on('close', () => open.delete(socket));
    }
    void forward(client, upstream, line).catch(() => {
      client.resetAndDestroy();
      upstream.resetAndDestroy();
    });
    upstream.on('data', (chunk) => {
      if (!stalled.has(client)) client.write(chunk);
    });
    upstream.on('end', () => {
      if (!stalled.has(client)) client.end();
    });
  });
  const stalled = new Set<Socket>();

  async function forward(client: Socket, upstream: Socket, line: Line): Promise<void> {
    let bytes = 0;
    for await (const chunk of client as AsyncIterable<Buffer>) {
      const step = line.chunk ?? chunk.length;
      for (let at = 0; at < chunk.length; at += step) {
        const part = chunk.subarray(at, at + step);
        const limit = line.cutAfter ?? line.stallAfter ?? Number.POSITIVE_INFINITY;
        const rest = limit - bytes;
        bytes += part.length;
        if (part.length > rest) {
          upstream.write(part.subarray(0, Math.max(0, rest)));
          if (line.cutAfter !== undefined) throw new Error('cut');
          stalled.add(client);
          // The connections stay as they are; what comes is not read.
          await new Promise<void>((resolve) => client.once('close', () => resolve()));
          upstream.destroy();
          return;
        }
        if (!upstream.write(part)) await new Promise((resolve) => upstream.once('drain', resolve));
        if (line.pauseMs !== undefined) await delay(line.pauseMs);
      }
    }
    upstream.end();
  }

  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  relay.port = address.port;
  atEnd(t, async () => {
    for (const socket of open) socket.destroy();
    await new Promise((resolve) => server.close(resolve));
  });
  return relay;
}
