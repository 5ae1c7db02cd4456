import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { type TestContext, test } from 'node:test';
import { type CommandSet, decodeCommandSet, encodeCommandSet } from '../../../src/dimse/command-set.js';
import { decodeAssociateAccept } from '../../../src/dimse/pdu-decode.js';
import { encodeAbort, encodeReleaseRequest } from '../../../src/dimse/pdu-encode.js';
import {
  type AssociationEvent,
  type AssociationInfo,
  type DimseServer,
  type DimseServerOptions,
  startDimseServer,
} from '../../../src/dimse/server.js';
import type { StoreRequest, StoreResponse } from '../../../src/dimse/storage-scp.js';
import {
  associateRequest,
  COMMAND,
  CT,
  EXPLICIT,
  echoCommand,
  IMPLICIT,
  JPEG2000,
  LAST,
  MR,
  MR_CONTEXT,
  type Pdu,
  pdata,
  type RequestOverrides,
  ScriptedPeer,
  sleep,
  storeCommand,
  storeMessage,
  VERIFICATION,
  within,
} from './scripted-peer.js';

const ECHO_CONTEXT = { id: 3, abstractSyntax: VERIFICATION, transferSyntaxes: [IMPLICIT] };

interface Running {
  server: DimseServer;
  events: { event: AssociationEvent; info: AssociationInfo }[];
  errors: unknown[];
  /** Data sets received whole, by SOP instance UID. */
  stored: Map<string, Buffer>;
}

async function start(t: TestContext, options: Partial<DimseServerOptions> = {}): Promise<Running> {
  const events: Running['events'] = [];
  const errors: unknown[] = [];
  const stored = new Map<string, Buffer>();
  const server = await startDimseServer({
    aeTitle: 'MCNET',
    host: '127.0.0.1',
    port: 0,
    peers: [{ aeTitle: 'SCRIPT', host: '127.0.0.1' }],
    onAssociation: (event, info) => events.push({ event, info: { ...info } }),
    onServiceError: (error) => errors.push(error),
    onStore: async (request) => {
      stored.set(request.sopInstanceUid, await readAll(request));
      return { status: 0 };
    },
    ...options,
  });
  t.after(() => server.close(0));
  return { server, events, errors, stored };
}

async function readAll(request: StoreRequest): Promise<Buffer> {
  const parts: Buffer[] = [];
  for await (const part of request.data) parts.push(part);
  return Buffer.concat(parts);
}

async function open(
  t: TestContext,
  server: DimseServer,
  overrides: Partial<RequestOverrides> = {},
): Promise<ScriptedPeer> {
  const peer = await ScriptedPeer.connect(server.port);
  t.after(() => peer.destroy());
  const pdu = await peer.associate({ contexts: [MR_CONTEXT, ECHO_CONTEXT], ...overrides });
  assert.equal(pdu?.type, 2, 'A-ASSOCIATE-AC');
  return peer;
}

async function response(peer: ScriptedPeer): Promise<CommandSet> {
  const command = await peer.nextCommand();
  assert.ok(command, 'a response');
  return decodeCommandSet(command.bytes);
}

function assertAbort(pdu: Pdu | undefined, reason: number): void {
  assert.equal(pdu?.type, 7, 'A-ABORT');
  assert.deepEqual([...pdu.body], [0, 0, 2, reason]);
}

async function until(condition: () => boolean, what: string, ms = 20_000): Promise<void> {
  const end = Date.now() + ms;
  while (!condition()) {
    if (Date.now() > end) assert.fail(`not within ${ms} ms: ${what}`);
    await sleep(5);
  }
}

test('presentation context ids out of order, [3, 1]: accepted, both usable', async (t) => {
  const { server, stored } = await start(t);
  const contexts = [
    { id: 3, abstractSyntax: CT, transferSyntaxes: [EXPLICIT] },
    { id: 1, abstractSyntax: MR, transferSyntaxes: [EXPLICIT] },
  ];
  const peer = await open(t, server, { contexts });
  peer.send(storeMessage(1, Buffer.from('mr data!')));
  assert.equal((await response(peer)).status, 0);
  peer.send(
    pdata(3, COMMAND | LAST, storeCommand(2, { affectedSopClassUid: CT })),
    pdata(3, LAST, Buffer.from('ct')),
  );
  assert.equal((await response(peer)).status, 0);
  assert.equal(stored.get('1.2.3.4.1')?.toString(), 'mr data!');
  assert.equal(stored.get('1.2.3.4.2')?.toString(), 'ct');
});

