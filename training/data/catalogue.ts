import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { dicomFiles, isDicomFolder } from './dicom-series.js';
import { volumeName } from './nifti.js';
import { type Volume, VolumeError, voxelSize } from './volume.js';

/** What of the head a volume shows: skull-stripped with a background of zero, or with scalp, neck and air. */
export type Coverage = 'brain' | 'head';

export interface CatalogueEntry {
  readonly name: string;
  /** A NIfTI file, or a folder with a DICOM series. */
  readonly file: string;
  /** From subjects.tsv (columns subject, coverage) where the folder has one; else null, to be found with {@link coverageOf}. */
  readonly coverage: Coverage | null;
}

/**
 * The volumes of a folder, by name: NIfTI files (.nii, .nii.gz), and folders in it that hold a DICOM series each.
 *
 * @throws VolumeError when there are none, or two of the same name
 */
export function listVolumes(folder: string): CatalogueEntry[] {
  const names = existsSync(folder) ? readdirSync(folder).sort() : [];
  const files = names.filter((name) => {
    const file = join(folder, name);
    return statSync(file, { throwIfNoEntry: false })?.isDirectory() === true
      ? isDicomFolder(file)
      : /\.nii(\.gz)?$/i.test(name);
  });
  if (files.length === 0) {
    const advice =
      names.length > 0 && dicomFiles(folder).length > 0
        ? '; it holds DICOM files itself: put each series into a folder of its own in it'
        : '';
    throw new VolumeError(
      `${folder}: no NIfTI volumes (.nii, .nii.gz) and no folders with DICOM series in this folder${advice}`,
    );
  }
  const coverages = new Map<string, Coverage>();
  const table = join(folder, 'subjects.tsv');
  if (existsSync(table)) {
    const rows = readFileSync(table, 'utf8')
      .split(/\r?\n/)
      .map((line) => line.split('\t'));
    const subject = rows[0]!.indexOf('subject');
    const coverage = rows[0]!.indexOf('coverage');
    if (subject >= 0 && coverage >= 0) {
      for (const row of rows.slice(1)) {
        const text = row[coverage] ?? '';
        if (text !== '') coverages.set(row[subject]!, text.startsWith('brain') ? 'brain' : 'head');
      }
    }
  }
  const seen = new Map<string, string>();
  return files.map((file) => {
    const name = volumeName(file);
    const twin = seen.get(name);
    if (twin !== undefined) {
      throw new VolumeError(`${folder}: ${twin} and ${file} have the same name ${name}; rename one`);
    }
    seen.set(name, file);
    return { name, file: join(folder, file), coverage: coverages.get(name) ?? null };
  });
}

/** `brain` when more than 20 % of the voxels, and nearly all on the faces of the volume, are exactly zero. */
export function coverageOf(volume: Volume): Coverage {
  const [nx, ny, nz] = volume.dims;
  let zeros = 0;
  let face = 0;
  let faceZeros = 0;
  for (let k = 0, at = 0; k < nz; k++) {
    for (let j = 0; j < ny; j++) {
      for (let i = 0; i < nx; i++, at++) {
        const zero = volume.data[at] === 0;
        if (zero) zeros++;
        if (i === 0 || j === 0 || k === 0 || i === nx - 1 || j === ny - 1 || k === nz - 1) {
          face++;
          if (zero) faceZeros++;
        }
      }
    }
  }
  return zeros > 0.2 * volume.data.length && faceZeros > 0.9 * face ? 'brain' : 'head';
}

/**
 * Throws VolumeError unless the volume can be a head: a field of view of 80 to 600 mm along each axis, and of 2 to 95 %
 * of its voxels brighter than a tenth of the brightest.
 */
export function checkHead(volume: Volume, file: string): void {
  const size = voxelSize(volume.affine);
  const extent = volume.dims.map((count, i) => count * size[i]!);
  if (extent.some((mm) => mm < 80 || mm > 600)) {
    throw new VolumeError(
      `${file}: not a head, its field of view is ${extent.map((mm) => mm.toFixed(0)).join(' x ')} mm (80 to 600 mm expected); check the voxel sizes in the affine`,
    );
  }
  let most = 0;
  for (const value of volume.data) if (value > most) most = value;
  // the 99.9th percentile from a histogram: single bright voxels must not decide
  const bins = new Float64Array(1000);
  for (const value of volume.data) if (value > 0) bins[Math.min(999, Math.floor((value / most) * 1000))]!++;
  let above = 0;
  let bin = 999;
  while (bin > 0 && above < 0.001 * volume.data.length) above += bins[bin--]!;
  const limit = (0.1 * (bin + 1) * most) / 1000;
  let bright = 0;
  for (const value of volume.data) if (value > limit) bright++;
  const share = bright / volume.data.length;
  if (!(share > 0.02 && share < 0.95)) {
    throw new VolumeError(
      `${file}: not a head, ${(100 * share).toFixed(1)} % of its voxels are bright (2 to 95 % expected)`,
    );
  }
}
