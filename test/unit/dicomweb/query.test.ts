/** QIDO-RS over a real archive: three patients' studies written here byte by byte, and a derived series. */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { tagOf } from '../../../src/dicom/index.js';
import { MatchingError, type MatchingKey, matches, matchingKey } from '../../../src/dicomweb/matching.js';
import {
  encodeDataSet,
  explicitLE,
  type Item,
  implicitLE,
  mrImage,
  nativePixels,
  part10,
} from '../dicom/encode.js';
import { eventually } from '../pipeline/synthetic.js';
import { get, startArchiveServer } from './archive-server.js';

interface Attribute {
  vr: string;
  Value?: unknown[];
}
type Result = Record<string, Attribute>;

const T = (keyword: string) => tagOf(keyword).toString(16).toUpperCase().padStart(8, '0');
const value = (result: Result | undefined, keyword: string) => result?.[T(keyword)]?.Value?.[0];
const values = (results: Result[], keyword: string) => results.map((result) => value(result, keyword));

function object(study: string, series: string, sop: string, extra: Item): Buffer {
  const syntax = sop.endsWith('2') ? implicitLE : explicitLE;
  const header = mrImage({
    extra: [[0x0020000d, 'UI', study], [0x0020000e, 'UI', series], [0x00080018, 'UI', sop], ...extra],
  });
  const pixels = nativePixels(
    syntax,
    Array.from({ length: 24 }, (_, i) => i),
    16,
  );
  return part10(syntax, Buffer.concat([encodeDataSet(syntax, header), pixels]));
}

const muller: Item = [
  [0x00100010, 'PN', 'M\xfcller^J\xf6rg'],
  [0x00100020, 'LO', 'P1'],
  [0x00080020, 'DA', '20240102'],
  [0x00080030, 'TM', '101112.5'],
  [0x00080050, 'SH', 'A-1'],
];
const smith: Item = [
  [0x00080005, 'CS', 'ISO_IR 192'],
  [0x00100010, 'PN', Buffer.from('Smith^Ann=\u5c71\u7530^\u82b1', 'utf8').toString('latin1')],
  [0x00100020, 'LO', 'P[2]'],
  [0x00080020, 'DA', '20240315'],
  [0x00080030, 'TM', '0930'],
  [0x00080050, 'SH', 'A-2'],
];

async function start(t: TestContext) {
  const server = await startArchiveServer(t);
  const request: Item = [
    [
      0x00400275,
      'SQ',
      [
        [
          [0x00400009, 'SH', 'STEP7'],
          [0x00401001, 'SH', 'RP7'],
        ],
      ],
    ],
  ];
  for (const [file, n] of [
    ['1.1.1', 1],
    ['1.1.1', 2],
    ['1.1.2', 3],
  ] as const) {
    const modality: Item =
      file === '1.1.2'
        ? [
            [0x00080060, 'CS', 'SR'],
            [0x00200011, 'IS', '+4'],
          ]
        : [];
    await server.store(
      object('1.1', file, `1.1.9.${n}`, [...muller, ...modality, [0x00200013, 'IS', String(n)], ...request]),
    );
  }
  await server.store(object('1.2', '1.2.1', '1.2.9.1', smith));
  return server;
}

test('studies: what the standard returns, counts over all series, the latest first', async (t) => {
  const { url } = await start(t);
  const answer = await get(`${url}/studies`);
  assert.equal(answer.status, 200, answer.body.toString());
  assert.match(answer.type, /^application\/dicom\+json/);
  const found = answer.json<Result[]>();
  assert.deepEqual(values(found, 'StudyInstanceUID'), ['1.2', '1.1']);
  const study = found[1]!;
  assert.deepEqual(study[T('PatientName')], { vr: 'PN', Value: [{ Alphabetic: 'Müller^Jörg' }] });
  assert.deepEqual(study[T('ModalitiesInStudy')], { vr: 'CS', Value: ['MR', 'SR'] });
  assert.equal(value(study, 'NumberOfStudyRelatedSeries'), 2);
  assert.equal(value(study, 'NumberOfStudyRelatedInstances'), 3);
  assert.equal(value(study, 'RetrieveURL'), `${url}/studies/1.1`);
  assert.deepEqual(study[T('ReferringPhysicianName')], { vr: 'PN' });
  assert.equal(study[T('SeriesInstanceUID')], undefined);
  assert.deepEqual(value(found[0], 'PatientName'), { Alphabetic: 'Smith^Ann', Ideographic: '山田^花' });
});

