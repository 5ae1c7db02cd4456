/**
 * Archived, classified and queued in one durable step: the only thing that lets a receiver answer Success.
 */
import {
  type Archive,
  beginDigest,
  digestOf,
  digestOfFile,
  type Instance,
  type NewInstance,
  type Source,
  smallBytes,
} from '../archive/index.js';
import type { Queue } from '../queue/index.js';
import {
  type Classification,
  classify,
  expectedCount,
  type PipelineEmitter,
  type Rule,
  type SeriesTracker,
} from '../series/index.js';
import { indexedAttributesOf, type ObjectHeader, type ObjectReader } from './dicom.js';
import { IntakeError, intakeErrorOf } from './error.js';
import { createQuotas, type Quota } from './quota.js';
import { type ReadablePart, Receiving } from './receiving.js';
import { watchRoom } from './room.js';

/** Kind of the jobs that correct one instance; key and payload `instance` are its row id. */
export const correctKind = 'correct';
/** How the reason ends of what failed because its file is not what was received: another arrival of it starts it anew. */
export const sendAgain = 'send the object again';

export type Committed = {
  outcome: 'stored' | 'duplicate' | 'new-version' | 'kept-first';
  instance: Instance;
};

export interface IncomingInstance {
  /** Takes the next bytes; resolves when more may come. The buffer must not be written to again. */
  write(chunk: Buffer): Promise<void>;
  /** Resolves when the object is on disk and indexed. @throws IntakeError: nothing was kept. */
  commit(): Promise<Committed>;
  /**
   * Nothing is kept.
   * @param refused why the sender is told that it is not taken; without it, the sender went away
   */
  abort(refused?: { code: string; message: string }): Promise<void>;
}

export interface Intake {
  /** C-STORE: the data set alone follows; preamble and meta header are written here. */
  beginDataSet(m: {
    source: Source;
    transferSyntaxUid: string;
    sopClassUid: string;
    sopInstanceUid: string;
    /** Id of the association: its end is a hint that a series is complete. */
    association?: string;
  }): IncomingInstance;
  /** STOW-RS: a whole part 10 file follows, kept as it is. `study`: the one that the request names. */
  beginFile(m: { source: Source; study?: string; association?: string }): IncomingInstance;
  /** Whether there is room on the disk for another sender; `full`: not even for another object. */
  acceptMore(): true | { reject: 'transient'; reason: string; full: boolean };
}

export type DuplicatePolicy = 'keep-version' | 'keep-first' | 'refuse';

export interface IntakeOptions<D> {
  archive: Archive;
  queue: Queue;
  tracker: SeriesTracker;
  events: PipelineEmitter;
  dicom: ObjectReader<D>;
  rules: readonly Rule[];
  /** What to do with other bytes under a known study, series and SOP Instance UID. */
  duplicates: DuplicatePolicy;
  /** Free bytes on the archive's disk below which nobody new is let in, and below which every object is refused. Default 0. */
  disk?: { low: number; critical: number };
  /** The most that is kept of one source. */
  quotas?: readonly Quota[];
  /** Larger objects are checked in their file instead of in memory. Default 64 MiB. */
  inMemoryBytes?: number;
}

interface Expected {
  source: Source;
  association?: string;
  study?: string;
  sopClassUid?: string;
  sopInstanceUid?: string;
  /** It was taken at this time by a process that has ended: there has to be room for it. */
  takenAt?: number;
}

interface Inspected<D> {
  header: ObjectHeader<D>;
  /** Absent of a small object: it is taken where it is needed, of a new one by the thread that writes it. */
  digest?: string;
  /** All bytes of a small object's data set. */
  dataSet?: Buffer;
}

