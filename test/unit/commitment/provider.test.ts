import assert from 'node:assert/strict';
import { rm } from 'node:fs/promises';
import { type TestContext, test } from 'node:test';
import { type Archive, openArchive } from '../../../src/archive/index.js';
import { createCommitmentProvider } from '../../../src/commitment/index.js';
import {
  type CommitmentReport,
  commitmentReports,
  type DimseTarget,
  requestCommitment,
  startDimseServer,
} from '../../../src/dimse/index.js';
import { openEmbeddedQueue, type Queue } from '../../../src/queue/index.js';
import { atEnd, eventually, temporaryFolder } from '../pipeline/synthetic.js';

const MR = '1.2.840.10008.5.1.4.1.1.4';
const CT = '1.2.840.10008.5.1.4.1.1.2';
const reference = (n: number, sopClassUid = MR) => ({ sopClassUid, sopInstanceUid: `1.2.3.${n}` });

interface Started {
  archive: Archive;
  queue: Queue;
  port: number;
  provider: ReturnType<typeof createCommitmentProvider>;
  close(): Promise<void>;
}

async function start(
  t: TestContext,
  data: string,
  targetOf: (aeTitle: string) => DimseTarget | undefined,
): Promise<Started> {
  const archive = await openArchive(data);
  const queue = openEmbeddedQueue(archive.db, archive.clock);
  const provider = createCommitmentProvider({ archive, queue, targetOf, sameAssociationAfterMs: 20 });
  const server = await startDimseServer({
    aeTitle: 'MCNET',
    host: '127.0.0.1',
    port: 0,
    peers: [{ aeTitle: '*', host: '127.0.0.1' }],
    services: [provider.service],
    onStore: async () => ({ status: 0 }),
  });
  let open = true;
  const close = async () => {
    if (!open) return;
    open = false;
    await server.close(0);
    await queue.close(500);
    await archive.close();
  };
  atEnd(t, close);
  return { archive, queue, port: server.port, provider, close };
}

async function add(archive: Archive, n: number): Promise<string> {
  const part = await archive.files.createPart();
  await part.write([Buffer.alloc(200, n)]);
  const { path } = await archive.add(part, {
    study: '1.2',
    series: '1.2.3',
    sop: reference(n).sopInstanceUid,
    version: 1,
    sopClass: MR,
    transferSyntax: '1.2.840.10008.1.2.1',
    digest: `${n}`,
    dataSetOffset: 144,
    origin: 'received',
    source: { protocol: 'dimse', peer: 'X', address: '' },
    state: 'left-alone',
    receivedAt: archive.clock.now(),
  });
  return path;
}

const target = (port: number): DimseTarget => ({
  host: '127.0.0.1',
  port,
  calledAeTitle: 'MCNET',
  callingAeTitle: 'PEER',
});
const uids = (references: readonly { sopInstanceUid: string }[]) =>
  references.map(({ sopInstanceUid }) => sopInstanceUid);

test('on the association of the request, while it stays open: each instance with its reason', async (t) => {
  const node = await start(t, await temporaryFolder(t), () => undefined);
  node.provider.start();
  await add(node.archive, 1);
  await rm(await add(node.archive, 2));
  await add(node.archive, 3);
  const reports: CommitmentReport[] = [];
  await requestCommitment(
    target(node.port),
    { transactionUid: '2.25.1', references: [reference(1), reference(2), reference(3, CT), reference(4)] },
    {
      waitMs: 5000,
      onReport: async (report) => {
        reports.push(report);
        return true;
      },
    },
  );
  assert.equal(reports.length, 1);
  assert.deepEqual(reports[0]!.committed, [reference(1)]);
  assert.deepEqual(reports[0]!.failed, [
    { ...reference(2), reason: 0x0110 },
    { ...reference(3, CT), reason: 0x0119 },
    { ...reference(4), reason: 0x0112 },
  ]);
  await eventually(
    'nothing is owed',
    () => node.archive.db.get('SELECT 1 FROM commitment_requests') === undefined,
  );
});

test('a report that is owed when the server stops is sent after the next start, to the configured address', async (t) => {
  const data = await temporaryFolder(t);
  const first = await start(t, data, () => undefined);
  await add(first.archive, 1);
  const onReport = async () => assert.fail('not on this association');
  const request = { transactionUid: '2.25.2', references: [reference(1)] };
  // Not started: the request is taken, the report has to wait.
  await requestCommitment(target(first.port), request, { waitMs: 10, onReport });
  await first.close();

  const reports: CommitmentReport[] = [];
  const peer = await startDimseServer({
    aeTitle: 'PEER',
    host: '127.0.0.1',
    port: 0,
    peers: [{ aeTitle: 'MCNET', host: '127.0.0.1' }],
    services: [
      commitmentReports(async (report) => {
        reports.push(report);
        return true;
      }),
    ],
    onStore: async () => ({ status: 0 }),
  });
  atEnd(t, () => peer.close(0));
  const second = await start(t, data, (aeTitle) => ({
    host: '127.0.0.1',
    port: peer.port,
    calledAeTitle: aeTitle,
    callingAeTitle: 'MCNET',
  }));
  second.provider.start();
  await eventually('reported', () => reports.length === 1);
  assert.equal(reports[0]!.transactionUid, '2.25.2');
  assert.deepEqual(uids(reports[0]!.committed), ['1.2.3.1']);
  await eventually('done', () => second.archive.db.get('SELECT 1 FROM commitment_requests') === undefined);
});

test('a peer that goes away and has no address: a dead letter that says what is missing', async (t) => {
  const node = await start(t, await temporaryFolder(t), () => undefined);
  const onReport = async () => assert.fail('nobody listens any more');
  const request = { transactionUid: '2.25.3', references: [reference(1)] };
  await requestCommitment(target(node.port), request, { waitMs: 0, onReport });
  node.provider.start();
  await eventually('given up', () => node.queue.dead().length === 1);
  assert.match(
    node.queue.dead()[0]!.error!,
    /2\.25\.3 cannot be reported: PEER ended its association, and neither peers nor destinations give a port/,
  );
});