test('[JPEG 2000, explicit, implicit] is accepted in the order of the sender', async (t) => {
  const { server } = await start(t);
  const peer = await ScriptedPeer.connect(server.port);
  t.after(() => peer.destroy());
  const pdu = await peer.associate({
    contexts: [{ ...MR_CONTEXT, transferSyntaxes: [JPEG2000, EXPLICIT, IMPLICIT] }],
  });
  assert.deepEqual(decodeAssociateAccept(pdu!.body).results, [
    { id: 1, result: 0, transferSyntax: JPEG2000 },
  ]);
});

const REJECTED: { name: string; overrides: Partial<RequestOverrides>; expected: number[]; reason: RegExp }[] =
  [
    {
      name: 'another called AE title',
      overrides: { calledAeTitle: 'OTHER' },
      expected: [0, 1, 1, 7],
      reason: /OTHER/,
    },
    {
      name: 'an unknown calling AE title',
      overrides: { callingAeTitle: 'WHO' },
      expected: [0, 1, 1, 3],
      reason: /WHO/,
    },
    {
      name: 'a known AE title from another host',
      overrides: { callingAeTitle: 'FAR' },
      expected: [0, 1, 1, 3],
      reason: /FAR may not call from 127\.0\.0\.1/,
    },
    {
      name: 'protocol version 2',
      overrides: { protocolVersion: 2 },
      expected: [0, 1, 2, 2],
      reason: /version/,
    },
    {
      name: 'another application context',
      overrides: { applicationContext: '1.2.3' },
      expected: [0, 1, 1, 2],
      reason: /1\.2\.3/,
    },
    ...[1, 2, 6, 7].map((maxPduLength) => ({
      name: `a maximum PDU length of ${maxPduLength}, in which nothing fits`,
      overrides: { user: { maxPduLength } },
      expected: [0, 1, 2, 1],
      reason: /maximum PDU length/,
    })),
  ];
for (const { name, overrides, expected, reason } of REJECTED) {
  test(`rejected with the reason of the standard: ${name}`, async (t) => {
    const peers = [
      { aeTitle: 'SCRIPT', host: '127.0.0.1' },
      { aeTitle: 'FAR', host: '192.0.2.1' },
    ];
    const { server, events } = await start(t, { peers });
    const peer = await ScriptedPeer.connect(server.port);
    t.after(() => peer.destroy());
    const pdu = await peer.associate(overrides);
    assert.equal(pdu?.type, 3);
    assert.deepEqual([...pdu.body], expected);
    assert.equal(events[0]?.event, 'rejected');
    assert.match(events[0].info.reason ?? '', reason);
  });
}

for (const maxPduLength of [8, 9, 50, 128, 0]) {
  test(`a peer whose maximum PDU length is ${maxPduLength} is answered within it`, async (t) => {
    const { server } = await start(t);
    const peer = await open(t, server, { user: { maxPduLength } });
    peer.send(pdata(3, COMMAND | LAST, echoCommand(9)));
    const parts: Buffer[] = [];
    for (;;) {
      const pdu = await peer.next();
      assert.equal(pdu?.type, 4);
      if (maxPduLength > 0) assert.ok(pdu.body.length <= maxPduLength, `${pdu.body.length}`);
      parts.push(pdu.body.subarray(6));
      if ((pdu.body[5]! & LAST) !== 0) break;
    }
    const command = decodeCommandSet(Buffer.concat(parts));
    assert.equal(command.status, 0);
    assert.equal(command.messageIdBeingRespondedTo, 9);
  });
}

test('data sets arrive byte for byte, however fragmented', async (t) => {
  const { server, stored } = await start(t);
  const peer = await open(t, server);
  const data = Buffer.from(Array.from({ length: 50_001 }, (_, i) => (i * 7919) & 255));
  let id = 0;
  for (const fragment of [3, 250, 16_384, 100_000]) {
    id += 1;
    peer.send(storeMessage(id, data, fragment));
    assert.equal((await response(peer)).status, 0);
    assert.deepEqual(stored.get(`1.2.3.4.${id}`), data);
  }
  peer.send(storeMessage(20, Buffer.alloc(0)));
  assert.equal((await response(peer)).status, 0);
  assert.equal(stored.get('1.2.3.4.20')?.length, 0);
});

