import { createCommitmentProvider } from '../commitment/index.js';
import type { Config } from '../config/index.js';
import { commitmentReports, type DimseService, PeerTable } from '../dimse/index.js';
import type { Pipeline } from '../pipeline/index.js';
import { retrieveServices } from '../retrieve/index.js';
import { targetOf } from './addresses.js';
import type { Auditing } from './audit.js';

/** The service classes beside verification and storage; `start` begins what they do on their own. */
export function openServices(
  config: Pick<Config, 'aeTitle' | 'dimse' | 'peers' | 'destinations'>,
  pipeline: Pick<Pipeline, 'archive' | 'queue' | 'delivery'>,
  audit?: Pick<Auditing, 'dimseQueried' | 'dimseTransfer'>,
): { services: DimseService[]; start(): void; close(): Promise<void> } {
  const { archive, queue, delivery } = pipeline;
  const commitment = createCommitmentProvider({
    archive,
    queue,
    targetOf: (aeTitle) => targetOf(config, aeTitle),
  });
  const retrievers = new PeerTable(() => config.peers.filter(({ retrieve }) => retrieve !== false));
  const retrieve = retrieveServices({
    archive,
    aeTitle: config.aeTitle,
    targetOf: (aeTitle) => targetOf(config, aeTitle),
    permits: async ({ callingAeTitle, remoteAddress }) =>
      (await retrievers.check(callingAeTitle, remoteAddress)) === 'known',
    onQuery: (about) => audit?.dimseQueried(about),
    onTransfer: (about) => audit?.dimseTransfer(about),
  });
  return {
    services: [
      commitment.service,
      commitmentReports((report) => delivery.commitmentReport(report)),
      ...retrieve.services,
    ],
    start: () => commitment.start(),
    close: () => retrieve.close(),
  };
}
