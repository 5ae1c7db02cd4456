import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { type TestContext, test } from 'node:test';
import { inflateSync } from 'node:zlib';
import * as dicom from '../../../src/dicom/index.js';
import { createStoreProvider, stow } from '../../../src/dicomweb/index.js';
import { type CorrectedFile, openPipeline } from '../../../src/pipeline/index.js';
import { type SeriesView, showSeries, viewsOfPipeline } from '../../../src/web/index.js';
import { MR_IMAGE, syntheticPart10 } from '../correction/syntheticPart10.js';
import { atEnd, eventually, FakeDestination, rules, temporaryFolder } from '../pipeline/synthetic.js';
import { startFakeServer } from './fake-server.js';

const derivation: dicom.Derivation = {
  model: { name: 'test', version: '1', sha256: '00' },
  configurationDigest: '00',
  softwareVersion: '0',
  manufacturer: 'test',
  deviceUid: '1.2.3',
  at: new Date(0),
};

/** Makes every pixel brighter by 50. */
async function brighten({ path }: { path: string }): Promise<CorrectedFile> {
  const source = dicom.parsePart10(await readFile(path));
  const { frames } = await dicom.decodeFrames(source);
  const file = dicom.deriveInstance(
    source,
    frames.map((frame) => frame.map((value) => value + 50)),
    derivation,
  );
  const header = dicom.readHeader(file);
  return {
    file,
    study: header.studyInstanceUid,
    series: header.seriesInstanceUid,
    sop: header.sopInstanceUid,
    sopClass: header.sopClassUid,
    transferSyntax: header.transferSyntaxUid,
    quality: { residualEnergy: 0.25 },
    ms: { inference: 1 },
  };
}

function attribute(tag: [number, number], value: string): Buffer {
  const padded = value.length % 2 === 0 ? value : `${value} `;
  const head = Buffer.alloc(8);
  head.writeUInt16LE(tag[0], 0);
  head.writeUInt16LE(tag[1], 2);
  head.write('DS', 4, 'latin1');
  head.writeUInt16LE(padded.length, 6);
  return Buffer.concat([head, Buffer.from(padded, 'latin1')]);
}

/** A slice of 16 x 16 with a gradient; the higher its number, the lower it lies. */
function numbered(number: number, withPosition = true): Buffer {
  const file = syntheticPart10({
    rows: 16,
    columns: 16,
    bitsAllocated: 16,
    bitsStored: 12,
    signed: false,
    frames: [Uint16Array.from({ length: 256 }, (_, i) => 4 * i)],
    number,
  });
  if (!withPosition) return file;
  const at = file.indexOf(Buffer.from([0x28, 0, 2, 0, 0x55, 0x53]));
  return Buffer.concat([
    file.subarray(0, at),
    attribute([0x20, 0x32], `10\\20\\${-2.5 * number}`),
    attribute([0x20, 0x37], '1\\0\\0\\0\\1\\0'),
    file.subarray(at),
  ]);
}

async function startServer(t: TestContext) {
  const pipeline = await openPipeline({
    data: await temporaryFolder(t),
    rules,
    dicom,
    models: new Map([['test', { derivation: () => derivation, corrector: { correct: brighten } }]]),
    destinations: [new FakeDestination('pacs')],
  });
  atEnd(t, () => pipeline.close(500));
  const changes: string[] = [];
  const views = viewsOfPipeline(pipeline);
  const stop = views.onSeriesChange((series) => changes.push(series));
  atEnd(t, stop);
  const server = await startFakeServer({
    ...views,
    dicomWeb: createStoreProvider({
      intake: pipeline.intake,
      acceptMore: () => pipeline.intake.acceptMore(),
      limits: { requestBytes: 1e8, instanceBytes: 1e8, instances: 100 },
      senderOf: async () => 'PACS',
      onRequestEnd: ({ association }) => pipeline.associationEnded(association),
    }),
  });
  atEnd(t, () => server.close());
  pipeline.start();
  const send = (files: Buffer[]) =>
    stow(
      { url: `${server.url}/dicom-web` },
      files.map((file) => ({
        sopInstanceUid: dicom.readHeader(file).sopInstanceUid,
        sopClassUid: MR_IMAGE,
        file: async () => file,
      })),
    );
  return { pipeline, server, changes, send };
}