export function createIntake<D>(o: IntakeOptions<D>): Intake & {
  /** To be called first: puts back what the archive's journal holds. @throws when the disk does not take it */
  restore(): Promise<void>;
  close(): void;
} {
  const { archive, queue, tracker, events, dicom } = o;
  const inMemory = o.inMemoryBytes ?? 64 * 1024 * 1024;
  let large: Promise<unknown> = Promise.resolve();
  /** Objects that have begun and not ended. */
  let arriving = 0;
  const quotas = createQuotas(archive, o.quotas ?? []);
  const room = watchRoom({
    freeBytes: () => archive.freeBytes(),
    ...(o.disk ?? { low: 0, critical: 0 }),
    onChange: (change) => events.emit('room', change),
  });

  function begin(
    prefix: () => Buffer,
    expected: Expected & { transferSyntaxUid?: string },
  ): IncomingInstance {
    const { transferSyntaxUid } = expected;
    // One that comes alone is digested while it comes; where several come, the thread that writes them does it.
    const hash =
      transferSyntaxUid !== undefined && arriving === 0 ? beginDigest(transferSyntaxUid) : undefined;
    arriving += 1;
    const startedAt = performance.now();
    let receiving: Receiving | undefined;
    let failure: IntakeError | undefined;
    let over = false;
    try {
      receiving = new Receiving(archive.files, prefix(), hash);
    } catch (error) {
      failure = intakeErrorOf(error);
    }
    if (room.level() === 'critical') failure = new IntakeError('disk-full', room.reason());
    return {
      async write(chunk) {
        if (over) throw new Error('the object has been committed or aborted');
        if (failure !== undefined) throw failure;
        try {
          await receiving!.write(chunk);
        } catch (error) {
          failure = intakeErrorOf(error);
          throw failure;
        }
      },
      async commit() {
        if (over) throw new Error('the object has been committed or aborted');
        over = true;
        const bytes = receiving?.bytes ?? 0;
        try {
          if (failure !== undefined) throw failure;
          const committed = await store(receiving!, expected);
          receiving!.end();
          events.emit('received', {
            ...committed,
            source: expected.source,
            bytes,
            ms: performance.now() - startedAt,
          });
          return committed;
        } catch (error) {
          const refusal = intakeErrorOf(error);
          await receiving?.discard();
          const about = refusal instanceof RefusedObject ? refusal.about : undefined;
          events.emit('rejected', {
            source: expected.source,
            code: refusal.code,
            message: refusal.message,
            bytes,
            ...(about ?? (expected.sopInstanceUid !== undefined && { sop: expected.sopInstanceUid })),
          });
          throw refusal;
        } finally {
          arriving -= 1;
        }
      },
      async abort(refused) {
        if (over) return;
        over = true;
        arriving -= 1;
        await receiving?.discard();
        const why = refused && (failure ?? refused);
        if (why === undefined) return;
        events.emit('rejected', {
          source: expected.source,
          code: why.code,
          message: why.message,
          bytes: receiving?.bytes ?? 0,
          ...(expected.sopInstanceUid !== undefined && { sop: expected.sopInstanceUid }),
        });
      },
    };
  }

  async function store(receiving: Receiving, expected: Expected): Promise<Committed> {
    const inspected =
      receiving.bytes <= smallBytes
        ? await inspect(receiving, expected)
        : await oneAtATime(() => inspect(receiving, expected));
    const { header } = inspected;
    const key = `${header.studyInstanceUid}/${header.seriesInstanceUid}/${header.sopInstanceUid}`;
    return archive.exclusively(key, () => keep(receiving, inspected, expected));
  }

  /** Large objects are looked at one after another, so that their memory is needed once. */
  function oneAtATime<T>(work: () => Promise<T>): Promise<T> {
    const mine = large.then(work, work);
    large = mine.catch(() => {});
    return mine;
  }

  async function inspect(receiving: Receiving, expected: Expected): Promise<Inspected<D>> {
    if (receiving.bytes > inMemory)
      return receiving.reading((file) => inspectLarge(file, receiving.digest(), expected));
    const bytes = await receiving.contents();
    const header = dicom.openWhole(bytes);
    compare(header, expected);
    try {
      header.verify();
    } catch (error) {
      throw refuse(header, expected, intakeErrorOf(error));
    }
    const dataSet = bytes.subarray(header.dataSetOffset);
    const digest = receiving.digest();
    if (digest !== undefined) return { header, digest };
    if (receiving.bytes <= smallBytes) return { header, dataSet };
    return { header, digest: await digestOf(header.transferSyntaxUid, dataSet) };
  }

  async function inspectLarge(
    file: ReadablePart,
    digest: string | undefined,
    expected: Expected,
  ): Promise<Inspected<D>> {
    const { verify, ...header } = await dicom.openLarge(file);
    compare(header, expected);
    try {
      await verify();
    } catch (error) {
      throw refuse(header, expected, intakeErrorOf(error));
    }
    return {
      header,
      digest: digest ?? (await digestOfFile(file.path, header.transferSyntaxUid, header.dataSetOffset)),
    };
  }

  /** What a request declares is what its object says of itself. */
  function compare(header: ObjectHeader<D>, expected: Expected): void {
    const pairs: [string, string | undefined, string][] = [
      ['SOP Class UID', expected.sopClassUid, header.sopClassUid],
      ['SOP Instance UID', expected.sopInstanceUid, header.sopInstanceUid],
      ['Study Instance UID', expected.study, header.studyInstanceUid],
    ];
    for (const [name, declared, found] of pairs) {
      if (declared === undefined || declared === found) continue;
      throw new IntakeError('mismatch', `${name} is ${found} in the data set, ${declared} in the request`);
    }
  }

  /** The series shows what its sender was refused, unless it has the object from another time. */
  function refuse(header: Inspected<D>['header'], expected: Expected, error: IntakeError): IntakeError {
    const about = {
      study: header.studyInstanceUid,
      series: header.seriesInstanceUid,
      sop: header.sopInstanceUid,
    };
    archive.db.transaction(() => {
      const known = archive.versions(about.study, about.series, about.sop).length > 0;
      if (!known) tracker.refused({ ...about, reason: error.message, peer: expected.source.peer });
      archive.audit('object refused', { ...about, detail: `${error.code}: ${error.message}` });
    });
    return new RefusedObject(error, about);
  }

  async function keep(receiving: Receiving, inspected: Inspected<D>, expected: Expected): Promise<Committed> {
    const { header } = inspected;
    const { dataSetOffset } = header;
    const about = {
      study: header.studyInstanceUid,
      series: header.seriesInstanceUid,
      sop: header.sopInstanceUid,
    };
    const { seen, series } = archive.acquaintance(about.study, about.series, about.sop);
    const versions = seen ? archive.versions(about.study, about.series, about.sop) : [];
    const wasHere = versions.length > 0 || (seen && archive.removedAt(header) !== undefined);
    const digest =
      inspected.dataSet !== undefined && wasHere
        ? await digestOf(header.transferSyntaxUid, inspected.dataSet)
        : inspected.digest;
    const same = versions.find((version) => version.digest === digest);
    if (same !== undefined) {
      if ((await archive.check(same)) === undefined) {
        await receiving.discard();
        // Whole again, by a heal that ended before its commit or by a backup: what failed for it is owed again, also where
        // the power went between the two.
        if (same.damage !== undefined || same.reason.endsWith(sendAgain)) {
          await archive.db.commit(() => restart(same.id));
        }
        return { outcome: 'duplicate', instance: same };
      }
      const healed = await archive.heal(receiving.part(), same, dataSetOffset, () => restart(same.id));
      return { outcome: 'stored', instance: healed };
    }
    const latest = versions.at(-1);
    if (latest !== undefined && o.duplicates !== 'keep-version') {
      await receiving.discard();
      await archive.db.commit(() =>
        archive.audit('other object under a known UID not kept', { ...about, detail: `sha256 ${digest}` }),
      );
      if (o.duplicates === 'keep-first') return { outcome: 'kept-first', instance: latest };
      throw new IntakeError(
        'duplicate-conflict',
        `another object with SOP Instance UID ${header.sopInstanceUid} is in the archive already`,
      );
    }
    const values = (keyword: string) => dicom.strings(header.dataSet, keyword);
    const ownSeries = series === 'derived';
    const removedAt = seen && digest !== undefined ? archive.removedAt(header, digest) : undefined;
    const classified = classificationOf(header, ownSeries, seen);
    const classification = removedAt === undefined ? classified : rememberedAs(classified, removedAt);
    const version = (latest?.version ?? 0) + 1;
    const part = receiving.part();
    const within: typeof quotas.within =
      expected.takenAt === undefined ? quotas.within : (_source, _bytes, store) => store();
    const stored = await within(expected.source, part.bytes, () =>
      archive.add(
        part,
        {
          ...about,
          version,
          sopClass: header.sopClassUid,
          transferSyntax: header.transferSyntaxUid,
          ...(digest !== undefined && { digest }),
          dataSetOffset,
          origin: 'received',
          source: expected.source,
          receivedAt: expected.takenAt ?? archive.clock.now(),
          current: !ownSeries,
          attributes: indexedAttributesOf(dicom, header.dataSet),
          ...routingOf(classification),
        },
        (instance) => {
          if (version > 1) {
            archive.audit('other object under a known UID kept as a version', {
              ...about,
              detail: `version ${version}, sha256 ${digest}`,
            });
          }
          if (ownSeries) return;
          tracker.received(instance, classification.rule, expectedCount(values), expected.association);
          if (classification.kind === 'correct') enqueue(instance);
        },
      ),
    );
    room.taken(part.bytes);
    return { outcome: version === 1 ? 'stored' : 'new-version', instance: stored };
  }

  function classificationOf(
    header: Inspected<D>['header'],
    ownSeries: boolean,
    seen: boolean,
  ): Classification {
    return classify(o.rules, {
      values: (keyword) => dicom.strings(header.dataSet, keyword),
      correctable: () => dicom.correctable(header.dataSet, header.sopClassUid),
      own() {
        if (seen && archive.isDerived(header.sopInstanceUid)) return 'this server made its SOP Instance UID';
        if (ownSeries) return 'this server made its Series Instance UID';
        return dicom.isOwnOutput(header.dataSet) ? 'its header says so' : undefined;
      },
    });
  }

  function enqueue(instance: Instance): void {
    queue.add({
      kind: correctKind,
      key: String(instance.id),
      payload: { instance: instance.id },
      priority: instance.priority,
    });
  }

  /** What failed for a damaged file is tried again with the whole one. It may have failed while the file was being healed. */
  function restart(id: number): void {
    const instance = archive.get(id);
    if (!instance?.current || instance.state !== 'failed' || instance.origin !== 'received') return;
    archive.db.run("UPDATE instances SET state = 'pending', reason = '' WHERE id = ?", instance.id);
    enqueue(instance);
    tracker.changed(instance.seriesId);
  }

  /** Stores once more what was answered with Success and may not be in files and index for good. */
  async function restore(): Promise<void> {
    await archive.restore(async ({ source, receivedAt, path }, file) => {
      const receiving = new Receiving(archive.files, Buffer.alloc(0));
      try {
        await receiving.write(file);
        const { instance } = await store(receiving, { source, takenAt: receivedAt });
        receiving.end();
        return instance;
      } catch (error) {
        await receiving.discard();
        const { code, message } = intakeErrorOf(error);
        if (code !== 'disk-full' && code !== 'io') return undefined;
        throw new Error(
          `${path} was received and cannot be put back from the journal (${code}: ${message}); start again when that is mended`,
          { cause: error },
        );
      }
    });
  }

  return {
    restore,
    beginDataSet: (m) =>
      begin(
        () =>
          dicom.writeMetaHeader({
            sopClassUid: m.sopClassUid,
            sopInstanceUid: m.sopInstanceUid,
            transferSyntaxUid: m.transferSyntaxUid,
            sourceAeTitle: m.source.peer,
          }),
        m,
      ),
    beginFile: (m) => begin(() => Buffer.alloc(0), m),
    acceptMore: () =>
      room.level() === 'enough'
        ? true
        : { reject: 'transient', reason: room.reason(), full: room.level() === 'critical' },
    close: () => room.close(),
  };
}

/** What was done with once is not done with again because it is sent again. */
function rememberedAs(classification: Classification, removedAt: number): Classification {
  if (classification.kind === 'left-alone') return classification;
  const day = new Date(removedAt).toISOString().slice(0, 10);
  return {
    kind: 'left-alone',
    rule: classification.rule,
    reason: `the same object was here before and was removed by retention on ${day}; a retry corrects it again`,
  };
}

/** How an instance goes on, as its row keeps it. */
export function routingOf(
  classification: Classification,
): Pick<NewInstance, 'state' | 'reason' | 'rule' | 'model' | 'destinations' | 'deliver' | 'priority'> {
  const { rule } = classification;
  const named = rule === undefined ? {} : { rule: rule.name, priority: rule.priority ?? 0 };
  if (classification.kind === 'left-alone') {
    return { state: 'left-alone', reason: classification.reason, ...named };
  }
  return {
    state: 'pending',
    model: classification.rule.model,
    destinations: [...classification.rule.to],
    deliver: classification.rule.deliver ?? 'series',
    ...named,
  };
}

class RefusedObject extends IntakeError {
  constructor(
    error: IntakeError,
    readonly about: { study: string; series: string; sop: string },
  ) {
    super(error.code, error.message, { cause: error.cause });
  }
}