const VIOLATIONS: { name: string; bytes: Buffer; reason: number }[] = [
  { name: 'a P-DATA-TF header of 0xFFFFFFF0 bytes', bytes: Buffer.from('0400fffffff0', 'hex'), reason: 6 },
  { name: 'a PDU longer than offered', bytes: Buffer.from('040000020100', 'hex'), reason: 6 },
  { name: 'an unknown PDU type', bytes: Buffer.from('090000000004', 'hex'), reason: 1 },
  { name: 'a second A-ASSOCIATE-RQ', bytes: associateRequest(), reason: 2 },
  { name: 'a data set without a command', bytes: pdata(1, LAST, Buffer.from('xx')), reason: 5 },
  { name: 'a context that was not accepted', bytes: pdata(77, COMMAND | LAST, storeCommand(1)), reason: 6 },
  {
    name: 'another context inside a message',
    bytes: Buffer.concat([pdata(1, COMMAND | LAST, storeCommand(1)), pdata(3, LAST, Buffer.from('xx'))]),
    reason: 5,
  },
  {
    name: 'a command inside a data set',
    bytes: Buffer.concat([
      pdata(1, COMMAND | LAST, storeCommand(1)),
      pdata(1, 0, Buffer.from('xx')),
      pdata(1, COMMAND | LAST, storeCommand(2)),
    ]),
    reason: 5,
  },
  {
    name: 'A-RELEASE-RQ inside a message',
    bytes: Buffer.concat([pdata(1, COMMAND | LAST, storeCommand(1)), encodeReleaseRequest()]),
    reason: 2,
  },
  {
    name: 'a command set that is not one',
    bytes: pdata(1, COMMAND | LAST, Buffer.from('nonsense')),
    reason: 6,
  },
  {
    name: 'a command set without end',
    bytes: Buffer.concat(Array.from({ length: 5 }, () => pdata(1, COMMAND, Buffer.alloc(16000)))),
    reason: 5,
  },
  {
    name: 'a request without a message id',
    bytes: pdata(3, COMMAND | LAST, encodeCommandSet({ commandField: 0x30, hasDataSet: false })),
    reason: 6,
  },
  {
    name: 'a response that nobody asked for',
    bytes: pdata(
      3,
      COMMAND | LAST,
      encodeCommandSet({ commandField: 0x8030, hasDataSet: false, messageIdBeingRespondedTo: 4, status: 0 }),
    ),
    reason: 6,
  },
];
for (const { name, bytes, reason } of VIOLATIONS) {
  test(`A-ABORT with the reason of the standard: ${name}`, async (t) => {
    const { server, events } = await start(t);
    const peer = await open(t, server);
    peer.send(bytes);
    assertAbort(await peer.next(), reason);
    await until(() => events.some(({ event }) => event === 'aborted'), 'the event');
    assert.equal(server.associations(), 0);
  });
}

test('garbage and data before an association are answered with A-ABORT', async (t) => {
  const { server } = await start(t);
  for (const bytes of [Buffer.from('GET / HTTP/1.1\r\n\r\n'), pdata(1, LAST, Buffer.from('xx'))]) {
    const peer = await ScriptedPeer.connect(server.port);
    t.after(() => peer.destroy());
    peer.send(bytes);
    assert.equal((await peer.next())?.type, 7);
  }
});

const ANSWERS: { name: string; command: Partial<CommandSet>; status: number }[] = [
  { name: 'C-FIND on a storage context', command: { commandField: 0x20 }, status: 0x0211 },
  { name: 'N-ACTION on a storage context', command: { commandField: 0x130 }, status: 0x0211 },
  { name: 'a command field that does not exist', command: { commandField: 0x7777 }, status: 0x0211 },
  { name: "another SOP class than the context's", command: { affectedSopClassUid: CT }, status: 0x0122 },
  {
    name: 'a SOP instance UID that could be a path',
    command: { affectedSopInstanceUid: '../1.2' },
    status: 0x0117,
  },
  { name: 'C-STORE without a data set', command: { hasDataSet: false }, status: 0x0212 },
];
for (const { name, command, status } of ANSWERS) {
  test(`answered with 0x${status.toString(16)}, and the association goes on: ${name}`, async (t) => {
    const { server } = await start(t);
    const peer = await open(t, server);
    peer.send(pdata(1, COMMAND | LAST, storeCommand(1, command)));
    if (command.hasDataSet !== false) peer.send(pdata(1, LAST, Buffer.from('xx')));
    assert.equal((await response(peer)).status, status);
    peer.send(storeMessage(2, Buffer.from('good')));
    assert.equal((await response(peer)).status, 0);
  });
}

