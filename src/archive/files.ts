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
import { type FileHandle, mkdir, open, rename, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';

/** PS3.5 section 9.1: digits and dots, at most 64 characters. Anything else never becomes a path. */
const uidSyntax = /^(?=.{1,64}$)[0-9]+(\.[0-9]+)*$/;

/** Folders whose existence is known to be on disk; forgotten and checked again beyond this. */
const knownFoldersLimit = 10_000;

/** Folders that are kept open to be synced. */
const openFoldersLimit = 64;

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
  createPart(): Promise<PartFile>;
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
  /** Nothing is written any more. */
  close(): Promise<void>;
}

/** Opens the folders below `root`, creating what is missing. */
export async function openInstanceFiles(root: string): Promise<InstanceFiles> {
  const knownFolders = new Map<string, Promise<void>>();
  const folderSyncs = new Map<string, { running: Promise<void>; next?: Promise<void> }>();
  const handles = new WeakMap<PartFile, FileHandle>();
  const folders = openFolders();
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
      // One of that name may have been open and removed since.
      folders.forget(folder);
    } catch (error) {
      if (!isCode(error, 'EEXIST')) throw error;
    }
    await syncFolder(dirname(folder));
  }

  /** One fsync serves all that wait for the same folder; one under way serves nobody who comes later. */
  function syncFolder(folder: string): Promise<void> {
    const entry = folderSyncs.get(folder);
    if (entry === undefined) {
      const running = folders.sync(folder).finally(() => {
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
    async createPart() {
      sequence += 1;
      const path = join(root, 'incoming', `${process.pid}-${sequence}.part`);
      const handle = await open(path, 'wx');
      let bytes = 0;
      const part: PartFile = {
        path,
        get bytes() {
          return bytes;
        },
        async write(chunks) {
          for (let i = 0; i < chunks.length; i += 512) {
            bytes += await writeAll(handle, chunks.slice(i, i + 512));
          }
        },
        async discard() {
          await handle.close().catch(() => {});
          await rm(path, { force: true }).catch(() => {});
        },
      };
      handles.set(part, handle);
      return part;
    },
    async place(part, relative) {
      const handle = handles.get(part);
      if (handle === undefined) throw new Error(`${part.path} was not created here`);
      const target = join(root, relative);
      await ensureFolder(dirname(target));
      try {
        await rename(part.path, target);
      } catch (error) {
        // The folder may have been removed behind our back (retention, an operator): once more from the top.
        if (!isCode(error, 'ENOENT')) throw error;
        knownFolders.clear();
        folders.forget();
        await ensureFolder(dirname(target));
        await rename(part.path, target);
      }
      return {
        async settle() {
          try {
            await Promise.all([handle.datasync(), syncFolder(dirname(target))]);
          } finally {
            await handle.close();
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
    close: () => folders.close(),
  };

  await mkdir(root, { recursive: true });
  await fsyncPath(dirname(root));
  await Promise.all(['incoming', 'archive', 'quarantine'].map((name) => files.ensureFolder(name)));
  return files;
}

async function writeAll(handle: FileHandle, chunks: readonly Buffer[]): Promise<number> {
  const total = chunks.reduce((sum, chunk) => sum + chunk.length, 0);
  const { bytesWritten } = await handle.writev(chunks);
  if (bytesWritten < total) {
    let rest = Buffer.concat(chunks).subarray(bytesWritten);
    while (rest.length > 0) {
      const written = await handle.write(rest);
      rest = rest.subarray(written.bytesWritten);
    }
  }
  return total;
}

/** Folders that stay open, the ones of the series that arrive now: an instance costs one call, not three. */
function openFolders(): {
  sync(folder: string): Promise<void>;
  forget(folder?: string): void;
  close(): Promise<void>;
} {
  const handles = new Map<string, { handle: Promise<FileHandle>; users: number; dropped: boolean }>();

  function drop(folder: string): void {
    const entry = handles.get(folder);
    if (entry === undefined) return;
    handles.delete(folder);
    entry.dropped = true;
    if (entry.users === 0) closeOf(entry.handle);
  }

  function closeOf(handle: Promise<FileHandle>): Promise<void> {
    return handle.then((opened) => opened.close()).catch(() => {});
  }

  return {
    async sync(folder) {
      const entry = handles.get(folder) ?? { handle: open(folder, 'r'), users: 0, dropped: false };
      // The one that was used longest ago is the first in the map.
      handles.delete(folder);
      handles.set(folder, entry);
      if (handles.size > openFoldersLimit) drop(handles.keys().next().value!);
      entry.users += 1;
      try {
        await (await entry.handle).sync();
      } catch (error) {
        drop(folder);
        throw error;
      } finally {
        entry.users -= 1;
        if (entry.dropped && entry.users === 0) void closeOf(entry.handle);
      }
    },
    forget(folder) {
      for (const one of folder === undefined ? [...handles.keys()] : [folder]) drop(one);
    },
    async close() {
      const all = [...handles.values()];
      handles.clear();
      await Promise.all(all.map(({ handle }) => closeOf(handle)));
    },
  };
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
