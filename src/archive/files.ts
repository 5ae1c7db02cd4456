/**
 * Instance files on disk: written as `.part` in the incoming folder, renamed to their place, and on disk for
 * good (file and folder) before anybody hears of it.
 *
 *     <root>/incoming/<n>.part
 *     <root>/archive/<aa>/<study UID>/<series UID>/<SOP Instance UID>[.v<version>].dcm
 *     <root>/quarantine/…      files that were found without an index row
 *
 * `aa` is the first byte of the SHA-256 of the study UID, in hexadecimal, so that no folder grows too wide.
 */
import { createHash } from 'node:crypto';
import { closeSync, fdatasync, fsync, openSync, renameSync, rmSync, writev, writevSync } from 'node:fs';
import { mkdir, open, rename, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';

/** PS3.5 section 9.1: digits and dots, at most 64 characters. Anything else never becomes a path. */
const uidSyntax = /^(?=.{1,64}$)[0-9]+(\.[0-9]+)*$/;

/** Folders whose existence is known to be on disk; forgotten and checked again beyond this. */
const knownFoldersLimit = 10_000;
/** Folders that are kept open for their next sync. */
const openFoldersLimit = 32;
/** Buffers in one vectored write: IOV_MAX is 1024 on Linux. */
const vectors = 512;

const dataSynced = promisify(fdatasync);
const synced = promisify(fsync);
const written = promisify(
  (fd: number, chunks: readonly Buffer[], done: (e: Error | null, n: number) => void) =>
    writev(fd, chunks, (error, bytes) => done(error, bytes)),
);

export interface PartFile {
  readonly path: string;
  readonly bytes: number;
  /** Appends; resolves when the operating system has taken the bytes. */
  write(chunks: readonly Buffer[]): Promise<void>;
  /** Closes and removes it. Never throws. */
  discard(): Promise<void>;
}

export interface InstanceFiles {
  readonly root: string;
  /** Path below `root` for an instance. @throws RangeError when a UID has not the syntax of PS3.5. */
  relativePath(study: string, series: string, sop: string, version: number): string;
  absolutePath(relative: string): string;
  createPart(): PartFile;
  /**
   * A part of a few megabytes at most, written at once: the page cache takes it in less time than a trip through
   * the thread pool does.
   */
  writePart(chunks: readonly Buffer[]): PartFile;
  /**
   * Moves the part to its place. Contents, name and folders are on disk for good only when the promise that
   * `settle` returns has resolved, too; it must be called once.
   */
  place(part: PartFile, relative: string): Promise<{ settle(): Promise<void> }>;
  /** Removes a file that was placed but not indexed. */
  remove(relative: string): Promise<void>;
  /** Moves a file out of the archive. */
  quarantine(relative: string): Promise<void>;
  /** Size in bytes, or undefined when there is no such file. */
  size(relative: string): Promise<number | undefined>;
  /** Makes sure that a folder below the root exists and stays. */
  ensureFolder(folder: string): Promise<void>;
  /** Gives back what is kept open. */
  close(): void;
}

/** Opens the folders below `root`, creating what is missing. */
export async function openInstanceFiles(root: string): Promise<InstanceFiles> {
  const knownFolders = new Map<string, Promise<void>>();
  const folderSyncs = new Map<string, { running: Promise<void>; next?: Promise<void> }>();
  const descriptors = new WeakMap<PartFile, number>();
  // In order of their last use.
  const openFolders = new Map<string, number>();
  let sequence = 0;

  function ensureFolder(folder: string): Promise<void> {
    const known = knownFolders.get(folder);
    if (known !== undefined) return known;
    if (knownFolders.size >= knownFoldersLimit) knownFolders.clear();
    const created = createFolder(folder).catch((error: unknown) => {
      knownFolders.delete(folder);
      throw error;
    });
    knownFolders.set(folder, created);
    return created;
  }

  async function createFolder(folder: string): Promise<void> {
    if (folder === root) return;
    await ensureFolder(dirname(folder));
    try {
      await mkdir(folder);
    } catch (error) {
      if (!isCode(error, 'EEXIST')) throw error;
    }
    await syncFolder(dirname(folder));
  }

  /** One fsync serves all that wait for the same folder; one under way serves nobody who comes later. */
  function syncFolder(folder: string): Promise<void> {
    const entry = folderSyncs.get(folder);
    if (entry === undefined) {
      const running = synced(openFolder(folder)).finally(() => {
        const current = folderSyncs.get(folder);
        if (current?.next === undefined) folderSyncs.delete(folder);
      });
      folderSyncs.set(folder, { running });
      return running;
    }
    entry.next ??= entry.running
      .catch(() => {})
      .then(() => {
        folderSyncs.delete(folder);
        return syncFolder(folder);
      });
    return entry.next;
  }

  /** A folder's descriptor; one whose sync is under way is not closed. */
  function openFolder(folder: string): number {
    const fd = openFolders.get(folder) ?? openSync(folder, 'r');
    openFolders.delete(folder);
    for (const [other, old] of openFolders) {
      if (openFolders.size < openFoldersLimit) break;
      if (folderSyncs.has(other)) continue;
      openFolders.delete(other);
      closeSync(old);
    }
    openFolders.set(folder, fd);
    return fd;
  }

  /** What is known of the folders may be wrong: it is found out anew. */
  function forgetFolders(): void {
    knownFolders.clear();
    for (const [folder, fd] of openFolders) {
      if (folderSyncs.has(folder)) continue;
      openFolders.delete(folder);
      closeSync(fd);
    }
  }

  function newPart(): PartFile & { append(chunks: readonly Buffer[]): void } {
    sequence += 1;
    const path = join(root, 'incoming', `${process.pid}-${sequence}.part`);
    const fd = openSync(path, 'wx');
    let bytes = 0;
    const part = {
      path,
      get bytes() {
        return bytes;
      },
      append(chunks: readonly Buffer[]) {
        bytes += appendSync(fd, chunks);
      },
      async write(chunks: readonly Buffer[]) {
        for (let i = 0; i < chunks.length; i += vectors) {
          bytes += await append(fd, chunks.slice(i, i + vectors));
        }
      },
      async discard() {
        release(part);
        await rm(path, { force: true }).catch(() => {});
      },
    };
    descriptors.set(part, fd);
    return part;
  }

  function release(part: PartFile): void {
    const fd = descriptors.get(part);
    if (fd !== undefined && descriptors.delete(part)) closeSync(fd);
  }

  const files: InstanceFiles = {
    root,
    relativePath(study, series, sop, version) {
      for (const uid of [study, series, sop]) {
        if (!uidSyntax.test(uid))
          throw new RangeError(`"${uid.slice(0, 80)}" is not a UID (PS3.5 section 9.1)`);
      }
      const aa = createHash('sha256').update(study).digest('hex').slice(0, 2);
      return join('archive', aa, study, series, version === 1 ? `${sop}.dcm` : `${sop}.v${version}.dcm`);
    },
    absolutePath: (relative) => join(root, relative),
    createPart: () => newPart(),
    writePart(chunks) {
      const part = newPart();
      try {
        for (let i = 0; i < chunks.length; i += vectors) part.append(chunks.slice(i, i + vectors));
        return part;
      } catch (error) {
        release(part);
        rmSync(part.path, { force: true });
        throw error;
      }
    },
    async place(part, relative) {
      const fd = descriptors.get(part);
      if (fd === undefined) throw new Error(`${part.path} was not created here`);
      const target = join(root, relative);
      await ensureFolder(dirname(target));
      try {
        renameSync(part.path, target);
      } catch (error) {
        // The folder may have been removed behind our back (retention, an operator): once more from the top.
        if (!isCode(error, 'ENOENT')) throw error;
        forgetFolders();
        await ensureFolder(dirname(target));
        renameSync(part.path, target);
      }
      return {
        async settle() {
          try {
            await Promise.all([dataSynced(fd), syncFolder(dirname(target))]);
          } finally {
            release(part);
          }
        },
      };
    },
    async remove(relative) {
      await rm(join(root, relative), { force: true });
    },
    async quarantine(relative) {
      const target = join(root, 'quarantine', `${Date.now()}-${relative.replaceAll('/', '_').slice(-200)}`);
      await ensureFolder(dirname(target));
      await rename(join(root, relative), target);
      await syncFolder(dirname(target));
    },
    async size(relative) {
      try {
        const found = await stat(join(root, relative));
        return found.isFile() ? found.size : undefined;
      } catch (error) {
        if (isCode(error, 'ENOENT') || isCode(error, 'ENOTDIR')) return undefined;
        throw error;
      }
    },
    ensureFolder: (folder) => ensureFolder(join(root, folder)),
    close() {
      for (const fd of openFolders.values()) closeSync(fd);
      openFolders.clear();
    },
  };

  await mkdir(root, { recursive: true });
  await fsyncPath(dirname(root));
  await Promise.all(['incoming', 'archive', 'quarantine'].map((name) => files.ensureFolder(name)));
  return files;
}

async function append(fd: number, chunks: readonly Buffer[]): Promise<number> {
  const total = lengthOf(chunks);
  const taken = await written(fd, chunks);
  return taken < total ? taken + (await append(fd, [rest(chunks, taken)])) : total;
}

function appendSync(fd: number, chunks: readonly Buffer[]): number {
  const total = lengthOf(chunks);
  const taken = writevSync(fd, chunks);
  return taken < total ? taken + appendSync(fd, [rest(chunks, taken)]) : total;
}

function lengthOf(chunks: readonly Buffer[]): number {
  return chunks.reduce((sum, chunk) => sum + chunk.length, 0);
}

/** What a write left over, as on a disk that is all but full: the next one tells why. */
function rest(chunks: readonly Buffer[], taken: number): Buffer {
  return Buffer.concat(chunks).subarray(taken);
}

async function fsyncPath(path: string): Promise<void> {
  const handle = await open(path, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

export function isCode(error: unknown, code: string): boolean {
  return error instanceof Error && 'code' in error && error.code === code;
}
