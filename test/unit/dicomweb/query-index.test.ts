/** QIDO-RS over an index of thousands of studies: answered from the index alone, since none of their files exists. */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { tagOf } from '../../../src/dicom/index.js';
import { encodeDataSet, explicitLE, type Item, mrImage, part10 } from '../dicom/encode.js';
import { get, startArchiveServer } from './archive-server.js';

type Result = Record<string, { vr: string; Value?: unknown[] }>;

const T = (keyword: string) => tagOf(keyword).toString(16).toUpperCase().padStart(8, '0');
const value = (result: Result | undefined, keyword: string) => result?.[T(keyword)]?.Value?.[0];
const column = (results: Result[], keyword: string) => results.map((result) => value(result, keyword));

const STUDIES = 4000;
const day = (n: number) => {
  const month = 1 + (Math.floor(n / 28) % 12);
  return `${2000 + (n % 20)}${String(month).padStart(2, '0')}${String(1 + (n % 28)).padStart(2, '0')}`;
};

/** Each study: an MR series of three images and a series of one SR. */
async function start(t: TestContext) {
  const server = await startArchiveServer(t);
  const { db, setAttributes, get: row } = server.pipeline.archive;
  db.transaction(() => {
    for (let n = 1; n <= STUDIES; n += 1) {
      const study = `1.2.${n}`;
      for (const [series, modality, images] of [
        [`${study}.1`, 'MR', 3],
        [`${study}.2`, 'SR', 1],
      ] as const) {
        const { id } = db.run(
          "INSERT INTO series (study, series, origin, opened_at, last_received_at) VALUES (?, ?, 'received', 0, 0)",
          study,
          series,
        );
        for (let image = 1; image <= images; image += 1) {
          const sop = `${series}.${image}`;
          const { id: instance } = db.run(
            `INSERT INTO instances (series_id, sop, version, current, sop_class, transfer_syntax, digest, bytes, path,
               data_set_offset, origin, source_protocol, source_peer, source_address, received_at, state)
             VALUES (?, ?, 1, 1, '1.2.840.10008.5.1.4.1.1.4', '1.2.840.10008.1.2.1', '', 0, ?, 0, 'received', 'file', '', '', 0, 'left-alone')`,
            id,
            sop,
            `archive/none/${sop}.dcm`,
          );
          setAttributes(row(instance)!, {
            study: {
              StudyInstanceUID: [study],
              PatientName: [`Patient^N${n % 100}`],
              PatientID: [`P${n % 1000}`],
              StudyDate: [day(n)],
              StudyTime: [`${String(n % 24).padStart(2, '0')}1500`],
              AccessionNumber: [`A${n}`],
            },
            series: { SeriesInstanceUID: [series], Modality: [modality], SeriesNumber: [series.at(-1)!] },
            requests: modality === 'MR' ? [{ ScheduledProcedureStepID: [`STEP${n}`] }] : [],
            instance: {
              SOPInstanceUID: [sop],
              InstanceNumber: [String(image)],
              Rows: ['256'],
              Columns: ['192'],
            },
          });
        }
      }
    }
  });
  return server;
}

