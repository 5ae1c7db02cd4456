import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { decodeCommandSet } from '../../../src/dimse/command-set.js';
import type { AssociateAccept } from '../../../src/dimse/pdu.js';
import { encodeAbort, encodeAssociateReject } from '../../../src/dimse/pdu-encode.js';
import type { DimseTarget } from '../../../src/dimse/requestor.js';
import { type DimseServerOptions, startDimseServer } from '../../../src/dimse/server.js';
import { type OutgoingInstance, type StoreOutcome, storeInstances } from '../../../src/dimse/storage-scu.js';
import { echo } from '../../../src/dimse/verification.js';
import {
  acceptAll,
  CT,
  EXPLICIT,
  encodeReleaseResponse,
  IMPLICIT,
  MR,
  type ScriptedPeer,
  scriptedAcceptor,
  sleep,
  storeResponse,
} from './scripted-peer.js';

function target(port: number, more: Partial<DimseTarget> = {}): DimseTarget {
  return { host: '127.0.0.1', port, calledAeTitle: 'PACS', callingAeTitle: 'MCNET', ...more };
}

function instance(number: number, more: Partial<OutgoingInstance> = {}): OutgoingInstance {
  return {
    sopClassUid: MR,
    sopInstanceUid: `1.2.3.${number}`,
    transferSyntaxUid: EXPLICIT,
    open: () => Promise.resolve(Buffer.alloc(1000, number)),
    ...more,
  };
}

const instances = (count: number): OutgoingInstance[] =>
  Array.from({ length: count }, (_, index) => instance(index + 1));

const kinds = (outcomes: StoreOutcome[]): string[] =>
  outcomes.map(({ outcome, transient }) => `${outcome}${transient ? ' transient' : ''}`);

/** Answers C-STORE with the statuses given (Success after the last), and releases. */
async function answer(
  peer: ScriptedPeer,
  statuses: number[],
  change?: (accept: AssociateAccept) => void,
  comment?: string,
): Promise<void> {
  await acceptAll(peer, change);
  for (let n = 0; ; n += 1) {
    const command = await peer.nextCommand(5000);
    if (command === undefined) {
      peer.send(encodeReleaseResponse());
      return;
    }
    const { messageId } = decodeCommandSet(command.bytes);
    peer.send(storeResponse(command.contextId, messageId!, statuses[n] ?? 0, comment));
  }
}

async function acceptor(t: TestContext, script: (peer: ScriptedPeer, index: number) => Promise<void> | void) {
  const listening = await scriptedAcceptor(script);
  t.after(() => listening.close());
  return listening;
}

async function receiver(t: TestContext, more: Partial<DimseServerOptions> = {}) {
  const received = new Map<string, Buffer>();
  const server = await startDimseServer({
    aeTitle: 'PACS',
    host: '127.0.0.1',
    port: 0,
    peers: [{ aeTitle: 'MCNET', host: '127.0.0.1' }],
    onStore: async (request) => {
      const parts: Buffer[] = [];
      for await (const part of request.data) parts.push(part);
      received.set(request.sopInstanceUid, Buffer.concat(parts));
      return { status: 0 };
    },
    ...more,
  });
  t.after(() => server.close(0));
  return { server, received };
}

test('status by status, each instance has its outcome', async (t) => {
  const statuses = [0x0000, 0xb000, 0xb006, 0xb007, 0xa700, 0xa900, 0xc001, 0x0122, 0x0110, 0x0124, 0x9999];
  const { port } = await acceptor(t, (peer) => answer(peer, statuses));
  const outcomes = await storeInstances(target(port), instances(statuses.length));
  assert.deepEqual(kinds(outcomes), [
    'accepted',
    'warning',
    'warning',
    'warning',
    'refused transient',
    'refused',
    'refused',
    'refused',
    'refused transient',
    'refused',
    'refused',
  ]);
  assert.deepEqual(
    outcomes.map((outcome) => outcome.status),
    statuses,
  );
  assert.deepEqual(
    outcomes.map((outcome) => outcome.sopInstanceUid),
    statuses.map((_, index) => `1.2.3.${index + 1}`),
  );
  assert.match(outcomes[4]!.message, /PACS at 127\.0\.0\.1:\d+: out of resources \(0xA700\)/);
});

test("the peer's comment is kept apart from the message that may be logged", async (t) => {
  const { port } = await acceptor(t, (peer) =>
    answer(peer, [0xa900], undefined, 'DOE^JANE is another patient'),
  );
  const [outcome] = await storeInstances(target(port), instances(1));
  assert.match(outcome!.errorComment!, /DOE/);
  assert.doesNotMatch(outcome!.message, /DOE/);
});