test('C-CANCEL for nothing is ignored', async (t) => {
  const { server } = await start(t);
  const peer = await open(t, server);
  const cancel = encodeCommandSet({ commandField: 0x0fff, hasDataSet: false, messageIdBeingRespondedTo: 3 });
  peer.send(pdata(1, COMMAND | LAST, cancel), pdata(3, COMMAND | LAST, echoCommand(4)));
  assert.equal((await response(peer)).messageIdBeingRespondedTo, 4);
});

test('a handler that rejects is a processing failure; its message stays here', async (t) => {
  const onStore = () => Promise.reject(new Error('disk of DOE^JANE'));
  const { server, errors } = await start(t, { onStore });
  const peer = await open(t, server);
  peer.send(storeMessage(1, Buffer.alloc(200_000)));
  const answer = await response(peer);
  assert.equal(answer.status, 0x0110);
  assert.doesNotMatch(answer.errorComment ?? '', /DOE/);
  assert.match(String(errors[0]), /disk/);
  peer.send(pdata(3, COMMAND | LAST, echoCommand(2)));
  assert.equal((await response(peer)).status, 0);
});

test('status, comment and elements of the handler reach the peer; the rest of the data is drained first', async (t) => {
  const onStore = (): Promise<StoreResponse> =>
    Promise.resolve({ status: 0xa700, errorComment: 'disk full', offendingElements: [0x7fe00010] });
  const { server } = await start(t, { onStore });
  const peer = await open(t, server);
  peer.send(pdata(1, COMMAND | LAST, storeCommand(1)), pdata(1, 0, Buffer.alloc(10_000)));
  await assert.rejects(peer.next(150), /nothing within/);
  peer.send(pdata(1, LAST, Buffer.alloc(10_000)));
  const answer = await response(peer);
  assert.equal(answer.status, 0xa700);
  assert.equal(answer.errorComment, 'disk full');
  assert.deepEqual(answer.offendingElements, [0x7fe00010]);
  assert.equal(answer.affectedSopInstanceUid, '1.2.3.4.1');
});

for (const how of ['A-ABORT', 'a lost connection'] as const) {
  test(`${how} inside an object is an error for the handler, never a shorter object`, async (t) => {
    let outcome: Promise<Buffer> | undefined;
    const { server, events, errors } = await start(t, {
      onStore: async (request) => {
        outcome = readAll(request);
        await outcome;
        return { status: 0 };
      },
    });
    const peer = await open(t, server);
    peer.send(pdata(1, COMMAND | LAST, storeCommand(1)), pdata(1, 0, Buffer.from('DOE^JANE half')));
    await until(() => outcome !== undefined, 'the handler');
    if (how === 'A-ABORT') peer.send(encodeAbort({ source: 0, reason: 0 }));
    else peer.destroy();
    await assert.rejects(within(outcome!, 30_000, 'the handler'), { name: 'DimseError' });
    await until(() => events.at(-1)?.event === 'aborted', 'the event');
    assert.doesNotMatch(JSON.stringify(events), /DOE/);
    assert.deepEqual(errors, []);
  });
}

test('a slow disk stops the socket: memory stays bounded while 64 MB wait outside', async (t) => {
  const bufferBytes = 512 * 1024;
  let go: () => void = () => {};
  const gate = new Promise<void>((resolve) => {
    go = resolve;
  });
  let received = 0;
  const { server } = await start(t, {
    limits: { bufferBytes },
    onStore: async (request) => {
      for await (const part of request.data) {
        await gate;
        received += part.length;
      }
      return { status: 0 };
    },
  });
  const peer = await open(t, server);
  const total = 64 * 1024 * 1024;
  peer.send(storeMessage(1, Buffer.alloc(total), 65_536));
  let most = 0;
  for (let i = 0; i < 60; i += 1) {
    await sleep(5);
    most = Math.max(most, server.bufferedBytes());
  }
  assert.ok(most > bufferBytes / 2, `${most} bytes: the buffer was used`);
  assert.ok(most < bufferBytes + 256 * 1024, `${most} bytes were held`);
  assert.ok(peer.socket.writableLength > 32 * 1024 * 1024, 'the rest waits at the sender');
  go();
  assert.equal((await response(peer)).status, 0);
  assert.equal(received, total);
  assert.equal(server.bufferedBytes(), 0);
});

