import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { parseDataSet } from '../../../src/dicom/index.js';
import {
  associate,
  type CommitmentLine,
  type CommitmentReport,
  type CommitmentRequest,
  commitmentProvider,
  commitmentReports,
  type DimseService,
  reportCommitment,
  requestCommitment,
  STORAGE_COMMITMENT_SOP_CLASS,
  startDimseServer,
} from '../../../src/dimse/index.js';
import {
  CommitmentError,
  decodeCommitmentReport,
  decodeCommitmentRequest,
  encodeCommitmentReport,
  encodeCommitmentRequest,
} from '../../../src/dimse/storage-commitment.js';
import { EXPLICIT, IMPLICIT, MR } from './scripted-peer.js';

const one = { sopClassUid: MR, sopInstanceUid: '1.2.3.1' };
const two = { sopClassUid: MR, sopInstanceUid: '1.2.3.22' };
const request: CommitmentRequest = { transactionUid: '2.25.7', references: [one, two] };
const mixed: CommitmentReport = {
  transactionUid: '2.25.7',
  committed: [one],
  failed: [{ ...two, reason: 0x0112 }],
};

async function serve(t: TestContext, services: readonly DimseService[]): Promise<number> {
  const server = await startDimseServer({
    aeTitle: 'PACS',
    host: '127.0.0.1',
    port: 0,
    peers: [{ aeTitle: 'MCNET', host: '127.0.0.1' }],
    services,
    onStore: async () => ({ status: 0 }),
  });
  t.after(() => server.close(0));
  return server.port;
}

const target = (port: number) => ({
  host: '127.0.0.1',
  port,
  calledAeTitle: 'PACS',
  callingAeTitle: 'MCNET',
});

test('requests and reports survive both transfer syntaxes', () => {
  for (const syntax of [IMPLICIT, EXPLICIT]) {
    const action = parseDataSet(encodeCommitmentRequest(request, syntax), syntax);
    assert.deepEqual(decodeCommitmentRequest(action), request);
    const event = parseDataSet(encodeCommitmentReport(mixed, syntax), syntax);
    assert.deepEqual(decodeCommitmentReport(event), mixed);
  }
  const empty = { elements: new Map(), bigEndian: false, explicit: true };
  assert.throws(() => decodeCommitmentRequest(empty), CommitmentError);
  assert.throws(() => decodeCommitmentReport(empty), CommitmentError);
});

test('a report on the association of the request ends the waiting', async (t) => {
  const seen: CommitmentRequest[] = [];
  let reported: Promise<void> | undefined;
  const provider = commitmentProvider({
    async onRequest(arrived, peer, line) {
      assert.equal(peer.callingAeTitle, 'MCNET');
      seen.push(arrived);
      reported = line.answered.then(() => line.report(mixed));
    },
  });
  const port = await serve(t, [provider]);
  const reports: CommitmentReport[] = [];
  const started = performance.now();
  await requestCommitment(target(port), request, {
    waitMs: 20_000,
    onReport: async (report) => {
      reports.push(report);
      return true;
    },
  });
  assert.ok(performance.now() - started < 15_000);
  assert.deepEqual(seen, [request]);
  assert.deepEqual(reports, [mixed]);
  await reported;
});

test('without a report the association is released after the wait, or when it came elsewhere', async (t) => {
  const lines: CommitmentLine[] = [];
  const provider = commitmentProvider({
    async onRequest(_request, _peer, line) {
      lines.push(line);
    },
  });
  const port = await serve(t, [provider]);
  const onReport = async () => true;
  await requestCommitment(target(port), request, { waitMs: 30, onReport });
  await lines[0]!.ended;
  assert.ok(lines[0]!.isEnded());
  await assert.rejects(lines[0]!.report(mixed), { code: 'closed' });
  const elsewhere = new AbortController();
  setTimeout(() => elsewhere.abort(), 30);
  await requestCommitment(target(port), request, { waitMs: 20_000, reported: elsewhere.signal, onReport });
  await lines[1]!.ended;
});

test('a report on an association of the provider, in the SCP role', async (t) => {
  const reports: CommitmentReport[] = [];
  const user = commitmentReports(async (report) => {
    reports.push(report);
    return report.transactionUid === mixed.transactionUid;
  });
  const port = await serve(t, [user]);
  await reportCommitment(target(port), mixed);
  assert.deepEqual(reports, [mixed]);
  await assert.rejects(reportCommitment(target(port), { ...mixed, transactionUid: '2.25.8' }), {
    code: 'status',
    status: 0x0115,
  });
});

test('what is no request is refused with the status of the standard', async (t) => {
  const provider = commitmentProvider({ onRequest: async () => assert.fail('nothing to commit') });
  const port = await serve(t, [provider]);
  const association = await associate(target(port), [
    { abstractSyntax: STORAGE_COMMITMENT_SOP_CLASS, transferSyntaxes: [EXPLICIT] },
  ]);
  const action = {
    commandField: 0x0130,
    requestedSopClassUid: STORAGE_COMMITMENT_SOP_CLASS,
    requestedSopInstanceUid: '1.2.840.10008.1.20.1.1',
    actionTypeId: 1,
  };
  const whole = encodeCommitmentRequest(request, EXPLICIT);
  const statusOf = async (command: typeof action, data?: Buffer) =>
    (await association.request(1, command, data)).status;
  assert.equal(await statusOf({ ...action, requestedSopInstanceUid: '1.2.3' }, whole), 0x0112);
  assert.equal(await statusOf({ ...action, actionTypeId: 2 }, whole), 0x0123);
  assert.equal(await statusOf(action), 0x0212);
  assert.equal(await statusOf(action, whole.subarray(0, whole.length - 6)), 0x0115);
  const none = encodeCommitmentRequest({ ...request, references: [] }, EXPLICIT);
  assert.equal(await statusOf(action, none), 0x0115);
  await association.release(1000);
});

test('a peer without the service is named', async (t) => {
  const port = await serve(t, []);
  const onReport = async () => true;
  await assert.rejects(requestCommitment(target(port), request, { waitMs: 10, onReport }), {
    code: 'not-accepted',
    transient: false,
    message: /PACS at 127\.0\.0\.1:\d+ does not offer Storage Commitment/,
  });
});
