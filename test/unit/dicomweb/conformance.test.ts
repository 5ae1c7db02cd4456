/**
 * The requests that public DICOMweb conformance collections make, one row each, with what PS3.18 wants of the answer:
 * store (10.5), retrieve of studies, series, instances, metadata, frames, bulk data and renderings (10.4), search at each
 * of the six resources (10.6), content negotiation (8.7), and the status of what is unknown, malformed, unacceptable or
 * not offered (8.5).
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { encodeDataSet, explicitLE, type Item, mrImage, nativePixels, part10 } from '../dicom/encode.js';
import { partsOf, startArchiveServer } from './archive-server.js';

const [study, series, sop, other] = ['1.2.3', '1.2.3.1', '1.2.3.1.1', '1.2.3.1.2'] as const;
const JSON_TYPE = 'application/dicom+json';
const INSTANCES = `/studies/${study}/series/${series}/instances`;
const pixels = Array.from({ length: 24 }, (_, i) => i * 100);

function object(uid: string, of: string = study): Buffer {
  const extra: Item = [
    [0x0020000d, 'UI', of],
    [0x0020000e, 'UI', series],
    [0x00080018, 'UI', uid],
  ];
  const header = encodeDataSet(explicitLE, mrImage({ extra }));
  return part10(explicitLE, Buffer.concat([header, nativePixels(explicitLE, pixels, 16)]));
}

const related = (...files: Buffer[]) =>
  Buffer.concat([
    ...files.flatMap((file) => [
      Buffer.from('--B\r\nContent-Type: application/dicom\r\n\r\n'),
      file,
      Buffer.from('\r\n'),
    ]),
    Buffer.from('--B--\r\n'),
  ]);

interface Row {
  /** What of PS3.18 it shows. */
  section: string;
  method?: string;
  path: string;
  accept?: string;
  type?: string;
  body?: Buffer;
  status: number;
  /** Media type of the answer, of its parts when multipart. */
  answers?: string;
  multipart?: boolean;
  holds?(answer: { body: Buffer; parts: Buffer[]; headers: Headers }): void;
}

const results = (body: Buffer) => JSON.parse(body.toString()) as Record<string, { Value?: unknown[] }>[];
const one = (tag: string, value: unknown) => ({
  holds: ({ body }: { body: Buffer }) => {
    assert.equal(results(body).length, 1);
    assert.deepEqual(results(body)[0]![tag]?.Value?.[0], value);
  },
});
const stored = (count: number, failed = 0) => ({
  holds: ({ body }: { body: Buffer }) => {
    const answer = JSON.parse(body.toString()) as Record<string, { Value: unknown[] } | undefined>;
    assert.equal(answer['00081199']?.Value.length ?? 0, count);
    // Failed SOP Sequence, or Other Failures Sequence where the meta header names no instance.
    assert.equal((answer['00081198'] ?? answer['0008119A'])?.Value.length ?? 0, failed);
  },
});
const dicomJson = { accept: JSON_TYPE, status: 200, answers: JSON_TYPE };
const png = (bytes: Buffer) => assert.equal(bytes.toString('latin1', 1, 4), 'PNG');
const jpeg = (bytes: Buffer) => assert.equal(bytes.readUInt16BE(0), 0xffd8);
const frame = Buffer.from(Uint16Array.from(pixels).buffer);

