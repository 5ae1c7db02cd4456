/** Received and derived series as Cornerstone3D, the library that OHIF shows images with, reads them back by WADO-RS. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import type { Instance } from '../../src/archive/index.js';
import * as dicom from '../../src/dicom/index.js';
import { servePage } from '../peers/support/chromium.js';
import { bundleCornerstone } from '../peers/support/cornerstone.js';
import { sharedSeries } from '../peers/support/data.js';
import { eventually, needPrograms, temporaryFolder } from '../peers/support/process.js';
import { startArchiveServer } from '../unit/dicomweb/archive-server.js';

/** What is known of one frame, by the file or by Cornerstone. */
interface Frame {
  rows: number;
  columns: number;
  /** SHA-256 of the stored values as 32 bit integers. */
  pixels: string;
  /** Between rows, between columns. */
  spacing: number[];
  position: number[];
  orientation: number[];
  frameOfReference: string;
  slope: number;
  intercept: number;
}

const hash = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');

/** The functional group of a frame that has an attribute, per frame or shared; of a classic object its data set. */
function groupOf(dataSet: dicom.DataSet, index: number, group: string): dicom.DataSet {
  const frames = dicom.itemsOf(dataSet, 'PerFrameFunctionalGroupsSequence')[index];
  const shared = dicom.itemsOf(dataSet, 'SharedFunctionalGroupsSequence')[0];
  for (const item of [frames, shared]) {
    const found = item && dicom.itemsOf(item, group)[0];
    if (found) return found;
  }
  return dataSet;
}

async function framesOf(file: Buffer): Promise<Frame[]> {
  const parsed = dicom.parsePart10(file);
  const { dataSet } = parsed;
  const reader = await dicom.openFrames(parsed);
  return Array.from({ length: reader.count }, (_, index) => {
    const of = (group: string, keyword: string) => dicom.numbers(groupOf(dataSet, index, group), keyword);
    return {
      rows: dicom.number(dataSet, 'Rows')!,
      columns: dicom.number(dataSet, 'Columns')!,
      pixels: hash(new Uint8Array(Int32Array.from(reader.frame(index)).buffer)),
      spacing: of('PixelMeasuresSequence', 'PixelSpacing'),
      position: of('PlanePositionSequence', 'ImagePositionPatient'),
      orientation: of('PlaneOrientationSequence', 'ImageOrientationPatient'),
      frameOfReference: dicom.strings(dataSet, 'FrameOfReferenceUID')[0]!,
      slope: of('PixelValueTransformationSequence', 'RescaleSlope')[0] ?? 1,
      intercept: of('PixelValueTransformationSequence', 'RescaleIntercept')[0] ?? 0,
    };
  });
}

test('Cornerstone sees the stored pixels and the geometry, of received and of derived instances', async (t) => {
  if (!needPrograms(t, 'chromium')) return;
  const classic = sharedSeries(t, 'a12');
  const fragmented = sharedSeries(t, 'a05');
  const enhanced = sharedSeries(t, 'a07');
  if (!classic || !fragmented || !enhanced) return;
  const folder = temporaryFolder(t, 'cornerstone');
  await bundleCornerstone(folder);

  let url = '';
  let wanted: { at: string; frames: number }[] = [];
  const page = await servePage<Frame[][]>(t, {
    libraries: {},
    folder,
    script: () => `
      const { core, loader } = await import('/cornerstone.js');
      await core.init();
      loader.init({ maxWebWorkers: 1 });
      const hash = async (bytes) => [...new Uint8Array(await crypto.subtle.digest('SHA-256', bytes))]
        .map((byte) => byte.toString(16).padStart(2, '0')).join('');
      const seen = [];
      for (const { at, frames } of ${JSON.stringify(wanted)}) {
        const answer = await fetch(${JSON.stringify(url)} + at + '/metadata', { headers: { accept: 'application/dicom+json' } });
        const [metadata] = await answer.json();
        const ids = Array.from({ length: frames }, (_, i) => 'wadors:' + ${JSON.stringify(url)} + at + '/frames/' + (i + 1));
        for (const id of ids) loader.wadors.metaDataManager.add(id, metadata);
        const found = [];
        for (const id of ids) {
          const image = await core.imageLoader.loadImage(id, { preScale: { enabled: false } });
          const plane = core.metaData.get('imagePlaneModule', id);
          const lut = core.metaData.get('modalityLutModule', id) ?? {};
          found.push({
            rows: image.rows,
            columns: image.columns,
            pixels: await hash(Int32Array.from(image.getPixelData()).buffer),
            spacing: [plane.rowPixelSpacing, plane.columnPixelSpacing],
            position: [...plane.imagePositionPatient],
            orientation: [...plane.imageOrientationPatient],
            frameOfReference: plane.frameOfReferenceUID,
            slope: lut.rescaleSlope ?? 1,
            intercept: lut.rescaleIntercept ?? 0,
          });
        }
        seen.push(found);
      }
      return seen;`,
  });
  const server = await startArchiveServer(t, { cors: [page.origin] });
  url = server.url;
  const received: Instance[] = [];
  for (const path of [...classic.slice(0, 3), ...fragmented.slice(0, 2), enhanced[0]!]) {
    received.push((await server.store(readFileSync(path))).instance);
  }
  server.pipeline.start();
  const { archive } = server.pipeline;
  const instances = await eventually('every instance has its derived one', () => {
    const derived = received.flatMap(({ id }) => archive.derivedFrom(id));
    return derived.length === received.length ? [...received, ...derived] : undefined;
  });
  const expected = await Promise.all(instances.map(async ({ path }) => framesOf(readFileSync(path))));
  wanted = instances.map(({ study, series, sop }, n) => ({
    at: `/studies/${study}/series/${series}/instances/${sop}`,
    frames: expected[n]!.length,
  }));
  assert.ok(expected.some((frames) => frames.length > 1));
  const seen = await page.run(120_000);
  for (const [n, { sop, origin }] of instances.entries()) {
    assert.deepEqual(seen[n], expected[n], `${origin} ${sop}`);
  }
  // Viewers synchronise the two series: the derived one lies where its source does.
  for (const [n] of received.entries()) {
    const [source, derived] = [seen[n]!, seen[n + received.length]!];
    for (const [index, { pixels: _, ...geometry }] of derived.entries()) {
      const { pixels: __, ...of } = source[index]!;
      assert.deepEqual(geometry, of);
    }
  }
});
