/** Query and retrieval with DCMTK's findscu, movescu and getscu, and with Orthanc. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import {
  DataSetWriter,
  decodeFrames,
  isNative,
  type Part10,
  parsePart10,
  string,
} from '../../src/dicom/index.js';
import { type OutgoingInstance, storeInstances } from '../../src/dimse/index.js';
import { sharedSeries } from './support/data.js';
import { outgoing } from './support/dimse.js';
import { attribute, dcmToJson, type JsonDataSet } from './support/inspect.js';
import { startNode } from './support/node.js';
import { startOrthanc } from './support/orthanc.js';
import { splitPart10 } from './support/part10.js';
import { eventually, freePort, needPrograms, runProgram, temporaryFolder } from './support/process.js';
import { startStorescp } from './support/storescp.js';

const MR = '1.2.840.10008.5.1.4.1.1.4';
const EXPLICIT = '1.2.840.10008.1.2.1';

/** A small MR object with a name in Latin-1. */
function made(n: number, values: Record<number, [string, string]> = {}): OutgoingInstance {
  const sop = `1.2.276.99.1.1.${n}`;
  const writer = new DataSetWriter(1024);
  const all: Record<number, [string, string]> = {
    524293: ['CS', 'ISO_IR 100'],
    524310: ['UI', MR],
    524312: ['UI', sop],
    524320: ['DA', '20240229'],
    524336: ['TM', '101500'],
    524368: ['SH', 'ACC-7'],
    524384: ['CS', 'MR'],
    528446: ['LO', 'T1 für Köln'],
    1048592: ['PN', 'Müller^Jürg'],
    1048608: ['LO', 'P-1'],
    2097165: ['UI', '1.2.276.99.1'],
    2097166: ['UI', '1.2.276.99.1.1'],
    2097169: ['IS', '4'],
    2097171: ['IS', String(n)],
    ...values,
  };
  for (const [tag, [vr, value]] of Object.entries(all).sort(([a], [b]) => Number(a) - Number(b)))
    writer.value(Number(tag), vr, Buffer.from(value, 'latin1'));
  const bytes = writer.finish();
  return {
    sopClassUid: MR,
    sopInstanceUid: sop,
    transferSyntaxUid: EXPLICIT,
    open: () => Promise.resolve(bytes),
  };
}

async function fill(port: number, instances: readonly OutgoingInstance[]): Promise<void> {
  const target = { host: '127.0.0.1', port, calledAeTitle: 'MCNET', callingAeTitle: 'PULL' };
  for (const { outcome, message } of await storeInstances(target, instances))
    assert.equal(outcome, 'accepted', message);
}

async function findscu(
  t: TestContext,
  port: number,
  keys: readonly string[],
  options: readonly string[] = ['-S'],
): Promise<{ answers: JsonDataSet[]; output: string }> {
  const folder = temporaryFolder(t, 'findscu');
  const { code, stdout, stderr } = await runProgram('findscu', [
    ...['-v', ...options, '-aet', 'PULL', '-aec', 'MCNET', '-X', '-od', folder],
    ...keys.flatMap((key) => ['-k', key]),
    ...['127.0.0.1', String(port)],
  ]);
  assert.equal(code, 0, stdout + stderr);
  const files = readdirSync(folder).sort();
  return {
    answers: await Promise.all(files.map((name) => dcmToJson(join(folder, name)))),
    output: stdout + stderr,
  };
}

const nameIn = (answer: JsonDataSet) =>
  (attribute(answer, '00100010')[0] as { Alphabetic?: string } | undefined)?.Alphabetic;

