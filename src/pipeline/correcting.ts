/** The "correct" job: an instance goes through its model, and what comes out is in the archive before the job ends. */
import { rm } from 'node:fs/promises';
import {
  type Archive,
  digestOfPieces,
  type IndexedAttributes,
  type Instance,
  type InstanceFlag,
  isDiskFull,
  type Source,
  smallBytes,
} from '../archive/index.js';
import { contentsOf } from '../correction/index.js';
import type { Safeguards } from '../inference/index.js';
import { correctKind, sendAgain } from '../intake/index.js';
import {
  type Job,
  type JobContext,
  PermanentFailure,
  type Queue,
  RetryLater,
  type RetryPolicy,
} from '../queue/index.js';
import { keptSafeguards, type PipelineEmitter, type SeriesTracker } from '../series/index.js';

/** What the correction folder's Corrector gives back for one instance. */
export interface CorrectedFile {
  /** Part 10 file of the derived instance; when there are `pixels`, what precedes them. */
  file: Buffer;
  /** The rest of the file, in the scratch file of the request. */
  pixels?: { path: string; bytes: number };
  study: string;
  series: string;
  sop: string;
  sopClass: string;
  transferSyntax: string;
  quality: object;
  /** Remarks of the safeguards. */
  flags?: readonly InstanceFlag[];
  /** Quality of each frame, where there are several. */
  frameQuality?: readonly object[];
  ms: object;
  /** Where somebody waits for it: called when the derived instance is on disk, or with the reason why it is not. */
  acknowledge?(error?: unknown): void;
}

/** One model, ready to correct. `D` is the derivation that dicom.deriveInstance takes. */
export interface Model<D> {
  corrector: {
    correct(r: {
      path: string;
      derivation: D;
      /** A name for a file that large derived frames may be written to; this side removes it. */
      scratch: string;
      safeguards?: Safeguards;
      signal?: AbortSignal;
      /** The instance whose file `path` is. */
      source: Instance;
    }): Promise<CorrectedFile>;
  };
  /** A function of the instance as it is in the archive, the model's version and the configuration: nothing else. */
  derivation(source: Instance, safeguards: Safeguards | undefined): D;
  /** What the rule of now wants flagged, skipped or passed through: for a series that keeps nothing of its own. */
  safeguards?(source: Instance): Safeguards;
  /**
   * The corrector is in another process, which takes only what has the source's digest and gives back a file that is
   * whole: the source is not looked at before, and there is no scratch file.
   */
  elsewhere?: boolean;
}

export interface CorrectingOptions<D> {
  archive: Archive;
  queue: Queue;
  tracker: SeriesTracker;
  events: PipelineEmitter;
  models: ReadonlyMap<string, Model<D>>;
  dicom: {
    derivedUids(
      source: { seriesInstanceUid: string; sopInstanceUid: string },
      derivation: D,
    ): { seriesInstanceUid: string; sopInstanceUid: string };
  };
  /** Where the data set of a part 10 file begins, and what the index keeps of it. */
  headerOf(file: Buffer): { dataSetOffset: number; attributes: IndexedAttributes };
  concurrency: number;
  retry: RetryPolicy;
  /** An instance that takes longer is tried again; `none` where others see to that. Default 10 minutes. */
  timeoutMs?: number | 'none';
  /** See the queue's option of this name. */
  gatherMs?: number;
}

const ownSource: Source = { protocol: 'file', peer: 'mcnet', address: '' };
const defaultTimeoutMs = 600_000;
/** A full disk is nobody's fault but the disk's: the job waits, however long. */
const diskFullMs = 5000;
/** The same for an engine: nothing is claimed before it may be back. */
const engineAwayMs = 10_000;

/** Another version of the source came, or the job's lease ran out, while it was being corrected. */
class Outdated extends Error {}

/** The source's file is not what was received. */
class Damaged extends PermanentFailure {}