test('a rejected context is a refusal of its instances, with the reason; the others go', async (t) => {
  const { port } = await acceptor(t, (peer) =>
    answer(peer, [], (accept) => {
      accept.results[1]!.result = 3;
      accept.results[2]!.result = 4;
    }),
  );
  const outcomes = await storeInstances(target(port), [
    instance(1),
    instance(2, { sopClassUid: CT }),
    instance(3, { transferSyntaxUid: IMPLICIT }),
    instance(4),
    instance(5, { sopClassUid: CT }),
  ]);
  assert.deepEqual(kinds(outcomes), ['accepted', 'refused', 'refused', 'accepted', 'refused']);
  assert.match(outcomes[1]!.message, /CTImageStorage .*SOP class \(abstract syntax\) not supported/);
  assert.match(outcomes[2]!.message, /Implicit VR Little Endian .*transfer syntax not supported/);
});

test('a context that the answer leaves out, or with a syntax never proposed, is refused', async (t) => {
  const { port } = await acceptor(t, (peer) =>
    answer(peer, [], (accept) => {
      accept.results[0]!.transferSyntax = '1.2.840.10008.1.2.2';
      accept.results.length = 1;
    }),
  );
  const outcomes = await storeInstances(target(port), [instance(1), instance(2, { sopClassUid: CT })]);
  assert.deepEqual(kinds(outcomes), ['refused', 'refused']);
  assert.match(outcomes[0]!.message, /was not proposed/);
  assert.match(outcomes[1]!.message, /gave no answer/);
});

test('A-ABORT inside a series: what was answered stays, the rest is lost, and the reason is told', async (t) => {
  const { port } = await acceptor(t, async (peer) => {
    await acceptAll(peer);
    const command = await peer.nextCommand();
    peer.send(storeResponse(command!.contextId, 1, 0));
    await peer.nextCommand();
    peer.send(encodeAbort({ source: 2, reason: 6 }));
  });
  const outcomes = await storeInstances(target(port), instances(4));
  assert.deepEqual(kinds(outcomes), ['accepted', 'lost transient', 'lost transient', 'lost transient']);
  assert.deepEqual(
    outcomes.map((outcome) => outcome.attempted),
    [true, true, false, false],
  );
  for (const outcome of outcomes.slice(1))
    assert.match(outcome.message, /A-ABORT.*invalid PDU parameter value/);
});

test('a connection lost inside an object: lost, for that and all the rest', async (t) => {
  const { port } = await acceptor(t, async (peer) => {
    await acceptAll(peer);
    await peer.nextCommand();
    peer.socket.resetAndDestroy();
  });
  const big = () => Promise.resolve(Buffer.alloc(50_000_000));
  const outcomes = await storeInstances(target(port), [instance(1, { open: big }), instance(2)]);
  assert.deepEqual(kinds(outcomes), ['lost transient', 'lost transient']);
});

test('a peer that releases instead of answering: lost', async (t) => {
  const { port } = await acceptor(t, async (peer) => {
    await acceptAll(peer);
    await peer.nextCommand();
    await peer.next();
    peer.send(Buffer.from('05000000000400000000', 'hex'));
  });
  assert.deepEqual(kinds(await storeInstances(target(port), instances(2))), [
    'lost transient',
    'lost transient',
  ]);
});

test('an answer to a message that was never sent is a violation, and nothing is taken for accepted', async (t) => {
  const { port } = await acceptor(t, async (peer) => {
    await acceptAll(peer);
    await peer.nextCommand();
    peer.send(storeResponse(1, 42, 0));
  });
  const outcomes = await storeInstances(target(port), instances(1));
  assert.deepEqual(kinds(outcomes), ['lost transient']);
  assert.match(outcomes[0]!.message, /message 42/);
});

const REJECTIONS = [
  { reject: { result: 1, source: 1, reason: 7 }, kind: 'refused', text: /permanently: called AE title/ },
  { reject: { result: 2, source: 3, reason: 2 }, kind: 'refused transient', text: /for now: local limit/ },
];
for (const { reject, kind, text } of REJECTIONS) {
  test(`A-ASSOCIATE-RJ ${text}: ${kind} for every instance`, async (t) => {
    const { port } = await acceptor(t, async (peer) => {
      await peer.next();
      peer.send(encodeAssociateReject(reject));
    });
    const outcomes = await storeInstances(target(port), instances(2));
    assert.deepEqual(kinds(outcomes), [kind, kind]);
    assert.match(outcomes[0]!.message, text);
    await assert.rejects(echo(target(port)), { code: 'rejected', ...reject });
  });
}

test('nobody listens: lost for now, in words', async (t) => {
  const listening = await acceptor(t, () => {});
  listening.close();
  await sleep(10);
  const outcomes = await storeInstances(target(listening.port), instances(2));
  assert.deepEqual(kinds(outcomes), ['lost transient', 'lost transient']);
  assert.match(outcomes[0]!.message, /connection was refused/);
});

