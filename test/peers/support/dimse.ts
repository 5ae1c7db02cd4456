import type { TestContext } from 'node:test';
import {
  type AssociationEvent,
  type AssociationInfo,
  type DimseServer,
  type DimseServerOptions,
  type OutgoingInstance,
  startDimseServer,
} from '../../../src/dimse/index.js';
import { type SplitFile, splitPart10 } from './part10.js';
import { atEnd } from './process.js';

export interface Receiver {
  server: DimseServer;
  received: SplitFile[];
  events: { event: AssociationEvent; info: AssociationInfo }[];
}

/** Our server with AE title MCNET, keeping what it receives in memory. */
export async function startReceiver(
  t: TestContext,
  options: Partial<DimseServerOptions> = {},
): Promise<Receiver> {
  const received: SplitFile[] = [];
  const events: Receiver['events'] = [];
  const server = await startDimseServer({
    aeTitle: 'MCNET',
    host: '127.0.0.1',
    port: 0,
    peers: [{ aeTitle: '*', host: '127.0.0.1' }],
    onAssociation: (event, info) => events.push({ event, info: { ...info } }),
    onStore: async ({ sopClassUid, sopInstanceUid, transferSyntaxUid, data }) => {
      const parts: Buffer[] = [];
      for await (const part of data) parts.push(part);
      received.push({ sopClassUid, sopInstanceUid, transferSyntaxUid, dataSet: Buffer.concat(parts) });
      return { status: 0 };
    },
    ...options,
  });
  atEnd(t, () => server.close(0));
  return { server, received, events };
}

/** A file as our sender takes it. */
export function outgoing(path: string): OutgoingInstance {
  const { dataSet, ...uids } = splitPart10(path);
  return { ...uids, open: () => Promise.resolve(dataSet) };
}
