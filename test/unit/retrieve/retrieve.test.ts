import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { loadConfig } from '../../../src/config/index.js';
import * as dicom from '../../../src/dicom/index.js';
import { encodeIdentifier, textElement } from '../../../src/dimse/identifier.js';
import {
  type Association,
  associate,
  contextFor,
  type DimseServer,
  type StoreRequest,
  startDimseServer,
  storageProvider,
  storeInstances,
} from '../../../src/dimse/index.js';
import { openPipeline } from '../../../src/pipeline/index.js';
import { atEnd, eventually, temporaryFolder } from '../pipeline/synthetic.js';
import { startNode } from './query-retrieve-node.js';

const MR = '1.2.840.10008.5.1.4.1.1.4';
const EXPLICIT = '1.2.840.10008.1.2.1';
const IMPLICIT = '1.2.840.10008.1.2';
const FIND = '1.2.840.10008.5.1.4.1.2.2.1';
const MOVE = '1.2.840.10008.5.1.4.1.2.2.2';
const GET = '1.2.840.10008.5.1.4.1.2.2.3';

function dataSet(n: number, transferSyntax = EXPLICIT): Buffer {
  const pixels = Buffer.alloc(64);
  for (let i = 0; i < 64; i += 1) pixels[i] = (i * 7 + n) & 0xff;
  const number = (value: number) => Buffer.from([value & 0xff, value >> 8]);
  return encodeIdentifier(
    [
      textElement(0x00080016, 'UI', MR),
      textElement(0x00080018, 'UI', `1.2.9.${n}`),
      textElement(0x00080060, 'CS', 'MR'),
      textElement(0x00100020, 'LO', 'P-1'),
      textElement(0x0020000d, 'UI', '1.2.7'),
      textElement(0x0020000e, 'UI', '1.2.8'),
      textElement(0x00200013, 'IS', String(n)),
      { tag: 0x00280010, vr: 'US', bytes: number(4) },
      { tag: 0x00280011, vr: 'US', bytes: number(8) },
      { tag: 0x00280100, vr: 'US', bytes: number(16) },
      { tag: 0x7fe00010, vr: 'OW', bytes: pixels },
    ],
    transferSyntax,
  );
}

const keys = (level: string, values: Record<number, string> = {}) =>
  encodeIdentifier(
    [
      textElement(0x00080052, 'CS', level),
      ...Object.entries({ 2097165: '1.2.7', ...values }).map(([tag, value]) =>
        textElement(Number(tag), 'UI', value),
      ),
    ],
    EXPLICIT,
  );

/** Our node with `count` instances, and a destination RECEIVER that keeps what it gets. */
async function start(
  t: TestContext,
  count: number,
  onStore: (r: StoreRequest) => Promise<number> = async () => 0,
) {
  const stored = new Map<string, { syntax: string; data: Buffer; originator?: string }>();
  const keep = async (request: StoreRequest) => {
    const parts: Buffer[] = [];
    for await (const part of request.data) parts.push(part);
    const { sopInstanceUid, transferSyntaxUid: syntax, moveOriginator } = request;
    const status = await onStore(request);
    if (status === 0) {
      stored.set(sopInstanceUid, {
        syntax,
        data: Buffer.concat(parts),
        ...(moveOriginator && { originator: moveOriginator.aeTitle }),
      });
    }
    return { status };
  };
  const receiver: DimseServer = await startDimseServer({
    aeTitle: 'RECEIVER',
    host: '127.0.0.1',
    port: 0,
    peers: [{ aeTitle: 'MCNET', host: '127.0.0.1' }],
    onStore: keep,
  });
  const data = await temporaryFolder(t);
  const config = {
    ...loadConfig(),
    data,
    dimse: { host: '127.0.0.1', port: 0 },
    peers: [
      { aeTitle: 'PULL', host: '127.0.0.1' },
      { aeTitle: 'RECEIVER', host: '127.0.0.1', port: receiver.port },
    ],
  };
  const pipeline = await openPipeline({ data, rules: [], dicom, models: new Map(), destinations: [] });
  atEnd(t, async () => {
    await receiver.close(0);
    await pipeline.close(200);
  });
  const port = await startNode(t, config, pipeline);
  const target = {
    host: '127.0.0.1',
    port,
    calledAeTitle: 'MCNET',
    callingAeTitle: 'PULL',
  };
  const outcomes = await storeInstances(
    target,
    Array.from({ length: count }, (_, i) => ({
      sopClassUid: MR,
      sopInstanceUid: `1.2.9.${i + 1}`,
      transferSyntaxUid: EXPLICIT,
      open: async () => dataSet(i + 1),
    })),
  );
  for (const { outcome, message } of outcomes) assert.equal(outcome, 'accepted', message);
  return { target, stored, keep, pipeline };
}