test('no answer to A-ASSOCIATE-RQ: time-out; so with echo', async (t) => {
  const { port } = await acceptor(t, () => {});
  const timeouts = { associateMs: 80 };
  const outcomes = await storeInstances(target(port, { timeouts }), instances(1));
  assert.deepEqual(kinds(outcomes), ['lost transient']);
  assert.match(outcomes[0]!.message, /no answer to A-ASSOCIATE-RQ within 0\.08 s/);
  await assert.rejects(echo(target(port, { timeouts })), { code: 'timeout' });
});

test('a peer that never answers C-STORE is given up', async (t) => {
  const silent = await acceptor(t, async (peer) => {
    await acceptAll(peer);
  });
  const outcomes = await storeInstances(target(silent.port, { timeouts: { responseMs: 150 } }), instances(2));
  assert.deepEqual(kinds(outcomes), ['lost transient', 'lost transient']);
  assert.match(outcomes[0]!.message, /no byte moved/);
});

for (const maxPduLength of [1, 6, 7]) {
  test(`a maximum PDU length of ${maxPduLength} ends in an error, not in memory`, async (t) => {
    const { port } = await acceptor(t, async (peer) => {
      await acceptAll(peer, (accept) => {
        accept.user.maxPduLength = maxPduLength;
      });
    });
    const outcomes = await storeInstances(target(port), instances(1));
    assert.deepEqual(kinds(outcomes), ['lost']);
    assert.match(outcomes[0]!.message, new RegExp(`maximum PDU length of ${maxPduLength} cannot carry`));
  });
}

for (const maxPduLength of [8, 11, 500, 2100, 16384, 0]) {
  test(`to a peer whose maximum PDU length is ${maxPduLength}: no longer PDU, every byte`, async (t) => {
    let received = Buffer.alloc(0);
    let longest = 0;
    const { port } = await acceptor(t, async (peer) => {
      await acceptAll(peer, (accept) => {
        accept.user.maxPduLength = maxPduLength;
      });
      const parts: Buffer[] = [];
      for (let last = false; !last; ) {
        const pdu = await peer.next();
        longest = Math.max(longest, pdu!.body.length);
        if ((pdu!.body[5]! & 1) === 1) continue;
        parts.push(pdu!.body.subarray(6));
        last = (pdu!.body[5]! & 2) !== 0;
      }
      received = Buffer.concat(parts);
      peer.send(storeResponse(1, 1, 0));
      await peer.next();
      peer.send(encodeReleaseResponse());
    });
    const data = Buffer.from(Array.from({ length: 20_000 }, (_, i) => (i * 31) & 255));
    const outcomes = await storeInstances(target(port), [instance(1, { open: () => Promise.resolve(data) })]);
    assert.deepEqual(kinds(outcomes), ['accepted']);
    assert.deepEqual(received, data);
    if (maxPduLength > 0) assert.ok(longest <= maxPduLength, `${longest}`);
  });
}

test('buffers and streams of every cut arrive byte for byte, in many operations at once', async (t) => {
  const { server, received } = await receiver(t);
  const data = Buffer.from(Array.from({ length: 300_000 }, (_, i) => (i * 131) & 255));
  async function* cut(size: number): AsyncGenerator<Buffer> {
    for (let at = 0; at < data.length; at += size) {
      if (at % 3 === 0) await sleep(0);
      yield data.subarray(at, at + size);
    }
  }
  const list = [999, 16_378, 65_536, 131_066, 300_000].map((size, index) =>
    instance(index, { open: () => Promise.resolve(cut(size)) }),
  );
  list.push(instance(10, { open: () => Promise.resolve(data) }));
  list.push(instance(11, { open: () => Promise.resolve(Buffer.alloc(0)) }));
  const seen: string[] = [];
  const outcomes = await storeInstances(target(server.port), list, {
    onOutcome: (outcome) => seen.push(outcome.sopInstanceUid),
  });
  assert.ok(outcomes.every((outcome) => outcome.outcome === 'accepted'));
  assert.equal(seen.length, list.length);
  for (const { sopInstanceUid } of list.slice(0, 6)) assert.deepEqual(received.get(sopInstanceUid), data);
  assert.equal(received.get('1.2.3.11')?.length, 0);
});

test('an instance that cannot be opened is lost alone', async (t) => {
  const { server, received } = await receiver(t);
  const broken = instance(2, { open: () => Promise.reject(new Error('EIO')) });
  const outcomes = await storeInstances(target(server.port), [instance(1), broken, instance(3)]);
  assert.deepEqual(kinds(outcomes), ['accepted', 'lost transient', 'accepted']);
  assert.match(outcomes[1]!.message, /1\.2\.3\.2 could not be read: EIO/);
  assert.equal(received.size, 2);
});

