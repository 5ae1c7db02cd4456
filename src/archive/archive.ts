/**
 * The archive: every object that was received or derived, its bytes on disk and its row in the index.
 */
import { randomBytes } from 'node:crypto';
import { closeSync, createReadStream } from 'node:fs';
import { open, readFile } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import type { IndexedAttributes } from './attributes.js';
import { type Clock, monotonicClock } from './clock.js';
import { type Database, openDatabase } from './database.js';
import { type InstanceFiles, openInstanceFiles, type PartFile } from './files.js';
import {
  type Instance,
  type InstanceFlag,
  type InstanceRow,
  type InstanceState,
  instanceOf,
  type Source,
  selectInstance,
} from './instance.js';
import { type JournalTicket, openJournal, readJournal, readJournalled } from './journal.js';
import type { JournalledObject } from './journal-record.js';
import { damageOf, examine, type Recovery, reconcile } from './reconcile.js';
import { type Removed, removeFiles, removeRows } from './removal.js';

/** Objects up to this size are read into one buffer, larger ones are streamed. */
const wholeReadLimit = 4 * 1024 * 1024;

export interface NewInstance {
  study: string;
  series: string;
  sop: string;
  version: number;
  sopClass: string;
  transferSyntax: string;
  /** Without it, it is taken while the file is written: only for a part that is all in memory. */
  digest?: string;
  dataSetOffset: number;
  origin: 'received' | 'derived';
  derivedFrom?: number;
  /** Row of the series that a derived series was made from. */
  sourceSeries?: number;
  source: Source;
  state: InstanceState;
  reason?: string;
  rule?: string;
  model?: string;
  destinations?: string[];
  deliver?: 'series' | 'slice';
  priority?: number;
  quality?: Record<string, number>;
  flags?: InstanceFlag[];
  frameQuality?: Record<string, number>[];
  /** Default true: it takes the place of the version before. False: it is kept beside it. */
  current?: boolean;
  receivedAt: number;
  /** For queries. Without them it is not found by any until the next start. */
  attributes?: IndexedAttributes;
}

export interface Archive {
  readonly db: Database;
  readonly files: InstanceFiles;
  readonly clock: Clock;
  /** What the start found. */
  readonly recovery: Recovery;
  /**
   * Puts back what the journal holds of a process that died, in its order; until that is done the journal takes nothing.
   * @param put stores the file's bytes once more and returns its row; undefined: it cannot, and they go to the quarantine
   */
  restore(put: (object: JournalledObject, file: Buffer) => Promise<Instance | undefined>): Promise<void>;
  get(id: number): Instance | undefined;
  /** All versions under a key, oldest first. */
  versions(study: string, series: string, sop: string): Instance[];
  /**
   * What there is to know of an object that arrives. `seen` false: the index has, and remembers, nothing under its SOP
   * Instance UID. `series`: who made the series that it belongs to; undefined: it is not here.
   */
  acquaintance(study: string, series: string, sop: string): { seen: boolean; series?: Instance['origin'] };
  /** What was derived from an instance, newest version last. */
  derivedFrom(id: number): Instance[];
  /** Whether a derived instance of this server has, or had, this SOP Instance UID. */
  isDerived(sop: string): boolean;
  /** When an object, with this digest if one is given, was removed, milliseconds since the epoch; undefined: not that we remember. */
  removedAt(
    about: { studyInstanceUid: string; seriesInstanceUid: string; sopInstanceUid: string },
    digest?: string,
  ): number | undefined;
  /**
   * Removes a source series and what was derived from it, when `may` says so inside the transaction. When it resolves
   * all of it is gone for good, from the index and from the disk.
   * @returns undefined when it may not.
   */
  removeSeries(id: number, may: () => boolean): Promise<Removed | undefined>;
  /** What is stored of each source, received instances only. */
  stored(source: string): { instances: number; bytes: number };
  /** One at a time for each key, in order of the calls. */
  exclusively<T>(key: string, work: () => Promise<T>): Promise<T>;
  /**
   * Places the file and commits row and `within` in one transaction. When it resolves both are on disk, or are in the
   * journal, which is, and from which a start puts them back. When it rejects, neither is in the archive; or, when the disk failed at the very end, the row is there and
   * marked as damaged.
   */
  add(part: PartFile, instance: NewInstance, within?: (instance: Instance) => void): Promise<Instance>;
  /** Puts a whole file in the place of a damaged one with the same digest. */
  heal(part: PartFile, instance: Instance, dataSetOffset: number, within?: () => void): Promise<Instance>;
  /**
   * Looks at the file: at its size, or, when it is known as damaged, whether it is whole again (restored from a
   * backup). Keeps the row in step and returns what is wrong.
   */
  check(instance: Instance): Promise<string | undefined>;
  /** The whole file. */
  readFile(instance: Instance): Promise<Buffer>;
  /** The data set's bytes: in one buffer when small, as a stream when large. */
  readDataSet(instance: Instance): Promise<Buffer | AsyncIterable<Buffer>>;
  /** Bytes of all files in the archive. */
  bytes(): number;
  /** Bytes that the file system still has for us. */
  freeBytes(): Promise<number>;
  /** Appends to the audit trail, inside the surrounding transaction if there is one. UIDs only, no patient data. */
  audit(event: string, about: { study?: string; series?: string; sop?: string; detail?: string }): void;
  /** Makes an object known to queries, inside the surrounding transaction. The first of a study or series describes it. */
  setAttributes(instance: Instance, attributes: IndexedAttributes): void;
  setting(name: string): string | undefined;
  setSetting(name: string, value: string): void;
  close(): Promise<void>;
}

