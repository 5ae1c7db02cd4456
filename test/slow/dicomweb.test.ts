/** QIDO-RS and WADO-RS with clients that others wrote: dicomweb-client in Chromium, Orthanc, DCMTK and curl. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { test } from 'node:test';
import * as dicom from '../../src/dicom/index.js';
import { servePage } from '../peers/support/chromium.js';
import { sharedSeries } from '../peers/support/data.js';
import { startOrthanc } from '../peers/support/orthanc.js';
import { eventually, needPrograms, runProgram, temporaryFolder } from '../peers/support/process.js';
import { get, startArchiveServer } from '../unit/dicomweb/archive-server.js';

const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');
const uidsOf = (file: Buffer) => {
  const { studyInstanceUid: study, seriesInstanceUid: series, sopInstanceUid: sop } = dicom.readHeader(file);
  return { study, series, sop };
};
const frameBytes = async (file: Buffer, index: number): Promise<Buffer> => {
  const frame = (await dicom.openFrames(dicom.parsePart10(file))).frame(index);
  return Buffer.from(frame.buffer, frame.byteOffset, frame.byteLength);
};

interface InBrowser {
  studies: string[];
  series: string[];
  instances: number;
  name: unknown;
  metadata: number;
  rows: number[];
  instance: string;
  wholeSeries: string[];
  frames: string[];
  bulk: string;
  png: string;
  /** Of the whole instance's rendering, as the browser decodes it. */
  rendered: { type: string; width: number; height: number };
  wholeStudy: number;
  studyMetadata: number;
  stored: unknown;
  missing: number;
}

test('dicomweb-client in a real browser, on a page of another origin', async (t) => {
  if (!needPrograms(t, 'chromium')) return;
  const paths = sharedSeries(t, 'a12');
  const extra = sharedSeries(t, 'a07');
  if (!paths || !extra) return;
  const files = paths.slice(0, 6).map((path) => readFileSync(path));
  const sent = readFileSync(extra[0]!);
  const library = createRequire(import.meta.url).resolve('dicomweb-client');
  let url = '';
  const first = uidsOf(files[0]!);
  const page = await servePage<InBrowser>(t, {
    libraries: { '/dicomweb-client.js': readFileSync(library, 'utf8') },
    script: () => `
      const client = new DICOMwebClient.api.DICOMwebClient({ url: ${JSON.stringify(url)} });
      const at = { studyInstanceUID: '${first.study}', seriesInstanceUID: '${first.series}', sopInstanceUID: '${first.sop}' };
      const hash = async (bytes) => [...new Uint8Array(await crypto.subtle.digest('SHA-256', bytes))]
        .map((byte) => byte.toString(16).padStart(2, '0')).join('');
      const uid = (tag) => (found) => found[tag].Value[0];
      const studies = await client.searchForStudies({ queryParams: { ModalitiesInStudy: 'MR', limit: 5 } });
      const series = await client.searchForSeries({ studyInstanceUID: at.studyInstanceUID });
      const instances = await client.searchForInstances(at);
      const metadata = await client.retrieveSeriesMetadata(at);
      const [one] = await client.retrieveInstanceMetadata(at);
      const bulk = await client.retrieveBulkData({ BulkDataURI: one['7FE00010'].BulkDataURI });
      const frames = await client.retrieveInstanceFrames({ ...at, frameNumbers: [1] });
      const png = await client.retrieveInstanceFramesRendered({ ...at, frameNumbers: [1], mediaTypes: [{ mediaType: 'image/png' }] });
      const sent = Uint8Array.from(atob(${JSON.stringify(sent.toString('base64'))}), (c) => c.charCodeAt(0));
      const whole = await client.retrieveSeries(at);
      const wholeStudy = await client.retrieveStudy(at);
      const jpeg = new Blob([await client.retrieveInstanceRendered({ ...at, queryParams: { quality: 80 } })].flat());
      const start = new Uint8Array(await jpeg.slice(0, 2).arrayBuffer());
      const picture = await createImageBitmap(jpeg);
      let missing;
      await client.retrieveStudyMetadata({ studyInstanceUID: '1.2.3' }).catch((error) => { missing = error.status; });
      const response = await client.storeInstances({ datasets: [sent.buffer] });
      return {
        studies: studies.map(uid('0020000D')),
        series: series.map(uid('0020000E')),
        instances: instances.length,
        name: studies[0]['00100010'],
        metadata: metadata.length,
        rows: metadata.map(uid('00280010')),
        instance: await hash(await client.retrieveInstance(at)),
        wholeSeries: await Promise.all(whole.map(hash)),
        frames: await Promise.all(frames.map(hash)),
        bulk: await hash(Array.isArray(bulk) ? bulk[0] : bulk),
        png: await hash(Array.isArray(png) ? png[0] : png),
        rendered: { type: start.join(' '), width: picture.width, height: picture.height },
        wholeStudy: wholeStudy.length,
        studyMetadata: (await client.retrieveStudyMetadata(at)).length,
        stored: JSON.parse(response)['00081199'].Value.length,
        missing,
      };`,
  });
  const server = await startArchiveServer(t, { cors: [page.origin] });
  url = server.url;
  for (const file of files) await server.store(file);
  const seen = await page.run();
  assert.deepEqual(seen.studies, [first.study]);
  assert.deepEqual(seen.series, [first.series]);
  assert.deepEqual([seen.instances, seen.metadata, seen.stored, seen.missing], [6, 6, 1, 404]);
  assert.equal((seen.name as { vr: string }).vr, 'PN');
  const rows = dicom.number(dicom.readHeader(files[0]!).dataSet, 'Rows');
  assert.deepEqual(
    seen.rows,
    files.map(() => rows),
  );
  const pixels = sha256(await frameBytes(files[0]!, 0));
  assert.deepEqual(seen.frames, [pixels]);
  assert.equal(seen.bulk, pixels);
  const instance = `${url}/studies/${first.study}/series/${first.series}/instances/${first.sop}`;
  assert.equal(seen.png, sha256((await get(`${instance}/frames/1/rendered`, 'image/png')).body));
  // dicomweb-client asks for no transfer syntax: Explicit VR Little Endian, in which these files are.
  const inExplicit = await Promise.all(
    files.map(async (file) => {
      const { study, series, sop } = uidsOf(file);
      const at = `${url}/studies/${study}/series/${series}/instances/${sop}`;
      return sha256((await get(at, 'application/dicom; transfer-syntax=1.2.840.10008.1.2.1')).body);
    }),
  );
  assert.equal(seen.instance, inExplicit[0]);
  assert.deepEqual(seen.wholeSeries, inExplicit);
  const { Rows: height, Columns: width } = Object.fromEntries(
    ['Rows', 'Columns'].map((name) => [name, dicom.number(dicom.readHeader(files[0]!).dataSet, name)]),
  );
  assert.deepEqual(seen.rendered, { type: '255 216', width, height });
  assert.deepEqual([seen.wholeStudy, seen.studyMetadata], [6, 6]);
  const stored = uidsOf(sent);
  const back = `${url}/studies/${stored.study}/series/${stored.series}/instances/${stored.sop}`;
  assert.ok((await get(back, 'application/dicom; transfer-syntax=*')).body.equals(sent));
});

