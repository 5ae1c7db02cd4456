/**
 * Instance files on disk: small ones written to their place, large ones as `.part` in the incoming folder and then
 * renamed, and on disk for good (file and folder) before anybody hears of it.
 *
 *     <root>/incoming/<n>.part
 *     <root>/journal/<n>       see journal.ts
 *     <root>/archive/<aa>/<study UID>/<series UID>/<SOP Instance UID>[.v<version>].dcm
 *     <root>/quarantine/…      files that were found without an index row
 *
 * `aa` is the first byte of the SHA-256 of the study UID, in hexadecimal, so that no folder grows too wide.
 */
import { createHash } from 'node:crypto';
import { closeSync, fdatasync, open as openFile, writev } from 'node:fs';
import { type FileHandle, mkdir, open, rename, rm, rmdir, stat, statfs, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import type { SettlerOrder } from './settler-thread.js';
import { createSharedMemory, type SharedBytes, type SharedMemory } from './shared-bytes.js';
import { diskThread } from './threads.js';
import { createWriters } from './writers.js';

/** PS3.5 section 9.1: digits and dots, at most 64 characters. Anything else never becomes a path. */
const uidSyntax = /^(?=.{1,64}$)[0-9]+(\.[0-9]+)*$/;

/** Folders whose existence is known to be on disk; forgotten and checked again beyond this. */
const knownFoldersLimit = 10_000;
/** Folders that are kept open for their next sync. */
const openFoldersLimit = 32;
/** Objects up to this size are written at once, when they are known to be good. */
export const smallBytes = 4 * 1024 * 1024;
/** Files that are synced at the same time share commits of the file system's journal. */
const settlerThreads = 3;
/** Buffers in one vectored write: IOV_MAX is 1024 on Linux. */
const vectors = 512;

const opened = promisify(openFile);
const dataSynced = promisify(fdatasync);
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

/** A file that has been written, is open and not yet synced. */
export interface UnsettledFile {
  fd: number;
  folder: string;
}

export interface PlacedFile {
  /** SHA-256 of the data set, where it was asked for. */
  digest?: string;
  /** Resolves when contents, name and folders are on disk for good; must be called once. */
  settle(): Promise<void>;
}

export interface InstanceFiles {
  readonly root: string;
  /** Memory for parts of `smallBytes` at most. */
  readonly memory: SharedMemory;
  /** Path below `root` for an instance. @throws RangeError when a UID has not the syntax of PS3.5. */
  relativePath(study: string, series: string, sop: string, version: number): string;
  absolutePath(relative: string): string;
  createPart(): Promise<PartFile>;
  /** A name for a file of the caller's beside the parts: the next start removes it when it is still there. */
  scratchPath(): string;
  /**
   * A part of `smallBytes` at most, all of it known: it is written straight to its place, by a thread of its own. The
   * memory stays the caller's, who releases it when the part is settled or discarded.
   */
  partOf(bytes: SharedBytes): PartFile;
  /**
   * Moves the part to its place.
   * @param digest asks for the digest of the data set; of a part that was written by `createPart` it is not known
   */
  place(
    part: PartFile,
    relative: string,
    digest?: { transferSyntax: string; dataSetOffset: number },
  ): Promise<PlacedFile>;
  /** Resolves when contents, names and folders are on disk for good. Their descriptors are closed. */
  settle(files: readonly UnsettledFile[]): Promise<void>;
  /** The same for a file that may have been written by a process that has ended. */
  settleAgain(relative: string): Promise<void>;
  /** The bytes of a part of `partOf`. */
  memoryOf(part: PartFile): Buffer | undefined;
  /** Makes a file of so many bytes that are all written and on disk. */
  prepare(path: string, bytes: number): Promise<void>;
  syncFolder(folder: string): Promise<void>;
  /** Bytes that the file system still has for us. */
  freeBytes(): Promise<number>;
  /** Removes a file that was placed but not indexed. */
  remove(relative: string): Promise<void>;
  /**
   * Resolves when what was removed from a folder stays removed, and removes the folder and those above it as far as
   * they are empty.
   */
  settleRemovals(folder: string): Promise<void>;
  /** Writes a file into the quarantine, for good; returns its path below the data folder. */
  keepAside(relative: string, bytes: Buffer): Promise<string>;
  /** Moves a file out of the archive. */
  quarantine(relative: string): Promise<void>;
  /** Size in bytes, or undefined when there is no such file. */
  size(relative: string): Promise<number | undefined>;
  /** Makes sure that a folder below the root exists and stays. */
  ensureFolder(folder: string): Promise<void>;
  /** Gives back what is kept open. */
  close(): Promise<void>;
}

/** Opens the folders below `root`, creating what is missing. */
export async function openInstanceFiles(root: string): Promise<InstanceFiles> {
  const knownFolders = new Map<string, Promise<void>>();
  const folderSyncs = new Map<string, { running: Promise<void>; next?: Promise<void> }>();
  const descriptors = new WeakMap<PartFile, number>();
  const unwritten = new WeakMap<PartFile, SharedBytes>();
  const writers = createWriters();
  const settlers = Array.from({ length: settlerThreads }, () =>
    diskThread<SettlerOrder>(new URL('./settler-thread.js', import.meta.url), 'archive-settler'),
  );
  // In order of their last use.
  const openFolders = new Map<string, Promise<FileHandle>>();
  let sequence = 0;
  let lastPlace: { study: string; aa: string } | undefined;

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
      const running = openFolder(folder)
        .then((handle) => handle.sync())
        .finally(() => {
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

  function openFolder(folder: string): Promise<FileHandle> {
    const handle = openFolders.get(folder) ?? open(folder, 'r');
    openFolders.delete(folder);
    for (const oldest of openFolders.keys()) {
      if (openFolders.size < openFoldersLimit) break;
      void closeFolder(oldest);
    }
    openFolders.set(folder, handle);
    handle.catch(() => openFolders.delete(folder));
    return handle;
  }

  /** A sync under way is waited for. */
  async function closeFolder(folder: string): Promise<void> {
    const handle = openFolders.get(folder);
    openFolders.delete(folder);
    await handle?.then(
      (opened) => opened.close(),
      () => {},
    );
  }

  /** What is known of the folders may be wrong: it is found out anew. */
  function forgetFolders(): void {
    knownFolders.clear();
    for (const folder of [...openFolders.keys()]) void closeFolder(folder);
  }

  function partPath(): string {
    sequence += 1;
    return join(root, 'incoming', `${process.pid}-${sequence}.part`);
  }

  async function createPart(): Promise<PartFile> {
    const path = partPath();
    const fd = await opened(path, 'wx');
    let bytes = 0;
    const part: PartFile = {
      path,
      get bytes() {
        return bytes;
      },
      async write(chunks) {
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

  /** Both are waited for: a descriptor in use is not closed. */
  async function settle(fd: number, folder: string): Promise<void> {
    try {
      await all([dataSynced(fd), syncFolder(folder)]);
    } finally {
      closeSync(fd);
    }
  }

  /** The folder may have been removed behind our back (retention, an operator): then once more from the top. */
  async function inFolder<T>(folder: string, work: () => Promise<T>): Promise<T> {
    try {
      await ensureFolder(folder);
      return await work();
    } catch (error) {
      if (!isCode(error, 'ENOENT')) throw error;
      forgetFolders();
      await ensureFolder(folder);
      return work();
    }
  }

  async function move(part: PartFile, target: string): Promise<number> {
    const fd = descriptors.get(part);
    if (fd === undefined) throw new Error(`${part.path} was not created here`);
    await inFolder(dirname(target), () => rename(part.path, target));
    descriptors.delete(part);
    return fd;
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
      if (lastPlace?.study !== study) {
        lastPlace = { study, aa: createHash('sha256').update(study).digest('hex').slice(0, 2) };
      }
      const name = version === 1 ? `${sop}.dcm` : `${sop}.v${version}.dcm`;
      return `archive/${lastPlace.aa}/${study}/${series}/${name}`;
    },
    absolutePath: (relative) => join(root, relative),
    createPart,
    scratchPath() {
      sequence += 1;
      return join(root, 'incoming', `${process.pid}-${sequence}.part`);
    },
    memory: createSharedMemory(),
    partOf(bytes) {
      const part: PartFile = {
        path: '',
        bytes: bytes.length,
        write: () => Promise.reject(new Error('the part is complete')),
        discard: async () => {
          unwritten.delete(part);
        },
      };
      unwritten.set(part, bytes);
      return part;
    },
    async place(part, relative, digest) {
      const target = join(root, relative);
      const folder = dirname(target);
      const memory = unwritten.get(part);
      if (memory === undefined) {
        const fd = await move(part, target);
        return { settle: () => settle(fd, folder) };
      }
      const { settled, ...placed } = await inFolder(folder, () =>
        writers.write({ target, part: partPath(), bytes: memory.bytes(), ...(digest && { digest }) }),
      );
      return { ...placed, settle: () => settled };
    },
    async settle(unsettled) {
      const shares = settlers.map((settler, n) => ({
        settler,
        descriptors: unsettled.filter((_, at) => at % settlers.length === n).map(({ fd }) => fd),
      }));
      await all([
        ...shares
          .filter(({ descriptors }) => descriptors.length > 0)
          .map(({ settler, descriptors }) => settler.ask({ do: 'settle', descriptors })),
        ...[...new Set(unsettled.map(({ folder }) => folder))].map(syncFolder),
      ]);
    },
    async settleAgain(relative) {
      const path = join(root, relative);
      await files.settle([{ fd: await opened(path, 'r'), folder: dirname(path) }]);
    },
    memoryOf: (part) => unwritten.get(part)?.bytes(),
    prepare: (path, bytes) => settlers[0]!.ask({ do: 'prepare', path, bytes }),
    syncFolder,
    async freeBytes() {
      const found = await statfs(root);
      return found.bavail * found.bsize;
    },
    async remove(relative) {
      await rm(join(root, relative), { force: true });
    },
    async settleRemovals(relative) {
      const top = join(root, 'archive');
      let folder = join(root, relative);
      try {
        await syncFolder(folder);
      } catch (error) {
        // It is gone already: what was in it is, too.
        if (!isCode(error, 'ENOENT')) throw error;
        forgetFolders();
      }
      for (; folder.startsWith(`${top}/`); folder = dirname(folder)) {
        try {
          await rmdir(folder);
        } catch (error) {
          if (isCode(error, 'ENOENT')) continue;
          return;
        }
        knownFolders.delete(folder);
        await closeFolder(folder);
      }
    },
    async quarantine(relative) {
      const target = join(root, quarantined(relative));
      await ensureFolder(dirname(target));
      await rename(join(root, relative), target);
      await syncFolder(dirname(target));
    },
    async keepAside(relative, bytes) {
      const aside = quarantined(relative);
      await ensureFolder(dirname(join(root, aside)));
      await writeFile(join(root, aside), bytes);
      await files.settleAgain(aside);
      return aside;
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
    async close() {
      await writers.close();
      await Promise.all(settlers.map((settler) => settler.close()));
      await Promise.all([...openFolders.keys()].map(closeFolder));
    },
  };

  await mkdir(root, { recursive: true });
  await fsyncPath(dirname(root));
  await Promise.all(['incoming', 'archive', 'quarantine'].map((name) => files.ensureFolder(name)));
  return files;
}

function quarantined(relative: string): string {
  return join('quarantine', `${Date.now()}-${relative.replaceAll('/', '_').slice(-200)}`);
}

/** Waits for all to end, whether well or not. */
async function all(works: readonly Promise<void>[]): Promise<void> {
  const ends = await Promise.allSettled(works);
  for (const end of ends) if (end.status === 'rejected') throw end.reason;
}

async function append(fd: number, chunks: readonly Buffer[]): Promise<number> {
  const total = lengthOf(chunks);
  const taken = await written(fd, chunks);
  return taken < total ? taken + (await append(fd, [rest(chunks, taken)])) : total;
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

/** Whether an error of the file system or of the database says that there is no space left. */
export function isDiskFull(error: unknown): boolean {
  if (isCode(error, 'ENOSPC') || isCode(error, 'EDQUOT')) return true;
  return error instanceof Error && /disk is full/.test(error.message);
}