test('findscu: levels, matching, computed attributes and character sets', async (t) => {
  if (!needPrograms(t, 'findscu', 'dcm2json')) return;
  const node = await startNode(t, { peers: [{ aeTitle: 'PULL', host: '127.0.0.1' }] });
  await fill(node.port, [
    made(1),
    made(2),
    made(3, { 2097166: ['UI', '1.2.276.99.1.2'], 2097169: ['IS', '5'], 524384: ['CS', 'SR'] }),
    made(4, {
      2097165: ['UI', '1.2.276.99.2'],
      2097166: ['UI', '1.2.276.99.2.1'],
      524320: ['DA', '20231231'],
      1048592: ['PN', 'Doe^Jane^^^'],
      1048608: ['LO', 'P-2'],
      528446: ['LO', 'T1'],
    }),
  ]);
  const study = (...keys: string[]) =>
    findscu(t, node.port, ['QueryRetrieveLevel=STUDY', 'StudyInstanceUID', ...keys]);
  const uids = ({ answers }: { answers: JsonDataSet[] }) =>
    answers.map((answer) => attribute(answer, '0020000D')[0]).sort();
  const [first, second] = ['1.2.276.99.1', '1.2.276.99.2'];

  const all = await study('PatientName', 'ModalitiesInStudy', 'NumberOfStudyRelatedInstances');
  assert.deepEqual(uids(all), [first, second]);
  const answer = all.answers.find((each) => attribute(each, '0020000D')[0] === first)!;
  assert.equal(nameIn(answer), 'Müller^Jürg');
  assert.deepEqual(attribute(answer, '00080005'), ['ISO_IR 192']);
  assert.deepEqual(attribute(answer, '00080061'), ['MR', 'SR']);
  assert.equal(Number(attribute(answer, '00201208')[0]), 3);
  assert.deepEqual(attribute(answer, '00080054'), ['MCNET']);
  assert.equal(answer['00080020'], undefined, 'only what was asked for');
  const other = all.answers.find((each) => attribute(each, '0020000D')[0] === second)!;
  assert.deepEqual(attribute(other, '00080005'), []);

  assert.deepEqual(uids(await study('PatientName=doe^JANE')), [second]);
  assert.deepEqual(uids(await study('SpecificCharacterSet=ISO_IR 192', 'PatientName=mül*')), [first]);
  assert.deepEqual(uids(await study('PatientID=P-?')), [first, second]);
  assert.deepEqual(uids(await study('PatientID=P-2')), [second]);
  assert.deepEqual(uids(await study('PatientID=p-2')), []);
  assert.deepEqual(uids(await study('StudyDate=20240101-')), [first]);
  assert.deepEqual(uids(await study('StudyDate=-20231231')), [second]);
  assert.deepEqual(uids(await study('StudyDate=20231231-20240229')), [first, second]);
  assert.deepEqual(uids(await study('StudyDate=20240229', 'StudyTime=1000-1015')), [first]);
  assert.deepEqual(uids(await study('StudyTime=1016-')), []);
  assert.deepEqual(uids(await study('ModalitiesInStudy=SR')), [first]);
  assert.deepEqual(uids(await study('AccessionNumber=ACC-7', 'PatientID=P-1')), [first]);
  const listed = ['QueryRetrieveLevel=STUDY', `StudyInstanceUID=${first}\\${second}\\1.2.3`];
  assert.deepEqual(uids(await findscu(t, node.port, listed)), [first, second]);

  const series = await findscu(t, node.port, [
    'QueryRetrieveLevel=SERIES',
    `StudyInstanceUID=${first}`,
    'SeriesInstanceUID',
    'SeriesNumber=04',
    'SeriesDescription=*für*',
    'SpecificCharacterSet=ISO_IR 192',
    'NumberOfSeriesRelatedInstances',
  ]);
  assert.deepEqual(
    series.answers.map((each) => [attribute(each, '0020000E')[0], Number(attribute(each, '00201209')[0])]),
    [['1.2.276.99.1.1', 2]],
  );
  const images = await findscu(t, node.port, [
    'QueryRetrieveLevel=IMAGE',
    `StudyInstanceUID=${first}`,
    'SeriesInstanceUID=1.2.276.99.1.1',
    'SOPInstanceUID',
    'InstanceNumber=2',
  ]);
  assert.deepEqual(
    images.answers.map((each) => attribute(each, '00080018')[0]),
    ['1.2.276.99.1.1.2'],
  );
  const patients = await findscu(
    t,
    node.port,
    ['QueryRetrieveLevel=PATIENT', 'PatientID', 'PatientName=M*'],
    ['-P'],
  );
  assert.deepEqual(patients.answers.map(nameIn), ['Müller^Jürg']);

  const unsupported = await study('PatientID=P-2', 'PatientBirthName');
  assert.deepEqual(uids(unsupported), [second]);
  const none = await findscu(t, node.port, ['PatientID']);
  assert.match(none.output, /A900|DoesNotMatch|Failed/i);
  assert.equal(none.answers.length, 0);
});

