/** A modality that sends again what was not acknowledged, until all of it is. */
import { setTimeout as delay } from 'node:timers/promises';
import type { DemoInstance } from '../../../demo/series.js';
import { stow } from '../../../src/dicomweb/index.js';
import { storeInstances } from '../../../src/dimse/index.js';
import { fileOf, outgoingOf } from '../../peers/support/slices.js';

export interface SenderOptions {
  dicomPort: number;
  host?: string;
  /** Root of DICOMweb; then it is sent by STOW-RS. */
  dicomWeb?: string;
  /** Called for each instance once it was acknowledged. */
  onAcknowledged(sopInstanceUid: string): void;
  signal?: AbortSignal;
}

const againAfterMs = 250;

/** Resolves when every instance was acknowledged; returns how often something was sent again. */
export async function sendUntilAcknowledged(
  instances: readonly DemoInstance[],
  options: SenderOptions,
): Promise<number> {
  let left = [...instances];
  let again = 0;
  for (;;) {
    options.signal?.throwIfAborted();
    const acknowledged = new Set<string>();
    const onOutcome = ({ sopInstanceUid, outcome }: { sopInstanceUid: string; outcome: string }) => {
      if (outcome !== 'accepted' || acknowledged.has(sopInstanceUid)) return;
      acknowledged.add(sopInstanceUid);
      options.onAcknowledged(sopInstanceUid);
    };
    const outcomes =
      options.dicomWeb === undefined
        ? await storeInstances(
            {
              host: options.host ?? '127.0.0.1',
              port: options.dicomPort,
              calledAeTitle: 'MCNET',
              callingAeTitle: 'SCANNER',
            },
            left.map(outgoingOf),
            { onOutcome },
          )
        : await stow(
            { url: options.dicomWeb },
            left.map((instance) => ({ ...instance, file: async () => fileOf(instance) })),
            { batch: 5, onOutcome },
          );
    for (const outcome of outcomes) onOutcome(outcome);
    left = left.filter(({ sopInstanceUid }) => !acknowledged.has(sopInstanceUid));
    if (left.length === 0) return again;
    again += left.length;
    await delay(againAfterMs);
  }
}
