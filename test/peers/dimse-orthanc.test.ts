/** The upper layer against Orthanc, as sender and as receiver. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { echo, storeInstances } from '../../src/dimse/index.js';
import { sharedSeries } from './support/data.js';
import { outgoing, startReceiver } from './support/dimse.js';
import { startOrthanc } from './support/orthanc.js';
import { splitPart10 } from './support/part10.js';
import { needPrograms } from './support/process.js';

test('a series to Orthanc and back from it, every instance', async (t) => {
  if (!needPrograms(t, 'Orthanc')) return;
  const files = [...(sharedSeries(t, 'a02') ?? []), ...(sharedSeries(t, 'a05') ?? [])];
  if (files.length === 0) return;
  const { server, received } = await startReceiver(t, { peers: [{ aeTitle: 'ORTHANC', host: '127.0.0.1' }] });
  const orthanc = await startOrthanc(t, {
    DicomModalities: { mcnet: { AET: 'MCNET', Host: '127.0.0.1', Port: server.port } },
  });
  const target = {
    host: '127.0.0.1',
    port: orthanc.dicomPort,
    calledAeTitle: orthanc.aeTitle,
    callingAeTitle: 'MCNET',
  };
  await echo(target);
  const outcomes = await storeInstances(target, files.map(outgoing));
  for (const outcome of outcomes) assert.equal(outcome.outcome, 'accepted', outcome.message);
  const ids = await orthanc.get<string[]>('/instances');
  assert.equal(ids.length, files.length);

  const base = `http://127.0.0.1:${orthanc.httpPort}/modalities/mcnet`;
  assert.equal((await fetch(`${base}/echo`, { method: 'POST', body: '{}' })).status, 200);
  const sent = await fetch(`${base}/store`, { method: 'POST', body: JSON.stringify(ids) });
  assert.equal(sent.status, 200, await sent.text());
  assert.deepEqual(
    received.map((file) => file.sopInstanceUid).sort(),
    files.map((path) => splitPart10(path).sopInstanceUid).sort(),
  );
});
