/**
 * The state of a series as a function of facts. Nothing else decides it: after a crash, a late slice or a
 * replay the facts are counted again and the state follows.
 */

export type SeriesState = 'receiving' | 'complete' | 'corrected' | 'delivered' | 'left-alone' | 'failed';

export interface SeriesFacts {
  /** Why the series is believed to be complete; undefined while it is not. */
  completeReason?: string | undefined;
  /** Instances of the source series by what became of them. */
  pending: number;
  corrected: number;
  leftAlone: number;
  failed: number;
  /** Objects that were refused on receipt and did not come again. */
  refused: number;
  /** Derived instances, once for each destination. */
  deliveries: { pending: number; delivered: number; failed: number };
  /** Why what is pending is not sent, where a person's decision keeps it here. */
  withheld?: string | undefined;
}

export function stateOf(facts: SeriesFacts): { state: SeriesState; reason: string } {
  const { pending, corrected, leftAlone, failed, refused, deliveries } = facts;
  const received = pending + corrected + leftAlone + failed;
  const notes: string[] = [];
  if (failed > 0) notes.push(`${failed} of ${received} could not be corrected`);
  if (deliveries.failed > 0) notes.push(`${count(deliveries.failed, 'delivery', 'deliveries')} refused`);
  if (refused > 0) notes.push(`${count(refused, 'object', 'objects')} refused on receipt`);
  const mixed = leftAlone > 0 ? [`${leftAlone} of ${received} left alone`] : [];
  const is = (state: SeriesState, ...reasons: string[]) => ({
    state,
    reason: [...reasons, ...notes].join('; '),
  });

  if (facts.completeReason === undefined) return is('receiving');
  if (received === 0) return is('failed', ...(notes.length === 0 ? ['nothing of it is in the archive'] : []));
  if (leftAlone === received) return is('left-alone');
  if (pending > 0) return is('complete', facts.completeReason);
  if (corrected === 0) return is('failed', ...mixed);
  if (deliveries.pending > 0) {
    return is('corrected', ...(facts.withheld === undefined ? [] : [facts.withheld]), ...mixed);
  }
  if (failed > 0 || deliveries.failed > 0) return is('failed', ...mixed);
  if (deliveries.delivered === 0) return is('corrected', 'the rule names no destination', ...mixed);
  return is('delivered', ...mixed);
}

function count(n: number, one: string, many: string): string {
  return `${n} ${n === 1 ? one : many}`;
}
