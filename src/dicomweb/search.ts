import { setImmediate as turn } from 'node:timers/promises';
import type { Instance } from '../archive/index.js';
import { dictionaryVr } from '../dicom/index.js';
import { instancePath } from './answer.js';
import { jsonTag } from './dicom-json.js';
import type { Headers } from './headers.js';
import type { HeldSeries, Holdings } from './holdings.js';
import type { JsonAttribute, JsonDataSet, JsonValue } from './json-model.js';
import { matches, matchesAttribute } from './matching.js';
import {
  belongsTo,
  COMPUTED,
  INSTANCE_ATTRIBUTES,
  type Level,
  RETURNED,
  RETURNED_IF_KNOWN,
  SERIES_ATTRIBUTES,
  STUDY_ATTRIBUTES,
} from './query-attributes.js';
import type { Query } from './query-request.js';
import { readAhead } from './read-ahead.js';

interface Row {
  instance: Instance;
  /** Header of the instance that stands for the study, series, or is it. */
  header: JsonDataSet;
  series: HeldSeries;
}

export interface SearchParts {
  holdings: Holdings;
  headers: Headers;
  /** The service's root, for Retrieve URL. */
  base: string;
}

const LEVELS: readonly Level[] = ['study', 'series', 'instance'];
/** Rows between two turns of the event loop. */
const ROWS_A_TURN = 50;
const HEADERS_AHEAD = 4;

function attribute(tag: number, ...values: JsonValue[]): JsonAttribute {
  const vr = dictionaryVr(tag);
  return values.length === 0 ? { vr } : { vr, Value: values };
}

function pathOf(level: Level, instance: Instance): string {
  const { study, series } = instance;
  if (level === 'instance') return instancePath(instance);
  return level === 'series' ? `/studies/${study}/series/${series}` : `/studies/${study}`;
}

