import { existsSync, statfsSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { ReproduceError } from './error.js';

/** Room that must be left over. */
const SPARE_BYTES = 256 * 2 ** 20;

/** Bytes as megabytes or gigabytes. */
export function shownBytes(bytes: number): string {
  return bytes < 2 ** 30 ? `${Math.ceil(bytes / 2 ** 20)} MiB` : `${(bytes / 2 ** 30).toFixed(1)} GiB`;
}

/**
 * Throws ReproduceError when the disk of a folder (which need not exist yet) has no room for so many bytes.
 *
 * @param free bytes free on the disk of a folder; default what the system says
 */
export function checkRoom(
  needs: readonly { readonly option: string; readonly folder: string; readonly bytes: number }[],
  free: (folder: string) => { bytes: number; disk: string } = freeOn,
): void {
  const disks = new Map<string, { bytes: number; needed: number; options: string[] }>();
  for (const { option, folder, bytes } of needs) {
    if (bytes === 0) continue;
    const { bytes: left, disk } = free(folder);
    const entry = disks.get(disk) ?? { bytes: left, needed: 0, options: [] };
    entry.needed += bytes;
    entry.options.push(`${option} ${folder}`);
    disks.set(disk, entry);
  }
  for (const { bytes, needed, options } of disks.values()) {
    if (needed + SPARE_BYTES <= bytes) continue;
    throw new ReproduceError(
      `the disk of ${options.join(' and ')} has ${shownBytes(bytes)} free, about ${shownBytes(needed + SPARE_BYTES)} are needed: make room or choose another folder`,
    );
  }
}

function freeOn(folder: string): { bytes: number; disk: string } {
  let at = resolve(folder);
  while (!existsSync(at)) at = dirname(at);
  const { bavail, bsize, blocks, type } = statfsSync(at);
  return { bytes: bavail * bsize, disk: `${type}:${blocks}` };
}