test('a peer that may only send is told so', async (t) => {
  if (!needPrograms(t, 'findscu', 'dcm2json')) return;
  const node = await startNode(t, { peers: [{ aeTitle: 'PULL', host: '127.0.0.1', retrieve: false }] });
  await fill(node.port, [made(1)]);
  const { answers, output } = await findscu(t, node.port, ['QueryRetrieveLevel=STUDY', 'StudyInstanceUID']);
  assert.equal(answers.length, 0);
  assert.match(output, /Status: 0x0?124|Not ?authorized/i);
});

test('movescu: a series to its destination, byte for byte, and refusals', async (t) => {
  const files = sharedSeries(t, 'a02');
  if (files === undefined || !needPrograms(t, 'movescu', 'storescp')) return;
  const storescp = await startStorescp(t);
  const onlyImplicit = await startStorescp(t, ['+xi', '+B']);
  const node = await startNode(t, {
    peers: [
      { aeTitle: 'PULL', host: '127.0.0.1' },
      { aeTitle: 'PACS', host: '127.0.0.1', port: storescp.port },
      { aeTitle: 'OLD', host: '127.0.0.1', port: onlyImplicit.port },
      { aeTitle: 'GONE', host: '127.0.0.1', port: await freePort() },
    ],
  });
  await fill(node.port, files.map(outgoing));
  const header = await dcmToJson(files[0]!);
  const study = `StudyInstanceUID=${attribute(header, '0020000D')[0]}`;
  const series = `SeriesInstanceUID=${attribute(header, '0020000E')[0]}`;
  const movescu = (destination: string, ...keys: string[]) =>
    runProgram('movescu', [
      ...['-v', '-S', '-aet', 'PULL', '-aec', 'MCNET', '-aem', destination],
      ...keys.flatMap((key) => ['-k', key]),
      ...['127.0.0.1', String(node.port)],
    ]);
  const moved = await movescu('PACS', 'QueryRetrieveLevel=SERIES', study, series);
  assert.equal(moved.code, 0, moved.stdout + moved.stderr);
  assert.match(moved.stdout + moved.stderr, /Success/);
  const sent = new Map(files.map((path) => [splitPart10(path).sopInstanceUid, splitPart10(path)]));
  const sourceOf = new Map(files.map((path) => [splitPart10(path).sopInstanceUid, path]));
  assert.equal(storescp.files().length, files.length);
  for (const path of storescp.files()) {
    const arrived = splitPart10(path);
    assert.deepEqual(arrived.dataSet, sent.get(arrived.sopInstanceUid)?.dataSet, path);
  }

  const old = await movescu('OLD', 'QueryRetrieveLevel=SERIES', study, series);
  assert.match(old.stdout + old.stderr, /Success/);
  assert.equal(onlyImplicit.files().length, files.length);
  for (const path of onlyImplicit.files()) {
    const { transferSyntaxUid, sopInstanceUid } = splitPart10(path);
    assert.equal(transferSyntaxUid, '1.2.840.10008.1.2');
    const { '00020010': _syntax, ...json } = await dcmToJson(path);
    const original = await dcmToJson(sourceOf.get(sopInstanceUid)!);
    for (const [tag, element] of Object.entries(original)) {
      // Implicit VR says no VR: of a private element only its bytes are left.
      if (Number.parseInt(tag.slice(0, 4), 16) % 2 === 1) assert.ok(json[tag], `${tag} of ${sopInstanceUid}`);
      else if (!tag.endsWith('0000')) assert.deepEqual(json[tag], element, `${tag} of ${sopInstanceUid}`);
    }
  }

  const unknown = await movescu('NOBODY', 'QueryRetrieveLevel=SERIES', study, series);
  assert.match(unknown.stdout + unknown.stderr, /MoveDestinationUnknown|a801/i);
  const gone = await movescu('GONE', 'QueryRetrieveLevel=SERIES', study, series);
  assert.match(gone.stdout + gone.stderr, /OutOfResourcesSubOperations|a702/i);
  const incomplete = await movescu('PACS', 'QueryRetrieveLevel=SERIES', study);
  assert.match(incomplete.stdout + incomplete.stderr, /a900|DoesNotMatch/i);
  assert.equal(storescp.files().length, files.length);
});

