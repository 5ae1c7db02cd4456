/** Series fetched from Orthanc (C-MOVE, C-GET, DICOMweb) and DCMTK's dcmqrscp, by command, by request and by rule. */
import assert from 'node:assert/strict';
import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { openDatabase } from '../../src/archive/index.js';
import { parsePart10, string } from '../../src/dicom/index.js';
import { storeInstances } from '../../src/dimse/index.js';
import type { Fetch } from '../../src/fetch/index.js';
import { sharedSeries } from '../peers/support/data.js';
import { outgoing } from '../peers/support/dimse.js';
import { mcnet } from '../peers/support/mcnet.js';
import { type Orthanc, startOrthanc } from '../peers/support/orthanc.js';
import { splitPart10 } from '../peers/support/part10.js';
import {
  eventually,
  freePort,
  needPrograms,
  runProgram,
  startProgram,
  temporaryFolder,
} from '../peers/support/process.js';
import { type RunningProcess, startServerProcess } from '../peers/support/server.js';

const PATIENT = 'PATIENT-77310';
const ACCESSION = 'ACC-77310';

/** Copies of a patient who can be told from everybody else. */
async function renamed(t: TestContext, files: readonly string[]): Promise<string[]> {
  const folder = temporaryFolder(t, 'renamed');
  const copies = files.map((_, index) => join(folder, `${index}.dcm`));
  for (const [index, copy] of copies.entries()) copyFileSync(files[index]!, copy);
  const values = ['-i', `(0010,0020)=${PATIENT}`, '-i', `(0008,0050)=${ACCESSION}`];
  const { code, stderr } = await runProgram('dcmodify', ['-nb', '-imt', ...values, ...copies]);
  assert.equal(code, 0, stderr);
  return copies;
}

interface Identity {
  study: string;
  series: string;
}

function identityOf(path: string): Identity {
  const { dataSet } = parsePart10(readFileSync(path));
  return {
    study: string(dataSet, 'StudyInstanceUID')!,
    series: string(dataSet, 'SeriesInstanceUID')!,
  };
}

async function fill(port: number, calledAeTitle: string, files: readonly string[]): Promise<void> {
  const target = { host: '127.0.0.1', port, calledAeTitle, callingAeTitle: 'FILL' };
  for (const { outcome, message } of await storeInstances(target, files.map(outgoing)))
    assert.ok(outcome === 'accepted' || outcome === 'warning', message);
}

async function introduce(orthanc: Orthanc, aeTitle: string, port: number): Promise<void> {
  const response = await fetch(`http://127.0.0.1:${orthanc.httpPort}/modalities/mcnet`, {
    method: 'PUT',
    body: JSON.stringify({ AET: aeTitle, Host: '127.0.0.1', Port: port }),
  });
  assert.equal(response.status, 200);
}

/** SOP Instance UIDs of a series in the archive. */
async function sopsOf(server: RunningProcess, { study, series }: Identity): Promise<string[]> {
  const response = await fetch(`${server.api}/dicom-web/studies/${study}/series/${series}/instances`);
  if (response.status === 204) return [];
  const found = (await response.json()) as Record<string, { Value: string[] }>[];
  return found.map((instance) => instance['00080018']!.Value[0]!).sort();
}

const sopsIn = (files: readonly string[]) => files.map((path) => splitPart10(path).sopInstanceUid).sort();

async function post(
  server: RunningProcess,
  body: unknown,
): Promise<{ status: number; body: { fetches: Fetch[]; error?: string } }> {
  const response = await fetch(`${server.api}/api/fetch`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  });
  return { status: response.status, body: (await response.json()) as { fetches: Fetch[] } };
}

function ended(server: RunningProcess, id: number): Promise<Fetch> {
  return eventually('the fetch ends', async () => {
    const fetch = await server.get<Fetch>(`/api/fetch/${id}`);
    return fetch.state === 'fetched' || fetch.state === 'failed' ? fetch : undefined;
  });
}

