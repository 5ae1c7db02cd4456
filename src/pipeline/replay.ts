/** The one-command replay: what of a series failed, or waits for a later attempt, is tried now. */
import { readFile } from 'node:fs/promises';
import type { Archive, Instance } from '../archive/index.js';
import type { Delivery } from '../delivery/index.js';
import { correctKind, type ObjectReader, routingOf } from '../intake/index.js';
import type { Queue } from '../queue/index.js';
import {
  classify,
  deliveryKind,
  keepSafeguards,
  type Rule,
  type SeriesIndex,
  type SeriesTracker,
} from '../series/index.js';

export interface Replayed {
  /** Instances that are corrected (again). */
  instances: number;
  /** Instances times destinations that are sent (again). */
  deliveries: number;
  /** Instances formerly left alone that the rules of today would correct. */
  reclassified: number;
}

export interface ReplayOptions<D> {
  archive: Archive;
  queue: Queue;
  tracker: SeriesTracker;
  index: SeriesIndex;
  delivery: Delivery;
  rules: readonly Rule[];
  dicom: ObjectReader<D>;
}

/**
 * Failed instances are corrected again, failed and waiting deliveries are sent now, and instances that were
 * left alone are held against the rules once more.
 * @returns undefined when there is no such series.
 */
export async function replaySeries<D>(
  o: ReplayOptions<D>,
  idOrUid: number | string,
): Promise<Replayed | undefined> {
  const { archive, queue, tracker } = o;
  const { db } = archive;
  const view = o.index.get(idOrUid);
  if (view === undefined) return undefined;

  const instances = o.index.instances(view.id);
  const rerouted = await reroute(o, instances);
  const enqueue = ({ id, priority }: Instance) => {
    queue.add({ kind: correctKind, key: String(id), payload: { instance: id }, priority });
    queue.replay(correctKind, String(id));
  };
  const replayed = await db.commit(() => {
    let count = 0;
    for (const instance of instances) {
      if (instance.state !== 'failed' && instance.state !== 'pending') continue;
      if (instance.state === 'failed') {
        db.run("UPDATE instances SET state = 'pending', reason = '' WHERE id = ?", instance.id);
      }
      enqueue(instance);
      count += 1;
    }
    for (const { instance, routing } of rerouted) {
      db.run(
        `UPDATE instances SET state = 'pending', reason = '', rule = ?, model = ?, destinations = ?, deliver = ?,
           priority = ? WHERE id = ? AND state = 'left-alone'`,
        routing.rule ?? null,
        routing.model ?? null,
        JSON.stringify(routing.destinations ?? []),
        routing.deliver ?? 'series',
        routing.priority ?? 0,
        instance.id,
      );
      const rule = o.rules.find(({ name }) => name === routing.rule);
      const hold = rule?.hold === 'until accepted' ? 1 : 0;
      keepSafeguards(
        db,
        db.get<{ id: number; safeguards: string | null }>(
          'SELECT id, safeguards FROM series WHERE id = ?',
          view.id,
        )!,
        rule,
      );
      db.run(
        'UPDATE series SET rule = COALESCE(rule, ?), hold = MAX(hold, ?) WHERE id = ?',
        routing.rule ?? null,
        hold,
        view.id,
      );
      enqueue(instance);
    }
    const deliveries = db.run(
      "UPDATE deliveries SET state = 'pending', enqueued = 0, refusals = 0, attempts = 0, commitment = NULL WHERE series_id = ? AND state IN ('failed', 'pending')",
      view.id,
    ).changes;
    for (const { name } of view.destinations) queue.replay(deliveryKind(name), String(view.id));
    archive.audit('series replayed', { study: view.study, series: view.series });
    tracker.changed(view.id);
    return { instances: count, deliveries, reclassified: rerouted.length };
  });
  for (const { name } of view.destinations) o.delivery.resume(name);
  return replayed;
}

export interface ReplayedFailures extends Replayed {
  /** Series Instance UIDs. */
  series: string[];
  /** Where to go on from, when there are more. */
  next?: number;
}

/** {@link replaySeries} for so many of the series that failed, in order of their row ids behind `after`. */
export async function replayFailed<D>(
  o: ReplayOptions<D>,
  after: number,
  limit: number,
): Promise<ReplayedFailures> {
  const failed = o.index.failed(after, limit);
  const all: ReplayedFailures = { series: [], instances: 0, deliveries: 0, reclassified: 0 };
  for (const { id, series } of failed) {
    const replayed = await replaySeries(o, id);
    if (replayed === undefined) continue;
    all.series.push(series);
    all.instances += replayed.instances;
    all.deliveries += replayed.deliveries;
    all.reclassified += replayed.reclassified;
  }
  const last = failed.at(-1);
  return failed.length < limit || last === undefined ? all : { ...all, next: last.id };
}

async function reroute<D>(o: ReplayOptions<D>, instances: readonly Instance[]) {
  const rerouted: { instance: Instance; routing: ReturnType<typeof routingOf> }[] = [];
  for (const instance of instances) {
    if (instance.state !== 'left-alone') continue;
    const { dataSet } = o.dicom.readHeader(await readFile(instance.path));
    const classification = classify(o.rules, {
      values: (keyword) => o.dicom.strings(dataSet, keyword),
      correctable: () => o.dicom.correctable(dataSet, instance.sopClass),
      own: () =>
        o.archive.isDerived(instance.sop) || o.dicom.isOwnOutput(dataSet) ? 'known as such' : undefined,
    });
    if (classification.kind === 'correct') rerouted.push({ instance, routing: routingOf(classification) });
  }
  return rerouted;
}