test('getscu: a study on the association that asked for it', async (t) => {
  const files = sharedSeries(t, 'a02')?.slice(0, 6);
  if (files === undefined || !needPrograms(t, 'getscu', 'dcm2json')) return;
  const node = await startNode(t, { peers: [{ aeTitle: 'PULL', host: '127.0.0.1' }] });
  await fill(node.port, [...files.map(outgoing), made(1)]);
  const originals = new Map<unknown, JsonDataSet>();
  for (const path of files) {
    const json = await dcmToJson(path);
    originals.set(attribute(json, '00080018')[0], json);
  }
  const [header] = originals.values();
  // Big endian first: the archive still answers in a syntax that it can send everything in.
  for (const option of ['+x=', '+xb']) {
    const folder = temporaryFolder(t, 'getscu');
    const got = await runProgram('getscu', [
      ...['-v', '-S', '+B', option, '-aet', 'PULL', '-aec', 'MCNET', '-od', folder],
      ...['-k', 'QueryRetrieveLevel=STUDY', '-k', `StudyInstanceUID=${attribute(header!, '0020000D')[0]}`],
      ...['127.0.0.1', String(node.port)],
    ]);
    assert.equal(got.code, 0, got.stdout + got.stderr);
    const names = readdirSync(folder);
    assert.equal(names.length, files.length, got.stdout + got.stderr);
    for (const name of names) {
      const json = await dcmToJson(join(folder, name));
      const original = originals.get(attribute(json, '00080018')[0])!;
      for (const [tag, element] of Object.entries(original)) {
        if (!tag.endsWith('0000')) assert.deepEqual(json[tag], element, `${tag} of ${name}`);
      }
    }
  }
});

const parsed = (path: string): Part10 => parsePart10(readFileSync(path));

/** Same pixels; same attributes, but for those that describe how pixels are stored. */
async function assertSameObject(arrived: Part10, original: Part10, about: string): Promise<void> {
  const [there, here] = [await decodeFrames(arrived), await decodeFrames(original)];
  assert.deepEqual(there.frames, here.frames, about);
  assert.deepEqual(there.storedRange, here.storedRange, about);
  for (const { tag } of original.dataSet.elements.values()) {
    const ofPixels = tag >>> 16 === 0x7fe0 || tag === 0x00280102 || tag >>> 16 >= 0xfffa;
    if (ofPixels || (tag & 0xffff) === 0) continue;
    assert.ok(arrived.dataSet.elements.has(tag), `${tag.toString(16)} of ${about}`);
  }
  for (const keyword of ['PatientName', 'SOPInstanceUID', 'ImageType', 'PixelSpacing', 'WindowCenter'])
    assert.equal(
      string(arrived.dataSet, keyword),
      string(original.dataSet, keyword),
      `${keyword} of ${about}`,
    );
  if (there.lossy !== here.lossy) assert.fail(`${about} was lossy: ${here.lossy}, is: ${there.lossy}`);
}

