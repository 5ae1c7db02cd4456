/** The worker's HTTP client against peers that close, break off and fall silent. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { buffer } from 'node:stream/consumers';
import { type TestContext, test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { createHttpClient, discard } from '../../../src/distribution/http-client.js';

/** A server that does with the n-th request (from 1) what a test wants. */
async function start(t: TestContext, answer: (socket: Socket, request: number, connection: number) => void) {
  const sockets = new Set<Socket>();
  let requests = 0;
  const server = createServer((socket) => {
    sockets.add(socket);
    const connection = sockets.size;
    socket.on('error', () => {});
    socket.on('data', (data) => {
      if (/^[A-Z]+ /.test(data.toString('latin1'))) answer(socket, ++requests, connection);
    });
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const client = createHttpClient({ connections: 2, silenceMs: 200, connectMs: 5000 });
  t.after(() => {
    client.close();
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
  return { ask: () => client.ask(url), connections: () => sockets.size };
}

const OK = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok';

test('connections are kept; one that the peer has closed meanwhile is replaced', async (t) => {
  const { ask, connections } = await start(t, (socket, request, connection) => {
    if (request === 3 && connection === 1) socket.destroy();
    else socket.write(OK);
  });
  for (let i = 0; i < 2; i += 1) {
    await discard(await ask());
    await turn();
  }
  assert.equal(connections(), 1);
  assert.equal((await buffer(await ask())).toString(), 'ok');
  assert.equal(connections(), 2);
});

test('a connection that breaks before anything came is an error, and not tried again', async (t) => {
  const { ask, connections } = await start(t, (socket) => socket.destroy());
  await assert.rejects(ask());
  assert.equal(connections(), 1);
});

test('an answer that breaks off is an error, one to be forgotten is none', async (t) => {
  const { ask } = await start(t, (socket) => {
    socket.end('HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this');
  });
  await assert.rejects(buffer(await ask()));
  await discard(await ask());
});

test('silence ends a request, before the answer and within it', async (t) => {
  const { ask } = await start(t, (socket, request) => {
    if (request === 2) socket.write('HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this');
  });
  await assert.rejects(ask(), /no byte moved for 0\.2 s/);
  await assert.rejects(buffer(await ask()));
});

test('who reads late gets the whole answer of a peer that has closed', async (t) => {
  const body = Buffer.alloc(2_000_000, 7);
  const { ask } = await start(t, (socket) => {
    socket.write(`HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: ${body.length}\r\n\r\n`);
    socket.end(body);
  });
  const answer = await ask();
  for (let i = 0; i < 20; i += 1) await turn();
  assert.ok(body.equals(await buffer(answer)));
});