async function readDataSetAtOnce({ path, bytes, dataSetOffset }: Instance): Promise<Buffer> {
  const handle = await open(path, 'r');
  try {
    // One byte more than there should be, so that a file which has grown is noticed too.
    const dataSet = Buffer.allocUnsafe(bytes - dataSetOffset + 1);
    let filled = 0;
    for (;;) {
      const { bytesRead } = await handle.read(
        dataSet,
        filled,
        dataSet.length - filled,
        dataSetOffset + filled,
      );
      filled += bytesRead;
      if (bytesRead === 0 || filled >= bytes - dataSetOffset) break;
    }
    const damage = damageOf(dataSetOffset + filled, bytes);
    if (damage !== undefined) throw new Error(damage);
    return dataSet.subarray(0, filled);
  } finally {
    await handle.close();
  }
}

/**
 * Opens or creates the archive in the folder `data`, reconciling files and index when the process before
 * this one did not end in good order.
 * @throws DatabaseError when another process owns the folder.
 */
export async function openArchive(data: string, clock: Clock = monotonicClock()): Promise<Archive> {
  const files = await openInstanceFiles(resolve(data));
  const db = await openDatabase(join(files.root, 'mcnet.sqlite')).catch(async (error: unknown) => {
    await files.close();
    throw error;
  });
  const locks = new Map<string, Promise<unknown>>();
  const unsettled = new Set<number>();
  let rowsToCompare = 0;
  let bytesToCompare = 0;

  const setting = (name: string) =>
    db.get<{ value: string }>('SELECT value FROM settings WHERE name = ?', name)?.value;
  const setSetting = (name: string, value: string) => {
    db.run('INSERT OR REPLACE INTO settings VALUES (?, ?)', name, value);
  };
  const toInstance = (row: InstanceRow) => instanceOf(row, files.absolutePath);
  const get = (id: number) => {
    const row = db.get<InstanceRow>(`${selectInstance} WHERE i.id = ?`, id);
    return row === undefined ? undefined : toInstance(row);
  };
  const relative = (instance: Instance) => instance.path.slice(files.root.length + 1);

  const audit: Archive['audit'] = (event, about) => {
    db.run(
      'INSERT INTO audit (at, event, study, series, sop, detail) VALUES (?, ?, ?, ?, ?, ?)',
      Date.now(),
      event,
      about.study ?? '',
      about.series ?? '',
      about.sop ?? '',
      about.detail ?? '',
    );
  };

  const exclusively = async <T>(key: string, work: () => Promise<T>): Promise<T> => {
    const before = locks.get(key);
    const mine = before === undefined ? work() : before.then(work, work);
    locks.set(key, mine);
    try {
      return await mine;
    } finally {
      if (locks.get(key) === mine) locks.delete(key);
    }
  };

  // Before files are held against rows: what was being removed is no stray file.
  await removeFiles(db, files, exclusively);
  await files.ensureFolder('journal');
  const held = await readJournal(
    join(files.root, 'journal'),
    Buffer.from(setting('journal epoch') ?? '', 'hex'),
    Number(setting('journal settled') ?? 0),
  );
  const recovery = await reconcile(
    db,
    files,
    setting('clean') === 'no',
    Number(setting('settled id') ?? 0),
    new Set(held.map(({ path }) => path)),
  );
  db.transaction(() => {
    setSetting('clean', 'no');
    for (const { id, sop, damage } of recovery.damaged) {
      db.run('UPDATE instances SET damage = ? WHERE id = ?', damage, id);
      audit('damage found', { sop, detail: damage });
    }
    for (const path of recovery.quarantined) audit('file without row quarantined', { detail: path });
  });
  await db.sync();
  let bytes = db.get<{ total: number }>('SELECT COALESCE(SUM(bytes), 0) AS total FROM instances')!.total;
  const stored = new Map<string, { instances: number; bytes: number }>();
  for (const row of db.all<{ peer: string; instances: number; bytes: number }>(
    "SELECT source_peer AS peer, COUNT(*) AS instances, SUM(bytes) AS bytes FROM instances WHERE origin = 'received' GROUP BY source_peer",
  )) {
    stored.set(row.peer, { instances: row.instances, bytes: row.bytes });
  }
  const storedMore = (peer: string, instances: number, more: number) => {
    const of = stored.get(peer) ?? { instances: 0, bytes: 0 };
    stored.set(peer, { instances: of.instances + instances, bytes: of.bytes + more });
  };

  const journal = await openJournal({
    folder: join(files.root, 'journal'),
    freeBytes: files.freeBytes,
    async settle(unsettledFiles) {
      const ends = await Promise.allSettled([files.settle(unsettledFiles), db.sync()]);
      for (const end of ends) if (end.status === 'rejected') throw end.reason;
    },
    onSettled: (use) => db.transaction(() => setSetting('journal settled', String(use))),
    onFailure(error) {
      audit('the journal failed: every object is synced by itself until the next start', {
        detail: error instanceof Error ? error.message : String(error),
      });
    },
    prepare: files.prepare,
    syncFolder: files.syncFolder,
  });
  if (held.length === 0) await beginJournal();

  async function beginJournal(): Promise<void> {
    const epoch = randomBytes(16);
    await db.commit(() => {
      setSetting('journal epoch', epoch.toString('hex'));
      setSetting('journal settled', '0');
    });
    await journal.begin(epoch);
  }

  function insert(path: string, size: number, digest: string, n: NewInstance): Instance {
    const series = ensureSeries(n);
    const current = n.current ?? true;
    if (current && n.version > 1) supersede(series.id, n.sop);
    const destinations = n.destinations ?? [];
    const { id } = db.run(
      `INSERT INTO instances (series_id, sop, version, current, sop_class, transfer_syntax, digest, bytes, path,
         data_set_offset, origin, derived_from, source_protocol, source_peer, source_address, received_at, state,
         reason, rule, model, destinations, deliver, priority, quality, flags, frame_quality, attributes)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
      series.id,
      n.sop,
      n.version,
      current ? 1 : 0,
      n.sopClass,
      n.transferSyntax,
      digest,
      size,
      path,
      n.dataSetOffset,
      n.origin,
      n.derivedFrom ?? null,
      n.source.protocol,
      n.source.peer,
      n.source.address,
      n.receivedAt,
      n.state,
      n.reason ?? '',
      n.rule ?? null,
      n.model ?? null,
      JSON.stringify(destinations),
      n.deliver ?? 'series',
      n.priority ?? 0,
      n.quality === undefined ? null : JSON.stringify(n.quality),
      n.flags === undefined || n.flags.length === 0 ? null : JSON.stringify(n.flags),
      n.frameQuality === undefined ? null : JSON.stringify(n.frameQuality),
      n.attributes === undefined ? null : JSON.stringify(n.attributes.instance),
    );
    if (n.attributes !== undefined && !series.described) describe(series.id, n.study, n.attributes);
    const instance: Instance = {
      id,
      seriesId: series.id,
      study: n.study,
      series: n.series,
      sop: n.sop,
      version: n.version,
      current,
      sopClass: n.sopClass,
      transferSyntax: n.transferSyntax,
      digest,
      bytes: size,
      path: files.absolutePath(path),
      dataSetOffset: n.dataSetOffset,
      origin: n.origin,
      source: n.source,
      receivedAt: n.receivedAt,
      state: n.state,
      reason: n.reason ?? '',
      destinations,
      deliver: n.deliver ?? 'series',
      priority: n.priority ?? 0,
    };
    if (n.derivedFrom !== undefined) instance.derivedFrom = n.derivedFrom;
    if (n.rule !== undefined) instance.rule = n.rule;
    if (n.model !== undefined) instance.model = n.model;
    if (n.quality !== undefined) instance.quality = n.quality;
    if (n.flags !== undefined) instance.flags = n.flags;
    if (n.frameQuality !== undefined) instance.frameQuality = n.frameQuality;
    return instance;
  }

  function setAttributes(instance: Instance, attributes: IndexedAttributes): void {
    const own = JSON.stringify(attributes.instance);
    db.run('UPDATE instances SET attributes = ? WHERE id = ?', own, instance.id);
    const described = 'SELECT 1 FROM series WHERE id = ? AND attributes IS NOT NULL';
    if (db.get(described, instance.seriesId) === undefined) {
      describe(instance.seriesId, instance.study, attributes);
    }
  }

  /** The first of a study, and of a series, says what is known of it. */
  function describe(
    seriesId: number,
    studyUid: string,
    { study, series, requests }: IndexedAttributes,
  ): void {
    db.run(
      'INSERT INTO studies (study, patient_id, study_date, attributes) VALUES (?, ?, ?, ?) ON CONFLICT (study) DO NOTHING',
      studyUid,
      study.PatientID?.[0] ?? '',
      (study.StudyDate?.[0] ?? '').replaceAll('.', ''),
      JSON.stringify(study),
    );
    db.run(
      'UPDATE series SET attributes = ?, requests = ? WHERE id = ?',
      JSON.stringify(series),
      JSON.stringify(requests),
      seriesId,
    );
  }

  function ensureSeries(n: NewInstance): { id: number; described: boolean } {
    const known = db.get<{ id: number; described: number }>(
      'SELECT id, attributes IS NOT NULL AS described FROM series WHERE study = ? AND series = ?',
      n.study,
      n.series,
    );
    if (known !== undefined) return { id: known.id, described: known.described === 1 };
    const { id } = db.run(
      'INSERT INTO series (study, series, origin, source_series, opened_at, last_received_at) VALUES (?, ?, ?, ?, ?, ?)',
      n.study,
      n.series,
      n.origin,
      n.sourceSeries ?? null,
      clock.now(),
      clock.now(),
    );
    return { id, described: false };
  }

  /** The version before no longer counts, and what was derived from it is not sent any more. */
  function supersede(seriesId: number, sop: string): void {
    const old = db.all<{ id: number; state: InstanceState; origin: string }>(
      'SELECT id, state, origin FROM instances WHERE series_id = ? AND sop = ? AND current = 1',
      seriesId,
      sop,
    );
    for (const { id, origin } of old) {
      db.run(
        "UPDATE instances SET current = 0, state = 'superseded', reason = 'a newer version was received' WHERE id = ?",
        id,
      );
      db.run(
        `DELETE FROM deliveries WHERE state = 'pending' AND instance_id ${
          origin === 'derived' ? '= ?' : 'IN (SELECT id FROM instances WHERE derived_from = ?)'
        }`,
        id,
      );
    }
  }

  function markDamage({ id, study, series, sop }: Instance, damage: string): void {
    db.run('UPDATE instances SET damage = ? WHERE id = ?', damage, id);
    audit('damage found', { study, series, sop, detail: damage });
  }

  interface Adding {
    path: string;
    size: number;
    instance: NewInstance;
    within?: (instance: Instance) => void;
  }

  const digestWanted = ({ digest, transferSyntax, dataSetOffset }: NewInstance) =>
    digest === undefined ? { transferSyntax, dataSetOffset } : undefined;

  /** Row and `within`, committed; `unsettled` knows of it. */
  async function index({ path, size, instance, within }: Adding, digest: string): Promise<Instance> {
    let id: number | undefined;
    const stored = await db
      .group(() => {
        const inserted = insert(path, size, digest, instance);
        id = inserted.id;
        within?.(inserted);
        unsettled.add(id);
        noteSettled(inserted);
        return inserted;
      })
      .catch((error: unknown) => {
        if (id !== undefined) unsettled.delete(id);
        throw error;
      });
    bytes += size;
    if (instance.origin === 'received') storedMore(instance.source.peer, 1, size);
    return stored;
  }

  async function addSynced(part: PartFile, adding: Adding): Promise<Instance> {
    const { path, instance } = adding;
    const placed = await files.place(part, path, digestWanted(instance));
    // Side by side with the index: nobody hears of it before all of it is on disk, and a start after a power cut
    // in between compares the files of the newest rows with their digests.
    const settled = placed.settle();
    settled.catch(() => {});
    let stored: Instance;
    try {
      stored = await index(adding, instance.digest ?? placed.digest!);
    } catch (error) {
      await settled.catch(() => {});
      await files.remove(path);
      throw error;
    }
    await settledOrDamaged(stored, [settled, db.sync()]);
    return stored;
  }

  /** The object to the journal; side by side with its sync its file and then its row to the system. */
  async function addJournalled(part: PartFile, adding: Adding, ticket: JournalTicket): Promise<Instance> {
    const { path, instance } = adding;
    let written: Awaited<JournalTicket['written']>;
    try {
      written = await ticket.written;
    } catch {
      ticket.settled();
      return addSynced(part, adding);
    }
    const file = { fd: written.fd, folder: dirname(files.absolutePath(path)) };
    let stored: Instance;
    try {
      stored = await index(adding, instance.digest ?? written.digest!);
    } catch (error) {
      // The part's memory is in use until then.
      await ticket.synced.catch(() => {});
      closeSync(file.fd);
      await files.remove(path);
      await ticket.void().catch(() => {});
      throw error;
    }
    try {
      await ticket.synced;
    } catch {
      ticket.settled();
      await settledOrDamaged(stored, [files.settle([file]), db.sync()]);
      return stored;
    }
    ticket.kept(file, () => unsettled.delete(stored.id));
    return stored;
  }

  /** All are waited for: the part's memory is in use until then. */
  async function settledOrDamaged(stored: Instance, works: Promise<void>[]): Promise<void> {
    const ends = await Promise.allSettled(works);
    unsettled.delete(stored.id);
    for (const end of ends) {
      if (end.status === 'fulfilled') continue;
      try {
        db.transaction(() => markDamage(stored, 'the disk failed while it was written'));
      } catch {
        // The first error is the one to tell.
      }
      throw end.reason;
    }
  }

  /** Writes down now and then up to which row all files are on disk for good: what a start need not compare. */
  function noteSettled(newest: Instance): void {
    rowsToCompare += 1;
    bytesToCompare += newest.bytes;
    if (rowsToCompare < 256 && bytesToCompare < 64 * 1024 * 1024) return;
    rowsToCompare = 0;
    bytesToCompare = 0;
    // Rows are numbered in the order in which they came here.
    const [oldest] = unsettled;
    setSetting('settled id', String(oldest! - 1));
  }

  return {
    db,
    files,
    clock,
    recovery,
    get,
    versions: (study, series, sop) =>
      db
        .all<InstanceRow>(
          `${selectInstance} WHERE s.study = ? AND s.series = ? AND i.sop = ? ORDER BY i.version`,
          study,
          series,
          sop,
        )
        .map(toInstance),
    acquaintance(study, series, sop) {
      const { seen, origin } = db.get<{ seen: number; origin: Instance['origin'] | null }>(
        `SELECT EXISTS (SELECT 1 FROM instances WHERE sop = ?1) OR EXISTS (SELECT 1 FROM removed WHERE sop = ?1) AS seen,
           (SELECT origin FROM series WHERE study = ?2 AND series = ?3) AS origin`,
        sop,
        study,
        series,
      )!;
      return { seen: seen === 1, ...(origin !== null && { series: origin }) };
    },
    derivedFrom: (id) =>
      db.all<InstanceRow>(`${selectInstance} WHERE i.derived_from = ? ORDER BY i.id`, id).map(toInstance),
    isDerived: (sop) =>
      db.get(
        `SELECT 1 FROM instances WHERE sop = ?1 AND origin = 'derived'
         UNION ALL SELECT 1 FROM removed WHERE sop = ?1 AND origin = 'derived' LIMIT 1`,
        sop,
      ) !== undefined,
    removedAt: ({ studyInstanceUid, seriesInstanceUid, sopInstanceUid }, digest) =>
      db.get<{ at: number }>(
        'SELECT removed_at AS at FROM removed WHERE sop = ?1 AND series = ?2 AND study = ?3 AND (?4 IS NULL OR digest = ?4) LIMIT 1',
        sopInstanceUid,
        seriesInstanceUid,
        studyInstanceUid,
        digest ?? null,
      )?.at,
    async restore(put) {
      if (held.length === 0) return;
      const paths: string[] = [];
      for (const record of held) {
        const file = await readJournalled(record);
        const stored = await put(record, file);
        if (stored !== undefined) paths.push(relative(stored));
        else {
          const aside = await files.keepAside(record.path, file);
          audit('journalled object kept aside', { detail: aside });
        }
      }
      for (const path of paths) await files.settleAgain(path);
      await db.sync();
      held.length = 0;
      await beginJournal();
    },
    async removeSeries(id, may) {
      // What the journal holds of it would come back with the next start.
      await journal.settle();
      const removed = await db.commit(() => (may() ? removeRows(db, clock, id) : undefined));
      if (removed === undefined) return undefined;
      bytes -= removed.bytes;
      for (const [peer, of] of removed.bySource) storedMore(peer, -of.instances, -of.bytes);
      await removeFiles(db, files, exclusively);
      return removed;
    },
    stored: (source) => stored.get(source) ?? { instances: 0, bytes: 0 },
    exclusively,
    async add(part, instance, within) {
      const path = files.relativePath(instance.study, instance.series, instance.sop, instance.version);
      const adding = { path, size: part.bytes, instance, ...(within && { within }) };
      const memory = instance.origin === 'received' ? files.memoryOf(part) : undefined;
      if (memory === undefined) return addSynced(part, adding);
      const { source, receivedAt } = instance;
      const digest = digestWanted(instance);
      const target = files.absolutePath(path);
      await files.ensureFolder(dirname(path));
      const file = { target, part: files.scratchPath(), ...(digest && { digest }) };
      const ticket = journal.append({ path, source, receivedAt }, memory, file);
      return ticket === undefined ? addSynced(part, adding) : addJournalled(part, adding, ticket);
    },
    async heal(part, instance, dataSetOffset, within) {
      const size = part.bytes;
      const { settle } = await files.place(part, relative(instance));
      await settle();
      await db.commit(() => {
        db.run(
          'UPDATE instances SET damage = NULL, bytes = ?, data_set_offset = ? WHERE id = ?',
          size,
          dataSetOffset,
          instance.id,
        );
        audit('damage healed', { study: instance.study, series: instance.series, sop: instance.sop });
        within?.();
      });
      bytes += size - instance.bytes;
      if (instance.origin === 'received') storedMore(instance.source.peer, 0, size - instance.bytes);
      return get(instance.id)!;
    },
    async check(instance) {
      const path = relative(instance);
      if (instance.damage === undefined) {
        const damage = damageOf(await files.size(path), instance.bytes);
        if (damage !== undefined) await db.commit(() => markDamage(instance, damage));
        return damage;
      }
      const { bytes: size, digest, transferSyntax, dataSetOffset } = instance;
      const damage = await examine(files, {
        path,
        bytes: size,
        digest,
        transfer_syntax: transferSyntax,
        data_set_offset: dataSetOffset,
      });
      if (damage === undefined) {
        await db.commit(() => db.run('UPDATE instances SET damage = NULL WHERE id = ?', instance.id));
      }
      return damage;
    },
    readFile: (instance) => readFile(instance.path),
    async readDataSet(instance) {
      if (instance.bytes <= wholeReadLimit) {
        return readDataSetAtOnce(instance);
      }
      const damage = damageOf(await files.size(relative(instance)), instance.bytes);
      if (damage !== undefined) throw new Error(damage);
      return createReadStream(instance.path, { start: instance.dataSetOffset, highWaterMark: 256 * 1024 });
    },
    bytes: () => bytes,
    freeBytes: files.freeBytes,
    audit,
    setAttributes,
    setting,
    setSetting,
    async close() {
      try {
        await journal.close();
        db.transaction(() => {
          const last = db.get<{ id: number }>('SELECT COALESCE(MAX(id), 0) AS id FROM instances')!.id;
          setSetting('settled id', String(last));
          setSetting('clean', 'yes');
        });
        await db.sync();
      } finally {
        await files.close();
        await db.close();
      }
    },
  };
}
