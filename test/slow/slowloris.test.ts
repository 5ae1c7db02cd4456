/** Connections that begin a request and never finish it: they are closed, and meanwhile everybody else is served. */
import assert from 'node:assert/strict';
import { connect, type Socket } from 'node:net';
import { test } from 'node:test';
import { atEnd } from '../peers/support/process.js';
import { startFakeServer } from '../unit/web/fake-server.js';

test('two hundred connections that drip their headers are closed within a minute and a half', {
  timeout: 150_000,
}, async (t) => {
  const fake = await startFakeServer();
  atEnd(t, () => fake.close());
  const drips: NodeJS.Timeout[] = [];
  atEnd(t, () => {
    for (const drip of drips) clearInterval(drip);
  });
  const sockets: Socket[] = [];
  for (let i = 0; i < 200; i++) {
    const socket = connect(fake.port, '127.0.0.1');
    socket.on('error', () => undefined);
    socket.resume();
    socket.write('GET /api/series HTTP/1.1\r\nHost: 127.0.0.1\r\n');
    drips.push(setInterval(() => socket.writable && socket.write(`X-${Math.random()}: 1\r\n`), 3000));
    sockets.push(socket);
  }
  const closed = Promise.all(sockets.map((socket) => new Promise((resolve) => socket.on('close', resolve))));
  let over = false;
  void closed.then(() => {
    over = true;
  });
  let served = 0;
  while (!over) {
    const response = await fetch(`${fake.url}/api/series`);
    assert.equal(response.status, 200);
    await response.arrayBuffer();
    served += 1;
    await new Promise((resolve) => setTimeout(resolve, 500));
  }
  assert.ok(served > 5);
});