async function slicesOf(url: string, series: string) {
  const response = await fetch(`${url}/api/series/${series}/slices`);
  return ((await response.json()) as { slices: Record<string, unknown>[] }).slices;
}

async function samplesOf(url: string): Promise<Buffer> {
  const png = Buffer.from(await (await fetch(url)).arrayBuffer());
  const rows = inflateSync(png.subarray(41, 41 + png.readUInt32BE(33)));
  for (let row = 0; row < 16; row++)
    for (let i = 2; i <= 16; i++) rows[row * 17 + i]! += rows[row * 17 + i - 1]!;
  return rows;
}

test('a series that came by STOW-RS is listed by position, with pictures of both sides', async (t) => {
  const { pipeline, server, changes, send } = await startServer(t);
  const files = [3, 1, 2].map((number) => numbered(number));
  const { seriesInstanceUid } = dicom.readHeader(files[0]!);
  assert.deepEqual(
    (await send(files)).map((outcome) => outcome.outcome),
    ['accepted', 'accepted', 'accepted'],
  );
  await eventually('delivered', () => pipeline.series.get(seriesInstanceUid)?.state === 'delivered', 90_000);
  const view: SeriesView = await showSeries({ url: server.url }, seriesInstanceUid);
  assert.deepEqual(view.counts, { received: 3, corrected: 3, leftAlone: 0, failed: 0, delivered: 3 });
  assert.ok(changes.length >= 9, `${changes.length} changes were told`);
  assert.deepEqual([...new Set(changes)], [seriesInstanceUid]);

  const slices = await slicesOf(server.url, seriesInstanceUid);
  assert.deepEqual(
    slices.map(({ position, frames, state, derived, quality }) => [
      position,
      frames,
      state,
      derived,
      quality,
    ]),
    [-7.5, -5, -2.5].map((position) => [position, 1, 'corrected', true, { residualEnergy: 0.25 }]),
  );
  const preview = `${server.url}/api/instances/${slices[0]!.id}/preview.png`;
  const [source, derived] = [
    await samplesOf(`${preview}?of=source`),
    await samplesOf(`${preview}?of=derived`),
  ];
  assert.ok(
    derived[17 * 8 + 8]! > source[17 * 8 + 8]! + 8,
    'the derived slice is brighter in the same window',
  );
  assert.equal((await fetch(`${preview}?of=residual`)).status, 200);
  assert.equal((await fetch(`${preview}?of=source&frame=2`)).status, 404);
  assert.equal((await fetch(`${server.url}/api/instances/9999/preview.png`)).status, 404);
  assert.doesNotMatch(JSON.stringify([view, slices, server.log]), /Phantom|PHANTOM/);
});

test('without positions the instance numbers give the order; retry of an unknown series is 404', async (t) => {
  const { server, send } = await startServer(t);
  const files = [2, 3, 1].map((number) => numbered(number, false));
  await send(files);
  const { seriesInstanceUid } = dicom.readHeader(files[0]!);
  const slices = await slicesOf(server.url, seriesInstanceUid);
  const wanted = [files[2]!, files[0]!, files[1]!].map((file) => dicom.readHeader(file).sopInstanceUid);
  assert.deepEqual(
    slices.map(({ sop }) => sop),
    wanted,
  );
  const retry = (uid: string) => fetch(`${server.url}/api/series/${uid}/retry`, { method: 'POST' });
  assert.equal((await retry('1.2.3')).status, 404);
  assert.equal((await retry(seriesInstanceUid)).status, 202);
});