test('a slow but living peer is not aborted, a silent one is', async (t) => {
  const { server, stored, events } = await start(t, { limits: { idleMs: 300 } });
  const peer = await open(t, server);
  for (const byte of storeMessage(1, Buffer.from('slowly!!'), 2)) {
    peer.socket.write(Buffer.from([byte]));
    await sleep(4);
  }
  assert.equal((await response(peer)).status, 0);
  assert.equal(stored.get('1.2.3.4.1')?.toString(), 'slowly!!');
  assert.equal((await peer.next())?.type, 7);
  await until(() => events.at(-1)?.event === 'aborted', 'the event');
  assert.match(events.at(-1)!.info.reason!, /no byte moved for 0\.3 s/);
});

test('our own slowness is not held against the peer', async (t) => {
  const onStore = async (request: StoreRequest) => {
    await readAll(request);
    await sleep(400);
    return { status: 0 };
  };
  const { server } = await start(t, { limits: { idleMs: 100 }, onStore });
  const peer = await open(t, server);
  peer.send(storeMessage(1, Buffer.from('data')));
  assert.equal((await response(peer)).status, 0);
});

test('ARTIM: a connection that never associates is closed', async (t) => {
  const { server, events } = await start(t, { limits: { artimMs: 80 } });
  const peer = await ScriptedPeer.connect(server.port);
  assert.equal(await peer.next(1000), undefined);
  assert.deepEqual(events, []);
});

test('silent connections do not keep a good one out', async (t) => {
  const { server } = await start(t, { limits: { associations: 2 } });
  const silent = await Promise.all(Array.from({ length: 60 }, () => ScriptedPeer.connect(server.port)));
  t.after(() => {
    for (const peer of silent) peer.destroy();
  });
  const peer = await open(t, server);
  peer.send(pdata(3, COMMAND | LAST, echoCommand(1)));
  assert.equal((await response(peer)).status, 0);
});

test('limits in all and for one peer reject for now; a released association makes room', async (t) => {
  const peers = [
    { aeTitle: 'SCRIPT', host: '127.0.0.1' },
    { aeTitle: 'OTHER', host: '127.0.0.1' },
  ];
  const { server } = await start(t, { peers, limits: { associations: 3, associationsPerPeer: 2 } });
  const first = await open(t, server);
  await open(t, server);
  const attempt = async (callingAeTitle: string) => {
    const peer = await ScriptedPeer.connect(server.port);
    t.after(() => peer.destroy());
    return peer.associate({ callingAeTitle });
  };
  assert.deepEqual([...(await attempt('SCRIPT'))!.body], [0, 2, 3, 2]);
  assert.equal((await attempt('OTHER'))?.type, 2);
  assert.deepEqual([...(await attempt('OTHER'))!.body], [0, 2, 3, 2]);
  assert.equal((await first.release())?.type, 6);
  assert.equal((await attempt('SCRIPT'))?.type, 2);
});

test('no room for more: rejected for now, with the reason in the event', async (t) => {
  const { server, events } = await start(t, {
    acceptMore: () => ({ reject: 'transient', reason: 'disk is low' }),
  });
  const peer = await ScriptedPeer.connect(server.port);
  t.after(() => peer.destroy());
  assert.deepEqual([...(await peer.associate())!.body], [0, 2, 3, 1]);
  assert.equal(events[0]?.info.reason, 'disk is low');
});

for (const { asked, expected } of [
  { asked: undefined, expected: 1 },
  { asked: 3, expected: 3 },
  { asked: 0, expected: 4 },
]) {
  test(`a peer that asked for ${asked ?? 'no'} operations has ${expected} in progress at most`, async (t) => {
    let active = 0;
    let most = 0;
    const { server } = await start(t, {
      limits: { operations: 4 },
      onStore: async (request) => {
        active += 1;
        most = Math.max(most, active);
        await readAll(request);
        await sleep(20);
        active -= 1;
        return { status: 0 };
      },
    });
    const user = asked === undefined ? {} : { asynchronousOperations: { invoked: asked, performed: 1 } };
    const peer = await open(t, server, { user });
    const ids = Array.from({ length: 10 }, (_, index) => index + 1);
    peer.send(...ids.map((id) => storeMessage(id, Buffer.alloc(1000))));
    const answered: number[] = [];
    for (const _ of ids) answered.push((await response(peer)).messageIdBeingRespondedTo!);
    assert.deepEqual(
      answered.sort((a, b) => a - b),
      ids,
    );
    assert.equal(most, expected);
  });
}

