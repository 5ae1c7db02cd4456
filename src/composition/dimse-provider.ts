import type { Config } from '../config/index.js';
import {
  type AssociationEvent,
  type AssociationInfo,
  type DimseServer,
  type DimseService,
  startDimseServer,
} from '../dimse/index.js';
import type { Intake } from '../intake/index.js';
import type { Logger } from '../telemetry/index.js';
import { storeInto } from './store.js';
import { listenerTls } from './tls.js';

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
  const { host, port, tls } = config.dimse;
  try {
    return await startDimseServer({
      aeTitle: config.aeTitle,
      host,
      port,
      ...(tls !== undefined && { tls: listenerTls(tls) }),
      ...(tls?.port !== undefined && { securePort: tls.port }),
      peers: () => config.peers,
      limits: {
        associations: config.limits.associations,
        associationsPerPeer: config.limits.associationsPerPeer,
        maxPduLength: config.limits.pduLength,
        idleMs: config.limits.idle,
      },
      services: options.services,
      storesToRequestor: true,
      onStore: storeInto(intake, config.limits.instanceBytes),
      acceptMore: () => intake.acceptMore(),
      onAssociation(event, info) {
        const level = event === 'rejected' || event === 'aborted' ? 'warn' : 'info';
        logger[level]({ ...info }, `association ${event}`);
        options.onAssociation?.(event, info);
        if (event === 'released' || event === 'aborted') options.associationEnded(info.associationId);
      },
      onServiceError: (error, info) =>
        logger.error({ err: error, associationId: info.associationId }, 'a service failed'),
    });
  } catch (error) {
    const { code, port: taken = port } = error as NodeJS.ErrnoException & { port?: number };
    const why = code === 'EADDRINUSE' ? 'another program listens there' : (error as Error).message;
    throw new Error(`dimse cannot listen on ${host}:${taken}: ${why}`, { cause: error });
  }
}
