/**
 * Takes storage commitment requests durably, looks each instance up in the archive, and reports: on the association
 * of the request when the peer keeps it open, else on one to the peer's configured address, until it is taken.
 */
import type { Archive } from '../archive/index.js';
import {
  type CommitmentLine,
  type CommitmentReport,
  type CommitmentRequest,
  commitmentProvider,
  DimseError,
  type DimseService,
  type DimseTarget,
  reportCommitment,
  type SopReference,
  Status,
} from '../dimse/index.js';
import { type JobContext, PermanentFailure, type Queue, RetryLater } from '../queue/index.js';

export interface CommitmentProviderOptions {
  archive: Archive;
  queue: Queue;
  /** Where the peer with this AE title listens; undefined when nobody said so. */
  targetOf(aeTitle: string): DimseTarget | undefined;
  /** After N-ACTION was answered, how long a peer may take to release before it gets its report on the same association. Default 500. */
  sameAssociationAfterMs?: number;
}

export interface CommitmentProvider {
  service: DimseService;
  /** Begins to report, also what an earlier process still owes. */
  start(): void;
}

interface RequestRow {
  id: number;
  peer: string;
  transaction_uid: string;
  instances: string;
}

const kind = 'report-commitment';
const retry = { baseMs: 5000, capMs: 900_000, maxAttempts: 30 };

export function createCommitmentProvider(o: CommitmentProviderOptions): CommitmentProvider {
  const { archive, queue } = o;
  const { db, clock } = archive;
  const patience = o.sameAssociationAfterMs ?? 500;
  const lines = new Map<number, CommitmentLine>();

  async function accept(
    { transactionUid, references }: CommitmentRequest,
    peer: string,
    line: CommitmentLine,
  ): Promise<void> {
    await db.commit(() => {
      // The same transaction again: its answer was lost, the request is the same.
      const { id } = db.get<{ id: number }>(
        `INSERT INTO commitment_requests (peer, transaction_uid, instances, requested_at) VALUES (?, ?, ?, ?)
         ON CONFLICT (peer, transaction_uid) DO UPDATE SET instances = excluded.instances RETURNING id`,
        peer,
        transactionUid,
        JSON.stringify(references),
        clock.now(),
      )!;
      lines.set(id, line);
      void line.ended.then(() => {
        if (lines.get(id) === line) lines.delete(id);
      });
      queue.add({ kind, key: String(id), payload: { request: id } });
      queue.replay(kind, String(id));
    });
  }

  /** Committed is what is in the archive, whole, under the SOP class that the peer names. */
  async function examine(row: RequestRow): Promise<CommitmentReport> {
    const report: CommitmentReport = { transactionUid: row.transaction_uid, committed: [], failed: [] };
    for (const reference of JSON.parse(row.instances) as SopReference[]) {
      const reason = await reasonAgainst(reference);
      if (reason === undefined) report.committed.push(reference);
      else report.failed.push({ ...reference, reason });
    }
    return report;
  }

  async function reasonAgainst({ sopClassUid, sopInstanceUid }: SopReference): Promise<number | undefined> {
    const found = db.all<{ id: number; sop_class: string }>(
      'SELECT id, sop_class FROM instances WHERE sop = ? ORDER BY current DESC, id DESC',
      sopInstanceUid,
    );
    if (found.length === 0) return Status.noSuchObjectInstance;
    const ofClass = found.filter((instance) => instance.sop_class === sopClassUid);
    for (const { id } of ofClass) if ((await archive.check(archive.get(id)!)) === undefined) return undefined;
    return ofClass.length > 0 ? Status.processingFailure : Status.classInstanceConflict;
  }

  async function report(id: number, context: JobContext): Promise<void> {
    const row = db.get<RequestRow>('SELECT * FROM commitment_requests WHERE id = ?', id);
    if (row === undefined) return;
    const result = await examine(row);
    if (!(await reportOnLine(id, result))) await reportToAddress(row, result, context);
    await db.commit(() => {
      db.run('DELETE FROM commitment_requests WHERE id = ?', id);
      const detail = `${row.transaction_uid}: ${result.committed.length} committed to ${row.peer}, ${result.failed.length} not`;
      archive.audit('storage commitment reported', { detail });
    });
  }

  /** False when the association is over, or ends before the peer has taken the report. */
  async function reportOnLine(id: number, result: CommitmentReport): Promise<boolean> {
    const line = lines.get(id);
    if (line === undefined) return false;
    await Promise.race([line.answered, line.ended]);
    // A peer that releases at once must not find a request where it expects A-RELEASE-RP.
    let timer: NodeJS.Timeout | undefined;
    const waited = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, patience);
    });
    await Promise.race([waited, line.ended]);
    clearTimeout(timer);
    if (line.isEnded()) return false;
    try {
      await line.report(result);
      return true;
    } catch (error) {
      if (error instanceof DimseError && error.code !== 'status') return false;
      throw rejected(error);
    }
  }

  async function reportToAddress(
    { peer, transaction_uid: uid }: RequestRow,
    result: CommitmentReport,
    { signal }: JobContext,
  ): Promise<void> {
    const target = o.targetOf(peer);
    if (target === undefined) {
      throw new PermanentFailure(
        `the storage commitment result of transaction ${uid} cannot be reported: ${peer} ended its association, and neither peers nor destinations give a port for ${peer}`,
      );
    }
    try {
      await reportCommitment(target, result, { signal });
    } catch (error) {
      if (signal.aborted) throw new RetryLater('the server is stopping', 0, false);
      throw error instanceof DimseError && error.code === 'status' ? rejected(error) : error;
    }
  }

  /** The peer does not know the transaction any more, or not the service: it has nothing to gain from another report. */
  function rejected(error: unknown): Error {
    const lasting = error instanceof DimseError && !error.transient;
    return lasting ? new PermanentFailure(error.message) : (error as Error);
  }

  return {
    service: commitmentProvider({
      onRequest: (request, peer, line) => accept(request, peer.callingAeTitle, line),
    }),
    start() {
      queue.work(kind, { concurrency: 4, retry }, (job, context) =>
        report(Number(job.payload.request), context),
      );
    },
  };
}