/** Results of one search, one after another; the headers are read while they are asked for. */
export async function* search(query: Query, parts: SearchParts): AsyncGenerator<JsonDataSet, void> {
  const { holdings, headers, base } = parts;
  const tables = new Set([...STUDY_ATTRIBUTES, ...SERIES_ATTRIBUTES, ...INSTANCE_ATTRIBUTES]);
  const beyondTables =
    query.level === 'instance' &&
    (query.include === 'all' ||
      [...query.include].some((tag) => !tables.has(tag)) ||
      query.keys.some(({ path }) => !tables.has(path[0]!)));
  const headerOf = (instance: Instance) =>
    beyondTables
      ? headers.whole(instance, (path) => `${base}${instancePath(instance)}/bulkdata/${path.join('/')}`)
      : headers.common(instance);
  let rows = 0;
  const pause = async () => {
    rows += 1;
    if (rows % ROWS_A_TURN === 0) await turn();
  };

  const matchesKeys = (header: JsonDataSet) => query.keys.every((key) => matches(key, header));
  /** Modalities of a study, read once for each study. */
  const modalities = new Map<string, string[]>();
  async function modalitiesOf(study: string): Promise<string[]> {
    const before = modalities.get(study);
    if (before) return before;
    const found = new Set<string>();
    for (const { id } of holdings.seriesOf(study)) {
      const first = holdings.firstOf(id);
      const value = first && (await headers.common(first))['00080060']?.Value?.[0];
      if (typeof value === 'string') found.add(value);
    }
    if (modalities.size > 1000) modalities.clear();
    modalities.set(study, [...found]);
    return [...found];
  }

  async function* studyRows(): AsyncGenerator<Row, void> {
    for (const study of holdings.studies(query.studies)) {
      for (const series of holdings.seriesOf(study)) {
        const instance = holdings.firstOf(series.id);
        if (!instance) continue;
        const header = await headerOf(instance);
        await pause();
        // The study's attributes are the same in all its series, as far as senders are careful: any may match.
        if (!matchesKeys(header)) continue;
        yield { instance, header, series };
        break;
      }
    }
  }

  async function* heldSeries(): AsyncGenerator<HeldSeries, void> {
    for (let after = 0; ; ) {
      const some = holdings.seriesAfter(after, query);
      if (some.length === 0) return;
      yield* some;
      after = some.at(-1)!.id;
      await turn();
    }
  }

  async function* seriesRows(): AsyncGenerator<Row, void> {
    for await (const series of heldSeries()) {
      const instance = holdings.firstOf(series.id);
      if (!instance) continue;
      const header = await headerOf(instance);
      await pause();
      if (matchesKeys(header)) yield { instance, header, series };
    }
  }

  function* namedInstances(
    sops: readonly string[],
  ): Generator<{ instance: Instance; series: HeldSeries }, void> {
    for (const instance of sops.flatMap((sop) => holdings.instances({ sop }))) {
      const { seriesId: id, study, series } = instance;
      if (query.studies && !query.studies.includes(study)) continue;
      if (query.series && !query.series.includes(series)) continue;
      yield { instance, series: { id, study, series } };
    }
  }

  async function* allInstances(): AsyncGenerator<{ instance: Instance; series: HeldSeries }, void> {
    for await (const series of heldSeries()) {
      for (const instance of holdings.instancesOf(series.id)) yield { instance, series };
    }
  }

  async function* instanceRows(): AsyncGenerator<Row, void> {
    const candidates = query.sops ? namedInstances(query.sops) : allInstances();
    const opened = readAhead(candidates, HEADERS_AHEAD, async (candidate) => ({
      ...candidate,
      header: await headerOf(candidate.instance),
    }));
    for await (const row of opened) {
      await pause();
      if (matchesKeys(row.header)) yield row;
    }
  }

  /** Levels whose attributes a result has: its own, and those above that the address does not name. */
  const shown = LEVELS.slice(0, LEVELS.indexOf(query.level) + 1).filter(
    (level) =>
      level === query.level || (level === 'study' ? query.studies?.length !== 1 : query.series?.length !== 1),
  );

  async function resultOf({ instance, header, series }: Row): Promise<JsonDataSet> {
    const result = new Map<number, JsonAttribute>();
    const copy = (tag: number) => {
      const found = header[jsonTag(tag)];
      // What is too long for an answer to a search stays with the metadata.
      if (found && found.BulkDataURI === undefined) result.set(tag, found);
      return found !== undefined;
    };
    for (const level of shown) {
      for (const tag of RETURNED[level]) if (!copy(tag)) result.set(tag, attribute(tag));
      for (const tag of RETURNED_IF_KNOWN[level]) copy(tag);
    }
    if (query.include === 'all') {
      for (const key of Object.keys(header)) {
        const tag = Number.parseInt(key, 16);
        if (belongsTo(query.level, tag)) copy(tag);
      }
    } else {
      for (const tag of query.include) if (belongsTo(query.level, tag)) copy(tag);
    }
    const { study, series: seriesUid } = series;
    const put = (tag: number, ...values: JsonValue[]) => result.set(tag, attribute(tag, ...values));
    put(0x0020000d, study);
    if (shown.includes('study')) {
      const all = holdings.seriesOf(study);
      const counts = all.map(({ id }) => holdings.countOf(id)).filter((count) => count > 0);
      put(COMPUTED.modalitiesInStudy, ...(await modalitiesOf(study)));
      put(COMPUTED.numberOfStudyRelatedSeries, counts.length);
      put(
        COMPUTED.numberOfStudyRelatedInstances,
        counts.reduce((sum, count) => sum + count, 0),
      );
      if (query.include === 'all' || query.include.has(COMPUTED.sopClassesInStudy)) {
        put(COMPUTED.sopClassesInStudy, ...holdings.sopClassesOf(study));
      }
    }
    if (query.level !== 'study') {
      put(0x0020000e, seriesUid);
      if (shown.includes('series')) put(COMPUTED.numberOfSeriesRelatedInstances, holdings.countOf(series.id));
    }
    if (query.level === 'instance') {
      put(0x00080018, instance.sop);
      put(COMPUTED.availableTransferSyntaxUid, instance.transferSyntax);
    }
    put(COMPUTED.instanceAvailability, instance.damage === undefined ? 'ONLINE' : 'UNAVAILABLE');
    put(COMPUTED.retrieveUrl, `${base}${pathOf(query.level, instance)}`);
    result.set(0x00080005, { vr: 'CS', Value: ['ISO_IR 192'] });
    const sorted = [...result].sort(([a], [b]) => a - b);
    return Object.fromEntries(sorted.map(([tag, value]) => [jsonTag(tag), value]));
  }

  const candidates = { study: studyRows, series: seriesRows, instance: instanceRows }[query.level]();
  let skip = query.offset;
  for await (const row of candidates) {
    const wanted = query.modalitiesInStudy;
    if (wanted) {
      const Value = await modalitiesOf(row.series.study);
      if (!matchesAttribute(wanted, { vr: 'CS', Value })) continue;
    }
    if (skip > 0) skip -= 1;
    else yield await resultOf(row);
  }
}
