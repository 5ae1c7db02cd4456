/** Synthetic MR slices of 256×256 as files, each of about the size that a scanner writes. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { writeSeries } from '../../../demo/series.js';
import { joinPart10 } from '../../peers/support/part10.js';

const SIDE = 256;
/** Scanners write about this much beside the pixels, most of it in private elements. */
const PRIVATE_BYTES = 7400;
const PIXEL_HEADER_BYTES = 12;

/** (0029,0010) Private Creator and (0029,1010): explicit VR little endian. */
function privateElements(): Buffer {
  const creator = Buffer.from('MC-NET BENCH');
  const head = Buffer.from([0x29, 0, 0x10, 0, 0x4c, 0x4f, creator.length, 0]);
  const value = Buffer.from([0x29, 0, 0x10, 0x10, 0x4f, 0x42, 0, 0, 0, 0, 0, 0]);
  value.writeUInt32LE(PRIVATE_BYTES, 8);
  return Buffer.concat([head, creator, value, Buffer.alloc(PRIVATE_BYTES, 0x5a)]);
}

/** Writes `count` slices of one series into a folder; the names are returned in their order. */
export function writeSlices(folder: string, count: number): string[] {
  mkdirSync(folder, { recursive: true });
  const { instances } = writeSeries(
    Array.from({ length: count }, (_, number) => ({
      pixels: Uint16Array.from(
        { length: SIDE * SIDE },
        (_pixel, at) => (at * 2654435761 + number * 97) % 4096,
      ),
      rows: SIDE,
      columns: SIDE,
      spacing: 1,
      position: number,
      thickness: 1,
      phaseEncoding: 'ROW' as const,
    })),
  );
  const additional = privateElements();
  return instances.map(({ dataSet, ...uids }, number) => {
    const before = dataSet.length - SIDE * SIDE * 2 - PIXEL_HEADER_BYTES;
    const whole = Buffer.concat([dataSet.subarray(0, before), additional, dataSet.subarray(before)]);
    const path = join(folder, `${String(number).padStart(5, '0')}.dcm`);
    writeFileSync(path, joinPart10({ ...uids, dataSet: whole }));
    return path;
  });
}
