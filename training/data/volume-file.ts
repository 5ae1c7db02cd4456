import { createHash } from 'node:crypto';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { readDicomSeries } from './dicom-series.js';
import { readNifti } from './nifti.js';
import { type Volume, VolumeError } from './volume.js';

/**
 * Reads a volume as {@link listVolumes} lists it: a NIfTI file, or a folder with a DICOM series.
 *
 * @throws VolumeError naming the file
 */
export async function readVolume(file: string): Promise<Volume> {
  return statSync(file, { throwIfNoEntry: false })?.isDirectory() === true
    ? readDicomSeries(file)
    : readNifti(file);
}

const digests = new Map<string, string>();

/**
 * SHA-256 of a volume's bytes (of a folder: of its files by name). Read once per process and state of the file.
 *
 * @throws VolumeError when it cannot be read
 */
export function volumeDigest(file: string): string {
  try {
    const state = statSync(file);
    const key = `${file}\t${state.mtimeMs}\t${state.size}`;
    const known = digests.get(key);
    if (known !== undefined) return known;
    const hash = createHash('sha256');
    if (state.isDirectory()) {
      for (const name of readdirSync(file).sort()) {
        if (!statSync(join(file, name)).isFile()) continue;
        hash.update(`${name}\t`);
        hash.update(
          createHash('sha256')
            .update(readFileSync(join(file, name)))
            .digest(),
        );
      }
    } else hash.update(readFileSync(file));
    const digest = hash.digest('hex');
    digests.set(key, digest);
    return digest;
  } catch (error) {
    throw new VolumeError(
      `${file}: cannot be read: ${error instanceof Error ? error.message : String(error)}`,
    );
  }
}
