/** Storage commitment with Orthanc, which reports on associations of its own, in both roles. */
import assert from 'node:assert/strict';
import { unlinkSync } from 'node:fs';
import { test } from 'node:test';
import {
  type CommitmentReport,
  commitmentReports,
  requestCommitment,
  storeInstances,
} from '../../src/dimse/index.js';
import { sharedSeries } from './support/data.js';
import { outgoing, startReceiver } from './support/dimse.js';
import { startNode } from './support/node.js';
import { startOrthanc } from './support/orthanc.js';
import { splitPart10 } from './support/part10.js';
import { eventually, freePort, needPrograms } from './support/process.js';

test('Orthanc commits to what it was sent, and not to what it was not', async (t) => {
  if (!needPrograms(t, 'Orthanc')) return;
  const files = sharedSeries(t, 'a02')?.slice(0, 5);
  if (files === undefined) return;
  const reports: CommitmentReport[] = [];
  const reported = new AbortController();
  const onReport = async (report: CommitmentReport) => {
    reports.push(report);
    reported.abort();
    return true;
  };
  const { server } = await startReceiver(t, {
    peers: [{ aeTitle: 'ORTHANC', host: '127.0.0.1' }],
    services: [commitmentReports(onReport)],
  });
  const orthanc = await startOrthanc(t, {
    DicomModalities: { mcnet: { AET: 'MCNET', Host: '127.0.0.1', Port: server.port } },
  });
  const target = {
    host: '127.0.0.1',
    port: orthanc.dicomPort,
    calledAeTitle: orthanc.aeTitle,
    callingAeTitle: 'MCNET',
  };
  await storeInstances(target, files.slice(0, 4).map(outgoing));
  const references = files.map((path) => {
    const { sopClassUid, sopInstanceUid } = splitPart10(path);
    return { sopClassUid, sopInstanceUid };
  });
  await requestCommitment(
    target,
    { transactionUid: '2.25.4711', references },
    { waitMs: 20_000, reported: reported.signal, onReport },
  );
  assert.equal(reports.length, 1);
  assert.equal(reports[0]!.transactionUid, '2.25.4711');
  assert.deepEqual(reports[0]!.committed, references.slice(0, 4));
  assert.deepEqual(
    reports[0]!.failed.map(({ sopInstanceUid }) => sopInstanceUid),
    [references[4]!.sopInstanceUid],
  );
});

test('Orthanc asks for commitment: what is in the archive is committed, what is missing or damaged is not', async (t) => {
  if (!needPrograms(t, 'Orthanc')) return;
  const files = sharedSeries(t, 'a02')?.slice(0, 4);
  if (files === undefined) return;
  const orthancPort = await freePort();
  const node = await startNode(t, {
    peers: [{ aeTitle: 'ORTHANC', host: '127.0.0.1', port: orthancPort }],
  });
  const orthanc = await startOrthanc(t, {
    DicomPort: orthancPort,
    DicomModalities: {
      mcnet: { AET: 'MCNET', Host: '127.0.0.1', Port: node.port, AllowStorageCommitment: true },
    },
  });
  const outcomes = await storeInstances(
    { host: '127.0.0.1', port: node.port, calledAeTitle: 'MCNET', callingAeTitle: 'ORTHANC' },
    files.slice(0, 3).map(outgoing),
  );
  for (const { outcome } of outcomes) assert.equal(outcome, 'accepted');
  const uids = files.map((path) => splitPart10(path));
  const [lost] = node.pipeline.archive.db.all<{ id: number }>(
    'SELECT id FROM instances WHERE sop = ?',
    uids[0]!.sopInstanceUid,
  );
  unlinkSync(node.pipeline.archive.get(lost!.id)!.path);

  const base = `http://127.0.0.1:${orthanc.httpPort}`;
  const asked = await fetch(`${base}/modalities/mcnet/storage-commitment`, {
    method: 'POST',
    body: JSON.stringify({
      DicomInstances: uids.map(({ sopClassUid, sopInstanceUid }) => ({
        SOPClassUID: sopClassUid,
        SOPInstanceUID: sopInstanceUid,
      })),
    }),
  });
  const { Path: path } = (await asked.json()) as { Path: string };
  interface Answer {
    Status: string;
    Success: { SOPInstanceUID: string }[];
    Failures: { SOPInstanceUID: string; FailureReason: number }[];
  }
  const answer = await eventually('Orthanc has the report', async () => {
    const report = await orthanc.get<Answer>(path);
    return report.Status === 'Pending' ? undefined : report;
  });
  assert.equal(answer.Status, 'Failure');
  const sop = (n: number) => uids[n]!.sopInstanceUid;
  assert.deepEqual(
    answer.Success.map(({ SOPInstanceUID }) => SOPInstanceUID).sort(),
    [sop(1), sop(2)].sort(),
  );
  assert.deepEqual(
    new Map(answer.Failures.map((failure) => [failure.SOPInstanceUID, failure.FailureReason])),
    new Map([
      [sop(0), 0x0110],
      [sop(3), 0x0112],
    ]),
  );
  const { db } = node.pipeline.archive;
  await eventually('nothing is owed', () =>
    db.get('SELECT 1 FROM commitment_requests') === undefined ? true : undefined,
  );
});
