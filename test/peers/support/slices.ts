/** Synthetic MR slices as files and as what an association carries. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type DemoInstance, writeSeries } from '../../../demo/series.js';
import { writeMetaHeader } from '../../../src/dicom/index.js';
import type { OutgoingInstance } from '../../../src/dimse/index.js';
import { headSlice } from '../../unit/correction/syntheticPart10.js';

/** A new series of a new study: `slices` pictures of side × side. */
export function newSeries(slices: number, side = 64): { seriesUid: string; instances: DemoInstance[] } {
  return writeSeries(
    Array.from({ length: slices }, (_, i) => ({
      pixels: Uint16Array.from(headSlice(side, side, { min: 0, max: 4095 }, i + 1)),
      rows: side,
      columns: side,
      spacing: 1,
      position: i,
      thickness: 1,
      phaseEncoding: 'ROW' as const,
    })),
  );
}

/** The whole part 10 file of an instance. */
export function fileOf(instance: DemoInstance): Buffer {
  return Buffer.concat([writeMetaHeader(instance), instance.dataSet]);
}

/** Writes instances into a folder and returns their paths. */
export function writeFiles(folder: string, instances: readonly DemoInstance[]): string[] {
  mkdirSync(folder, { recursive: true });
  return instances.map((instance, i) => {
    const path = join(folder, `${i + 1}.dcm`);
    writeFileSync(path, fileOf(instance));
    return path;
  });
}

export function outgoingOf({ dataSet, ...about }: DemoInstance): OutgoingInstance {
  return { ...about, open: async () => dataSet };
}

/** The same picture as a CT image. */
export function asCt(instance: DemoInstance): DemoInstance {
  const mr = Buffer.from('1.2.840.10008.5.1.4.1.1.4\0');
  const dataSet = Buffer.from(instance.dataSet);
  dataSet.set(Buffer.from('1.2.840.10008.5.1.4.1.1.2\0'), dataSet.indexOf(mr));
  dataSet.set(Buffer.from('CT'), dataSet.indexOf(Buffer.from('CS\x02\0MR')) + 4);
  return { ...instance, sopClassUid: '1.2.840.10008.5.1.4.1.1.2', dataSet };
}

/** The same header with pixel data that claims to be JPEG lossless and is not. */
export function asBrokenJpeg(instance: DemoInstance): DemoInstance {
  const { dataSet } = instance;
  const pixelData = Buffer.from([0xe0, 0x7f, 0x10, 0x00, 0x4f, 0x57]); // (7FE0,0010) OW
  const words = (...values: number[]) => Buffer.from(Uint16Array.from(values).buffer);
  return {
    ...instance,
    transferSyntaxUid: '1.2.840.10008.1.2.4.70',
    dataSet: Buffer.concat([
      dataSet.subarray(0, dataSet.lastIndexOf(pixelData)),
      Buffer.from([0xe0, 0x7f, 0x10, 0x00, 0x4f, 0x42, 0, 0, 0xff, 0xff, 0xff, 0xff]),
      words(0xfffe, 0xe000, 0, 0),
      words(0xfffe, 0xe000, 64, 0),
      Buffer.alloc(64, 'not a JPEG codestream '),
      words(0xfffe, 0xe0dd, 0, 0),
    ]),
  };
}