async function perform(
  association: Association,
  sopClass: string,
  command: { commandField: number; moveDestination?: string },
  identifier: Buffer,
  onPending: (remaining: number | undefined) => void = () => {},
) {
  return association.request(
    contextFor(association, sopClass)!.id,
    { ...command, affectedSopClassUid: sopClass, priority: 0 },
    identifier,
    ({ command: { remainingSuboperations } }) => onPending(remainingSuboperations),
  );
}

const open = async (t: TestContext, target: Parameters<typeof associate>[0], ...uids: string[]) => {
  const association = await associate(
    target,
    uids.map((abstractSyntax) => ({ abstractSyntax, transferSyntaxes: [EXPLICIT] })),
  );
  atEnd(t, () => association.release(500));
  return association;
};

test('C-MOVE: counts, move originator, and what the destination refuses', async (t) => {
  const { target, stored } = await start(t, 6, async ({ sopInstanceUid }) =>
    sopInstanceUid === '1.2.9.2' ? 0xa900 : sopInstanceUid === '1.2.9.3' ? 0xb000 : 0,
  );
  const association = await open(t, target, MOVE);
  const remaining: (number | undefined)[] = [];
  const move = { commandField: 0x0021, moveDestination: 'RECEIVER' };
  const done = await perform(association, MOVE, move, keys('STUDY'), (n) => remaining.push(n));
  assert.equal(done.status, 0xb000);
  assert.equal(done.command.completedSuboperations, 4);
  assert.equal(done.command.failedSuboperations, 1);
  assert.equal(done.command.warningSuboperations, 1);
  const failed = dicom.parseDataSet(done.dataSet!, EXPLICIT);
  assert.deepEqual(dicom.strings(failed, 0x00080058), ['1.2.9.2']);
  assert.ok(remaining.length > 0 && remaining.every((n) => n !== undefined && n > 0 && n < 6));
  assert.equal(stored.size, 4);
  assert.deepEqual(stored.get('1.2.9.1'), { syntax: EXPLICIT, data: dataSet(1), originator: 'PULL' });

  const none = await perform(association, MOVE, move, keys('STUDY', { 2097165: '1.2.999' }));
  assert.equal(none.status, 0);
  assert.equal(none.command.completedSuboperations, 0);
});

test('C-CANCEL ends a C-MOVE with what was done and what remains', async (t) => {
  const { target, stored } = await start(t, 40, async () => {
    await delay(20);
    return 0;
  });
  const association = await open(t, target, MOVE);
  let cancelled = false;
  const done = await perform(
    association,
    MOVE,
    { commandField: 0x0021, moveDestination: 'RECEIVER' },
    keys('STUDY'),
    () => {
      if (cancelled) return;
      cancelled = true;
      // The first request of this association has message id 1.
      void association
        .request(contextFor(association, MOVE)!.id, {
          commandField: 0x0fff,
          messageIdBeingRespondedTo: 1,
        })
        .catch(() => {});
    },
  );
  assert.equal(done.status, 0xfe00);
  const { completedSuboperations: completed, remainingSuboperations: left } = done.command;
  assert.ok(completed! >= 1 && completed! < 40, `${completed} completed`);
  assert.equal(completed! + left!, 40);
  assert.equal(stored.size, completed);
});

