/** WADO-RS over a real archive, with objects that are written here byte by byte. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { rm, truncate } from 'node:fs/promises';
import { createServer, request } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type TestContext, test } from 'node:test';
import { inflateSync } from 'node:zlib';
import express from 'express';
import * as dicom from '../../../src/dicom/index.js';
import { createFrameDecoder, createRetrieveProvider } from '../../../src/dicomweb/index.js';
import {
  encapsulate,
  encodeDataSet,
  explicitBE,
  explicitLE,
  type Item,
  implicitLE,
  mrImage,
  nativePixels,
  part10,
  type Syntax,
} from '../dicom/encode.js';
import { type Commit, get, type ReceivedPart, startArchiveServer } from './archive-server.js';

const RLE: Syntax = { ...explicitLE, uid: '1.2.840.10008.1.2.5' };
const words = (frames: number) => Array.from({ length: 24 * frames }, (_, i) => (i * 331 + 7) & 0xffff);
const MULTIPART_DICOM = 'multipart/related; type="application/dicom"';
const OCTETS = 'multipart/related; type="application/octet-stream"';

function uids(sop: string, series = '1.2.3.4.5', study = '1.2.3.4'): Item {
  return [
    [0x00080018, 'UI', sop],
    [0x0020000d, 'UI', study],
    [0x0020000e, 'UI', series],
  ];
}

function image(
  s: Syntax,
  sop: string,
  options: { frames?: number; extra?: Item; series?: string } = {},
): Buffer {
  const { frames = 1, extra = [], series } = options;
  const header = mrImage({ ...(frames > 1 ? { frames } : {}), extra: [...uids(sop, series), ...extra] });
  return part10(s, Buffer.concat([encodeDataSet(s, header), nativePixels(s, words(frames), 16)]));
}

/** One 16 bit frame as RLE with literal runs only. PS3.5 G */
function rleFrame(values: number[]): Buffer {
  const plane = (shift: number) => {
    const out: number[] = [];
    for (let at = 0; at < values.length; at += 128) {
      const run = values.slice(at, at + 128);
      out.push(run.length - 1, ...run.map((value) => (value >> shift) & 0xff));
    }
    if (out.length % 2 === 1) out.push(0x80);
    return Buffer.from(out);
  };
  const [high, low] = [plane(8), plane(0)];
  const header = Buffer.alloc(64);
  header.writeUInt32LE(2, 0);
  header.writeUInt32LE(64, 4);
  header.writeUInt32LE(64 + high.length, 8);
  return Buffer.concat([header, high, low]);
}

/** Two frames; the second in two fragments where `split`. */
function compressed(sop: string, o: { split?: boolean; extra?: Item } = {}): Buffer {
  const frames = [words(2).slice(0, 24), words(2).slice(24)].map(rleFrame);
  const header = mrImage({ frames: 2, extra: [...uids(sop), ...(o.extra ?? [])] });
  const [first, second] = frames as [Buffer, Buffer];
  const fragments = o.split ? [first, second.subarray(0, 70), second.subarray(70)] : [first, second];
  return part10(
    RLE,
    Buffer.concat([encodeDataSet(RLE, header), encapsulate(fragments, [0, first.length + 8])]),
  );
}

async function start(t: TestContext, files: Buffer[]) {
  const server = await startArchiveServer(t);
  const stored: Commit[] = [];
  for (const file of files) stored.push(await server.store(file));
  return {
    ...server,
    stored,
    study: `${server.url}/studies/1.2.3.4`,
    series: `${server.url}/studies/1.2.3.4/series/1.2.3.4.5`,
  };
}

const bytesOf = (values: number[]) => Buffer.from(Uint16Array.from(values).buffer);
const only = (parts: ReceivedPart[]): ReceivedPart => {
  assert.equal(parts.length, 1);
  return parts[0]!;
};