const rows: Row[] = [
  {
    section: '10.5 store one',
    method: 'POST',
    path: '/studies',
    type: 'application/dicom',
    body: object(sop),
    ...dicomJson,
    ...stored(1),
  },
  {
    section: '10.5 store several',
    method: 'POST',
    path: '/studies',
    type: 'multipart/related; type="application/dicom"; boundary=B',
    body: related(object(other), object('1.2.3.1.3')),
    ...dicomJson,
    ...stored(2),
  },
  {
    section: '10.5 store, type of the parts not said',
    method: 'POST',
    path: '/studies',
    type: 'multipart/related; boundary=B',
    body: related(object(other)),
    ...dicomJson,
    ...stored(1),
  },
  {
    section: '10.5 store into a study',
    method: 'POST',
    path: `/studies/${study}`,
    type: 'multipart/related; type="application/dicom"; boundary=B',
    body: related(object(sop)),
    ...dicomJson,
    ...stored(1),
  },
  {
    section: '10.5.3 none of the study',
    method: 'POST',
    path: '/studies/1.9',
    type: 'application/dicom',
    body: object(sop),
    ...dicomJson,
    status: 409,
    ...stored(0, 1),
  },
  {
    section: '10.5.3 some of the study',
    method: 'POST',
    path: `/studies/${study}`,
    type: 'multipart/related; type="application/dicom"; boundary=B',
    body: related(object(sop), object('1.9.1', '1.9')),
    ...dicomJson,
    status: 202,
    ...stored(1, 1),
  },
  {
    section: '10.5.3 response as XML',
    method: 'POST',
    path: '/studies',
    type: 'application/dicom',
    body: object(sop),
    accept: 'application/dicom+xml',
    status: 200,
    answers: 'application/dicom+xml',
  },
  {
    section: '10.5.3 no DICOM',
    method: 'POST',
    path: '/studies',
    type: 'application/dicom',
    body: Buffer.alloc(300, 1),
    ...dicomJson,
    status: 409,
  },
  {
    section: '10.5.3 nothing',
    method: 'POST',
    path: '/studies',
    type: 'multipart/related; type="application/dicom"; boundary=B',
    body: Buffer.from('--B--\r\n'),
    status: 400,
  },
  {
    section: '8.7 store of another type',
    method: 'POST',
    path: '/studies',
    type: 'text/plain',
    body: Buffer.from('x'),
    status: 415,
  },
  {
    section: '8.7 store of metadata alone',
    method: 'POST',
    path: '/studies',
    type: 'application/dicom+json',
    body: Buffer.from('[]'),
    status: 415,
  },

  {
    section: '10.4 study',
    path: `/studies/${study}`,
    accept: 'multipart/related; type="application/dicom"; transfer-syntax=*',
    status: 200,
    answers: 'application/dicom',
    multipart: true,
    holds: ({ parts }) => assert.equal(parts.length, 3),
  },
  {
    section: '10.4 series',
    path: `/studies/${study}/series/${series}`,
    accept: 'multipart/related; type="application/dicom"; transfer-syntax=*',
    status: 200,
    answers: 'application/dicom',
    multipart: true,
    holds: ({ parts }) => assert.deepEqual(parts, [object(sop), object(other), object('1.2.3.1.3')]),
  },
  {
    section: '10.4 instance, single part',
    path: `${INSTANCES}/${sop}`,
    accept: 'application/dicom; transfer-syntax=*',
    status: 200,
    answers: 'application/dicom',
    holds: ({ body }) => assert.ok(body.equals(object(sop))),
  },
  {
    section: '10.4 instance, multipart',
    path: `${INSTANCES}/${sop}`,
    accept: 'multipart/related; type="application/dicom"',
    status: 200,
    answers: 'application/dicom',
    multipart: true,
  },
  {
    section: '10.4 instance, the default',
    path: `${INSTANCES}/${sop}`,
    status: 200,
    answers: 'application/dicom',
    multipart: true,
  },
  ...['', `/series/${series}`, `/series/${series}/instances/${sop}`].map(
    (at): Row => ({
      section: '10.4 metadata',
      path: `/studies/${study}${at}/metadata`,
      ...dicomJson,
      holds: ({ body }) => assert.equal(results(body).length, at.includes(sop) ? 1 : 3),
    }),
  ),
  {
    section: '10.4 metadata, the default',
    path: `${INSTANCES}/${sop}/metadata`,
    status: 200,
    answers: JSON_TYPE,
  },
  {
    section: '10.4 metadata as XML',
    path: `${INSTANCES}/${sop}/metadata`,
    accept: 'multipart/related; type="application/dicom+xml"',
    status: 200,
    answers: 'application/dicom+xml',
    multipart: true,
  },
  ...[
    'multipart/related; type="application/octet-stream"; transfer-syntax=1.2.840.10008.1.2.1',
    'multipart/related; type="application/octet-stream"; transfer-syntax=*',
    'multipart/related; type="application/octet-stream"',
  ].map(
    (accept): Row => ({
      section: '10.4 frames',
      path: `${INSTANCES}/${sop}/frames/1`,
      accept,
      status: 200,
      answers: 'application/octet-stream',
      multipart: true,
      holds: ({ parts }) => assert.deepEqual(parts, [frame]),
    }),
  ),
  {
    section: '10.4 bulk data',
    path: `${INSTANCES}/${sop}/bulkdata/7FE00010`,
    accept: 'application/octet-stream',
    status: 200,
    answers: 'application/octet-stream',
    holds: ({ body }) => assert.ok(body.equals(frame)),
  },
  {
    section: '10.4 rendered, the default',
    path: `${INSTANCES}/${sop}/rendered?quality=100`,
    status: 200,
    answers: 'image/jpeg',
    holds: ({ body }) => jpeg(body),
  },
  {
    section: '10.4 rendered frame',
    path: `${INSTANCES}/${sop}/frames/1/rendered?quality=100`,
    accept: 'image/jpeg',
    status: 200,
    answers: 'image/jpeg',
    holds: ({ body }) => jpeg(body),
  },
  {
    section: '10.4 rendered as PNG',
    path: `${INSTANCES}/${sop}/rendered`,
    accept: 'image/png',
    status: 200,
    answers: 'image/png',
    holds: ({ body }) => png(body),
  },
  {
    section: '8.3.3 accept as a parameter',
    path: `${INSTANCES}/${sop}/rendered?accept=image/png`,
    accept: '*/*',
    status: 200,
    answers: 'image/png',
  },
  {
    section: '10.4 HEAD',
    method: 'HEAD',
    path: `${INSTANCES}/${sop}`,
    accept: 'application/dicom; transfer-syntax=*',
    status: 200,
    answers: 'application/dicom',
    holds: ({ body, headers }) =>
      assert.deepEqual([body.length, headers.get('content-length')], [0, String(object(sop).length)]),
  },
  { section: '10.4 unknown study', path: '/studies/1.9.9', status: 404 },
  { section: '10.4 unknown instance', path: `${INSTANCES}/1.9.9/metadata`, status: 404 },
  { section: '10.4 unknown frame', path: `${INSTANCES}/${sop}/frames/2`, status: 404 },
  { section: '10.4 no frame', path: `${INSTANCES}/${sop}/frames/0`, status: 400 },
  { section: '8.7 nothing acceptable', path: `${INSTANCES}/${sop}`, accept: 'text/html', status: 406 },
  {
    section: '8.7 a syntax that it is not in',
    path: `${INSTANCES}/${sop}`,
    accept: 'application/dicom; transfer-syntax=1.2.840.10008.1.2.4.90',
    status: 406,
  },
  {
    section: '8.7 the better of two',
    path: `${INSTANCES}/${sop}/metadata`,
    accept: 'text/html, application/json;q=0.2, application/dicom+json;q=0.9',
    status: 200,
    answers: JSON_TYPE,
  },

  {
    section: '10.6 studies',
    path: `/studies?StudyInstanceUID=${study}`,
    ...dicomJson,
    ...one('0020000D', study),
  },
  {
    section: '10.6 series',
    path: `/series?SeriesInstanceUID=${series}`,
    ...dicomJson,
    ...one('0020000E', series),
  },
  {
    section: '10.6 series of a study',
    path: `/studies/${study}/series?SeriesInstanceUID=${series}`,
    ...dicomJson,
    ...one('00201209', 3),
  },
  {
    section: '10.6 instances',
    path: `/instances?SOPInstanceUID=${sop}`,
    ...dicomJson,
    ...one('00080018', sop),
  },
  {
    section: '10.6 instances of a study',
    path: `/studies/${study}/instances?SOPInstanceUID=${sop}`,
    ...dicomJson,
    ...one('00080018', sop),
  },
  {
    section: '10.6 instances of a series',
    path: `${INSTANCES}?SOPInstanceUID=${sop}`,
    ...dicomJson,
    ...one('00080018', sop),
  },
  {
    section: '10.6 by tag, with a field',
    path: `/studies?00100020=ID1&includefield=StudyDescription`,
    ...dicomJson,
    ...one('00100020', 'ID1'),
  },
  { section: '10.6 wildcard', path: '/studies?PatientName=M*', ...dicomJson, ...one('0020000D', study) },
  {
    section: '10.6 range of dates',
    path: '/studies?StudyDate=20240101-20240131',
    ...dicomJson,
    ...one('0020000D', study),
  },
  {
    section: '10.6 pages',
    path: `${INSTANCES}?limit=1&offset=2`,
    ...dicomJson,
    ...one('00080018', '1.2.3.1.3'),
  },
  {
    section: '10.6 nothing matches',
    path: '/studies?PatientID=nobody',
    ...dicomJson,
    holds: ({ body }) => assert.deepEqual(results(body), []),
  },
  {
    section: '10.6 fuzzy matching',
    path: '/studies?fuzzymatching=true',
    ...dicomJson,
    holds: ({ headers }) => assert.match(headers.get('warning') ?? '', /^299 /),
  },
  { section: '10.6 no attribute', path: '/studies?NoSuchAttribute=1', status: 400 },
  { section: '8.7 search as HTML', path: '/studies', accept: 'text/html', status: 406 },

  ...[`/studies/${study}`, `/studies/${study}/series/${series}`, `${INSTANCES}/${sop}`].map(
    (path): Row => ({
      section: '8.5 deletion is not offered',
      method: 'DELETE',
      path,
      status: 405,
      holds: ({ headers }) => assert.match(headers.get('allow') ?? '', /GET/),
    }),
  ),
  ...(
    [
      ['/studies', 'GET, HEAD, POST, OPTIONS'],
      [`/studies/${study}`, 'GET, HEAD, POST, OPTIONS'],
      [`${INSTANCES}/${sop}`, 'GET, HEAD, OPTIONS'],
    ] as const
  ).map(
    ([path, allowed]): Row => ({
      section: '8.3 what a resource allows',
      method: 'OPTIONS',
      path,
      status: 204,
      holds: ({ headers }) => assert.equal(headers.get('allow'), allowed),
    }),
  ),
  {
    section: '8.7 what there is instead is named as it is asked for',
    path: '/studies',
    accept: 'application/dicom+xml',
    status: 406,
    holds: ({ body }) =>
      assert.match(body.toString(), /multipart\/related; type=\\"application\/dicom\+xml\\"/),
  },
  { section: '8.5 no resource', path: '/patients', status: 404 },
  { section: '8.5 no UID', path: '/studies/abc', status: 400 },
];