test('Orthanc pulls received and derived series by QIDO-RS and WADO-RS', async (t) => {
  if (!needPrograms(t, 'Orthanc')) return;
  const paths = [
    ...(sharedSeries(t, 'a12') ?? []).slice(0, 5),
    ...(sharedSeries(t, 'a05') ?? []).slice(0, 5),
  ];
  if (paths.length !== 10) return;
  const server = await startArchiveServer(t);
  const files = paths.map((path) => readFileSync(path));
  for (const file of files) await server.store(file);
  server.pipeline.start();
  await eventually('corrected', () => {
    const all = server.pipeline.series.list();
    return all.length === 2 && all.every(({ counts }) => counts.corrected === 5) ? true : undefined;
  });
  const orthanc = await startOrthanc(t, {
    DicomWeb: { Enable: true, Root: '/dicom-web/', Servers: { mcnet: [`${server.url}/`] } },
  });
  const post = async <T>(path: string, body: unknown): Promise<T> => {
    const at = `http://127.0.0.1:${orthanc.httpPort}/dicom-web/servers/mcnet/${path}`;
    const response = await fetch(at, { method: 'POST', body: JSON.stringify(body) });
    assert.equal(response.status, 200, `${path}: ${await response.clone().text()} ${orthanc.output()}`);
    return (await response.json()) as T;
  };
  const studies = new Set(files.map((file) => uidsOf(file).study));
  const found = await post<Record<string, { Value: string | string[] }>[]>('qido', {
    Uri: '/studies',
    Arguments: { ModalitiesInStudy: 'MR' },
  });
  assert.deepEqual(new Set(found.map((study) => [study['0020000D']?.Value].flat()[0])), studies);
  await post('retrieve', { Resources: [...studies].map((Study) => ({ Study })), Synchronous: true });
  const ids = await orthanc.get<string[]>('/instances');
  assert.equal(ids.length, 20, 'five received and five derived of each series');
  const originals = new Map(files.map((file) => [uidsOf(file).sop, file]));
  let received = 0;
  for (const id of ids) {
    const file = await orthanc.file(id);
    const original = originals.get(uidsOf(file).sop);
    if (!original) continue;
    received += 1;
    assert.ok((await frameBytes(file, 0)).equals(await frameBytes(original, 0)), `pixels of ${id}`);
  }
  assert.equal(received, 10);
});