test('Orthanc sends by C-MOVE, by C-GET and by WADO-RS what is asked for', async (t) => {
  if (!needPrograms(t, 'Orthanc', 'dcmodify')) return;
  const [moved, got, original] = [sharedSeries(t, 'a02'), sharedSeries(t, 'a12'), sharedSeries(t, 'a04')];
  if (moved === undefined || got === undefined || original === undefined) return;
  const web = await renamed(t, original);
  const orthanc = await startOrthanc(t, {
    DicomAlwaysAllowFind: true,
    DicomAlwaysAllowMove: true,
    DicomAlwaysAllowGet: true,
  });
  const node = `aeTitle: ORTHANC, host: 127.0.0.1, port: ${orthanc.dicomPort}`;
  const server = await startServerProcess(
    t,
    `rules: []
retry: { first: 500ms, max: 1s }
sources:
  pacs: { dimse: { ${node} } }
  stranger: { dimse: { ${node}, moveDestination: NOBODY } }
  archive: { dimse: { ${node}, retrieve: get } }
  vna: { dicomweb: { url: "${orthanc.dicomWebUrl}" } }
`,
  );
  await introduce(orthanc, 'MCNET', server.dicomPort);
  await fill(orthanc.dicomPort, 'ORTHANC', [...moved, ...got, ...web]);

  const byMove = identityOf(moved[0]!);
  const command = await mcnet([
    ...['fetch', '--url', server.api, '--source', 'pacs', '--wait', '--json'],
    ...['--study', byMove.study, '--series', byMove.series],
  ]);
  assert.equal(command.code, 0, command.stdout + command.stderr);
  const [fetched] = JSON.parse(command.stdout) as Fetch[];
  assert.deepEqual(
    [fetched?.state, fetched?.received, fetched?.expected],
    ['fetched', moved.length, moved.length],
  );
  assert.deepEqual(await sopsOf(server, byMove), sopsIn(moved));

  // A whole study: its series are found, and each has its own outcome.
  const byGet = identityOf(got[0]!);
  const study = await mcnet([
    'fetch',
    '--url',
    server.api,
    '--source',
    'archive',
    '--study',
    byGet.study,
    '--wait',
  ]);
  assert.equal(study.code, 0, study.stdout + study.stderr);
  assert.match(study.stdout, new RegExp(`${byGet.series} +fetched +${got.length} of ${got.length} +request`));
  assert.deepEqual(await sopsOf(server, byGet), sopsIn(got));

  // By what identifies a patient: the source is asked, the job knows UIDs.
  const byWeb = identityOf(web[0]!);
  const named = await post(server, {
    source: 'vna',
    patientId: PATIENT,
    accessionNumber: ACCESSION,
    modality: 'MR',
  });
  assert.equal(named.status, 202, JSON.stringify(named.body));
  const ids = named.body.fetches.filter(({ series }) => series === byWeb.series).map(({ id }) => id);
  assert.equal(ids.length, 1);
  const outcome = await ended(server, ids[0]!);
  assert.equal(outcome.state, 'fetched', outcome.message);
  assert.deepEqual(await sopsOf(server, byWeb), sopsIn(web));
  for (const { id } of named.body.fetches) await ended(server, id);

  const alone = await post(server, { source: 'pacs', series: byMove.series });
  assert.deepEqual(
    alone.body.fetches.map(({ study: uid }) => uid),
    [byMove.study],
  );
  await ended(server, alone.body.fetches[0]!.id);

  const refused = await post(server, { source: 'stranger', study: byMove.study, series: byMove.series });
  const failed = await ended(server, refused.body.fetches[0]!.id);
  assert.equal(failed.state, 'failed');
  assert.match(failed.message, /ORTHANC at 127\.0\.0\.1:\d+ answered C-MOVE with/);
  const absent = await post(server, { source: 'pacs', accessionNumber: 'no such number' });
  assert.deepEqual([absent.status, absent.body.error], [404, 'pacs has no series that matches']);
  const doctor = await mcnet(['fetch', '--url', server.api, '--list']);
  assert.match(doctor.stdout, /failed/);

  server.child.kill('SIGTERM');
  await server.exited;
  assert.ok(!server.output().includes('no such number'));
  const db = await openDatabase(join(server.data, 'mcnet.sqlite'));
  const audit = db.all<{ detail: string }>("SELECT detail FROM audit WHERE event = 'series asked for'");
  await db.close();
  assert.ok(audit.length >= 5);
  for (const secret of [PATIENT, ACCESSION]) {
    assert.ok(!server.output().includes(secret), 'a patient in the log');
    assert.ok(!JSON.stringify(audit).includes(secret), 'a patient in the audit trail');
  }
});