test('thousands of studies: pages in a stable order, restricted and matched in the index', async (t) => {
  const { url } = await start(t);
  const ask = async (path: string) => {
    const startedAt = performance.now();
    const answer = await get(`${url}/${path}`);
    assert.equal(answer.status, 200, `${path}: ${answer.body}`);
    t.diagnostic(`${path}: ${(performance.now() - startedAt).toFixed(0)} ms`);
    return answer.json<Result[]>();
  };

  const seen: unknown[] = [];
  for (let offset = 0; ; offset += 900) {
    const page = await ask(`studies?limit=900&offset=${offset}`);
    seen.push(...column(page, 'StudyInstanceUID'));
    if (page.length < 900) break;
  }
  assert.deepEqual(
    seen,
    Array.from({ length: STUDIES }, (_, n) => `1.2.${STUDIES - n}`),
    'the latest first, none twice, none left out',
  );

  const [one] = await ask('studies?PatientID=P7&StudyDate=20070101-20071231&limit=1');
  assert.equal(value(one, 'PatientID'), 'P7');
  assert.deepEqual(value(one, 'PatientName'), { Alphabetic: 'Patient^N7' });
  assert.deepEqual(one![T('ModalitiesInStudy')]!.Value, ['MR', 'SR']);
  assert.equal(value(one, 'NumberOfStudyRelatedSeries'), 2);
  assert.equal(value(one, 'NumberOfStudyRelatedInstances'), 4);
  assert.equal((await ask('studies?PatientID=P7')).length, 4);
  assert.equal((await ask('studies?PatientID=P7,P8')).length, 0, 'a comma divides UIDs and codes only');
  assert.equal((await ask('studies?PatientName=patient^n4?&limit=5000')).length, 400);
  assert.equal((await ask('studies?AccessionNumber=A17')).length, 1);
  assert.equal((await ask('studies?ModalitiesInStudy=CT')).length, 0);
  const dates = column(await ask('studies?StudyDate=-20001231&limit=5000'), 'StudyDate');
  assert.equal(dates.length, 200);
  assert.ok(dates.every((date) => String(date).startsWith('2000')));
  const times = await ask('studies?StudyTime=2000-&StudyDate=20000101-20001231&limit=5000');
  assert.ok(times.length > 0 && times.every((study) => Number(value(study, 'StudyTime')) >= 200000));

  const series = await ask('series?RequestAttributesSequence.ScheduledProcedureStepID=STEP123');
  assert.deepEqual(column(series, 'SeriesInstanceUID'), ['1.2.123.1']);
  assert.equal((await ask('series?Modality=SR&limit=100&offset=3950')).length, 50);
  const instances = await ask(`studies/1.2.77/instances?InstanceNumber=2&includefield=PatientID`);
  assert.deepEqual(column(instances, 'SOPInstanceUID'), ['1.2.77.1.2']);
  assert.deepEqual(
    [value(instances[0], 'Rows'), value(instances[0], 'Columns'), value(instances[0], 'PatientID')],
    [256, 192, 'P77'],
  );
  assert.equal((await ask('instances?Modality=MR&StudyDate=20000101-20000131&limit=5000')).length % 3, 0);
});

test('what is not indexed yet is found in its file, and what has lost its file by its UIDs', async (t) => {
  const { url, store, pipeline } = await startArchiveServer(t);
  const object = (study: string, id: string): Buffer => {
    const extra: Item = [
      [0x0020000d, 'UI', study],
      [0x0020000e, 'UI', `${study}.1`],
      [0x00080018, 'UI', `${study}.1.1`],
      [0x00100020, 'LO', id],
    ];
    return part10(explicitLE, encodeDataSet(explicitLE, mrImage({ extra })));
  };
  await store(object('1.1', 'ONE'));
  await store(object('1.2', 'TWO'));
  await store(object('1.3', 'THREE'));
  const { db } = pipeline.archive;
  const forget = (study: string) => {
    db.run('DELETE FROM studies WHERE study = ?', study);
    db.run('UPDATE series SET attributes = NULL WHERE study = ?', study);
    db.run('UPDATE instances SET attributes = NULL WHERE sop = ?', `${study}.1.1`);
  };
  forget('1.2');
  forget('1.3');
  db.run("UPDATE instances SET path = 'archive/gone' WHERE sop = '1.3.1.1'");
  for (const level of ['studies', 'series', 'instances']) {
    const found = (await get(`${url}/${level}`)).json<Result[]>();
    assert.deepEqual(column(found, 'StudyInstanceUID').sort(), ['1.1', '1.2', '1.3'], level);
    const byId = (await get(`${url}/${level}?PatientID=TWO`)).json<Result[]>();
    assert.deepEqual(column(byId, 'StudyInstanceUID'), ['1.2'], level);
  }
  const [two] = (await get(`${url}/studies?StudyInstanceUID=1.2`)).json<Result[]>();
  assert.deepEqual(two![T('ModalitiesInStudy')]!.Value, ['MR']);
});
