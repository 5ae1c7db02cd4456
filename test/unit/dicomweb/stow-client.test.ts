import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { type AddressInfo, createServer as createRawServer } from 'node:net';
import { after, test } from 'node:test';
import express from 'express';
import {
  createStoreProvider,
  echo,
  StowError,
  type StowInstance,
  stow,
} from '../../../src/dicomweb/index.js';
import { type JsonDataSet, TAG } from '../../../src/dicomweb/json-model.js';
import { parseMediaType } from '../../../src/dicomweb/media-type.js';
import { declaredInstance } from '../../../src/dicomweb/meta-header.js';
import { readParts } from '../../../src/dicomweb/multipart.js';
import { parseNativeXml, toNativeXml } from '../../../src/dicomweb/native-model.js';
import { createFakeIntake, FakeIntakeError, MR_IMAGE_STORAGE, part10 } from './fake-intake.js';

const servers: Server[] = [];
after(() => {
  for (const server of servers) {
    server.close();
    server.closeAllConnections();
  }
});

async function listen(
  handler: (request: IncomingMessage, response: ServerResponse) => void,
): Promise<string> {
  const server = createServer(handler);
  servers.push(server);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/dicom-web`;
}

/** A destination that answers each request by a function of the SOP Instance UIDs in it. */
function destination(
  answer: (sops: string[], request: IncomingMessage) => { status: number; body?: string },
) {
  const requests: string[][] = [];
  const url = listen(async (request, response) => {
    const boundary = parseMediaType(request.headers['content-type'])?.parameters.get('boundary') ?? '';
    const sops: string[] = [];
    for await (const part of readParts(request as AsyncIterable<Buffer>, boundary)) {
      const chunks: Buffer[] = [];
      for await (const chunk of part.body) chunks.push(chunk);
      sops.push(declaredInstance(Buffer.concat(chunks))?.sopInstanceUid ?? '?');
    }
    requests.push(sops);
    const { status, body } = answer(sops, request);
    response.writeHead(status, { 'content-type': 'application/dicom+json' }).end(body);
  });
  return { url, requests };
}

function instances(count: number): StowInstance[] {
  return Array.from({ length: count }, (_, i) => {
    const sopInstanceUid = `1.2.3.${i + 1}`;
    return { sopInstanceUid, sopClassUid: MR_IMAGE_STORAGE, file: async () => part10(sopInstanceUid) };
  });
}

function sequenceOf(sops: readonly string[], reason?: { tag: string; value: number }) {
  return {
    vr: 'SQ',
    Value: sops.map((sop) => ({
      [TAG.referencedSopInstanceUid]: { vr: 'UI', Value: [sop] },
      ...(reason ? { [reason.tag]: { vr: 'US', Value: [reason.value] } } : {}),
    })),
  };
}

const allStored = (sops: readonly string[]) =>
  JSON.stringify({ [TAG.referencedSopSequence]: sequenceOf(sops) });

test('against our own provider: every instance arrives unchanged and is accepted, in batches', async () => {
  const fake = createFakeIntake();
  const app = express().use(
    '/dicom-web',
    createStoreProvider({
      intake: fake.intake,
      limits: { requestBytes: 1e8, instanceBytes: 1e8, instances: 100 },
      senderOf: async () => 'X',
    }),
  );
  const url = await listen(app);
  const outcomes = await stow({ url }, instances(23), { batch: 10, connections: 2 });
  assert.deepEqual(
    outcomes.map((o) => [o.sopInstanceUid, o.outcome]),
    instances(23).map((i) => [i.sopInstanceUid, 'accepted']),
  );
  assert.equal(fake.stored.size, 23);
  for (const { sopInstanceUid } of outcomes)
    assert.deepEqual(fake.stored.get(sopInstanceUid), part10(sopInstanceUid));
});

test('202: failed, warned, and forgotten instances are told apart', async () => {
  const { url } = destination((sops) => ({
    status: 202,
    body: JSON.stringify({
      [TAG.referencedSopSequence]: {
        vr: 'SQ',
        Value: [
          ...sequenceOf([sops[0]!]).Value,
          ...sequenceOf([sops[1]!], { tag: TAG.warningReason, value: 0xb000 }).Value,
        ],
      },
      [TAG.failedSopSequence]: {
        vr: 'SQ',
        Value: [
          ...sequenceOf([sops[2]!], { tag: TAG.failureReason, value: 0xa700 }).Value,
          ...sequenceOf([sops[3]!], { tag: TAG.failureReason, value: 0xc000 }).Value,
          ...sequenceOf([sops[4]!], { tag: TAG.failureReason, value: 0x0111 }).Value,
        ],
      },
    }),
  }));
  const outcomes = await stow({ url: await url }, instances(6));
  assert.deepEqual(
    outcomes.map((o) => [o.outcome, o.status, o.transient]),
    [
      ['accepted', undefined, false],
      ['warning', 0xb000, false],
      ['refused', 0xa700, true],
      ['refused', 0xc000, false],
      ['warning', 0x0111, false],
      ['lost', 202, true],
    ],
  );
  assert.match(outcomes[3]!.message, /0xC000/);
});

test('an XML answer is read too', async () => {
  const { url } = destination((sops) => ({
    status: 200,
    body: toNativeXml({ [TAG.referencedSopSequence]: sequenceOf(sops) }),
  }));
  const outcomes = await stow({ url: await url }, instances(2));
  assert.deepEqual(
    outcomes.map((o) => o.outcome),
    ['accepted', 'accepted'],
  );
});

test('200 that names nothing is no success', async () => {
  for (const body of [
    '',
    '{}',
    '[]',
    'null',
    '{"00081199":{"vr":"SQ","Value":"x"}}',
    '<html></html>',
    'OK',
  ]) {
    const { url } = destination(() => ({ status: 200, body }));
    const [outcome] = await stow({ url: await url }, instances(1));
    assert.equal(outcome?.outcome, 'lost', body);
    assert.equal(outcome?.transient, true);
  }
});

test('a batch refused as a whole is sent again one by one: one bad instance does not take the others with it', async () => {
  const { url, requests } = destination((sops) => {
    return sops.includes('1.2.3.3') ? { status: 400 } : { status: 200, body: allStored(sops) };
  });
  const outcomes = await stow({ url: await url }, instances(5), { batch: 5 });
  assert.deepEqual(
    outcomes.map((o) => o.outcome),
    ['accepted', 'accepted', 'refused', 'accepted', 'accepted'],
  );
  assert.equal(outcomes[2]?.transient, false);
  assert.equal(requests.length, 6);
});

test('what a person must mend is permanent, what may pass is transient', async () => {
  const expected: [number, boolean][] = [
    [401, false],
    [403, false],
    [404, false],
    [415, false],
    [302, false],
    [408, true],
    [429, true],
    [502, true],
    [503, true],
    [507, true],
  ];
  for (const [status, transient] of expected) {
    const { url, requests } = destination(() => ({ status }));
    const outcomes = await stow({ url: await url }, instances(2));
    assert.deepEqual(
      outcomes.map((o) => [o.outcome, o.status, o.transient]),
      [
        ['refused', status, transient],
        ['refused', status, transient],
      ],
    );
    assert.equal(requests.length, 1, String(status));
  }
});

test('a destination that is not there, hangs up or stays silent loses the instances, and says why', async () => {
  const gone = await stow({ url: 'http://127.0.0.1:1/dicom-web' }, instances(3));
  assert.deepEqual(
    gone.map((o) => [o.outcome, o.transient]),
    Array.from({ length: 3 }, () => ['lost', true]),
  );
  assert.match(gone[0]!.message, /ECONNREFUSED/);
  const rude = await listen((request) => {
    request.once('data', () => request.socket.destroy());
  });
  assert.equal((await stow({ url: rude }, instances(1)))[0]?.outcome, 'lost');
  const silent = await listen((request) => {
    request.resume();
  });
  const [late] = await stow({ url: silent, timeoutMs: 300 }, instances(1));
  assert.equal(late?.outcome, 'lost');
  assert.match(late!.message, /timeout/i);
});

test('a file that cannot be read loses only itself', async () => {
  const { url } = destination((sops) => ({ status: 200, body: allStored(sops) }));
  const all = instances(3);
  all[1] = {
    ...all[1]!,
    file: async () => {
      throw new Error('no such file');
    },
  };
  const outcomes = await stow({ url: await url }, all);
  assert.deepEqual(
    outcomes.map((o) => o.outcome),
    ['accepted', 'lost', 'accepted'],
  );
  assert.match(outcomes[1]!.message, /no such file/);
});

test('stopping: instances not sent yet are lost, transiently', async () => {
  const stop = new AbortController();
  const { url } = destination((sops) => {
    stop.abort();
    return { status: 200, body: allStored(sops) };
  });
  const outcomes = await stow({ url: await url }, instances(9), {
    batch: 1,
    connections: 1,
    signal: stop.signal,
  });
  assert.equal(outcomes.length, 9);
  assert.ok(outcomes.slice(1).every((o) => o.outcome === 'lost' && o.transient));
});

test('headers of the configuration are sent, with a known length and the DICOM media type', async () => {
  let seen: IncomingMessage['headers'] = {};
  const { url } = destination((sops, request) => {
    seen = request.headers;
    return { status: 200, body: allStored(sops) };
  });
  await stow({ url: await url, headers: { Authorization: 'Bearer abc' } }, instances(2));
  assert.equal(seen.authorization, 'Bearer abc');
  assert.ok(Number(seen['content-length']) > 2 * part10('1.2.3.1').length);
  assert.match(seen['content-type'] ?? '', /^multipart\/related; type="application\/dicom"; boundary=/);
});

test('a request takes as many bytes as it may, and a large instance goes alone', async () => {
  const { url, requests } = destination((sops) => ({ status: 200, body: allStored(sops) }));
  const large = instances(4).map((instance) => ({
    ...instance,
    file: async () => part10(instance.sopInstanceUid, Buffer.alloc(1000)),
  }));
  const outcomes = await stow({ url: await url }, large, { batchBytes: 2000, connections: 1 });
  assert.ok(outcomes.every((o) => o.outcome === 'accepted'));
  assert.deepEqual(requests, [
    ['1.2.3.1', '1.2.3.2'],
    ['1.2.3.3', '1.2.3.4'],
  ]);
});

test('echo says that a service answers, or what is wrong with it', async () => {
  const good = await listen((request, response) => {
    response.writeHead(request.url?.startsWith('/dicom-web/studies?limit=1') ? 200 : 404).end('[]');
  });
  assert.match(await echo({ url: good }), /answered 200 in \d+ ms$/);
  const storeOnly = await listen((request, response) => {
    response.writeHead(request.method === 'OPTIONS' ? 204 : 405).end();
  });
  assert.match(await echo({ url: `${storeOnly}/` }), /answered 204/);
  const rejects = (url: string, code: string, message: RegExp) =>
    assert.rejects(
      echo({ url }),
      (e: unknown) => e instanceof StowError && e.code === code && message.test(e.message),
    );
  await rejects(
    await listen((_, response) => response.writeHead(401).end()),
    'refused',
    /check the credentials/,
  );
  await rejects(
    await listen((_, response) => response.writeHead(404).end()),
    'not-dicomweb',
    /root of a DICOMweb/,
  );
  await rejects('http://127.0.0.1:1/dicom-web', 'unreachable', /cannot be reached.*ECONNREFUSED/);
});

test('the Native DICOM Model is read back as written, with entities and without namespaces being taken seriously', () => {
  const dataSet: JsonDataSet = {
    '00081190': { vr: 'UR', Value: ['http://h/a?b=1&c=<2>"\''] },
    '00081199': { vr: 'SQ', Value: [{ '00081155': { vr: 'UI', Value: ['1.2'] } }, {}] },
  };
  assert.deepEqual(parseNativeXml(toNativeXml(dataSet)), dataSet);
  const prefixed =
    '<?xml version="1.0"?><d:NativeDicomModel xmlns:d="x"><d:DicomAttribute vr="UI" tag="0008119a"/></d:NativeDicomModel>';
  assert.deepEqual(parseNativeXml(prefixed), { '0008119A': { vr: 'UI', Value: [] } });
  assert.equal(parseNativeXml(`<!DOCTYPE x [<!ENTITY a "b">]>${toNativeXml(dataSet)}`), undefined);
  assert.equal(parseNativeXml('<html/>'), undefined);
});

test('a provider that refuses is understood by the client', async () => {
  const fake = createFakeIntake((sop) =>
    sop === '1.2.3.2' ? new FakeIntakeError('mismatch', 0xa900) : undefined,
  );
  const app = express().use(
    '/dicom-web',
    createStoreProvider({
      intake: fake.intake,
      limits: { requestBytes: 1e8, instanceBytes: 1e8, instances: 100 },
      senderOf: async () => 'X',
    }),
  );
  const outcomes = await stow({ url: await listen(app) }, instances(3));
  assert.deepEqual(
    outcomes.map((o) => [o.outcome, o.status]),
    [
      ['accepted', undefined],
      ['refused', 0xa900],
      ['accepted', undefined],
    ],
  );
});

test('a long answer that ends with its connection is read whole', async () => {
  const server = createRawServer((socket) => {
    socket.on('error', () => {});
    // The request is a few hundred bytes; its end is the final boundary.
    let seen = '';
    socket.on('data', (chunk) => {
      seen = (seen + chunk.toString('latin1')).slice(-200);
      if (!/--mcnet-[\w-]+--\r\n$/.test(seen)) return;
      seen = '';
      const refused = JSON.stringify({ '00081198': { vr: 'SQ', Value: [] }, '00090010': { vr: 'LO' } });
      const body = `${' '.repeat(8 * 1024 * 1024)}${refused}`;
      socket.end(
        `HTTP/1.1 200 OK\r\nContent-Type: application/dicom+json\r\nConnection: close\r\n\r\n${body}`,
      );
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  try {
    const { port } = server.address() as AddressInfo;
    const outcomes = await stow({ url: `http://127.0.0.1:${port}/dicom-web` }, instances(1));
    assert.equal(outcomes.length, 1);
    assert.notEqual(outcomes[0]?.outcome, undefined);
    assert.doesNotMatch(outcomes[0]!.message, /no answer/);
  } finally {
    server.close();
  }
});