test('a study, a series, an instance: every file as it was sent', async (t) => {
  const files = [
    image(explicitLE, '1.2.1'),
    image(implicitLE, '1.2.2'),
    image(explicitLE, '1.2.3', { series: '1.2.9' }),
  ];
  const { study, series } = await start(t, files);
  const asStored = `${MULTIPART_DICOM}; transfer-syntax=*`;
  for (const accept of [asStored, '*/*', undefined, 'multipart/related']) {
    const answer = await get(study, accept);
    assert.equal(answer.status, 200, answer.body.toString());
    assert.match(answer.type, /^multipart\/related; type="application\/dicom"; boundary=/);
    assert.deepEqual(
      answer.parts().map(({ body }) => body),
      files,
    );
  }
  const parts = (await get(series, asStored)).parts();
  assert.deepEqual(
    parts.map(({ body }) => body),
    files.slice(0, 2),
  );
  assert.deepEqual(
    parts.map(({ headers }) => [headers['content-type'], headers['content-location']]),
    [
      ['application/dicom; transfer-syntax=1.2.840.10008.1.2.1', `${series}/instances/1.2.1`],
      ['application/dicom; transfer-syntax=1.2.840.10008.1.2', `${series}/instances/1.2.2`],
    ],
  );
  const single = await get(`${series}/instances/1.2.2`, 'application/dicom; transfer-syntax=*');
  assert.deepEqual(single.body, files[1]);
  assert.equal(single.headers.get('content-length'), String(files[1]!.length));
  const head = await fetch(`${series}/instances/1.2.2`, {
    method: 'HEAD',
    headers: { accept: 'application/*' },
  });
  assert.equal(head.headers.get('content-length'), String(files[1]!.length));
});

test('what the client takes decides; quality, wildcards and the accept parameter count', async (t) => {
  const { series } = await start(t, [image(implicitLE, '1.2.1')]);
  const instance = `${series}/instances/1.2.1`;
  const syntaxOf = (type: string | undefined) => /transfer-syntax=([\d.]+)/.exec(type ?? '')?.[1];
  const preferred = await get(
    instance,
    `application/dicom;transfer-syntax=1.2.840.10008.1.2.1;q=0.2, application/dicom;transfer-syntax=*;q=0.9`,
  );
  assert.equal(syntaxOf(preferred.type), implicitLE.uid);
  assert.equal(syntaxOf((await get(instance, 'application/dicom')).type), explicitLE.uid);
  assert.equal(
    syntaxOf(
      only((await get(`${instance}?accept=${encodeURIComponent(MULTIPART_DICOM)}`, 'image/png')).parts())
        .headers['content-type'],
    ),
    explicitLE.uid,
  );
  for (const accept of [
    'image/jpeg',
    'application/dicom; transfer-syntax=1.2.840.10008.1.2.4.90',
    'application/dicom;q=0, application/dicom+json',
  ]) {
    const refused = await get(instance, accept);
    assert.equal(refused.status, 406, accept);
    assert.match(
      refused.json<{ error: string }>().error,
      /there is: multipart\/related of application\/dicom/,
    );
  }
  // Several instances cannot be a single part.
  assert.equal((await get(series, 'application/dicom')).status, 406);
});

test('a syntax that only some instances have gives those, with 206', async (t) => {
  const { study } = await start(t, [image(implicitLE, '1.2.1'), compressed('1.2.2')]);
  const answer = await get(study, `${MULTIPART_DICOM}; transfer-syntax=${RLE.uid}`);
  assert.equal(answer.status, 206);
  assert.equal(only(answer.parts()).headers['content-type'], `application/dicom; transfer-syntax=${RLE.uid}`);
});

test('Explicit VR Little Endian is made from implicit, big endian and compressed objects without a change of value', async (t) => {
  const tail: Item = [[0xfffcfffc, 'OB', Buffer.from('tail')]];
  const nested: Item = [
    [
      0x00081140,
      'SQ',
      [
        [
          [0x00081155, 'UI', '1.2.77'],
          [0x00280106, 'US', 513],
        ],
      ],
    ],
    [0x00189073, 'FD', 301.5],
    [0x7fdf0010, 'LO', 'PRIVATE'],
    [0x7fdf1001, 'UN', Buffer.from([1, 2, 3, 4])],
  ];
  const withTail = (s: Syntax, file: Buffer) => Buffer.concat([file, encodeDataSet(s, tail)]);
  const files = [
    withTail(implicitLE, image(implicitLE, '1.2.1', { frames: 2, extra: nested })),
    withTail(explicitBE, image(explicitBE, '1.2.2', { frames: 2, extra: nested })),
    withTail(RLE, compressed('1.2.3', { split: true, extra: nested })),
  ];
  const { series, stored } = await start(t, files);
  assert.deepEqual(
    stored.map(({ outcome }) => outcome),
    ['stored', 'stored', 'stored'],
  );
  for (const [index, sop] of ['1.2.1', '1.2.2', '1.2.3'].entries()) {
    const answer = await get(
      `${series}/instances/${sop}`,
      `application/dicom; transfer-syntax=${explicitLE.uid}`,
    );
    assert.equal(answer.status, 200, answer.body.toString());
    dicom.verifyWhole(answer.body);
    const [before, after] = [dicom.parsePart10(files[index]!), dicom.parsePart10(answer.body)];
    assert.equal(after.transferSyntaxUid, explicitLE.uid);
    assert.deepEqual([...after.dataSet.elements.keys()], [...before.dataSet.elements.keys()]);
    for (const tag of after.dataSet.elements.keys()) {
      if (tag === 0x7fe00010) continue;
      assert.deepEqual(
        dicom.strings(after.dataSet, tag),
        dicom.strings(before.dataSet, tag),
        tag.toString(16),
      );
    }
    assert.equal(dicom.number(dicom.itemsOf(after.dataSet, 0x00081140)[0]!, 0x00280106), 513);
    assert.deepEqual(dicom.elementOf(after.dataSet, 'PixelData')!.bytes, bytesOf(words(2)));
    assert.equal(dicom.elementOf(after.dataSet, 0xfffcfffc)!.bytes.toString(), 'tail');
  }
});

