/** What is wrong with an object, a sender or a destination is said by the standard's means, and nothing else is lost. */
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { type StoreOutcome, storeInstances } from '../../src/dimse/index.js';
import type { SeriesView } from '../../src/series/index.js';
import { attribute, dcmToJson, type JsonDataSet } from './support/inspect.js';
import { type McnetServer, mcnet, modelsFolder, startMcnet } from './support/mcnet.js';
import { eventually, freePort, needPrograms, runProgram, temporaryFolder } from './support/process.js';
import { asBrokenJpeg, asCt, newSeries, outgoingOf, writeFiles } from './support/slices.js';
import { startStorescp } from './support/storescp.js';

const yaml = (models: string, pacsPort: number, deliver = 'series') => `models: ${models}
engine: cpu
peers: [{ aeTitle: SCANNER, host: 127.0.0.1 }]
destinations:
  pacs: { dimse: { aeTitle: PACS, host: 127.0.0.1, port: ${pacsPort} } }
rules:
  - { name: MR, when: { Modality: MR }, model: tiny, to: [pacs], deliver: ${deliver}, complete: { quiet: 1s } }
retry: { first: 200ms, max: 500ms }
`;

const targetOf = ({ dicomPort }: McnetServer) => ({
  host: '127.0.0.1',
  port: dicomPort,
  callingAeTitle: 'SCANNER',
  calledAeTitle: 'MCNET',
});

async function viewOf({ url }: McnetServer, series: string): Promise<SeriesView | undefined> {
  const response = await fetch(`${url}/api/series/${series}`);
  return response.ok ? ((await response.json()) as SeriesView) : undefined;
}

/** Waits until a series is in a state, and returns what `mcnet series show` says of it. */
async function shown(server: McnetServer, series: string, state: string): Promise<string> {
  await eventually(`${series} is ${state}`, async () =>
    (await viewOf(server, series))?.state === state ? true : undefined,
  );
  const { stdout, stderr } = await mcnet(['series', 'show', series, '--url', server.url]);
  assert.equal(stderr, '');
  return stdout;
}

/** A line of the log with this message, which is written some moments after the deed. */
const logged = (server: McnetServer, message: string, index = 0) =>
  eventually(`log line ${index} "${message}"`, () => server.lines(message)[index]);

const storescu = (server: McnetServer, ...args: string[]) =>
  runProgram('storescu', [
    '-v',
    '-aet',
    'SCANNER',
    '-aec',
    'MCNET',
    '127.0.0.1',
    String(server.dicomPort),
    ...args,
  ]);

