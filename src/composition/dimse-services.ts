import { createCommitmentProvider } from '../commitment/index.js';
import type { Config } from '../config/index.js';
import { commitmentReports, type DimseService } from '../dimse/index.js';
import type { Pipeline } from '../pipeline/index.js';
import { targetOf } from './addresses.js';

/** The service classes beside verification and storage; `start` begins what they do on their own. */
export function openServices(
  config: Pick<Config, 'aeTitle' | 'peers' | 'destinations'>,
  pipeline: Pick<Pipeline, 'archive' | 'queue' | 'delivery'>,
): { services: DimseService[]; start(): void } {
  const { archive, queue, delivery } = pipeline;
  const commitment = createCommitmentProvider({
    archive,
    queue,
    targetOf: (aeTitle) => targetOf(config, aeTitle),
  });
  return {
    services: [commitment.service, commitmentReports((report) => delivery.commitmentReport(report))],
    start: () => commitment.start(),
  };
}