test('frames: a list in its order, uncompressed or as stored, one alone as a single part', async (t) => {
  const { series } = await start(t, [
    image(implicitLE, '1.2.1', { frames: 3 }),
    compressed('1.2.2', { split: true }),
    image(explicitBE, '1.2.3'),
  ]);
  const frame = (n: number) => bytesOf(words(3).slice(24 * n, 24 * (n + 1)));
  const native = `${series}/instances/1.2.1/frames`;
  const answer = await get(`${native}/3,1`, OCTETS);
  assert.equal(answer.status, 200, answer.body.toString());
  assert.deepEqual(
    answer.parts().map(({ body }) => body),
    [frame(2), frame(0)],
  );
  assert.deepEqual(
    answer.parts().map(({ headers }) => [headers['content-type'], headers['content-location']]),
    [3, 1].map((n) => ['application/octet-stream; transfer-syntax=1.2.840.10008.1.2.1', `${native}/${n}`]),
  );
  const single = await get(`${native}/2`, 'application/octet-stream');
  assert.deepEqual(single.body, frame(1));
  assert.equal((await get(`${native}/1,2`, 'application/octet-stream')).status, 406);

  const rle = `${series}/instances/1.2.2/frames`;
  assert.deepEqual(
    (await get(`${rle}/1,2`, OCTETS)).parts().map(({ body }) => body),
    [frame(0), frame(1)],
  );
  const encoded = [words(2).slice(0, 24), words(2).slice(24)].map(rleFrame);
  for (const accept of [
    'multipart/related; type="image/dicom-rle"',
    'multipart/related; type="image/x-dicom-rle"',
    'multipart/related; type="image/*"',
    `${OCTETS}; transfer-syntax=*`,
    `${OCTETS}; transfer-syntax=${RLE.uid}`,
  ]) {
    const asStored = await get(`${rle}/2,1`, accept);
    assert.deepEqual(
      asStored.parts().map(({ body }) => body),
      [encoded[1], encoded[0]],
      accept,
    );
    assert.match(asStored.parts()[0]!.headers['content-type']!, /transfer-syntax=1\.2\.840\.10008\.1\.2\.5$/);
  }
  assert.deepEqual(only((await get(`${series}/instances/1.2.3/frames/1`, '*/*')).parts()).body, frame(0));
  assert.equal((await get(`${rle}/1`, 'image/jpeg')).status, 406);
  assert.equal((await get(`${native}/4`, OCTETS)).status, 404);
  for (const list of ['0', '1,', 'x', '-1', '1;2'])
    assert.equal((await get(`${native}/${list}`, OCTETS)).status, 400, list);
});

interface Attribute {
  vr: string;
  Value?: unknown[];
  BulkDataURI?: string;
  InlineBinary?: string;
}