test('bad objects and strangers get the standard answers; the good series after them is delivered', async (t) => {
  if (!needPrograms(t, 'storescu', 'storescp', 'echoscu')) return;
  const folder = temporaryFolder(t, 'bad-input');
  const pacs = await startStorescp(t);
  const server = await startMcnet(t, folder, yaml(await modelsFolder(folder), pacs.port));

  // Truncated on the way: "cannot understand", and the series says so although it has no object.
  const cut = newSeries(1);
  const [whole] = cut.instances;
  const short = { ...whole!, dataSet: whole!.dataSet.subarray(0, whole!.dataSet.length - 1000) };
  const [truncated] = await storeInstances(targetOf(server), [outgoingOf(short)]);
  assert.equal(truncated!.outcome, 'refused');
  assert.equal((truncated!.status! & 0xf000) >>> 12, 0xc, `status ${truncated!.status!.toString(16)}`);
  const rejected = await logged(server, 'instance rejected');
  assert.equal(rejected.code, 'truncated');
  assert.equal(rejected.sop, whole!.sopInstanceUid);
  const cutShown = await shown(server, cut.seriesUid, 'failed');
  assert.match(cutShown, new RegExp(`refused +${whole!.sopInstanceUid}: .+`));

  // No DICOM at all, over STOW-RS: a conflict with the failure's reason.
  const boundary = 'part';
  const stow = await fetch(`${server.url}/dicom-web/studies`, {
    method: 'POST',
    headers: {
      'content-type': `multipart/related; type="application/dicom"; boundary=${boundary}`,
      accept: 'application/dicom+json',
    },
    body: `--${boundary}\r\nContent-Type: application/dicom\r\n\r\n${'no DICOM '.repeat(100)}\r\n--${boundary}--\r\n`,
  });
  assert.equal(stow.status, 409);
  const answer = (await stow.json()) as JsonDataSet;
  // Other Failures Sequence: nothing can be said of its UIDs.
  const failed = attribute(answer, '0008119A')[0] as JsonDataSet;
  assert.equal(Number(attribute(failed, '00081197')[0]) >>> 12, 0xc, 'Failure Reason: cannot understand');
  assert.equal((await logged(server, 'instance rejected', 1)).code, 'not-dicom');

  // Another modality: kept and left alone.
  const ct = newSeries(2);
  const ctSent = await storescu(server, ...writeFiles(`${folder}/ct`, ct.instances.map(asCt)));
  assert.equal(ctSent.code, 0, ctSent.stderr);
  const ctShown = await shown(server, ct.seriesUid, 'left-alone');
  assert.match(ctShown, /2 received, 0 corrected, 2 left alone/);
  assert.match(ctShown, /left alone +2: .+/);

  // An MR image whose pixel data does not decode: taken, then failed with the reason.
  const jpeg = newSeries(1);
  const jpegSent = await storescu(
    server,
    '-xs',
    ...writeFiles(`${folder}/jpeg`, jpeg.instances.map(asBrokenJpeg)),
  );
  assert.equal(jpegSent.code, 0, jpegSent.stderr);
  assert.match(jpegSent.stdout + jpegSent.stderr, /Received Store Response \(Success\)/);
  const jpegShown = await shown(server, jpeg.seriesUid, 'failed');
  assert.match(jpegShown, new RegExp(`failed +${jpeg.instances[0]!.sopInstanceUid}: .+`));
  const correction = await logged(server, 'correction failed');
  assert.equal(correction.sop, jpeg.instances[0]!.sopInstanceUid);
  assert.ok(String(correction.reason).length > 10);

  // Strangers are turned away with the reason of PS3.8 table 9-21.
  const echo = (calling: string, called: string) =>
    runProgram('echoscu', ['-aet', calling, '-aec', called, '127.0.0.1', String(server.dicomPort)]);
  const stranger = await echo('STRANGER', 'MCNET');
  assert.notEqual(stranger.code, 0);
  assert.match(stranger.stderr, /Calling AE Title Not Recognized/);
  const misdirected = await echo('SCANNER', 'OTHER');
  assert.notEqual(misdirected.code, 0);
  assert.match(misdirected.stderr, /Called AE Title Not Recognized/);
  await logged(server, 'association rejected', 1);
  assert.equal((await echo('SCANNER', 'MCNET')).code, 0);

  // The next good series, and a whole object in place of the truncated one, go their way.
  const good = newSeries(3);
  const goodSent = await storescu(server, ...writeFiles(`${folder}/good`, [...good.instances, whole!]));
  assert.equal(goodSent.code, 0, goodSent.stderr);
  assert.match(await shown(server, good.seriesUid, 'delivered'), /3 received, 3 corrected/);
  assert.match(await shown(server, cut.seriesUid, 'delivered'), /1 received, 1 corrected/);
  assert.equal(pacs.files().length, 4, 'nothing but the good slices was sent on');
  assert.ok(!server.output().includes('Phantom^Synthetic'), 'a patient name in the log');
  assert.equal(await server.kill('SIGTERM'), 0);
});

test('a PACS that refuses, then is down, then is back has everything in the end, and nothing counts as sent before', async (t) => {
  if (!needPrograms(t, 'storescp')) return;
  const folder = temporaryFolder(t, 'refusing');
  const port = await freePort();
  const refusing = await startStorescp(t, ['--refuse'], { port });
  const server = await startMcnet(t, folder, yaml(await modelsFolder(folder), port));
  const { seriesUid, instances } = newSeries(5);
  const outcomes = await storeInstances(targetOf(server), instances.map(outgoingOf));
  assert.ok(outcomes.every(({ outcome }) => outcome === 'accepted'));

  const failures = () => server.lines('delivery failed');
  const waiting = async () => {
    const view = (await viewOf(server, seriesUid))!;
    assert.equal(view.state, 'corrected', view.reason);
    assert.equal(view.counts.delivered, 0);
    const [pending] = view.destinations;
    assert.equal(pending!.delivered, 0);
    assert.equal(pending!.pending, 5);
    return pending!;
  };
  await eventually('every slice was refused twice', () => failures().length >= 10 || undefined);
  assert.ok((await waiting()).lastError);
  for (const { sop, reason } of failures()) {
    assert.match(String(sop), /^2\.25\./);
    assert.match(String(reason), /reject|refus|abort/i);
  }

  await refusing.stop();
  const before = failures().length;
  await eventually('the PACS is missed', () => failures().length >= before + 10 || undefined);
  await waiting();
  assert.match(String(failures().at(-1)!.reason), /the connection was refused/);

  const back = await startStorescp(t, [], { port });
  await eventually('delivered', async () =>
    (await viewOf(server, seriesUid))?.state === 'delivered' ? true : undefined,
  );
  assert.equal(back.files().length, 5);
  assert.equal(refusing.files().length, 0);
});