/** DCMTK's archive on a free port, knowing our node. */
async function startDcmqrscp(t: TestContext, port: number, mcnetPort: number): Promise<void> {
  const folder = temporaryFolder(t, 'dcmqrscp');
  mkdirSync(join(folder, 'PACS'));
  const file = join(folder, 'dcmqrscp.cfg');
  writeFileSync(
    file,
    `NetworkTCPPort = ${port}
MaxPDUSize = 16384
MaxAssociations = 16
HostTable BEGIN
mcnet = (MCNET, 127.0.0.1, ${mcnetPort})
HostTable END
VendorTable BEGIN
VendorTable END
AETable BEGIN
PACS ${join(folder, 'PACS')} RW (200, 1024mb) ANY
AETable END
`,
  );
  startProgram(t, 'dcmqrscp', ['-c', file]);
  await eventually('dcmqrscp answers', async () => {
    const { code } = await runProgram('echoscu', ['-to', '1', '-aec', 'PACS', '127.0.0.1', String(port)]);
    return code === 0 ? true : undefined;
  });
}

test('a rule pulls what is new from dcmqrscp, once; a source that is down is asked again', async (t) => {
  if (!needPrograms(t, 'dcmqrscp', 'echoscu')) return;
  const [first, second] = [sharedSeries(t, 'a02')?.slice(0, 8), sharedSeries(t, 'a12')?.slice(0, 5)];
  if (first === undefined || second === undefined) return;
  const port = await freePort();
  const server = await startServerProcess(
    t,
    `rules: []
retry: { first: 500ms, max: 1s }
sources:
  pacs: { dimse: { aeTitle: PACS, host: 127.0.0.1, port: ${port} } }
pull:
  - { name: all MR, source: pacs, every: 500ms, query: { StudyDate: "19000101-", Modality: MR } }
`,
  );
  const [one, two] = [identityOf(first[0]!), identityOf(second[0]!)];
  // Asked for by UIDs while nobody is there: it waits.
  const early = await post(server, { source: 'pacs', study: one.study, series: one.series });
  await eventually('the rule says that the source is down', async () => {
    const { pulls } = await server.get<{ pulls: { problem?: string }[] }>('/api/sources');
    return pulls[0]?.problem?.includes('nothing listens there') || undefined;
  });
  const waiting = await eventually('an attempt fails', async () => {
    const fetch = await server.get<Fetch>(`/api/fetch/${early.body.fetches[0]!.id}`);
    return fetch.message === '' ? undefined : fetch;
  });
  assert.match(waiting.message, /nothing listens there/);

  await startDcmqrscp(t, port, server.dicomPort);
  await fill(port, 'PACS', first);
  await eventually('the first series is here', async () =>
    (await sopsOf(server, one)).length === first.length ? true : undefined,
  );
  await fill(port, 'PACS', second);
  await eventually('the second series is pulled', async () =>
    (await sopsOf(server, two)).length === second.length ? true : undefined,
  );
  const matching = async () =>
    (await server.get<{ pulls: { matching?: number; lastLookAt: number }[] }>('/api/sources')).pulls[0]!;
  const { lastLookAt } = await eventually('the rule has seen both', async () => {
    const view = await matching();
    return view.matching === 2 ? view : undefined;
  });
  await eventually('it looks twice more', async () =>
    (await matching()).lastLookAt > lastLookAt + 1000 ? true : undefined,
  );
  const { fetches } = await server.get<{ fetches: Fetch[] }>('/api/fetch');
  assert.deepEqual(
    fetches.map(({ state }) => state),
    ['fetched', 'fetched'],
  );
  const pulled = server
    .output()
    .split('\n')
    .filter((line) => line.includes('"msg":"series fetched"') && line.includes(two.series));
  assert.ok(
    pulled.length >= 1 && pulled.length <= 2,
    'once, and once more if it was seen while it was being stored',
  );
});
