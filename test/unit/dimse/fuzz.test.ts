/** Mutated PDUs against a live server, with a good association beside them throughout. Seeded: it fails the same way twice. */
import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { test } from 'node:test';
import fc from 'fast-check';
import { encodeAbort, encodeReleaseRequest } from '../../../src/dimse/pdu-encode.js';
import { startDimseServer } from '../../../src/dimse/server.js';
import { storeInstances } from '../../../src/dimse/storage-scu.js';
import {
  associateRequest,
  COMMAND,
  EXPLICIT,
  echoCommand,
  IMPLICIT,
  LAST,
  MR,
  MR_CONTEXT,
  pdata,
  storeMessage,
  VERIFICATION,
  within,
} from './scripted-peer.js';

const SEED = 20260719;
const SESSIONS = 400;

const ECHO_CONTEXT = { id: 3, abstractSyntax: VERIFICATION, transferSyntaxes: [IMPLICIT] };
const VALID_PDUS = [
  associateRequest({ contexts: [MR_CONTEXT, ECHO_CONTEXT] }),
  pdata(3, COMMAND | LAST, echoCommand(1)),
  storeMessage(2, Buffer.from('DOE^JANE '.repeat(100)), 250),
  storeMessage(3, Buffer.alloc(20_000, 1)),
  encodeReleaseRequest(),
  encodeAbort({ source: 0, reason: 0 }),
];
const ASSOCIATED = VALID_PDUS[0]!;

type Mutation =
  | { kind: 'flip'; at: number; byte: number }
  | { kind: 'cut'; at: number }
  | { kind: 'insert'; at: number; bytes: Uint8Array }
  | { kind: 'length'; at: number; value: number };

const mutation: fc.Arbitrary<Mutation> = fc.oneof(
  fc.record({ kind: fc.constant('flip' as const), at: fc.nat(), byte: fc.nat(255) }),
  fc.record({ kind: fc.constant('cut' as const), at: fc.nat() }),
  fc.record({ kind: fc.constant('insert' as const), at: fc.nat(), bytes: fc.uint8Array({ maxLength: 40 }) }),
  fc.record({
    kind: fc.constant('length' as const),
    at: fc.nat(),
    value: fc.constantFrom(0, 1, 2, 5, 6, 0xffff, 0x7fffffff, 0xfffffff0, 0xffffffff),
  }),
);

function mutate(bytes: Buffer, { kind, at: anywhere, ...more }: Mutation): Buffer {
  if (bytes.length === 0) return bytes;
  const at = anywhere % bytes.length;
  if (kind === 'cut') return bytes.subarray(0, at);
  if (kind === 'insert' && 'bytes' in more) {
    return Buffer.concat([bytes.subarray(0, at), more.bytes, bytes.subarray(at)]);
  }
  const copy = Buffer.from(bytes);
  if (kind === 'flip' && 'byte' in more) copy[at] = more.byte;
  else if (kind === 'length' && 'value' in more && at + 4 <= copy.length) copy.writeUInt32BE(more.value, at);
  return copy;
}

const session = fc.record({
  /** Most sessions associate first, so that the fuzz reaches what lies behind. */
  associated: fc.integer({ min: 0, max: 3 }).map((n) => n > 0),
  pdus: fc.array(fc.constantFrom(...VALID_PDUS), { minLength: 1, maxLength: 6 }),
  mutations: fc.array(mutation, { minLength: 1, maxLength: 4 }),
  chunk: fc.integer({ min: 1, max: 5000 }),
});

/** Sends the bytes and ends; resolves when the server has closed its side. */
function play(port: number, bytes: Buffer, chunk: number): Promise<void> {
  return new Promise((resolve) => {
    const socket = connect({ port, host: '127.0.0.1', noDelay: true }, () => {
      const pieces = Math.min(20, Math.ceil(bytes.length / chunk));
      const size = Math.ceil(bytes.length / Math.max(1, pieces));
      for (let at = 0; at < bytes.length; at += size) socket.write(bytes.subarray(at, at + size));
      socket.end();
    });
    socket.on('data', () => {});
    socket.on('error', () => {});
    socket.on('close', () => resolve());
  });
}

test('mutated PDUs: the server answers or closes, stays small, and serves a good association beside', async (t) => {
  const received: Buffer[] = [];
  const told: string[] = [];
  const server = await startDimseServer({
    aeTitle: 'MCNET',
    host: '127.0.0.1',
    port: 0,
    peers: [{ aeTitle: '*', host: '127.0.0.1' }],
    limits: { artimMs: 500, idleMs: 1000 },
    onAssociation: (event, info) => told.push(JSON.stringify([event, info.reason])),
    onServiceError: (error) => told.push(String(error)),
    onStore: async (request) => {
      const parts: Buffer[] = [];
      for await (const part of request.data) parts.push(part);
      if (request.callingAeTitle === 'GOOD') received.push(Buffer.concat(parts));
      return { status: 0 };
    },
  });
  t.after(() => server.close(0));

  let running = true;
  const data = Buffer.from(Array.from({ length: 40_000 }, (_, i) => (i * 17) & 255));
  const target = { host: '127.0.0.1', port: server.port, calledAeTitle: 'MCNET', callingAeTitle: 'GOOD' };
  const good = (async () => {
    let sent = 0;
    while (running) {
      const batch = Array.from({ length: 5 }, (_, index) => ({
        sopClassUid: MR,
        sopInstanceUid: `1.2.3.${sent + index}`,
        transferSyntaxUid: EXPLICIT,
        open: () => Promise.resolve(data),
      }));
      for (const outcome of await storeInstances(target, batch)) {
        assert.equal(outcome.outcome, 'accepted', outcome.message);
      }
      sent += batch.length;
    }
    return sent;
  })();

  let most = 0;
  await fc.assert(
    fc.asyncProperty(session, async ({ associated, pdus, mutations, chunk }) => {
      const mutated = mutations.reduce(mutate, Buffer.concat(pdus));
      const bytes = associated ? Buffer.concat([ASSOCIATED, mutated]) : mutated;
      await within(play(server.port, bytes, chunk), 30_000, 'the server closes');
      most = Math.max(most, server.bufferedBytes());
    }),
    { seed: SEED, numRuns: SESSIONS, interruptAfterTimeLimit: 8000, endOnFailure: true },
  );
  running = false;
  const sent = await within(good, 30_000, 'the good association');

  assert.ok(sent > 0);
  assert.equal(received.length, sent);
  for (const bytes of received) assert.ok(bytes.equals(data));
  assert.ok(most < 4 * 1024 * 1024, `${most} bytes were held`);
  assert.ok(told.some((line) => line.startsWith('["aborted"')));
  assert.doesNotMatch(told.join('\n'), /DOE/);
});