test('C-GET: in the syntax that the requestor takes, with its refusals', async (t) => {
  for (const syntax of [EXPLICIT, IMPLICIT]) {
    const { target, stored, keep } = await start(t, 4, async ({ sopInstanceUid }) =>
      sopInstanceUid === '1.2.9.4' ? 0xa700 : 0,
    );
    const association = await associate(
      target,
      [
        { abstractSyntax: GET, transferSyntaxes: [EXPLICIT] },
        { abstractSyntax: MR, transferSyntaxes: [syntax], roles: { scu: false, scp: true } },
      ],
      { services: [storageProvider({ onStore: keep })] },
    );
    const done = await perform(association, GET, { commandField: 0x0010 }, keys('STUDY'));
    await association.release(500);
    assert.equal(done.status, 0xb000);
    assert.equal(done.command.completedSuboperations, 3);
    assert.equal(done.command.failedSuboperations, 1);
    assert.deepEqual([...stored.keys()].sort(), ['1.2.9.1', '1.2.9.2', '1.2.9.3']);
    for (const n of [1, 2, 3]) {
      const { syntax: used, data } = stored.get(`1.2.9.${n}`)!;
      assert.equal(used, syntax);
      assert.deepEqual(data, dataSet(n, syntax));
    }
  }
});

test('C-GET without the SCP role: nothing is sent, everything has failed', async (t) => {
  const { target, keep } = await start(t, 2);
  const association = await associate(
    target,
    [
      { abstractSyntax: GET, transferSyntaxes: [EXPLICIT] },
      { abstractSyntax: MR, transferSyntaxes: [EXPLICIT] },
    ],
    { services: [storageProvider({ onStore: keep })] },
  );
  const done = await perform(association, GET, { commandField: 0x0010 }, keys('STUDY'));
  await association.release(500);
  assert.equal(done.status, 0xa702);
  assert.equal(done.command.failedSuboperations, 2);
});

test('identifiers that fit no model, or cannot be read, are refused', async (t) => {
  const { target } = await start(t, 1);
  const association = await open(t, target, FIND, MOVE);
  const find = { commandField: 0x0020 };
  assert.equal((await perform(association, FIND, find, keys('PATIENT'))).status, 0xa900);
  assert.equal((await perform(association, FIND, find, keys('WORKLIST'))).status, 0xa900);
  const cut = keys('STUDY').subarray(0, 20);
  assert.equal((await perform(association, FIND, find, cut)).status, 0xa900);
  const nowhere = { commandField: 0x0021, moveDestination: 'NOWHERE' };
  assert.equal((await perform(association, MOVE, nowhere, keys('STUDY'))).status, 0xa801);
  const here = { commandField: 0x0021, moveDestination: 'RECEIVER' };
  assert.equal((await perform(association, MOVE, here, keys('SERIES'))).status, 0xa900);
});

test('keys that the archive does not know are answered with a warning', async (t) => {
  const { target } = await start(t, 1);
  const association = await open(t, target, FIND);
  const statuses: number[] = [];
  const identifier = keys('STUDY', { 1052677: '' });
  const done = await association.request(
    1,
    { commandField: 0x0020, affectedSopClassUid: FIND, priority: 0 },
    identifier,
    ({ status }) => statuses.push(status),
  );
  assert.equal(done.status, 0);
  assert.deepEqual(statuses, [0xff01]);
});

test('what was stored before the index kept attributes is found after a start', async (t) => {
  const { target, pipeline } = await start(t, 3);
  const { db } = pipeline.archive;
  db.run('DELETE FROM studies');
  db.run('UPDATE series SET attributes = NULL');
  db.run('UPDATE instances SET attributes = NULL');
  const association = await open(t, target, FIND);
  const found = async () => {
    let answers = 0;
    const command = { commandField: 0x0020, affectedSopClassUid: FIND, priority: 0 };
    await association.request(1, command, keys('IMAGE'), () => {
      answers += 1;
    });
    return answers;
  };
  assert.equal(await found(), 0);
  pipeline.start();
  await eventually(
    'indexed',
    () => db.get('SELECT 1 FROM instances WHERE attributes IS NULL LIMIT 1') === undefined,
  );
  assert.equal(await found(), 3);
});
