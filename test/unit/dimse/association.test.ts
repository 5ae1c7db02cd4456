/** Associations over a socket that takes nothing: what a peer that never reads does to us. */
import assert from 'node:assert/strict';
import type { Socket } from 'node:net';
import { Duplex } from 'node:stream';
import { type TestContext, test } from 'node:test';
import { Association } from '../../../src/dimse/association.js';
import { negotiate } from '../../../src/dimse/negotiation.js';
import { verificationProvider } from '../../../src/dimse/verification.js';
import {
  associateRequest,
  COMMAND,
  echoCommand,
  IMPLICIT,
  LAST,
  pdata,
  sleep,
  VERIFICATION,
  within,
} from './scripted-peer.js';

class StalledSocket extends Duplex {
  setNoDelay(): this {
    return this;
  }
  setKeepAlive(): this {
    return this;
  }
  override _read(): void {}
  override _write(): void {}
}

function accepted(t: TestContext, silenceMs: number): { socket: StalledSocket; association: Association } {
  const socket = new StalledSocket();
  t.after(() => socket.destroy());
  const association = new Association(socket as unknown as Socket, {
    role: 'acceptor',
    peerName: 'a peer',
    services: [verificationProvider],
    artimMs: 1000,
    maxPduLength: 16384,
    bufferBytes: 65536,
    silenceMs,
    onIndication: (request) => {
      const { accept, contexts } = negotiate(request, [verificationProvider], {
        maxPduLength: 16384,
        operations: 1,
      });
      const peer = { associationId: '1', callingAeTitle: 'A', calledAeTitle: 'B', remoteAddress: '' };
      association.establish({ contexts, operations: 1, peerMaxPduLength: 16384, peer });
      association.dul.associateAccept(accept);
    },
  });
  association.dul.transportIndication();
  return { socket, association };
}

test('a peer that never reads its responses is not read from either, and the silence is its own', async (t) => {
  const { socket, association } = accepted(t, 300);
  const contexts = [{ id: 1, abstractSyntax: VERIFICATION, transferSyntaxes: [IMPLICIT] }];
  socket.push(associateRequest({ contexts }));
  const echo = pdata(1, COMMAND | LAST, echoCommand(1));
  for (let i = 0; i < 2000; i += 1) socket.push(echo);
  await sleep(100);
  assert.ok(association.dul.isHeld);
  assert.ok(association.operationsDone < 500, `${association.operationsDone} of 2000 were answered`);
  assert.ok(socket.writableLength < 64 * 1024);
  const end = await within(association.whenEnded, 2000, 'the end');
  assert.equal(end.kind, 'aborted-by-us');
});
