import {
  listSeries,
  retryFailedSeries,
  retrySeries,
  type SeriesView,
  showSeries,
  whyToLook,
} from '../web/index.js';
import { EXIT } from './failure.js';
import { table } from './table.js';

interface Options {
  url: string;
  token?: string;
  json?: boolean;
}

const time = (ms: number | undefined) =>
  ms === undefined ? '' : new Date(ms).toISOString().replace('T', ' ').slice(0, 19);

/** `mcnet series ls` */
export async function seriesList(options: Options & { state?: string[]; limit: number }): Promise<number> {
  const series = await listSeries(options, {
    ...(options.state && { state: options.state }),
    limit: options.limit,
  });
  if (options.json) console.log(JSON.stringify(series));
  else if (series.length === 0) console.log('no series');
  else {
    console.log(
      table(
        ['SERIES', 'STATE', 'RECEIVED', 'CORRECTED', 'DELIVERED', 'LAST', 'REASON'],
        series.map((view) => [
          view.series,
          view.state,
          String(view.counts.received),
          String(view.counts.corrected),
          String(view.counts.delivered),
          time(view.lastReceivedAt),
          view.reason || whyToLook(view).join('; '),
        ]),
      ),
    );
  }
  return EXIT.ok;
}

function describe(view: SeriesView): string {
  const { counts } = view;
  const lines = [
    `series       ${view.series}`,
    `study        ${view.study}`,
    `state        ${[view.state, view.reason].filter(Boolean).join(': ')}`,
    `rule         ${view.rule ?? '(none matches)'}`,
    `slices       ${counts.received} received, ${counts.corrected} corrected, ${counts.leftAlone} left alone, ${counts.failed} failed, ${counts.delivered} delivered`,
    `last slice   ${time(view.lastReceivedAt)}`,
    `complete     ${view.completedAt === undefined ? 'not yet' : `${time(view.completedAt)} (${view.completeReason ?? ''})`}`,
    ...(view.derivedSeries ?? []).map((uid) => `derived      ${uid}`),
    ...view.destinations.map(
      ({ name, state, delivered, failed, lastError }) =>
        `to ${name.padEnd(9)} ${state}: ${delivered} delivered, ${failed} failed${lastError ? `; ${lastError}` : ''}`,
    ),
    ...(view.leftAlone ?? []).map(({ reason, count }) => `left alone   ${count}: ${reason}`),
    ...view.failures.map(({ sop, reason }) => `failed       ${sop}: ${reason}`),
    ...(view.refused ?? []).map(({ sop, reason }) => `refused      ${sop}: ${reason}`),
  ];
  return lines.join('\n');
}

/** `mcnet series show`; 1 when the series failed, so that scripts can ask. */
export async function seriesShow(uid: string, options: Options): Promise<number> {
  const view = await showSeries(options, uid);
  console.log(options.json ? JSON.stringify(view) : describe(view));
  return view.state === 'failed' ? EXIT.failed : EXIT.ok;
}

/** `mcnet series retry` */
export async function seriesRetry(
  uid: string | undefined,
  options: Options & { allFailed?: boolean },
): Promise<number> {
  if ((uid === undefined) === (options.allFailed !== true)) {
    console.error('error: either the UID of a series or --all-failed is expected');
    return EXIT.usage;
  }
  if (uid === undefined) return retryAllFailed(options);
  const retried = await retrySeries(options, uid);
  const what = Object.entries(retried).map(([kind, count]) => `${count} ${kind}`);
  console.log(
    options.json ? JSON.stringify(retried) : `tried again: ${what.join(', ') || 'nothing was to be done'}`,
  );
  return EXIT.ok;
}

async function retryAllFailed(options: Options): Promise<number> {
  const all = await retryFailedSeries(options);
  if (options.json) console.log(JSON.stringify(all));
  else if (all.series.length === 0) console.log('no series failed');
  else {
    const what = Object.entries(all.retried).map(([kind, count]) => `${count} ${kind}`);
    console.log(`${all.series.length} series tried again: ${what.join(', ')}`);
  }
  return EXIT.ok;
}