test('a server that is killed within a series loses nothing that it acknowledged, and sends nothing under two names', async (t) => {
  if (!needPrograms(t, 'storescp', 'dcm2json')) return;
  const folder = temporaryFolder(t, 'killed');
  const pacs = await startStorescp(t);
  const config = yaml(await modelsFolder(folder), pacs.port, 'slice');
  const first = await startMcnet(t, folder, config);
  const { seriesUid, instances } = newSeries(40);
  const acknowledged: string[] = [];
  let killed: Promise<unknown> | undefined;
  const note = ({ outcome, sopInstanceUid }: StoreOutcome) => {
    if (outcome !== 'accepted') return;
    acknowledged.push(sopInstanceUid);
    // Some are corrected and sent by now, some wait.
    if (acknowledged.length === 15) killed = first.kill('SIGKILL');
  };
  await storeInstances(targetOf(first), instances.map(outgoingOf), { onOutcome: note });
  await killed;
  assert.ok(acknowledged.length >= 15 && acknowledged.length < 40, `${acknowledged.length} of 40`);

  const second = await startMcnet(t, folder, config);
  await eventually('delivered', async () =>
    (await viewOf(second, seriesUid))?.state === 'delivered' ? true : undefined,
  );
  await pause(300);
  const view = (await viewOf(second, seriesUid))!;
  assert.ok(view.counts.received >= acknowledged.length);
  assert.equal(view.counts.delivered, view.counts.received);

  const derivedOf = new Map<string, Set<string>>();
  for (const path of pacs.files()) {
    const json = await dcmToJson(path);
    const source = String(attribute(attribute(json, '00082112')[0] as JsonDataSet, '00081155')[0]);
    const derived = String(attribute(json, '00080018')[0]);
    derivedOf.set(source, (derivedOf.get(source) ?? new Set()).add(derived));
  }
  assert.equal(derivedOf.size, view.counts.received);
  for (const sop of acknowledged) assert.equal(derivedOf.get(sop)?.size, 1, `${sop} has one derived slice`);
});

test('an object beyond limits.instanceBytes is refused over C-STORE and STOW-RS, in the log and the metrics too', async (t) => {
  if (!needPrograms(t, 'storescu')) return;
  const folder = temporaryFolder(t, 'too-large');
  const config = `${yaml(await modelsFolder(folder), await freePort())}limits: { instanceBytes: 10000 }\n`;
  const server = await startMcnet(t, folder, config);
  const [one] = newSeries(1, 128).instances;
  const [file] = writeFiles(folder, [one!]);
  const { stdout, stderr } = await storescu(server, file!);
  assert.match(stdout + stderr, /OutOfResources|0xa700/i);
  const { sop, code, reason } = await logged(server, 'instance rejected');
  assert.deepEqual([sop, code], [one!.sopInstanceUid, 'too-large']);
  assert.match(String(reason), /longer than 10000 bytes \(limits\.instanceBytes\)/);

  const response = await fetch(`${server.url}/dicom-web/studies`, {
    method: 'POST',
    headers: { 'content-type': 'application/dicom' },
    body: await readFile(file!),
  });
  assert.equal(response.status, 409);
  assert.match(String((await logged(server, 'instance rejected', 1)).reason), /limits\.instanceBytes/);
  const metrics = await (await fetch(`${server.url}/metrics`)).text();
  for (const protocol of ['dimse', 'dicomweb']) {
    const rejected = `mcnet_instances_received_total{source="SCANNER",protocol="${protocol}",outcome="rejected"} 1`;
    assert.ok(metrics.includes(rejected), protocol);
  }
});