test('matching of studies', async (t) => {
  const { url } = await start(t);
  const studies = async (query: string) => {
    const answer = await get(`${url}/studies?${query}`);
    assert.equal(answer.status, 200, `${query}: ${answer.body}`);
    return values(answer.json<Result[]>(), 'StudyInstanceUID').join(' ');
  };
  const name = encodeURIComponent;
  for (const [query, found] of [
    ['PatientID=P1', '1.1'],
    ['PatientID=p1', ''],
    [`00100020=${name('P[2]')}`, '1.2'],
    [`PatientID=${name('P[?]')}`, '1.2'],
    ['PatientID=', '1.2 1.1'],
    ['PatientID=P*', '1.2 1.1'],
    [`PatientName=${name('müller*')}`, '1.1'],
    [`PatientName=${name('M?ller^J?rg')}`, '1.1'],
    ['PatientName=muller*', ''],
    [`PatientName=${name('山田*')}`, '1.2'],
    ['StudyDate=20240102', '1.1'],
    ['StudyDate=20240101-20240131', '1.1'],
    ['StudyDate=20240103-', '1.2'],
    ['StudyDate=-20240315', '1.2 1.1'],
    ['StudyDate=2024.01.02', '1.1'],
    ['StudyTime=09-10', '1.2 1.1'],
    ['StudyTime=1000-1011', '1.1'],
    ['StudyTime=0930-0930', '1.2'],
    ['StudyTime=1012-', ''],
    ['AccessionNumber=A-1&PatientID=P1', '1.1'],
    ['AccessionNumber=A-1&PatientID=P2', ''],
    ['StudyInstanceUID=1.1,1.2,1.3', '1.2 1.1'],
    [`StudyInstanceUID=${name('1.1\\1.3')}`, '1.1'],
    ['ModalitiesInStudy=SR', '1.1'],
    ['ModalitiesInStudy=SR,MR', '1.2 1.1'],
    ['ModalitiesInStudy=CT', ''],
    ['limit=1', '1.2'],
    ['limit=1&offset=1', '1.1'],
    ['offset=2', ''],
    ['limit=0', ''],
  ]) {
    assert.equal(await studies(query!), found, query);
  }
});

test('series and instances, under a study and across studies', async (t) => {
  const { url } = await start(t);
  const ask = async (path: string) => {
    const answer = await get(`${url}/${path}`);
    assert.equal(answer.status, 200, `${path}: ${answer.body}`);
    return answer.json<Result[]>();
  };
  const series = await ask('studies/1.1/series');
  assert.deepEqual(values(series, 'SeriesInstanceUID'), ['1.1.1', '1.1.2']);
  assert.deepEqual(values(series, 'NumberOfSeriesRelatedInstances'), [2, 1]);
  assert.deepEqual(
    values(series, 'RetrieveURL'),
    ['1.1.1', '1.1.2'].map((uid) => `${url}/studies/1.1/series/${uid}`),
  );
  assert.equal(series[0]![T('PatientName')], undefined);
  assert.equal(
    value(series[0]![T('RequestAttributesSequence')]!.Value![0] as Result, 'ScheduledProcedureStepID'),
    'STEP7',
  );
  assert.deepEqual(values(await ask('studies/1.1/series?Modality=SR'), 'SeriesInstanceUID'), ['1.1.2']);
  assert.deepEqual(values(await ask('studies/1.1/series?SeriesNumber=4'), 'SeriesInstanceUID'), ['1.1.2']);
  const step = 'RequestAttributesSequence.ScheduledProcedureStepID';
  assert.equal((await ask(`studies/1.1/series?${step}=STEP?`)).length, 2);
  assert.equal((await ask('series?00400275.00401001=RP8')).length, 0);
  const relational = await ask('series?PatientID=P1&SeriesInstanceUID=1.1.2,1.2.1');
  assert.deepEqual(values(relational, 'SeriesInstanceUID'), ['1.1.2']);
  assert.deepEqual(value(relational[0], 'PatientName'), { Alphabetic: 'Müller^Jörg' });
  assert.equal(value(relational[0], 'NumberOfStudyRelatedInstances'), 3);

  const instances = await ask('studies/1.1/series/1.1.1/instances');
  assert.deepEqual(values(instances, 'SOPInstanceUID'), ['1.1.9.1', '1.1.9.2']);
  assert.deepEqual(values(instances, 'InstanceNumber'), [1, 2]);
  assert.deepEqual(values(instances, 'Rows'), [4, 4]);
  assert.deepEqual(values(instances, 'AvailableTransferSyntaxUID'), [explicitLE.uid, implicitLE.uid]);
  assert.equal(value(instances[1], 'RetrieveURL'), `${url}/studies/1.1/series/1.1.1/instances/1.1.9.2`);
  assert.equal(instances[0]![T('Modality')], undefined);
  assert.deepEqual(values(await ask('studies/1.1/instances'), 'SeriesInstanceUID'), [
    '1.1.1',
    '1.1.1',
    '1.1.2',
  ]);
  assert.deepEqual(values(await ask('instances?SOPInstanceUID=1.1.9.2,1.2.9.1,9'), 'SOPInstanceUID'), [
    '1.1.9.2',
    '1.2.9.1',
  ]);
  assert.deepEqual(values(await ask('studies/1.1/instances?SOPInstanceUID=1.2.9.1'), 'SOPInstanceUID'), []);
  assert.equal((await ask('instances')).length, 4);
  assert.deepEqual(values(await ask('instances?InstanceNumber=2&ModalitiesInStudy=SR'), 'SOPInstanceUID'), [
    '1.1.9.2',
  ]);
  assert.equal((await ask('instances?ProtocolName=x')).length, 0);
  // An attribute of no table is looked up in the object itself.
  assert.equal((await ask('studies/1.2/instances?MagneticFieldStrength=3&EchoTime=2.9')).length, 0);
  assert.equal((await ask('studies/1.2/instances?EchoTime=2.90')).length, 1);
  assert.deepEqual(await ask('studies/1.77/series'), []);
});