test('the same message id twice in progress is a duplicate invocation', async (t) => {
  const onStore = async (request: StoreRequest) => {
    await readAll(request);
    await sleep(30);
    return { status: 0 };
  };
  const { server } = await start(t, { onStore });
  const peer = await open(t, server, { user: { asynchronousOperations: { invoked: 2, performed: 1 } } });
  peer.send(storeMessage(5, Buffer.from('aa')), storeMessage(5, Buffer.from('bb')));
  assert.equal((await response(peer)).status, 0x0210);
  assert.equal((await response(peer)).status, 0);
});

test('A-RELEASE-RQ is answered after the response of the operation in progress', async (t) => {
  const onStore = async (request: StoreRequest) => {
    await readAll(request);
    await sleep(50);
    return { status: 0 };
  };
  const { server, events } = await start(t, { onStore });
  const peer = await open(t, server);
  peer.send(storeMessage(1, Buffer.from('data')), encodeReleaseRequest());
  assert.equal((await peer.next())?.type, 4);
  assert.equal((await peer.next())?.type, 6);
  await until(() => events.at(-1)?.event === 'released', 'the event');
  assert.equal(events.at(-1)?.info.operations, 1);
});

test('who called is told without secrets', async (t) => {
  const { server, events } = await start(t);
  const identity = { type: 2, responseRequested: true, name: 'technologist' };
  const peer = await open(t, server, { user: { userIdentity: identity, implementationVersionName: 'V1' } });
  const { info } = events[0]!;
  assert.equal(info.callingAeTitle, 'SCRIPT');
  assert.equal(info.remoteAddress, '127.0.0.1');
  assert.deepEqual(info.userIdentity, identity);
  assert.equal(info.implementationVersionName, 'V1');
  assert.deepEqual(info.contexts, { proposed: 2, accepted: 2 });
  assert.equal((await peer.release())?.type, 6);
});

test('close lets the operation in progress finish, then ends; nothing new gets in', async (t) => {
  let started = false;
  let finished = false;
  const { server } = await start(t, {
    onStore: async (request) => {
      started = true;
      await readAll(request);
      await sleep(100);
      finished = true;
      return { status: 0 };
    },
  });
  const peer = await open(t, server);
  const idle = await open(t, server);
  peer.send(storeMessage(1, Buffer.from('data')));
  await until(() => started, 'the handler');
  const closing = server.close(3000);
  assert.equal((await response(peer)).status, 0);
  assert.ok(finished);
  peer.send(encodeReleaseRequest());
  assert.equal((await peer.next())?.type, 6);
  assert.equal((await idle.next())?.type, 7);
  await within(closing, 30_000, 'close');
  const refused = connect(server.port, '127.0.0.1');
  await new Promise<void>((resolve) => refused.once('error', () => resolve()));
});

test('close without grace aborts, and still waits for handlers', async (t) => {
  let ended = false;
  const { server } = await start(t, {
    onStore: async (request) => {
      try {
        return { status: (await readAll(request)).length };
      } finally {
        await sleep(100);
        ended = true;
      }
    },
  });
  const peer = await open(t, server);
  peer.send(pdata(1, COMMAND | LAST, storeCommand(1)), pdata(1, 0, Buffer.from('half')));
  await sleep(30);
  const closing = server.close(0);
  assert.equal((await peer.next())?.type, 7);
  await within(closing, 30_000, 'close');
  assert.ok(ended);
});

test('binds the address that it was given, and only that', async (t) => {
  const { server } = await start(t, { host: '127.0.0.1' });
  const elsewhere = connect(server.port, '127.0.0.2');
  const outcome = await new Promise<string>((resolve) => {
    elsewhere.once('connect', () => resolve('connected'));
    elsewhere.once('error', () => resolve('refused'));
  });
  elsewhere.destroy();
  assert.equal(outcome, 'refused');
  await assert.rejects(start(t, { port: server.port }), { code: 'EADDRINUSE' });
});
