import { type Request, Router } from 'express';
import type { Config } from '../config/index.js';
import {
  createFrameDecoder,
  createQueryProvider,
  createRetrieveProvider,
  createSenders,
  createStoreProvider,
  holdingsOf,
  optionsOf,
  otherMethods,
} from '../dicomweb/index.js';
import type { Pipeline } from '../pipeline/index.js';
import { isAtPage, maskedDicomWeb, principalOf } from '../web/index.js';

/** The DICOMweb services over the pipeline: STOW-RS into its intake, QIDO-RS and WADO-RS from its archive. */
export function openDicomWeb(
  config: Config,
  pipeline: Pick<Pipeline, 'archive' | 'intake' | 'associationEnded'>,
): {
  router: Router;
  /** The name of the peer at an address. */
  peerAt(address: string): Promise<string | undefined>;
  close(): Promise<void>;
} {
  const senders = createSenders(() => config.peers);
  const peerAt = (address: string) => senders.nameOf(address);
  // Whom the access layer let in by credentials is known by them; else the address says who it is.
  const nameOf = async (address: string, request: Request) => {
    const principal = request.res && principalOf(request.res);
    return principal && principal.by !== 'open' ? principal.name : peerAt(address);
  };
  const decoder = createFrameDecoder();
  const [all, released] = [holdingsOf(pipeline.archive, 'shown'), holdingsOf(pipeline.archive, 'hidden')];
  // Programs get nothing that waits for a person; the person has to see it.
  const holdingsFor = (request: Request) => (isAtPage(request) ? all : released);
  const router = Router();
  router.use(
    optionsOf,
    maskedDicomWeb(config.page.patient),
    createStoreProvider({
      intake: pipeline.intake,
      senderOf: nameOf,
      acceptMore: () => pipeline.intake.acceptMore(),
      limits: {
        requestBytes: config.limits.stowRequestBytes,
        instanceBytes: config.limits.instanceBytes,
        instances: config.limits.stowInstances,
      },
      onRequestEnd: ({ association }) => pipeline.associationEnded(association),
    }),
    createQueryProvider({ holdingsFor, readerOf: nameOf }),
    createRetrieveProvider({ holdingsFor, readerOf: nameOf, decoder }),
    otherMethods,
  );
  return { router, peerAt, close: () => decoder.close() };
}
