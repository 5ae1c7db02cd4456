import { closeSync, openSync, renameSync, rmSync, writeSync } from 'node:fs';

function create(target: string): number | undefined {
  try {
    return openSync(target, 'wx');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return undefined;
    throw error;
  }
}

/** Writes all of it, or leaves nothing behind. */
function fill(fd: number, path: string, bytes: Uint8Array): void {
  try {
    for (let at = 0; at < bytes.length; ) at += writeSync(fd, bytes, at);
  } catch (error) {
    closeSync(fd);
    rmSync(path, { force: true });
    throw error;
  }
}

/**
 * Writes a whole file and returns it open. What is at the target already is replaced by renaming `part` over it.
 * @throws the error of the file system: nothing is left of the file
 */
export function writeFileWhole(
  { target, part }: { target: string; part: string },
  bytes: Uint8Array,
): number {
  const fresh = create(target);
  if (fresh !== undefined) {
    fill(fresh, target, bytes);
    return fresh;
  }
  const fd = openSync(part, 'wx');
  fill(fd, part, bytes);
  try {
    renameSync(part, target);
  } catch (error) {
    closeSync(fd);
    rmSync(part, { force: true });
    throw error;
  }
  return fd;
}
