/** How much is kept of one source at most. */
import type { Archive, Source } from '../archive/index.js';
import { IntakeError } from './error.js';

/** `source` is an AE title, or `*` for each source that is not named. Only received instances count. */
export interface Quota {
  source: string;
  instances?: number | undefined;
  bytes?: number | undefined;
}

export interface Quotas {
  /**
   * Runs `store`, which keeps one more instance of so many bytes.
   * @throws IntakeError "quota-exceeded" when the source would have more than its quota; nothing is run then
   */
  within<T>(source: Source, bytes: number, store: () => Promise<T>): Promise<T>;
}

export function createQuotas(archive: Pick<Archive, 'stored'>, quotas: readonly Quota[]): Quotas {
  const named = new Map(quotas.map((quota) => [quota.source, quota]));
  /** What is being stored and does not count as stored yet. */
  const underway = new Map<string, { instances: number; bytes: number }>();

  function add(peer: string, instances: number, bytes: number): void {
    const of = underway.get(peer) ?? { instances: 0, bytes: 0 };
    if (of.instances + instances === 0) underway.delete(peer);
    else underway.set(peer, { instances: of.instances + instances, bytes: of.bytes + bytes });
  }

  return {
    async within({ peer }, bytes, store) {
      const quota = named.get(peer) ?? named.get('*');
      if (quota === undefined) return store();
      const stored = archive.stored(peer);
      const coming = underway.get(peer) ?? { instances: 0, bytes: 0 };
      if (stored.instances + coming.instances + 1 > (quota.instances ?? Number.POSITIVE_INFINITY)) {
        throw new IntakeError('quota-exceeded', `quota reached: ${quota.instances} instances of ${peer}`);
      }
      if (stored.bytes + coming.bytes + bytes > (quota.bytes ?? Number.POSITIVE_INFINITY)) {
        throw new IntakeError('quota-exceeded', `quota reached: ${quota.bytes} bytes of ${peer}`);
      }
      add(peer, 1, bytes);
      try {
        return await store();
      } finally {
        add(peer, -1, -bytes);
      }
    },
  };
}