/** Registers the worker of the "correct" jobs. */
export function startCorrecting<D>(o: CorrectingOptions<D>): void {
  const { archive, queue, tracker, events } = o;
  const { db } = archive;
  let pausedUntil: number | undefined;
  type How = { derivation: D; safeguards: Safeguards | undefined };

  async function correct(job: Job, context: JobContext): Promise<void> {
    const source = archive.get(Number(job.payload.instance));
    if (source === undefined || !source.current || source.state !== 'pending') return;
    const model = o.models.get(source.model ?? '');
    if (model === undefined) throw new PermanentFailure(`model "${source.model}" is not loaded`);
    if (model.elsewhere !== true || source.damage !== undefined) await refuseDamaged(source);
    // As schema and tracker have kept them: the configuration's own.
    const kept = keptSafeguards(db, source.seriesId, source.rule ?? '') as Safeguards | undefined;
    const safeguards = kept ?? model.safeguards?.(source);
    try {
      await derive(source, { derivation: model.derivation(source, safeguards), safeguards }, model, context);
    } catch (error) {
      if (error instanceof Outdated) return;
      if (model.elsewhere === true) await refuseDamaged(source);
      const reason = error instanceof Error ? error.message : String(error);
      if (waits(error)) {
        pausedUntil = archive.clock.now() + engineAwayMs;
        throw new RetryLater(reason, engineAwayMs, false);
      }
      const permanent = isPermanent(error);
      events.emit('correctionFailed', { source, reason, permanent, attempts: job.attempts });
      if (isDiskFull(error)) throw new RetryLater(reason, diskFullMs, false);
      if (permanent && !(error instanceof PermanentFailure))
        throw new PermanentFailure(reason, { cause: error });
      throw error;
    }
  }

  /** Under the lock of those who bring the object again: what is found is true until it is written down. */
  async function refuseDamaged({ id, study, series, sop }: Instance): Promise<void> {
    const damage = await archive.exclusively(`${study}/${series}/${sop}`, async () => {
      const now = archive.get(id);
      return now && archive.check(now);
    });
    if (damage !== undefined) throw new Damaged(`${damage}; ${sendAgain}`);
  }

  async function derive(source: Instance, how: How, model: Model<D>, context: JobContext): Promise<void> {
    const uids = o.dicom.derivedUids(
      { seriesInstanceUid: source.series, sopInstanceUid: source.sop },
      how.derivation,
    );
    const finish = (derived: Instance) => {
      const now = db.get<{ current: number }>('SELECT current FROM instances WHERE id = ?', source.id);
      if (now?.current !== 1 || !context.complete()) throw new Outdated();
      db.run("UPDATE instances SET state = 'corrected', reason = '' WHERE id = ?", source.id);
      tracker.derived(source, derived);
    };
    const ready = archive
      .derivedFrom(source.id)
      .find((derived) => derived.current && derived.sop === uids.sopInstanceUid);
    if (ready !== undefined && (await archive.check(ready)) === undefined) {
      await db.commit(() => finish(ready));
      return;
    }
    const scratch = archive.files.scratchPath();
    try {
      await deriveAnew(source, how, model, { context, uids, finish, scratch });
    } finally {
      if (model.elsewhere !== true) await rm(scratch, { force: true });
    }
  }

  async function deriveAnew(
    source: Instance,
    { derivation, safeguards }: How,
    model: Model<D>,
    {
      context,
      uids,
      finish,
      scratch,
    }: {
      context: JobContext;
      uids: { seriesInstanceUid: string; sopInstanceUid: string };
      finish(derived: Instance): void;
      scratch: string;
    },
  ): Promise<void> {
    const corrected = await model.corrector.correct({
      path: source.path,
      derivation,
      scratch,
      ...(safeguards && { safeguards }),
      signal: context.signal,
      source,
    });
    let derived: Instance;
    try {
      if (context.signal.aborted) throw context.signal.reason;
      if (corrected.sop !== uids.sopInstanceUid || corrected.series !== uids.seriesInstanceUid) {
        throw new PermanentFailure(`the correction made ${corrected.sop}, expected ${uids.sopInstanceUid}`);
      }
      derived = await archive.exclusively(`${corrected.study}/${corrected.series}/${corrected.sop}`, () =>
        keep(source, corrected, finish),
      );
    } catch (error) {
      corrected.acknowledge?.(error);
      throw error;
    }
    corrected.acknowledge?.();
    const latencyMs = Math.max(0, archive.clock.now() - source.receivedAt);
    const { quality, ms } = { quality: figuresOf(corrected.quality), ms: figuresOf(corrected.ms) };
    events.emit('corrected', { source, derived, latencyMs, ms, quality, flags: derived.flags ?? [] });
  }

  async function keep(
    source: Instance,
    corrected: CorrectedFile,
    finish: (derived: Instance) => void,
  ): Promise<Instance> {
    const { study, series, sop } = corrected;
    const { dataSetOffset, attributes } = o.headerOf(corrected.file);
    const bytes = corrected.file.length + (corrected.pixels?.bytes ?? 0);
    const small = bytes <= smallBytes;
    const versions = archive.versions(study, series, sop);
    // Of a small new one it is taken by the thread that writes it.
    const digest =
      small && versions.length === 0
        ? undefined
        : await digestOfPieces(corrected.transferSyntax, contentsOf(corrected), dataSetOffset);
    const same = versions.find(
      (version) => version.origin === 'derived' && version.digest === digest && version.current,
    );
    if (same !== undefined && (await archive.check(same)) === undefined) {
      await db.commit(() => {
        db.run('UPDATE instances SET derived_from = ? WHERE id = ?', source.id, same.id);
        finish(same);
      });
      return same;
    }
    const memory = archive.files.memory.take();
    if (small) memory.append(corrected.file);
    const part = small ? archive.files.partOf(memory) : await archive.files.createPart();
    try {
      if (!small) for await (const piece of contentsOf(corrected)) await part.write([piece]);
      if (same !== undefined) return await archive.heal(part, same, dataSetOffset, () => finish(same));
      return await archive.add(
        part,
        {
          study,
          series,
          sop,
          version: (versions.at(-1)?.version ?? 0) + 1,
          sopClass: corrected.sopClass,
          transferSyntax: corrected.transferSyntax,
          ...(digest !== undefined && { digest }),
          dataSetOffset,
          origin: 'derived',
          derivedFrom: source.id,
          sourceSeries: source.seriesId,
          source: ownSource,
          state: 'derived',
          ...(source.rule !== undefined && { rule: source.rule }),
          ...(source.model !== undefined && { model: source.model }),
          deliver: source.deliver,
          priority: source.priority,
          quality: figuresOf(corrected.quality),
          ...(corrected.flags && { flags: [...corrected.flags] }),
          ...(corrected.frameQuality && { frameQuality: corrected.frameQuality.map(figuresOf) }),
          receivedAt: archive.clock.now(),
          attributes,
        },
        finish,
      );
    } catch (error) {
      await part.discard();
      throw error;
    } finally {
      memory.release();
    }
  }

  queue.work(
    correctKind,
    {
      concurrency: o.concurrency,
      retry: o.retry,
      ...(o.timeoutMs !== 'none' && { timeoutMs: o.timeoutMs ?? defaultTimeoutMs }),
      pausedUntil: () => pausedUntil,
      ...(o.gatherMs !== undefined && { gatherMs: o.gatherMs }),
      onDead(job, error, cause) {
        const id = Number(job.payload.instance);
        const source = archive.get(id);
        if (source?.state !== 'pending') return;
        if (cause instanceof Damaged && source.damage === undefined) {
          // Healed since it was looked at: what failed for the damage is tried with the whole file.
          const { kind, key, payload, priority } = job;
          queue.add({ kind, key, payload, priority });
          return;
        }
        db.run("UPDATE instances SET state = 'failed', reason = ? WHERE id = ?", error, id);
        tracker.changed(source.seriesId);
      },
    },
    correct,
  );
}

/** An error that says of itself that the instance is not to blame, as CorrectionError does when no engine works. */
function waits(error: unknown): boolean {
  return error instanceof Error && 'waits' in error && error.waits === true;
}

/** An error that says of itself that no later attempt can succeed, as CorrectionError does. */
function isPermanent(error: unknown): boolean {
  return (
    error instanceof PermanentFailure ||
    (error instanceof Error && 'permanent' in error && error.permanent === true)
  );
}

/** The numbers among an object's values. */
function figuresOf(values: object): Record<string, number> {
  return Object.fromEntries(
    Object.entries(values).filter((entry): entry is [string, number] => typeof entry[1] === 'number'),
  );
}
