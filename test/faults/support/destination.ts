/** A PACS that keeps what it is given, counts what it is given twice, and answers as a test tells it to. */
import { createHash } from 'node:crypto';
import {
  commitmentProvider,
  type DimseServer,
  Status,
  type StoreResponse,
  startDimseServer,
} from '../../../src/dimse/index.js';
import type { Ending } from '../../peers/support/process.js';
import { atEnd } from '../../peers/support/process.js';

export interface KeptDestination {
  port: number;
  /** Data sets by SOP Instance UID, as they came first. */
  kept: Map<string, Buffer>;
  /** In the order of arrival, by SOP Instance UID. */
  order: string[];
  /** Stored under a UID that was there already: with the same bytes, and with others. */
  repeated: number;
  conflicting: number;
  onKept?: (count: number) => void;
  /** What it answers, asked when the data set has come whole; `keep: false` forgets it. Default: kept, success. */
  judge: (sopInstanceUid: string, attempt: number) => StoreResponse & { keep?: boolean };
  close(): Promise<void>;
}

const digestOf = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex');

/** Listens on a loopback port as AE title PACS; commits to what it has. */
export async function startDestination(
  t: Ending,
  options: { port?: number; host?: string; kept?: Map<string, Buffer> } = {},
): Promise<KeptDestination> {
  const attempts = new Map<string, number>();
  const kept = options.kept ?? new Map<string, Buffer>();
  const destination: KeptDestination = {
    port: 0,
    kept,
    order: [],
    repeated: 0,
    conflicting: 0,
    judge: () => ({ status: 0 }),
    close: () => server.close(0),
  };
  const server: DimseServer = await startDimseServer({
    aeTitle: 'PACS',
    host: options.host ?? '127.0.0.1',
    port: options.port ?? 0,
    peers: [{ aeTitle: '*', host: options.host ?? '127.0.0.1' }],
    services: [
      commitmentProvider({
        async onRequest({ transactionUid, references }, _peer, line) {
          const has = references.filter(({ sopInstanceUid }) => kept.has(sopInstanceUid));
          const misses = references.filter(({ sopInstanceUid }) => !kept.has(sopInstanceUid));
          void line.answered
            .then(() =>
              line.report({
                transactionUid,
                committed: has,
                failed: misses.map((each) => ({ ...each, reason: Status.noSuchObjectInstance })),
              }),
            )
            .catch(() => {
              // The requestor asks again.
            });
        },
      }),
    ],
    async onStore({ data, sopInstanceUid }) {
      const parts: Buffer[] = [];
      for await (const part of data) parts.push(part);
      const bytes = Buffer.concat(parts);
      const attempt = (attempts.get(sopInstanceUid) ?? 0) + 1;
      attempts.set(sopInstanceUid, attempt);
      const { keep = true, ...answer } = destination.judge(sopInstanceUid, attempt);
      const has = answer.status === 0 || (answer.status & 0xf000) === 0xb000;
      if (!has || !keep) return answer;
      const before = kept.get(sopInstanceUid);
      if (before === undefined) {
        kept.set(sopInstanceUid, bytes);
        destination.order.push(sopInstanceUid);
        destination.onKept?.(kept.size);
      } else if (digestOf(before) === digestOf(bytes)) destination.repeated += 1;
      else destination.conflicting += 1;
      return answer;
    },
  });
  destination.port = server.port;
  atEnd(t, () => server.close(0));
  return destination;
}
