/**
 * The journal: small objects that were received are on disk for good in here first, so that their senders are answered
 * after one write over a file that is there already, which needs no commit of the file system. The object's own file is
 * written beside it and brought to the disk later, together with others, and with the index; until then the journal can
 * put both back. It is a few segments, used again and again in turn.
 *
 * What is not taken (large objects, no room prepared, segments still to be settled, a disk that failed) has to be synced
 * by itself.
 */
import { closeSync, openSync } from 'node:fs';
import { mkdir, open, readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { UnsettledFile } from './files.js';
import {
  headOf,
  type JournalledObject,
  type JournalRecord,
  readSegment,
  recordLength,
  setPosition,
  voided,
  voidedAt,
} from './journal-record.js';
import type { JournalOrder } from './journal-thread.js';
import { type DiskThread, diskThread } from './threads.js';
import type { FileOrder, FileWritten } from './whole-file.js';

/** Size of a segment. */
export const segmentBytes = 8 * 1024 * 1024;
/** Segments in use at most. */
const mostSegments = 8;
/** Objects in one segment at most: their files are open until they are settled. */
const mostRecords = 64;
/** Larger objects are not worth writing twice. */
export const journalledBytes = 2 * 1024 * 1024;
/** What lies in the journal is settled when nothing more comes for so long. */
const restMs = 2000;
/** A segment is made only where this many times its size is free. */
const roomFactor = 16;

export interface JournalTicket {
  /** Resolves when the object's own file is written, not yet synced. @throws when it is not: nor is it kept in here */
  readonly written: Promise<FileWritten>;
  /** Resolves when the object is on disk for good. */
  readonly synced: Promise<void>;
  /** File and row are written: from now on both are the journal's to settle. `onSettled` is called when they are. */
  kept(file: UnsettledFile, onSettled: () => void): void;
  /** The object is not kept, nor put back ever. Resolves when that is on disk. */
  void(): Promise<void>;
  /** It was settled otherwise. */
  settled(): void;
}

export interface Journal {
  /**
   * Takes an object in shared memory, which stays unchanged until `synced` has ended, and writes its file, whose folder
   * exists. undefined: not this one, not now.
   * @param file.part a name for it until it may take the place of one that is there already
   * @param file.digest asks for the digest of the data set
   */
  append(
    object: JournalledObject,
    bytes: Buffer,
    file: { target: string; part: string; digest?: { transferSyntax: string; dataSetOffset: number } },
  ): JournalTicket | undefined;
  /** Begins, empty. Whoever was promised anything by the journal before has to be settled. */
  begin(epoch: Buffer): Promise<void>;
  /** Resolves when nothing that was taken so far depends on the journal any more. @throws when the disk failed */
  settle(): Promise<void>;
  close(): Promise<void>;
}

export interface JournalOptions {
  folder: string;
  freeBytes(): Promise<number>;
  /** Brings files, whose descriptors it closes, and everything in the index to the disk. */
  settle(files: readonly UnsettledFile[]): Promise<void>;
  /** Everything up to this use of a segment is settled. */
  onSettled(use: number): void;
  /** The journal takes nothing more. */
  onFailure(error: unknown): void;
  /** Makes a file of so many bytes that are all written. */
  prepare(path: string, bytes: number): Promise<void>;
  syncFolder(folder: string): Promise<void>;
}

interface Segment {
  fd: number;
  use: number;
  /** Bytes written. */
  end: number;
  records: number;
  /** Records of which nobody has said yet what became of them. */
  undecided: number;
  files: UnsettledFile[];
  onSettled: (() => void)[];
  decided?: () => void;
}

/** What a journal in this folder still has to put back, in the order in which it came. */
export async function readJournal(folder: string, epoch: Buffer, settled: number): Promise<JournalRecord[]> {
  const records: JournalRecord[] = [];
  for (const name of await readdir(folder)) {
    records.push(...(await readSegment(join(folder, name), epoch, settled)));
  }
  return records.sort((a, b) => a.use - b.use || a.number - b.number);
}

/** The bytes of a record's object. */
export async function readJournalled({ segment, offset, bytes }: JournalRecord): Promise<Buffer> {
  const handle = await open(segment, 'r');
  try {
    const object = Buffer.allocUnsafe(bytes);
    const { bytesRead } = await handle.read(object, 0, bytes, offset);
    if (bytesRead !== bytes) throw new Error(`${segment} is shorter than its records`);
    return object;
  } finally {
    await handle.close();
  }
}

export async function openJournal(o: JournalOptions): Promise<Journal> {
  await mkdir(o.folder, { recursive: true });
  const thread: DiskThread<JournalOrder> = diskThread(
    new URL('./journal-thread.js', import.meta.url),
    'journal',
  );
  const files: DiskThread<FileOrder, FileWritten> = diskThread(
    new URL('./file-thread.js', import.meta.url),
    'journal-files',
  );
  const free: Segment[] = [];
  const segments = new Set<string>();
  let active: Segment | undefined;
  let epoch: Buffer | undefined;
  let uses = 0;
  let preparing: Promise<void> | undefined;
  let settling: Promise<void> = Promise.resolve();
  let failure: unknown;
  let resting: NodeJS.Timeout | undefined;

  function adopt(path: string): void {
    const fd = openSync(path, 'r+');
    segments.add(path);
    free.push({ fd, use: 0, end: 0, records: 0, undecided: 0, files: [], onSettled: [] });
  }

  /** One segment is ready before it is needed, as far as there is room for it. */
  function prepareAhead(): void {
    if (preparing !== undefined || free.length > 0 || segments.size >= mostSegments) return;
    const names = Array.from({ length: mostSegments }, (_, n) => join(o.folder, `${n + 1}`));
    const path = names.find((name) => !segments.has(name))!;
    preparing = (async () => {
      if ((await o.freeBytes()) < roomFactor * segmentBytes) return;
      await o.prepare(path, segmentBytes);
      await o.syncFolder(o.folder);
      adopt(path);
    })()
      .catch(() => {}) // a full disk: asked for again with the next object
      .finally(() => {
        preparing = undefined;
      });
  }

  function withRoom(length: number): Segment | undefined {
    if (active !== undefined) {
      if (active.end + length <= segmentBytes && active.records < mostRecords) return active;
      seal();
    }
    active = free.shift();
    prepareAhead();
    if (active === undefined) return undefined;
    uses += 1;
    Object.assign(active, { use: uses, end: 0, records: 0, undecided: 0, files: [], onSettled: [] });
    return active;
  }

  /** Nothing more goes into the active segment; it is settled after those before it. */
  function seal(): void {
    const segment = active;
    active = undefined;
    if (segment === undefined) return;
    const settled = settling.then(() => settleSegment(segment));
    settled.catch(() => {});
    settling = settled;
  }

  async function settleSegment(segment: Segment): Promise<void> {
    if (segment.undecided > 0) {
      await new Promise<void>((resolve) => {
        segment.decided = resolve;
      });
    }
    const { files, onSettled } = segment;
    segment.files = [];
    try {
      if (files.length > 0) await o.settle(files);
      o.onSettled(segment.use);
    } catch (error) {
      // Its records stay, for the next start to put back.
      failed(error);
      throw error;
    }
    for (const told of onSettled) told();
    free.push(segment);
  }

  function failed(error: unknown): void {
    if (failure !== undefined) return;
    failure = error;
    o.onFailure(error);
  }

  function decide(segment: Segment): void {
    segment.undecided -= 1;
    if (segment.undecided === 0) segment.decided?.();
  }

  async function settle(): Promise<void> {
    seal();
    await settling;
  }

  return {
    append(object, bytes, wanted) {
      if (epoch === undefined || failure !== undefined || bytes.length > journalledBytes) return undefined;
      const memory: ArrayBufferLike = bytes.buffer;
      if (!(memory instanceof SharedArrayBuffer)) return undefined;
      const head = headOf(object, bytes.length);
      const length = recordLength(head, bytes.length);
      const segment = withRoom(length);
      if (segment === undefined) return undefined;
      setPosition(head, { epoch, use: segment.use, number: segment.records });
      const position = segment.end;
      segment.end += length;
      segment.records += 1;
      segment.undecided += 1;
      resting?.refresh();
      resting ??= setTimeout(() => {
        resting = undefined;
        seal();
      }, restMs).unref();
      const place = { memory, offset: bytes.byteOffset, length: bytes.length };
      const synced = thread.ask({ do: 'append', fd: segment.fd, at: position, head, ...place });
      synced.catch(failed);
      const voidRecord = () =>
        thread.ask({ do: 'overwrite', fd: segment.fd, at: position + voidedAt, bytes: voided });
      let file: FileWritten | undefined;
      const written = files
        .ask({ ...wanted, ...place }, (done) => {
          file = done;
        })
        .then(
          () => file!,
          async (error: unknown) => {
            // The memory is in use until the record is written.
            await synced.then(voidRecord).catch(failed);
            throw error;
          },
        );
      return {
        written,
        synced,
        kept(file, onSettled) {
          segment.files.push(file);
          segment.onSettled.push(onSettled);
          decide(segment);
        },
        async void() {
          try {
            await voidRecord();
          } finally {
            decide(segment);
          }
        },
        settled: () => decide(segment),
      };
    },
    async begin(next) {
      for (const name of await readdir(o.folder)) {
        const path = join(o.folder, name);
        if ((await stat(path)).size === segmentBytes) adopt(path);
        else await rm(path); // one that was being prepared
      }
      epoch = next;
    },
    settle,
    async close() {
      clearTimeout(resting);
      epoch = undefined;
      await settle().catch(() => {});
      await preparing;
      await Promise.all([thread.close(), files.close()]);
      for (const { fd } of free) closeSync(fd);
      if (failure !== undefined) throw failure;
    },
  };
}
