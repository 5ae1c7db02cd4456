import type { Config } from '../config/index.js';
import {
  type AssociationEvent,
  type AssociationInfo,
  type DimseServer,
  type DimseService,
  type StoreRequest,
  type StoreResponse,
  startDimseServer,
} from '../dimse/index.js';
import { type Intake, IntakeError } from '../intake/index.js';
import type { Logger } from '../telemetry/index.js';

/** Answers a C-STORE request: Success once the object is on disk and indexed, else the standard's status. */
async function store(intake: Intake, request: StoreRequest): Promise<StoreResponse> {
  const incoming = intake.beginDataSet({
    source: { protocol: 'dimse', peer: request.callingAeTitle, address: request.remoteAddress },
    transferSyntaxUid: request.transferSyntaxUid,
    sopClassUid: request.sopClassUid,
    sopInstanceUid: request.sopInstanceUid,
    association: request.associationId,
  });
  try {
    for await (const chunk of request.data) await incoming.write(chunk);
  } catch (error) {
    if (!(error instanceof IntakeError)) {
      await incoming.abort();
      throw error;
    }
  }
  try {
    await incoming.commit();
    return { status: 0 };
  } catch (error) {
    if (!(error instanceof IntakeError)) throw error;
    return { status: error.status, errorComment: error.message.slice(0, 64) };
  }
}

/** Listens for associations and gives what they store to the intake. */
export async function startProvider(options: {
  config: Pick<Config, 'aeTitle' | 'dimse' | 'peers' | 'limits'>;
  intake: Intake;
  /** Beside verification and storage. */
  services: readonly DimseService[];
  logger: Logger;
  associationEnded(id: string): void;
  onAssociation?(event: AssociationEvent, info: AssociationInfo): void;
}): Promise<DimseServer> {
  const { config, intake, logger } = options;
  const { host, port } = config.dimse;
  try {
    return await startDimseServer({
      aeTitle: config.aeTitle,
      host,
      port,
      peers: () => config.peers,
      limits: {
        associations: config.limits.associations,
        associationsPerPeer: config.limits.associationsPerPeer,
        maxPduLength: config.limits.pduLength,
      },
      services: options.services,
      storesToRequestor: true,
      onStore: (request) => store(intake, request),
      acceptMore: () => intake.acceptMore(),
      onAssociation(event, info) {
        const level = event === 'rejected' || event === 'aborted' ? 'warn' : 'info';
        const { userIdentity: _claimed, ...known } = info;
        logger[level]({ ...known }, `association ${event}`);
        options.onAssociation?.(event, info);
        if (event === 'released' || event === 'aborted') options.associationEnded(info.associationId);
      },
      onServiceError: (error, info) =>
        logger.error({ err: error, associationId: info.associationId }, 'a service failed'),
    });
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    const why = code === 'EADDRINUSE' ? 'another program listens there' : (error as Error).message;
    throw new Error(`dimse cannot listen on ${host}:${port}: ${why}`, { cause: error });
  }
}
