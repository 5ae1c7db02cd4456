import { renameSync, writeFileSync } from 'node:fs';
import { gzipSync } from 'node:zlib';
import type { Volume } from './volume.js';

/** Writes a volume as NIfTI-1 with float32 voxels and its affine as sform (code 1, scanner); gzipped when the name ends in .gz. */
export function writeNifti(file: string, volume: Volume): void {
  const bytes = new Uint8Array(352 + 4 * volume.data.length);
  const view = new DataView(bytes.buffer);
  view.setInt32(0, 348, true);
  view.setInt16(40, 3, true);
  volume.dims.forEach((count, i) => {
    view.setInt16(42 + 2 * i, count, true);
  });
  for (let i = 4; i < 8; i++) view.setInt16(40 + 2 * i, 1, true);
  view.setInt16(70, 16, true);
  view.setInt16(72, 32, true);
  view.setFloat32(76, 1, true);
  for (let i = 0; i < 3; i++) {
    const size = Math.hypot(volume.affine[i]!, volume.affine[4 + i]!, volume.affine[8 + i]!);
    view.setFloat32(80 + 4 * i, size, true);
  }
  view.setFloat32(108, 352, true);
  view.setFloat32(112, 1, true);
  bytes[123] = 2; // mm
  view.setInt16(254, 1, true);
  volume.affine.forEach((value, i) => {
    view.setFloat32(280 + 4 * i, value, true);
  });
  bytes.set([0x6e, 0x2b, 0x31, 0], 344);
  volume.data.forEach((value, i) => {
    view.setFloat32(352 + 4 * i, value, true);
  });
  writeFileSync(`${file}.tmp`, file.endsWith('.gz') ? gzipSync(bytes, { level: 1 }) : bytes);
  renameSync(`${file}.tmp`, file);
}