test('compressed objects go to receivers of uncompressed ones as what they decode to', async (t) => {
  const [wg04, transcoded] = [sharedSeries(t, 'a14'), sharedSeries(t, 'a15')];
  if (wg04 === undefined || transcoded === undefined) return;
  if (!needPrograms(t, 'movescu', 'storescp', 'getscu')) return;
  const onlyImplicit = await startStorescp(t, ['+xi']);
  const node = await startNode(t, {
    peers: [
      { aeTitle: 'PULL', host: '127.0.0.1' },
      { aeTitle: 'OLD', host: '127.0.0.1', port: onlyImplicit.port },
    ],
  });
  // One file of each compressed syntax.
  const bySyntax = new Map<string, string>();
  for (const path of [...wg04, ...transcoded]) {
    const syntax = splitPart10(path).transferSyntaxUid;
    if (!isNative(syntax) && !bySyntax.has(syntax)) bySyntax.set(syntax, path);
  }
  assert.ok(bySyntax.size >= 7, [...bySyntax.keys()].join());
  for (const [syntax, path] of bySyntax) {
    // Some have the same UIDs: the one that came last counts.
    await fill(node.port, [outgoing(path)]);
    const original = parsed(path);
    const keys = [
      'QueryRetrieveLevel=IMAGE',
      ...['StudyInstanceUID', 'SeriesInstanceUID', 'SOPInstanceUID'].map(
        (keyword) => `${keyword}=${string(original.dataSet, keyword)}`,
      ),
    ].flatMap((key) => ['-k', key]);
    const before = new Set(onlyImplicit.files());
    const moved = await runProgram('movescu', [
      ...['-v', '-S', '-aet', 'PULL', '-aec', 'MCNET', '-aem', 'OLD', ...keys],
      ...['127.0.0.1', String(node.port)],
    ]);
    assert.match(moved.stdout + moved.stderr, /Success/, syntax);
    const [arrived] = onlyImplicit.files().filter((name) => !before.has(name));
    const implicit = parsed(arrived!);
    assert.equal(implicit.transferSyntaxUid, '1.2.840.10008.1.2', syntax);
    await assertSameObject(implicit, original, path);

    const folder = temporaryFolder(t, 'getscu');
    const got = await runProgram('getscu', [
      ...['-v', '-S', '+xe', '-aet', 'PULL', '-aec', 'MCNET', '-od', folder, ...keys],
      ...['127.0.0.1', String(node.port)],
    ]);
    assert.equal(got.code, 0, got.stdout + got.stderr);
    const [name] = readdirSync(folder);
    const explicit = parsed(join(folder, name!));
    assert.equal(explicit.transferSyntaxUid, '1.2.840.10008.1.2.1', syntax);
    await assertSameObject(explicit, original, path);
  }
});

test('Orthanc queries, and has the study sent to it', async (t) => {
  const files = sharedSeries(t, 'a02');
  if (files === undefined || !needPrograms(t, 'Orthanc')) return;
  const orthancPort = await freePort();
  const node = await startNode(t, {
    peers: [
      { aeTitle: 'PULL', host: '127.0.0.1' },
      { aeTitle: 'ORTHANC', host: '127.0.0.1', port: orthancPort },
    ],
  });
  await fill(node.port, [...files.map(outgoing), made(1)]);
  const orthanc = await startOrthanc(t, {
    DicomPort: orthancPort,
    DicomModalities: { mcnet: { AET: 'MCNET', Host: '127.0.0.1', Port: node.port } },
  });
  const post = async <T>(path: string, body: unknown): Promise<T> => {
    const response = await fetch(`http://127.0.0.1:${orthanc.httpPort}${path}`, {
      method: 'POST',
      body: JSON.stringify(body),
    });
    const text = await response.text();
    assert.equal(response.status, 200, text);
    return JSON.parse(text) as T;
  };
  const header = await dcmToJson(files[0]!);
  const study = String(attribute(header, '0020000D')[0]);
  const all = await post<{ ID: string }>('/modalities/mcnet/query', { Level: 'Study', Query: {} });
  assert.equal((await orthanc.get<string[]>(`/queries/${all.ID}/answers`)).length, 2);
  const { ID: query } = await post<{ ID: string }>('/modalities/mcnet/query', {
    Level: 'Study',
    Query: { StudyInstanceUID: study },
  });
  assert.deepEqual(await orthanc.get<string[]>(`/queries/${query}/answers`), ['0']);
  await post(`/queries/${query}/retrieve`, { TargetAet: 'ORTHANC', Synchronous: true });
  const stored = await eventually('Orthanc has the study', async () => {
    const ids = await orthanc.get<string[]>('/instances');
    return ids.length === files.length ? ids : undefined;
  });
  const bytes = await orthanc.file(stored[0]!);
  assert.ok(files.some((path) => readFileSync(path).subarray(-4096).equals(bytes.subarray(-4096))));
});
