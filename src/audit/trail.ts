import { join } from 'node:path';
import type { Config } from '../config/index.js';
import { openAuditFile } from './file.js';
import { type AuditEvent, auditMessage } from './messages.js';
import { openSyslog } from './syslog.js';

/** Who saw and did what. */
export interface AuditTrail {
  record(event: AuditEvent): void;
  /** Why the trail cannot be written or sent just now. */
  problems(): string[];
  /** Resolves when everything recorded so far is on disk. */
  flush(): Promise<void>;
  close(): Promise<void>;
}

export interface AuditTrailOptions {
  config: Pick<Config, 'audit' | 'aeTitle' | 'data'>;
  /** Called when the trail begins, or ceases, to be written or sent. */
  onProblem?(sink: 'file' | 'syslog', problem: string | undefined): void;
  now?: () => Date;
}

/** @throws Error when the file cannot be opened: a server that cannot keep its trail should not start */
export async function openAuditTrail(options: AuditTrailOptions): Promise<AuditTrail> {
  const { config, now = () => new Date() } = options;
  const { file: at, syslog: to, source: id } = config.audit;
  const source = { id, aeTitle: config.aeTitle, processId: process.pid };
  const problems = new Map<'file' | 'syslog', string>();
  const onProblem = (sink: 'file' | 'syslog') => (problem: string | undefined) => {
    if (problems.get(sink) === problem) return;
    if (problem === undefined) problems.delete(sink);
    else problems.set(sink, problem);
    options.onProblem?.(sink, problem);
  };
  const path = at.path ?? join(config.data, 'audit', 'audit.xml');
  const file = await openAuditFile({
    path,
    rotateBytes: at.rotate,
    keep: at.keep,
    onProblem: onProblem('file'),
  }).catch((error: NodeJS.ErrnoException) => {
    throw new Error(`the audit trail ${path} cannot be opened (${error.code ?? error.message})`, {
      cause: error,
    });
  });
  const syslog = to && openSyslog(to, onProblem('syslog'));
  return {
    record(event) {
      const time = now();
      const message = auditMessage(event, source, time);
      file.append(message);
      syslog?.send(message, time);
    },
    problems: () => [...problems.values()],
    flush: () => file.flush(),
    async close() {
      await file.close();
      await syslog?.close();
    },
  };
}