test('metadata: the JSON model with text in Unicode, and bulk data where it says', async (t) => {
  const large = Buffer.from(Array.from({ length: 3000 }, (_, i) => i & 0xff));
  const extra: Item = [
    [0x00080008, 'CS', 'ORIGINAL\\\\M'],
    [0x00100010, 'PN', 'M\xfcller^J\xf6rg=I^I'],
    [0x00181310, 'US', [0, 256, 256, 0]],
    [0x00189073, 'FD', Number.NaN],
    [0x00201209, 'IS', 'many'],
    [0x00280009, 'AT', Buffer.from([0x18, 0x00, 0x63, 0x10])],
    [0x00091001, 'OB', Buffer.from([1, 2, 3, 4])],
    [0x00111001, 'SQ', [[[0x00111002, 'OB', large]]]],
  ];
  const { study, series } = await start(t, [
    image(explicitLE, '1.2.1', { extra }),
    image(explicitBE, '1.2.2', { extra: [[0x00111002, 'OW', large]] }),
  ]);
  const answer = await get(
    `${series}/instances/1.2.1/metadata`,
    'application/json;q=0.5, application/dicom+json',
  );
  assert.match(answer.type, /^application\/dicom\+json/);
  const [metadata] = answer.json<Record<string, Attribute>[]>();
  const instance = `${series}/instances/1.2.1`;
  assert.deepEqual(metadata!['00080005'], { vr: 'CS', Value: ['ISO_IR 192'] });
  assert.deepEqual(metadata!['00080008'], { vr: 'CS', Value: ['ORIGINAL', null, 'M'] });
  assert.deepEqual(metadata!['00100010'], {
    vr: 'PN',
    Value: [{ Alphabetic: 'Müller^Jörg', Ideographic: 'I^I' }],
  });
  assert.deepEqual(metadata!['00200032'], { vr: 'DS', Value: [1.5, -2, 3] });
  assert.deepEqual(metadata!['00181310'], { vr: 'US', Value: [0, 256, 256, 0] });
  assert.deepEqual(metadata!['00189073'], { vr: 'FD', Value: ['NaN'] });
  assert.deepEqual(metadata!['00201209'], { vr: 'IS', Value: ['many'] });
  assert.deepEqual(metadata!['00280009'], { vr: 'AT', Value: ['00181063'] });
  assert.deepEqual(metadata!['00080050'], { vr: 'SH' });
  assert.deepEqual(metadata!['00091001'], { vr: 'OB', InlineBinary: 'AQIDBA==' });
  assert.deepEqual(metadata!['7FE00010'], { vr: 'OW', BulkDataURI: `${instance}/bulkdata/7FE00010` });
  const nested = (metadata!['00111001']!.Value![0] as Record<string, Attribute>)['00111002']!;
  assert.deepEqual(only((await get(nested.BulkDataURI!, '*/*')).parts()).body, large);
  assert.deepEqual((await get(nested.BulkDataURI!, 'application/octet-stream')).body, large);
  const pixels = await get(metadata!['7FE00010']!.BulkDataURI!, 'application/octet-stream');
  assert.deepEqual(pixels.body, bytesOf(words(1)));

  const whole = await get(`${study}/metadata`);
  assert.equal(whole.json<unknown[]>().length, 2);
  const swapped = whole.json<Record<string, Attribute>[]>()[1]!['00111002']!.BulkDataURI!;
  assert.deepEqual((await get(swapped, 'application/octet-stream')).body, Buffer.from(large).swap16());
  const xml = await get(`${series}/metadata`, 'multipart/related; type="application/dicom+xml"');
  assert.match(
    xml.parts()[0]!.body.toString(),
    /<PersonName number="1"><Alphabetic><FamilyName>Müller<\/FamilyName><GivenName>Jörg</,
  );
  assert.match(xml.parts()[0]!.body.toString(), /<BulkData uri="http/);
  for (const path of [
    '00189073',
    '00100099',
    '7FE00009',
    '00111001/1/00111002',
    '00111001',
    'x',
    '00111001/0/../7FE00010',
  ]) {
    const { status } = await get(`${instance}/bulkdata/${path}`);
    assert.ok(path === '00189073' ? status === 200 : status === 404, `${path}: ${status}`);
  }
});

/** The rows of a PNG with one 8 bit channel and filter type Sub or None. */
function pngRows(png: Buffer): number[][] {
  const idat = png.indexOf('IDAT');
  const length = png.readUInt32BE(idat - 4);
  const [columns, rows] = [png.readUInt32BE(16), png.readUInt32BE(20)];
  const raw = inflateSync(png.subarray(idat + 4, idat + 4 + length));
  return Array.from({ length: rows }, (_, row) => {
    const line = raw.subarray(row * (columns + 1) + 1, (row + 1) * (columns + 1));
    assert.equal(raw[row * (columns + 1)], 1);
    const values: number[] = [];
    for (const byte of line) values.push((byte + (values.at(-1) ?? 0)) & 0xff);
    return values;
  });
}

test('rendered: the window of the object or of the request, as PNG; other image types are refused', async (t) => {
  const extra: Item = [
    [0x00281052, 'DS', '-10'],
    [0x00281053, 'DS', '2'],
  ];
  const { series } = await start(t, [image(explicitLE, '1.2.1', { extra }), compressed('1.2.2')]);
  const instance = `${series}/instances/1.2.1`;
  const expected = (center: number, width: number) =>
    words(1).map((stored) => {
      const x = stored * 2 - 10;
      const y = ((x - (center - 0.5)) / (width - 1) + 0.5) * 255;
      return Math.round(Math.min(255, Math.max(0, y)));
    });
  const own = await get(`${instance}/rendered`, 'image/png');
  assert.equal(own.type, 'image/png');
  assert.deepEqual(pngRows(own.body).flat(), expected(500, 1000));
  const asked = await get(`${instance}/frames/1/rendered?window=6000,9000,LINEAR&viewport=5,5`, 'image/png');
  assert.deepEqual(pngRows(asked.body).flat(), expected(6000, 9000));
  assert.match(asked.headers.get('warning') ?? '', /^299 .*viewport/);
  const two = await get(
    `${series}/instances/1.2.2/frames/2,1/rendered`,
    'multipart/related; type="image/png"',
  );
  assert.deepEqual(
    two.parts().map(({ headers }) => headers['content-location']),
    [2, 1].map((n) => `${series}/instances/1.2.2/frames/${n}/rendered`),
  );
  // Without a wish it is JPEG, as the standard has it; its grey values are near the PNG's.
  const decoder = createFrameDecoder();
  t.after(() => decoder.close());
  const grey: Item = [
    [0x00280100, 'US', 8],
    [0x00280101, 'US', 8],
    [0x00280102, 'US', 7],
  ];
  const dataSet = dicom.parseDataSet(encodeDataSet(explicitLE, mrImage({ extra: grey })), explicitLE.uid);
  const jpegBaseline = { dataSet, transferSyntax: '1.2.840.10008.1.2.4.50', vr: 'OB', encapsulated: true };
  for (const accept of [undefined, 'image/*', 'image/jpeg']) {
    const jpeg = await get(`${instance}/rendered?quality=100`, accept);
    assert.equal(jpeg.type, 'image/jpeg', `${accept}`);
    const { pixels } = await decoder.decode(jpegBaseline, jpeg.body);
    for (const [i, wanted] of expected(500, 1000).entries()) assert.ok(Math.abs(pixels[i]! - wanted) <= 3);
  }
  const small = (await get(`${instance}/rendered?quality=1`, 'image/jpeg')).body.length;
  assert.ok(small < (await get(`${instance}/rendered?quality=100`, 'image/jpeg')).body.length);
  assert.equal((await get(`${instance}/rendered?quality=0`)).status, 400);
  assert.equal((await get(`${instance}/rendered?quality=best`)).status, 400);
  assert.equal((await get(`${instance}/rendered`, 'image/gif')).status, 406);
  assert.equal((await get(`${instance}/rendered?window=1`)).status, 400);
});

test('addresses that are none get a sentence and nothing else', async (t) => {
  const { url, series, log } = await start(t, [image(explicitLE, '1.2.1')]);
  for (const [path, status] of [
    ['studies/1.2.999', 404],
    ['studies/1.2.3.4/series/1.2.999', 404],
    ['studies/1.2.999/series/1.2.3.4.5/instances/1.2.1', 404],
    ['studies/1.2.3.4/series/1.2.3.4.5/instances/1.2.999/metadata', 404],
    ['studies/..%2f..%2fetc', 400],
    ['studies/1.2.x', 400],
    [`studies/1.2.3.4/series/1.2.3.4.5/instances/${'1'.repeat(65)}`, 400],
    ["studies/1'--/metadata", 400],
  ] as const) {
    const { status: found, json, body } = await get(`${url}/${path}`);
    assert.equal(found, status, `${path}: ${body}`);
    assert.equal(typeof json<{ error: string }>().error, 'string');
  }
  assert.equal((await get(`${series}/instances/1.2.1`)).status, 200);
  assert.ok(!log.join('').includes('ller'), 'patient data in the log');
});

test('what is damaged on disk is left out and said so, never given as if it were whole', async (t) => {
  const files = [image(explicitLE, '1.2.1'), image(explicitLE, '1.2.2'), image(explicitLE, '1.2.3')];
  const { series, stored, pipeline } = await start(t, files);
  const paths = stored.map(({ instance }) => instance.path);
  pipeline.archive.db.run("UPDATE instances SET damage = 'gone' WHERE sop = '1.2.1'");
  const partial = await get(series, '*/*');
  assert.equal(partial.status, 206);
  assert.deepEqual(
    partial.parts().map(({ body }) => body),
    files.slice(1),
  );
  assert.equal((await get(`${series}/instances/1.2.1`)).status, 500);
  assert.match((await get(`${series}/instances/1.2.1`)).json<{ error: string }>().error, /damaged on disk/);
  // Cut behind the index's back: noticed while it is read.
  await truncate(paths[1]!, files[1]!.length - 4);
  for (const path of ['', '/metadata', '/frames/1', '/rendered']) {
    const { status } = await get(
      `${series}/instances/1.2.2${path}`,
      path === '' ? 'application/dicom;transfer-syntax=*' : '*/*',
    );
    assert.equal(status, 500, path);
  }
  await assert.rejects(get(`${series}`, '*/*'), 'half an answer must not look whole');
  await rm(paths[2]!);
  assert.equal((await get(`${series}/instances/1.2.3/metadata`)).status, 500);
});

test('only this machine and the hosts of peers may read', async (t) => {
  const decoder = createFrameDecoder();
  let asked = 0;
  const holdings = {
    instances() {
      asked += 1;
      return [];
    },
  };
  const app = express();
  app.use((request, _response, next) => {
    const address = request.get('x-test-address');
    Object.defineProperty(request.socket, 'remoteAddress', { value: address, configurable: true });
    next();
  });
  const readerOf = async (address: string) => (address === '10.0.0.5' ? 'VIEWER' : undefined);
  app.use(createRetrieveProvider({ holdingsFor: () => holdings, readerOf, decoder }));
  const server = createServer(app).listen(0, '127.0.0.1');
  t.after(() => server.close());
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  for (const [address, status, reads] of [
    ['10.0.0.6', 403, 0],
    ['10.0.0.5', 404, 1],
    ['::1', 404, 2],
  ] as const) {
    for (const path of ['', '/metadata']) {
      const headers = { 'x-test-address': address, connection: 'close' };
      const response = await fetch(`http://127.0.0.1:${port}/studies/1.2${path}`, { headers });
      assert.equal(response.status, status);
      assert.ok(((await response.json()) as { error: string }).error.length > 0);
      if (path === '') assert.equal(asked, reads * 2 - (reads === 0 ? 0 : 1));
    }
  }
});

test('a client that hangs up stops the reading, and one that is slow does not fill the memory', async (t) => {
  const big = part10(
    explicitLE,
    Buffer.concat([
      encodeDataSet(explicitLE, mrImage({ rows: 4096, columns: 4096, extra: uids('1.2.1') })),
      nativePixels(explicitLE, [], 16).subarray(0, 8),
      Buffer.from(Uint32Array.of(4096 * 4096 * 2).buffer),
      Buffer.alloc(4096 * 4096 * 2, 5),
    ]),
  );
  const { series } = await start(t, [big]);
  const openFiles = process.getActiveResourcesInfo().filter((name) => name.startsWith('FS')).length;
  const before = process.memoryUsage().arrayBuffers;
  await new Promise<void>((resolve, reject) => {
    const ask = request(`${series}/instances/1.2.1/frames/1`, { headers: { accept: OCTETS } }, (response) => {
      response.once('data', () => {
        response.pause();
        setTimeout(() => {
          // 32 MiB lie ready: what was read beyond the sockets' buffers would show here.
          const grown = process.memoryUsage().arrayBuffers - before;
          response.destroy();
          if (grown > 12 * 2 ** 20) reject(new Error(`${grown} bytes are waiting in memory`));
          else resolve();
        }, 300);
      });
    });
    ask.on('error', () => {});
    ask.end();
  });
  await new Promise((resolve) => setTimeout(resolve, 100));
  assert.ok(process.getActiveResourcesInfo().filter((name) => name.startsWith('FS')).length <= openFiles);
  assert.equal((await get(`${series}/instances/1.2.1/frames/1`, OCTETS)).parts()[0]!.body.length, 2 ** 25);
});