test('what conformance collections ask, row by row', async (t) => {
  const { url } = await startArchiveServer(t);
  for (const row of rows) {
    const { section, method = 'GET', path, accept, type, body, status, answers, multipart = false } = row;
    const what = `${section}: ${method} ${path}`;
    const response = await fetch(url + path, {
      method,
      headers: {
        ...(accept !== undefined && { accept }),
        ...(type !== undefined && { 'content-type': type }),
      },
      ...(body && { body }),
    });
    const received = Buffer.from(await response.arrayBuffer());
    assert.equal(response.status, status, `${what}: ${received.toString('latin1', 0, 200)}`);
    const contentType = response.headers.get('content-type') ?? '';
    if (status >= 400 && answers === undefined) {
      assert.ok((JSON.parse(received.toString()) as { error: string }).error.length > 5, what);
    }
    let parts: Buffer[] = [];
    if (multipart) {
      assert.match(contentType, /^multipart\/related;/, what);
      const found = partsOf(contentType, received);
      assert.ok(found.length > 0, what);
      for (const { headers } of found) assert.equal(headers['content-type']!.split(';')[0], answers, what);
      parts = found.map((part) => part.body);
    } else if (answers !== undefined) {
      assert.equal(contentType.split(';')[0], answers, what);
      if (answers.startsWith('application/dicom+'))
        assert.equal(contentType, answers, `${what}: no parameter`);
    }
    try {
      row.holds?.({ body: received, parts, headers: response.headers });
    } catch (error) {
      throw new Error(`${what}: ${(error as Error).message}`, { cause: error });
    }
  }
  t.diagnostic(`${rows.length} requests`);
});
