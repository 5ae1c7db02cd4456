/** Associations over sockets that take nothing, or take it slowly: what peers that read so do to us. */
import assert from 'node:assert/strict';
import type { Socket } from 'node:net';
import { Duplex } from 'node:stream';
import { type TestContext, test } from 'node:test';
import { Association } from '../../../src/dimse/association.js';
import { negotiate, propose } from '../../../src/dimse/negotiation.js';
import { encodeAssociateAccept } from '../../../src/dimse/pdu-encode.js';
import { verificationProvider } from '../../../src/dimse/verification.js';
import {
  associateRequest,
  COMMAND,
  EXPLICIT,
  echoCommand,
  IMPLICIT,
  LAST,
  MR,
  pdata,
  sleep,
  storeResponse,
  VERIFICATION,
  within,
} from './scripted-peer.js';

class StalledSocket extends Duplex {
  /** Called for each buffer written; calls back when it is taken. */
  swallow: (done: () => void) => void = () => {};

  setNoDelay(): this {
    return this;
  }
  setKeepAlive(): this {
    return this;
  }
  override _read(): void {}
  override _write(_bytes: Buffer, _encoding: BufferEncoding, done: () => void): void {
    this.swallow(done);
  }
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
  assert.ok(association.operationsDone < 1000, `${association.operationsDone} of 2000 were answered`);
  assert.ok(socket.writableLength < socket.writableHighWaterMark + 1024);
  const end = await within(association.whenEnded, 30_000, 'the end');
  assert.equal(end.kind, 'aborted-by-us');
});

test('a peer that takes our data slowly is waited for, as long as it takes any', async (t) => {
  const socket = new StalledSocket();
  t.after(() => socket.destroy());
  let taken = 0;
  socket.swallow = (done) => {
    taken += 1;
    setTimeout(done, 5);
  };
  const names = { callingAeTitle: 'A', calledAeTitle: 'B' };
  const limits = { maxPduLength: 16384, operations: 1 };
  const request = propose([{ abstractSyntax: MR, transferSyntaxes: [EXPLICIT] }], names, limits);
  const association = new Association(socket as unknown as Socket, {
    role: 'requestor',
    peerName: 'a peer',
    services: [],
    artimMs: 1000,
    maxPduLength: 16384,
    bufferBytes: 65536,
    silenceMs: 300,
    onConfirmation: () => {
      const contexts = new Map([[1, { id: 1, abstractSyntax: MR, transferSyntax: EXPLICIT }]]);
      const peer = { associationId: '1', ...names, remoteAddress: '' };
      association.establish({ contexts, operations: 1, peerMaxPduLength: 65536, peer });
    },
  });
  association.dul.associateRequest(request);
  socket.push(
    encodeAssociateAccept({ ...request, results: [{ id: 1, result: 0, transferSyntax: EXPLICIT }] }),
  );
  await sleep(10);
  const started = performance.now();
  const stored = association.request(1, { commandField: 0x0001 }, Buffer.alloc(3_000_000));
  const until = performance.now() + 5000;
  while (association.dul.unsentBytes > 0 || taken < 2) {
    assert.ok(performance.now() < until);
    await sleep(20);
  }
  assert.ok(performance.now() - started > 350, 'it took longer than the time-out');
  socket.push(storeResponse(1, 1, 0));
  assert.equal((await within(stored, 30_000, 'the response')).status, 0);
  association.abort('the test is over');
});