test('includefield: by keyword, by tag, all', async (t) => {
  const { url } = await start(t);
  const ask = async (path: string) => (await get(`${url}/${path}`)).json<Result[]>();
  const [plain] = await ask('studies/1.1/series/1.1.1/instances?limit=1');
  assert.equal(plain![T('EchoTime')], undefined);
  const [some] = await ask(
    'studies/1.1/series/1.1.1/instances?limit=1&includefield=EchoTime,00180080&includefield=PatientID',
  );
  assert.deepEqual(
    [value(some, 'EchoTime'), value(some, 'RepetitionTime'), value(some, 'PatientID')],
    [2.9, 6.5, 'P1'],
  );
  const [all] = await ask('studies/1.1/series/1.1.1/instances?limit=1&includefield=all');
  assert.equal(value(all, 'ImagePositionPatient'), 1.5);
  assert.equal(all![T('PixelData')], undefined);
  const [study] = await ask('studies?includefield=all&PatientID=P1');
  assert.deepEqual(study![T('SOPClassesInStudy')]!.Value, ['1.2.840.10008.5.1.4.1.1.4']);
  assert.equal(study![T('EchoTime')], undefined);
  const [series] = await ask('series?includefield=BodyPartExamined,StudyDate&limit=1');
  assert.deepEqual([value(series, 'BodyPartExamined'), value(series, 'StudyDate')], ['BRAIN', '20240102']);
});

test('what cannot be understood is 400, what is not supported is a warning', async (t) => {
  const { url } = await start(t);
  for (const query of [
    'NoSuchKeyword=1',
    'limit=x',
    'limit=-1',
    'offset=1.5',
    'StudyDate=yesterday',
    'StudyDate=20240102-x',
    'fuzzymatching=maybe',
    'includefield=Nothing',
    '0010001=1',
    `PatientID=${'x'.repeat(5000)}`,
    'RequestAttributesSequence=1',
  ]) {
    const answer = await get(`${url}/series?${query}`);
    assert.equal(answer.status, 400, query);
    const { error } = answer.json<{ error: string }>();
    assert.ok(error.length > 10 && !error.includes('yesterday'), error);
  }
  const warning = async (query: string) =>
    (await get(`${url}/studies?${query}`)).headers.get('warning') ?? '';
  assert.match(
    await warning('fuzzymatching=true'),
    /^299 mcnet "The fuzzymatching parameter is not supported/,
  );
  assert.match(await warning('EchoTime=3'), /not matched at this level: EchoTime/);
  assert.match(await warning('limit=1'), /There are additional results/);
  assert.equal(await warning('limit=2&fuzzymatching=false'), '');
  assert.equal((await get(`${url}/studies`, 'image/png')).status, 406);
  assert.equal((await get(`${url}/studies/1.x/series`)).status, 400);
  const xml = await get(`${url}/studies`, 'multipart/related; type="application/dicom+xml"');
  assert.equal(xml.parts().length, 2);
  assert.match(
    xml.parts()[0]!.body.toString(),
    /keyword="PatientName"><PersonName number="1"><Alphabetic><FamilyName>Smith/,
  );
});

test('received and derived series are both found, and a superseded version is not', async (t) => {
  const { url, pipeline, store } = await start(t);
  pipeline.start();
  await eventually('corrected', () =>
    pipeline.series.list().some(({ derivedSeries }) => (derivedSeries ?? []).length > 0),
  );
  await eventually('derived', () => pipeline.series.get('1.2.1')?.counts.corrected === 1);
  const before = (await get(`${url}/studies/1.2/series`)).json<Result[]>();
  assert.equal(before.length, 2);
  const derived = before.find((series) => value(series, 'SeriesInstanceUID') !== '1.2.1');
  assert.match(String(value(derived, 'SeriesDescription')), /T1 sag.+/);
  await store(object('1.2', '1.2.1', '1.2.9.1', [...smith, [0x00200013, 'IS', '99']]));
  const instances = (await get(`${url}/studies/1.2/series/1.2.1/instances`)).json<Result[]>();
  assert.deepEqual(values(instances, 'InstanceNumber'), [99]);
});

test('a wildcard costs pattern times text, whatever it is', () => {
  const key = matchingKey([tagOf('PatientID')], `${'*a'.repeat(500)}*b`) as MatchingKey;
  const started = performance.now();
  assert.equal(matches(key, { '00100020': { vr: 'LO', Value: ['a'.repeat(20_000)] } }), false);
  assert.ok(performance.now() - started < 10_000);
  assert.throws(() => matchingKey([tagOf('StudyTime')], '9:30'), MatchingError);
});