test('curl: a series, a range of frames, metadata; DCMTK reads what was converted', async (t) => {
  if (!needPrograms(t, 'curl', 'dcmdump')) return;
  const paths = sharedSeries(t, 'a15');
  const enhanced = sharedSeries(t, 'a08');
  if (!paths || !enhanced) return;
  const server = await startArchiveServer(t);
  const folder = temporaryFolder(t);
  const curl = async (url: string, accept: string) => {
    const out = join(folder, 'out');
    const done = await runProgram('curl', [
      '-sSg',
      '-o',
      out,
      '-w',
      '%{http_code} %{content_type}',
      '-H',
      `Accept: ${accept}`,
      url,
    ]);
    return { answer: done.stdout, body: readFileSync(out) };
  };
  for (const path of paths.slice(0, 12)) {
    const file = readFileSync(path);
    if ((await server.store(file)).outcome !== 'stored') continue;
    const { study, series, sop } = uidsOf(file);
    const at = `${server.url}/studies/${study}/series/${series}/instances/${sop}`;
    const asStored = await curl(at, 'application/dicom; transfer-syntax=*');
    assert.match(asStored.answer, /^200 application\/dicom/);
    assert.ok(asStored.body.equals(file), path);
    const explicit = await curl(at, 'application/dicom');
    assert.match(
      explicit.answer,
      /^200 application\/dicom; transfer-syntax=1\.2\.840\.10008\.1\.2\.1$/,
      explicit.body.toString(),
    );
    assert.ok((await frameBytes(explicit.body, 0)).equals(await frameBytes(file, 0)), path);
    const converted = join(folder, 'converted.dcm');
    writeFileSync(converted, explicit.body);
    const dump = await runProgram('dcmdump', ['-q', converted]);
    assert.equal(dump.code, 0, `${path}: ${dump.stderr}`);
    const frame = await curl(`${at}/frames/1`, 'application/octet-stream');
    assert.ok(frame.body.equals(await frameBytes(file, 0)), path);
  }
  const file = readFileSync(enhanced[0]!);
  await server.store(file);
  const { study, series, sop } = uidsOf(file);
  const at = `${server.url}/studies/${study}/series/${series}/instances/${sop}`;
  const frames = await get(`${at}/frames/40,1,7`, 'multipart/related; type="application/octet-stream"');
  for (const [index, part] of frames.parts().entries()) {
    assert.ok(part.body.equals(await frameBytes(file, [39, 0, 6][index]!)), `frame ${index}`);
  }
  assert.equal(frames.parts().length, 3);
});

interface Attribute {
  vr: string;
  Value?: unknown[];
}

test("metadata of every vendor's objects says what DCMTK's dcm2json says", async (t) => {
  if (!needPrograms(t, 'dcm2json')) return;
  const server = await startArchiveServer(t);
  let compared = 0;
  for (const name of ['a01', 'a02', 'a03', 'a04', 'a06', 'a07', 'a08', 'a09', 'a10', 'a12']) {
    const path = sharedSeries(t, name)?.[0];
    if (path === undefined) return;
    const file = readFileSync(path);
    await server.store(file);
    const { study, series, sop } = uidsOf(file);
    const answer = await get(`${server.url}/studies/${study}/series/${series}/instances/${sop}/metadata`);
    const [ours] = answer.json<Record<string, Attribute>[]>();
    const theirs = await runProgram('dcm2json', ['-q', path]);
    if (theirs.code !== 0) continue;
    const expected = JSON.parse(theirs.stdout) as Record<string, Attribute>;
    compared += compare(ours!, expected, name);
  }
  t.diagnostic(`${compared} attributes compared`);
  assert.ok(compared > 1500, `${compared}`);
});

const BINARY = new Set(['OB', 'OW', 'UN', 'OF', 'OD', 'OL', 'OV']);

/** Compares values that both have as text or numbers, into sequences; counts them. */
function compare(ours: Record<string, Attribute>, theirs: Record<string, Attribute>, path: string): number {
  let compared = 0;
  for (const [tag, { vr, Value }] of Object.entries(theirs)) {
    if (tag.endsWith('0000') || BINARY.has(vr) || tag === '00080005') continue;
    const at = `${path} ${tag}`;
    assert.ok(ours[tag], at);
    if (BINARY.has(ours[tag].vr)) continue;
    const mine = (ours[tag].Value ?? []).every((value) => value === null) ? [] : ours[tag].Value!;
    const other = Value ?? [];
    assert.equal(mine.length, other.length, `${at}: ${JSON.stringify(mine)} ${JSON.stringify(other)}`);
    for (const [index, value] of other.entries()) {
      if (vr === 'SQ') {
        compared += compare(mine[index] as Record<string, Attribute>, value as Record<string, Attribute>, at);
      } else if (vr === 'FL' || vr === 'DS' || vr === 'FD') {
        const [a, b] = [Number(mine[index]), Number(value)];
        assert.ok(
          Number.isNaN(b) ? mine[index] === value : Math.abs(a - b) <= 1e-6 * Math.abs(b),
          `${at}: ${mine[index]} ${value}`,
        );
      } else assert.deepEqual(mine[index], value, at);
    }
    compared += 1;
  }
  return compared;
}