test('data that breaks off is never sent as a whole object, and the rest goes over a new association', async (t) => {
  const { server, received } = await receiver(t);
  async function* breaking(): AsyncGenerator<Buffer> {
    yield Buffer.alloc(500_000);
    throw new Error('EIO');
  }
  const broken = instance(2, { open: () => Promise.resolve(breaking()) });
  const list = [instance(1), broken, instance(3), instance(4)];
  const outcomes = await storeInstances(target(server.port, { operations: 1 }), list);
  assert.deepEqual(kinds(outcomes), ['accepted', 'lost transient', 'accepted', 'accepted']);
  assert.deepEqual([...received.keys()].sort(), ['1.2.3.1', '1.2.3.3', '1.2.3.4']);
});

test('odd lengths: a deflated data set is padded, any other is not DICOM and is lost alone', async (t) => {
  const { server, received } = await receiver(t);
  const odd = Buffer.from('odd');
  async function* stream(): AsyncGenerator<Buffer> {
    yield odd;
  }
  const deflated = { transferSyntaxUid: '1.2.840.10008.1.2.1.99' };
  const outcomes = await storeInstances(target(server.port, { operations: 1 }), [
    instance(1, { ...deflated, open: () => Promise.resolve(odd) }),
    instance(2, { ...deflated, open: () => Promise.resolve(stream()) }),
    instance(3, { open: () => Promise.resolve(odd) }),
    instance(4, { open: () => Promise.resolve(stream()) }),
    instance(5),
  ]);
  assert.deepEqual(kinds(outcomes), ['accepted', 'accepted', 'lost', 'lost', 'accepted']);
  assert.match(outcomes[2]!.message, /odd length \(3 bytes\)/);
  assert.deepEqual(received.get('1.2.3.1'), Buffer.from('odd\0'));
  assert.deepEqual(received.get('1.2.3.2'), Buffer.from('odd\0'));
  assert.deepEqual([...received.keys()].sort(), ['1.2.3.1', '1.2.3.2', '1.2.3.5']);
});

test('more than 128 contexts are split over several associations', async (t) => {
  let accepted = 0;
  const { server, received } = await receiver(t, {
    onAssociation: (event) => {
      if (event === 'accepted') accepted += 1;
    },
  });
  const list = Array.from({ length: 300 }, (_, index) =>
    instance(index, { sopClassUid: `1.2.840.10008.5.1.4.1.1.99.${index}` }),
  );
  const outcomes = await storeInstances(target(server.port), list);
  assert.ok(outcomes.every((outcome) => outcome.outcome === 'accepted'));
  assert.equal(received.size, 300);
  assert.equal(accepted, 3);
});

test('an AbortSignal ends it: what was answered stays, the rest is lost', async (t) => {
  const controller = new AbortController();
  const { port } = await acceptor(t, async (peer) => {
    await acceptAll(peer);
    const command = await peer.nextCommand();
    peer.send(storeResponse(command!.contextId, 1, 0));
    await peer.nextCommand();
    controller.abort();
  });
  const outcomes = await storeInstances(target(port), instances(3), { signal: controller.signal });
  assert.deepEqual(kinds(outcomes), ['accepted', 'lost transient', 'lost transient']);
  assert.match(outcomes[1]!.message, /cancelled by the caller/);
  const none = await storeInstances(target(port), instances(2), { signal: controller.signal });
  assert.deepEqual(kinds(none), ['lost transient', 'lost transient']);
});

test('nothing to send opens no association', async (t) => {
  const listening = await acceptor(t, () => {});
  assert.deepEqual(await storeInstances(target(listening.port), []), []);
  assert.equal(listening.count(), 0);
});

test('echo', async (t) => {
  const { server } = await receiver(t);
  await echo(target(server.port));
  await assert.rejects(
    echo(target(server.port, { calledAeTitle: 'OTHER' })),
    /called AE title not recognized/,
  );
  await assert.rejects(
    echo(target(server.port, { callingAeTitle: 'WHO' })),
    /calling AE title not recognized/,
  );
});

test('echo of a peer that offers no verification', async (t) => {
  const { port } = await acceptor(t, async (peer) => {
    await acceptAll(peer, (accept) => {
      accept.results[0]!.result = 3;
    });
    await peer.next();
    peer.send(encodeReleaseResponse());
  });
  await assert.rejects(echo(target(port)), { code: 'not-accepted', transient: false });
});

test('a peer that does not answer A-RELEASE-RQ does not change what was stored', async (t) => {
  const { port } = await acceptor(t, async (peer) => {
    await acceptAll(peer);
    await peer.nextCommand();
    peer.send(storeResponse(1, 1, 0));
  });
  const outcomes = await storeInstances(target(port, { timeouts: { releaseMs: 60 } }), instances(1));
  assert.deepEqual(kinds(outcomes), ['accepted']);
});
